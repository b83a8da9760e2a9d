//! What people do to environments. Each is one use case, and a sentence on what it came to.

use app::error::AppError;
use app::view::Done;
use domain::{Access, Actor, AutoscalingPatch, EnvironmentName, EnvironmentPatch, ModelId, PromotionPatch};

use super::Dashboard;
use super::actions::{confirmed, saved};
use super::errors::told;

impl Dashboard {
    pub(super) async fn do_create_environment(
        &self,
        actor: &Actor,
        model: &ModelId,
        name: &str,
        autoscaling: AutoscalingPatch,
        promotion: PromotionPatch,
        access: Option<Access>,
    ) -> Result<Done, AppError> {
        let name = EnvironmentName::new(name)?;
        let settings = EnvironmentPatch { autoscaling, promotion, ..Default::default() };
        self.api.control.create_environment(actor, model, &name, settings, access).await.map_err(told)?;
        Ok(Done::new(format!("{name} exists; promote a deployment to it.")))
    }

    pub(super) async fn do_activate_environment(
        &self,
        actor: &Actor,
        model: &ModelId,
        name: &EnvironmentName,
    ) -> Result<Done, AppError> {
        let changed = self.api.control.activate_environment(actor, model, name).await.map_err(told)?;
        Ok(Done::new(if changed {
            format!("{name} is starting.")
        } else {
            format!("{name} is active already.")
        }))
    }

    pub(super) async fn do_deactivate_environment(
        &self,
        actor: &Actor,
        model: &ModelId,
        name: &EnvironmentName,
    ) -> Result<Done, AppError> {
        let changed = self.api.control.deactivate_environment(actor, model, name).await.map_err(told)?;
        Ok(Done::new(if changed {
            format!("{name} is deactivated: requests answer 404, and its settings stay.")
        } else {
            format!("{name} is inactive already.")
        }))
    }

    pub(super) async fn do_delete_environment(
        &self,
        actor: &Actor,
        model: &ModelId,
        name: &EnvironmentName,
        confirm: &str,
    ) -> Result<Done, AppError> {
        confirmed(confirm, name.as_str())?;
        self.api.control.delete_environment(actor, model, name).await.map_err(told)?;
        Ok(Done::new(format!("{name} is deleted: its address answers 404.")))
    }

    pub(super) async fn do_update_promotion_settings(
        &self,
        actor: &Actor,
        model: &ModelId,
        environment: &EnvironmentName,
        patch: PromotionPatch,
    ) -> Result<Done, AppError> {
        let settings = EnvironmentPatch { promotion: patch, ..Default::default() };
        let changed =
            self.api.control.update_environment(actor, model, environment, settings).await.map_err(told)?;
        Ok(saved(changed, "The next promotion follows these settings."))
    }

    pub(super) async fn do_update_environment_autoscaling(
        &self,
        actor: &Actor,
        model: &ModelId,
        environment: &EnvironmentName,
        patch: AutoscalingPatch,
    ) -> Result<Done, AppError> {
        let settings = EnvironmentPatch { autoscaling: patch, ..Default::default() };
        let changed =
            self.api.control.update_environment(actor, model, environment, settings).await.map_err(told)?;
        Ok(saved(changed, "These settings are in force."))
    }
}

//! What people do. Each is one use case, and a sentence on what it came to.

use app::backend::Way;
use app::error::AppError;
use app::view::{Done, TryAnswer};
use domain::{
    Action, Actor, AutoscalingPatch, DeploymentId, EnvironmentName, ModelId, PromotionRequest, ReplicaId,
    Signal, Strategy,
};

use super::Dashboard;
use super::errors::told;

impl Dashboard {
    /// A deployment's name, for sentences.
    async fn name_of(&self, actor: &Actor, model: &ModelId, id: &DeploymentId) -> Result<String, AppError> {
        let picture = self.api.picture(actor, model, std::slice::from_ref(id)).await.map_err(told)?;
        picture
            .deployment(id)
            .map(|deployment| deployment.name.to_string())
            .ok_or_else(|| AppError::not_found(format!("{} has no deployment `{id}`.", picture.model.name)))
    }

    pub(super) async fn do_promote(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        environment: &EnvironmentName,
        way: Way,
        keep_own_instance_type: bool,
    ) -> Result<Done, AppError> {
        let strategy = match way {
            Way::Direct => Strategy::Direct,
            Way::Canary { window_ms } => Strategy::Canary { window_ms },
            Way::Rolling => {
                let picture = self.api.picture(actor, model, &[]).await.map_err(told)?;
                let settings = picture.environment(environment).map(|environment| &environment.promotion);
                let config = settings.and_then(|settings| settings.rolling_deploy_config);
                Strategy::Rolling { config: config.unwrap_or_default() }
            }
        };
        let request = PromotionRequest {
            strategy: Some(strategy),
            preserve_instance_type: !keep_own_instance_type,
            ..PromotionRequest::default()
        };
        let candidate =
            self.api.control.promote(actor, model, deployment, environment, request).await.map_err(told)?;
        let name = self.name_of(actor, model, &candidate).await?;
        Ok(Done::new(format!("{name} is being promoted to {environment}.")))
    }

    pub(super) async fn do_publish(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        name: Option<&str>,
    ) -> Result<Done, AppError> {
        let copy = self.api.control.publish(actor, model, deployment, name).await.map_err(told)?;
        let name = self.name_of(actor, model, &copy).await?;
        Ok(Done::new(format!("{name} is published; it starts now.")))
    }

    pub(super) async fn do_signal(
        &self,
        actor: &Actor,
        model: &ModelId,
        environment: &EnvironmentName,
        signal: Signal,
    ) -> Result<Done, AppError> {
        let now = self.api.control.signal_promotion(actor, model, environment, signal).await.map_err(told)?;
        let over = now.is_some_and(|promotion| promotion.phase.is_over());
        Ok(Done::new(match signal {
            Signal::Cancel | Signal::ForceCancel if over => {
                format!("Canceled: all traffic of {environment} is with its current deployment.")
            }
            Signal::Cancel | Signal::ForceCancel => {
                format!("Canceling: traffic of {environment} goes back as fast as ready replicas permit.")
            }
            Signal::Pause => format!("Paused: the split of {environment} stays as it is."),
            Signal::Resume => format!("Resumed: the promotion to {environment} goes on."),
            Signal::RollForward if over => {
                format!("Rolled forward: all traffic of {environment} is with the candidate.")
            }
            Signal::RollForward => {
                format!(
                    "Rolling forward: traffic of {environment} moves as fast as the candidate's ready replicas permit."
                )
            }
        }))
    }

    pub(super) async fn do_rename(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        name: &str,
    ) -> Result<Done, AppError> {
        self.api.control.rename_deployment(actor, model, deployment, name).await.map_err(told)?;
        Ok(Done::new(format!("It is called {name} now; its addresses stay.")))
    }

    pub(super) async fn do_retry(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
    ) -> Result<Done, AppError> {
        let name = self.name_of(actor, model, deployment).await?;
        let changed = self.api.control.retry(actor, model, deployment).await.map_err(told)?;
        Ok(Done::new(if changed {
            format!("{name} is tried again.")
        } else {
            format!("{name} has not failed; there is nothing to retry.")
        }))
    }

    pub(super) async fn do_activate(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
    ) -> Result<Done, AppError> {
        let name = self.name_of(actor, model, deployment).await?;
        let changed = self.api.control.activate(actor, model, deployment).await.map_err(told)?;
        Ok(Done::new(if changed {
            format!("{name} is starting.")
        } else {
            format!("{name} is active already.")
        }))
    }

    pub(super) async fn do_deactivate(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
    ) -> Result<Done, AppError> {
        let name = self.name_of(actor, model, deployment).await?;
        let changed = self.api.control.deactivate(actor, model, deployment).await.map_err(told)?;
        Ok(Done::new(if changed {
            format!("{name} is deactivated: requests answer 404, and its configuration stays.")
        } else {
            format!("{name} is inactive already.")
        }))
    }

    pub(super) async fn do_terminate_replica(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        replica: &ReplicaId,
    ) -> Result<Done, AppError> {
        let changed =
            self.api.control.terminate_replica(actor, model, deployment, replica).await.map_err(told)?;
        Ok(Done::new(if changed {
            format!("{replica} gets no new request; another replica starts in its place.")
        } else {
            format!("{replica} is on its way out already.")
        }))
    }

    pub(super) async fn do_delete_deployment(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        confirm: &str,
    ) -> Result<Done, AppError> {
        let name = self.name_of(actor, model, deployment).await?;
        confirmed(confirm, &name)?;
        self.api.control.delete_deployment(actor, model, deployment).await.map_err(told)?;
        Ok(Done::new(format!("{name} is deleted; its usage stays in the log.")))
    }

    pub(super) async fn do_delete_model(
        &self,
        actor: &Actor,
        model: &ModelId,
        confirm: &str,
    ) -> Result<Done, AppError> {
        let picture = self.api.picture(actor, model, &[]).await.map_err(told)?;
        confirmed(confirm, picture.model.name.as_str())?;
        self.api.control.delete_model(actor, model).await.map_err(told)?;
        Ok(Done::new(format!(
            "{} is deleted with everything in it; its usage stays in the log.",
            picture.model.name
        )))
    }

    pub(super) async fn do_update_autoscaling(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        patch: AutoscalingPatch,
    ) -> Result<Done, AppError> {
        let changed =
            self.api.control.update_autoscaling(actor, model, deployment, patch).await.map_err(told)?;
        Ok(saved(changed, "These settings are in force."))
    }

    pub(super) async fn do_try(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        input: &str,
    ) -> Result<TryAnswer, AppError> {
        if !actor.role.permits(Action::Invoke) {
            return Err(AppError::Forbidden { message: "Your key may not call models.".into() });
        }
        let picture = self.api.picture(actor, model, std::slice::from_ref(deployment)).await.map_err(told)?;
        let Some(found) = picture.deployment(deployment) else {
            return Err(AppError::not_found(format!(
                "{} has no deployment `{deployment}`.",
                picture.model.name
            )));
        };
        self.trial.send(model, found, input).await
    }
}

/// Refuses a deletion whose name was not typed as it is.
pub(super) fn confirmed(typed: &str, name: &str) -> Result<(), AppError> {
    if typed == name {
        return Ok(());
    }
    Err(AppError::invalid("confirm", format!("type its name, {name}, to delete it")))
}

/// What an update of settings came to.
pub(super) fn saved(changed: bool, sentence: &str) -> Done {
    Done::new(if changed { sentence } else { "Nothing had to change." })
}

//! Activate and deactivate.

use domain::{Action, Actor, DeploymentId, EventKind, Lifecycle, ModelId, may_deactivate};
use serde_json::json;

use crate::parts::{Done, persist};
use crate::{ControlPlane, Error};

impl ControlPlane {
    /// Lets an inactive deployment run again, without building it anew; false if it was active.
    pub async fn activate(&self, actor: &Actor, model: &ModelId, id: &DeploymentId) -> Result<bool, Error> {
        self.may(actor, Action::Deploy)?;
        persist!(self.try_activate(actor, model, id).await)
    }

    async fn try_activate(&self, actor: &Actor, model: &ModelId, id: &DeploymentId) -> Result<bool, Error> {
        let mut held = self.hold(model).await?;
        let mut deployment = held.deployment(id)?.clone();
        if deployment.lifecycle == Lifecycle::Active {
            held.tx.rollback().await?;
            return Ok(false);
        }
        let minimum = deployment.effective_autoscaling(&held.state.environments).min_replica;
        deployment.begin_deploying(minimum, held.now);
        let sentence = format!("{} was activated", deployment.name);
        held.save_deployment(deployment).await?;
        held.record(self, actor, EventKind::ModelDeploymentActivated, Some(id), None, sentence, json!({}))
            .await?;
        self.finish(held).await?;
        Ok(true)
    }

    /// Takes a deployment's compute and answers its requests with 404; false if it was inactive.
    ///
    /// Returns once no new request reaches it; its replicas then finish what they have.
    pub async fn deactivate(&self, actor: &Actor, model: &ModelId, id: &DeploymentId) -> Result<bool, Error> {
        self.may(actor, Action::Deploy)?;
        let Some(done) = persist!(self.try_deactivate(actor, model, id).await)? else { return Ok(false) };
        self.moved(&done).await;
        Ok(true)
    }

    async fn try_deactivate(
        &self,
        actor: &Actor,
        model: &ModelId,
        id: &DeploymentId,
    ) -> Result<Option<Done>, Error> {
        let mut held = self.hold(model).await?;
        let mut deployment = held.deployment(id)?.clone();
        if deployment.lifecycle == Lifecycle::Inactive {
            held.tx.rollback().await?;
            return Ok(None);
        }
        may_deactivate(&deployment, &held.state.promotions).map_err(Error::Conflict)?;
        deployment.lifecycle = Lifecycle::Inactive;
        deployment.target = 0;
        let sentence = format!("{} was deactivated", deployment.name);
        held.save_deployment(deployment).await?;
        held.record(self, actor, EventKind::ModelDeploymentDeactivated, Some(id), None, sentence, json!({}))
            .await?;
        Ok(Some(self.finish(held).await?))
    }
}

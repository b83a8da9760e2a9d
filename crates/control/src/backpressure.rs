//! Whether requests wait or are refused while all replicas are busy (semantics: Holding and waking).

use domain::{Action, Actor, Backpressure, DeploymentId, EventKind, ModelId};
use serde_json::json;

use crate::parts::{Done, persist};
use crate::{ControlPlane, Error};

impl ControlPlane {
    /// Chooses for a deployment; for one attached to an environment the environment's choice changes. False if it was
    /// so already. The answer comes once the gateway does so, within bounds.
    pub async fn set_backpressure(
        &self,
        actor: &Actor,
        model: &ModelId,
        id: &DeploymentId,
        choice: Option<Backpressure>,
    ) -> Result<bool, Error> {
        self.may(actor, Action::Deploy)?;
        let done = persist!(self.try_set_backpressure(actor, model, id, choice).await)?;
        if let Some(done) = &done {
            self.moved(done).await;
        }
        Ok(done.is_some())
    }

    async fn try_set_backpressure(
        &self,
        actor: &Actor,
        model: &ModelId,
        id: &DeploymentId,
        choice: Option<Backpressure>,
    ) -> Result<Option<Done>, Error> {
        let mut held = self.hold(model).await?;
        let mut deployment = held.deployment(id)?.clone();
        self.may_change_attached(actor, &deployment)?;
        let before = deployment.effective_backpressure(&held.state.environments);
        if before == choice {
            held.tx.rollback().await?;
            return Ok(None);
        }
        let name = deployment.name.clone();
        let environment = deployment.environment.clone();
        let attached = held.state.environments.iter().find(|one| Some(&one.name) == environment.as_ref());
        match attached.cloned() {
            Some(mut environment) => {
                environment.backpressure = choice;
                held.save_environment(environment).await?;
            }
            None => {
                deployment.backpressure = choice;
                held.save_deployment(deployment).await?;
            }
        }
        let does = match choice {
            Some(Backpressure::RejectOnFull) => "are refused",
            Some(Backpressure::QueueOnFull) | None => "wait",
        };
        let whose = environment.as_ref().map_or_else(|| name.to_string(), ToString::to_string);
        let sentence = format!("requests to {whose} {does} while all replicas are busy");
        let data = json!({ "policy": choice, "previous_policy": before });
        let kind = EventKind::ModelDeploymentRequestBackpressureSettingsChanged;
        held.record(self, actor, kind, Some(id), environment.as_ref(), sentence, data).await?;
        self.finish(held).await.map(Some)
    }
}

use domain::{
    Action, Actor, AutoscalingPatch, Build, DeploymentId, DeploymentName, EventKind, ModelId, ScaleCause,
    ScaleChange, may_delete, may_rename,
};
use serde_json::json;

use crate::parts::{Done, persist};
use crate::{ControlPlane, Error};

impl ControlPlane {
    /// Gives a deployment another name; nothing but the name changes. `name` is as typed.
    pub async fn rename_deployment(
        &self,
        actor: &Actor,
        model: &ModelId,
        id: &DeploymentId,
        name: &str,
    ) -> Result<(), Error> {
        self.may(actor, Action::Deploy)?;
        let name = DeploymentName::new(name)?;
        persist!(self.try_rename_deployment(actor, model, id, &name).await)
    }

    async fn try_rename_deployment(
        &self,
        actor: &Actor,
        model: &ModelId,
        id: &DeploymentId,
        name: &DeploymentName,
    ) -> Result<(), Error> {
        let mut held = self.hold(model).await?;
        let mut deployment = held.deployment(id)?.clone();
        self.may_change_attached(actor, &deployment)?;
        may_rename(&deployment).map_err(Error::Conflict)?;
        if &deployment.name == name {
            return Ok(held.tx.rollback().await?);
        }
        let taken =
            held.state.deployments.iter().any(|other| other.deleted_at.is_none() && &other.name == name);
        if taken {
            let problem =
                format!("another deployment of {} is named `{name}` already", held.state.model.name);
            return Err(domain::Invalid::new("name", problem).into());
        }
        let previous = std::mem::replace(&mut deployment.name, name.clone());
        held.save_deployment(deployment).await?;
        let sentence = format!("{previous} was renamed to {name}");
        let data = json!({ "previous_name": previous });
        held.record(self, actor, EventKind::ModelDeploymentRenamed, Some(id), None, sentence, data).await?;
        self.finish(held).await?;
        Ok(())
    }

    /// Deletes a deployment for good: its processes stop, its address answers 404, its usage stays.
    pub async fn delete_deployment(
        &self,
        actor: &Actor,
        model: &ModelId,
        id: &DeploymentId,
    ) -> Result<(), Error> {
        self.may(actor, Action::Deploy)?;
        let done = persist!(self.try_delete_deployment(actor, model, id).await)?;
        self.moved(&done).await;
        Ok(())
    }

    async fn try_delete_deployment(
        &self,
        actor: &Actor,
        model: &ModelId,
        id: &DeploymentId,
    ) -> Result<Done, Error> {
        let mut held = self.hold(model).await?;
        let mut deployment = held.deployment(id)?.clone();
        self.may_change_attached(actor, &deployment)?;
        may_delete(&deployment, &held.state.environments, &held.state.promotions).map_err(Error::Conflict)?;
        deployment.deleted_at = Some(held.now);
        deployment.target = 0;
        deployment.environment = None;
        let name = deployment.name.clone();
        held.save_deployment(deployment).await?;
        let sentence = format!("{name} was deleted");
        let data = json!({ "name": name });
        held.record(self, actor, EventKind::ModelDeploymentDeleted, Some(id), None, sentence, data).await?;
        self.finish(held).await
    }

    /// Tries a failed build or start again; false if nothing had failed.
    pub async fn retry(&self, actor: &Actor, model: &ModelId, id: &DeploymentId) -> Result<bool, Error> {
        self.may(actor, Action::Deploy)?;
        persist!(self.try_retry(actor, model, id).await)
    }

    async fn try_retry(&self, actor: &Actor, model: &ModelId, id: &DeploymentId) -> Result<bool, Error> {
        let mut held = self.hold(model).await?;
        let mut deployment = held.deployment(id)?.clone();
        self.may_change_attached(actor, &deployment)?;
        let minimum = deployment.effective_autoscaling(&held.state.environments).min_replica;
        let before = deployment.target;
        if matches!(deployment.build, Build::Failed { .. } | Build::Stopped { .. }) {
            deployment.build = Build::Queued;
        } else if deployment.failure.is_none() {
            held.tx.rollback().await?;
            return Ok(false);
        }
        if deployment.is_built() {
            deployment.begin_deploying(minimum, held.now);
        } else {
            deployment.failure = None;
            deployment.failed_starts = 0;
            deployment.deadline = None;
        }
        let change = ScaleChange::between(before, deployment.target, ScaleCause::Retried);
        let sentence = format!("{} is tried again", deployment.name);
        held.save_deployment(deployment).await?;
        held.record(self, actor, EventKind::ModelDeploymentRetried, Some(id), None, sentence, json!({}))
            .await?;
        held.explain(self, id, change).await?;
        self.finish(held).await?;
        Ok(true)
    }

    /// Changes how a deployment scales; one attached to an environment changes its environment. False if nothing changed.
    pub async fn update_autoscaling(
        &self,
        actor: &Actor,
        model: &ModelId,
        id: &DeploymentId,
        patch: AutoscalingPatch,
    ) -> Result<bool, Error> {
        self.may(actor, Action::Deploy)?;
        persist!(self.try_update_autoscaling(actor, model, id, &patch).await)
    }

    async fn try_update_autoscaling(
        &self,
        actor: &Actor,
        model: &ModelId,
        id: &DeploymentId,
        patch: &AutoscalingPatch,
    ) -> Result<bool, Error> {
        let mut held = self.hold(model).await?;
        let mut deployment = held.deployment(id)?.clone();
        self.may_change_attached(actor, &deployment)?;
        if deployment.is_development() && (patch.min_replica.is_some() || patch.max_replica.is_some()) {
            let field = if patch.min_replica.is_some() { "min_replica" } else { "max_replica" };
            let problem = "a development deployment has 0 to 1 replicas; promote it to scale it";
            return Err(domain::Invalid::new(field, problem).into());
        }
        let environment = deployment.environment.clone();
        let attached = environment
            .as_ref()
            .and_then(|name| held.state.environments.iter().find(|environment| &environment.name == name))
            .cloned();
        let before = attached.as_ref().map_or(&deployment.autoscaling, |e| &e.autoscaling).clone();
        let after = before.patched(patch)?;
        if after == before {
            held.tx.rollback().await?;
            return Ok(false);
        }
        let sentence = match &environment {
            Some(name) => format!("scaling of {name} was changed through {}", deployment.name),
            None => format!("scaling of {} was changed", deployment.name),
        };
        match attached {
            Some(mut environment) => {
                environment.autoscaling = after.clone();
                held.save_environment(environment).await?;
            }
            None => {
                deployment.autoscaling = after.clone();
                held.save_deployment(deployment).await?;
            }
        }
        let data = json!({ "settings": after, "previous_settings": before });
        let kind = EventKind::ModelDeploymentAutoscalingSettingsChanged;
        held.record(self, actor, kind, Some(id), environment.as_ref(), sentence, data).await?;
        self.finish(held).await?;
        Ok(true)
    }
}

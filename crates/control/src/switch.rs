//! Activate and deactivate.

use domain::{
    Action, Actor, Deployment, DeploymentId, EnvironmentName, EventKind, Lifecycle, ModelId, ScaleCause,
    ScaleChange, may_deactivate,
};
use serde_json::json;

use crate::parts::{Done, Held, persist};
use crate::{ControlPlane, Error};

/// What is switched.
#[derive(Clone, Copy)]
enum Which<'a> {
    Deployment(&'a DeploymentId),
    /// Whatever the environment serves when it happens.
    ServedBy(&'a EnvironmentName),
}

impl Which<'_> {
    /// What it is, if no restriction keeps it from whoever asks.
    fn find(self, plane: &ControlPlane, actor: &Actor, held: &Held) -> Result<Deployment, Error> {
        let id = match self {
            Self::Deployment(id) => id,
            Self::ServedBy(name) => {
                let environment = held.environment(name)?;
                plane.may_change(actor, name)?;
                environment.current.as_ref().ok_or_else(|| {
                    Error::NotFound(format!(
                        "nothing is promoted to {name} yet; promote a deployment to it first"
                    ))
                })?
            }
        };
        let deployment = held.deployment(id)?;
        plane.may_change_attached(actor, deployment)?;
        Ok(deployment.clone())
    }
}

impl ControlPlane {
    /// Lets an inactive deployment run again, without building it anew; false if it was active.
    pub async fn activate(&self, actor: &Actor, model: &ModelId, id: &DeploymentId) -> Result<bool, Error> {
        self.switch_on(actor, model, Which::Deployment(id)).await
    }

    /// Activates what an environment serves; false if it was active.
    pub async fn activate_environment(
        &self,
        actor: &Actor,
        model: &ModelId,
        name: &EnvironmentName,
    ) -> Result<bool, Error> {
        self.switch_on(actor, model, Which::ServedBy(name)).await
    }

    async fn switch_on(&self, actor: &Actor, model: &ModelId, which: Which<'_>) -> Result<bool, Error> {
        self.may(actor, Action::Deploy)?;
        persist!(self.try_activate(actor, model, which).await)
    }

    async fn try_activate(&self, actor: &Actor, model: &ModelId, which: Which<'_>) -> Result<bool, Error> {
        let mut held = self.hold(model).await?;
        let mut deployment = which.find(self, actor, &held)?;
        if deployment.lifecycle == Lifecycle::Active {
            held.tx.rollback().await?;
            return Ok(false);
        }
        let minimum = deployment.effective_autoscaling(&held.state.environments).min_replica;
        let before = deployment.target;
        deployment.begin_deploying(minimum, held.now);
        let change = ScaleChange::between(before, deployment.target, ScaleCause::Activated);
        let sentence = format!("{} was activated", deployment.name);
        let (id, environment) = (deployment.id.clone(), deployment.environment.clone());
        held.save_deployment(deployment).await?;
        let kind = EventKind::ModelDeploymentActivated;
        held.record(self, actor, kind, Some(&id), environment.as_ref(), sentence, json!({})).await?;
        held.explain(self, &id, change).await?;
        self.finish(held).await?;
        Ok(true)
    }

    /// Takes a deployment's compute and answers its requests with 404; false if it was inactive.
    ///
    /// Returns once no new request reaches it; its replicas then finish what they have.
    pub async fn deactivate(&self, actor: &Actor, model: &ModelId, id: &DeploymentId) -> Result<bool, Error> {
        self.switch_off(actor, model, Which::Deployment(id)).await
    }

    /// Deactivates what an environment serves, so that its address answers 404; false if it was inactive.
    pub async fn deactivate_environment(
        &self,
        actor: &Actor,
        model: &ModelId,
        name: &EnvironmentName,
    ) -> Result<bool, Error> {
        self.switch_off(actor, model, Which::ServedBy(name)).await
    }

    async fn switch_off(&self, actor: &Actor, model: &ModelId, which: Which<'_>) -> Result<bool, Error> {
        self.may(actor, Action::Deploy)?;
        let Some(done) = persist!(self.try_deactivate(actor, model, which).await)? else { return Ok(false) };
        self.moved(&done).await;
        Ok(true)
    }

    async fn try_deactivate(
        &self,
        actor: &Actor,
        model: &ModelId,
        which: Which<'_>,
    ) -> Result<Option<Done>, Error> {
        let mut held = self.hold(model).await?;
        let mut deployment = which.find(self, actor, &held)?;
        if deployment.lifecycle == Lifecycle::Inactive {
            held.tx.rollback().await?;
            return Ok(None);
        }
        may_deactivate(&deployment, &held.state.promotions).map_err(Error::Conflict)?;
        deployment.lifecycle = Lifecycle::Inactive;
        let change = ScaleChange::between(deployment.target, 0, ScaleCause::Deactivated);
        deployment.target = 0;
        let sentence = format!("{} was deactivated", deployment.name);
        let (id, environment) = (deployment.id.clone(), deployment.environment.clone());
        held.save_deployment(deployment).await?;
        let kind = EventKind::ModelDeploymentDeactivated;
        held.record(self, actor, kind, Some(&id), environment.as_ref(), sentence, json!({})).await?;
        held.explain(self, &id, change).await?;
        Ok(Some(self.finish(held).await?))
    }
}

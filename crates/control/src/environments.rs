use domain::{
    Access, Action, Actor, Environment, EnvironmentName, EnvironmentPatch, EventKind, ModelId, Phase,
    ScaleCause, ScaleChange, may_delete_environment,
};
use serde_json::json;

use crate::parts::{Done, Held, persist};
use crate::restrictions::told;
use crate::{ControlPlane, Error};

impl ControlPlane {
    /// Adds an environment to a model; with `access`, which is for admins, it also says who may change those of its name.
    pub async fn create_environment(
        &self,
        actor: &Actor,
        model: &ModelId,
        name: &EnvironmentName,
        settings: EnvironmentPatch,
        access: Option<Access>,
    ) -> Result<(), Error> {
        self.may(actor, if access.is_some() { Action::Administer } else { Action::Deploy })?;
        self.may_change(actor, name)?;
        let mut held = self.hold(model).await?;
        if held.state.environments.iter().any(|environment| &environment.name == name) {
            let problem = format!("{} has an environment `{name}` already", held.state.model.name);
            return Err(domain::Invalid::new("name", problem).into());
        }
        let mut environment = Environment::new(model.clone(), name.clone(), held.now);
        environment.patch(&settings)?;
        held.tx.insert_environment(&environment).await?;
        let mut sentence = format!("environment {name} was created");
        let mut data = environment.settings();
        let mut restricted = false;
        if let Some(access) = access {
            held.tx.hold_people(held.now).await?;
            if let Some((before, after)) = self.change_access(&mut held.tx, name, access).await? {
                sentence = match &after {
                    Some(after) => format!("{sentence}, restricted to {}", self.who(after)),
                    None => format!("{sentence}, no longer restricted"),
                };
                data["access"] =
                    json!({ "settings": told(after.as_ref()), "previous_settings": told(before.as_ref()) });
                restricted = true;
            }
        }
        held.record(self, actor, EventKind::EnvironmentCreated, None, Some(name), sentence, data).await?;
        self.finish(held).await?;
        if restricted {
            self.reload_keys().await?;
            self.tell_workspace();
        }
        Ok(())
    }

    /// Changes an environment's settings; false if nothing changed. A promotion that runs keeps the ones it began with.
    pub async fn update_environment(
        &self,
        actor: &Actor,
        model: &ModelId,
        name: &EnvironmentName,
        settings: EnvironmentPatch,
    ) -> Result<bool, Error> {
        self.may(actor, Action::Deploy)?;
        persist!(self.try_update_environment(actor, model, name, &settings).await)
    }

    async fn try_update_environment(
        &self,
        actor: &Actor,
        model: &ModelId,
        name: &EnvironmentName,
        settings: &EnvironmentPatch,
    ) -> Result<bool, Error> {
        let mut held = self.hold(model).await?;
        let before = held.environment(name)?.clone();
        self.may_change(actor, name)?;
        let mut after = before.clone();
        after.patch(settings)?;
        if after == before {
            held.tx.rollback().await?;
            return Ok(false);
        }
        self.change_settings(&mut held, actor, before, after).await?;
        self.finish(held).await?;
        Ok(true)
    }

    /// Writes changed settings inside a use case that holds the model, with the row that tells of them.
    pub(crate) async fn change_settings(
        &self,
        held: &mut Held,
        actor: &Actor,
        before: Environment,
        after: Environment,
    ) -> Result<(), Error> {
        let name = after.name.clone();
        let mut data = after.settings();
        data["previous_settings"] = before.settings();
        held.save_environment(after).await?;
        let sentence = format!("settings of {name} were changed");
        held.record(self, actor, EventKind::EnvironmentUpdated, None, Some(&name), sentence, data).await
    }

    /// Deletes an environment: its address answers 404, a promotion into it ends, and what served it sleeps.
    pub async fn delete_environment(
        &self,
        actor: &Actor,
        model: &ModelId,
        name: &EnvironmentName,
    ) -> Result<(), Error> {
        self.may(actor, Action::Deploy)?;
        let done = persist!(self.try_delete_environment(actor, model, name).await)?;
        self.moved(&done).await;
        Ok(())
    }

    async fn try_delete_environment(
        &self,
        actor: &Actor,
        model: &ModelId,
        name: &EnvironmentName,
    ) -> Result<Done, Error> {
        let mut held = self.hold(model).await?;
        let environment = held.environment(name)?.clone();
        self.may_change(actor, name)?;
        let running = held.running(name).cloned();
        may_delete_environment(&environment, running.as_ref()).map_err(Error::Conflict)?;
        if let Some(mut promotion) = running {
            promotion.phase = Phase::Canceled;
            promotion.ended_at = Some(held.now);
            promotion.reason = Some("the environment was deleted".into());
            held.save_promotion(promotion).await?;
        }
        let attached = |deployment: &domain::Deployment| deployment.environment.as_ref() == Some(name);
        for mut deployment in held.state.deployments.clone().into_iter().filter(attached) {
            deployment.environment = None;
            deployment.autoscaling = environment.autoscaling.clone();
            deployment.backpressure = environment.backpressure;
            deployment.autoscaling.min_replica = 0;
            let (id, before) = (deployment.id.clone(), deployment.target);
            if deployment.active_since.is_some() {
                deployment.target = 0;
            }
            let change = ScaleChange::between(before, deployment.target, ScaleCause::EnvironmentDeleted);
            held.save_deployment(deployment).await?;
            held.explain(self, &id, change).await?;
        }
        held.tx.delete_environment(model, name).await?;
        let sentence = format!("environment {name} was deleted");
        held.record(self, actor, EventKind::EnvironmentDeleted, None, Some(name), sentence, json!({}))
            .await?;
        self.finish(held).await
    }
}

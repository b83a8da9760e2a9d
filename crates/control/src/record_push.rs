//! A push is recorded: its model, its deployment, its promotion, in one transaction.

use domain::{
    Actor, AutoscalingSettings, Build, Deployment, DeploymentId, DeploymentKind, DeploymentName, Environment,
    EnvironmentName, EnvironmentPatch, EventKind, Invalid, Lifecycle, LiveReload, Model, ModelId, ModelName,
    PatchPoint, PromotionPatch, ScaleCause, ScaleChange, Timestamp,
};
use serde_json::json;

use crate::parts::Held;
use crate::push::{Checked, Push, PushTarget, Pushed};
use crate::{ControlPlane, Error};

impl ControlPlane {
    /// Writes a push whose archive is unpacked.
    pub(crate) async fn try_record(
        &self,
        actor: &Actor,
        push: &Push,
        checked: &Checked,
    ) -> Result<Pushed, Error> {
        let mut held = self.hold_target(push).await?;
        let deployment = match push.target {
            PushTarget::Development { .. } => {
                self.record_development(&mut held, actor, push, checked).await?
            }
            _ => self.record_published(&mut held, actor, push, checked).await?,
        };
        let done = self.finish(held).await?;
        Ok(Pushed { model: done.model, deployment })
    }

    /// The model a push is for, made now if it is new.
    async fn hold_target(&self, push: &Push) -> Result<Held, Error> {
        let (name, may_exist) = match &push.target {
            PushTarget::Version { model } => return self.hold(model).await,
            PushTarget::NewModel { name } => (name, false),
            PushTarget::Development { name } => (name, true),
        };
        let name = ModelName::new(name.as_str())?;
        if let Some(model) = self.parts.store.find_model_by_name(&name).await? {
            if may_exist {
                return self.hold(&model.id).await;
            }
            return Err(Invalid::new("name", format!("a model named `{name}` exists already")).into());
        }
        let now = self.now();
        let model = Model {
            id: ModelId::from_random(self.random_bytes()),
            name,
            created_at: now,
            next_number: 1,
            generation: 1,
            allow_download: push.allow_download,
        };
        let production = Environment::new(model.id.clone(), EnvironmentName::production(), now);
        let mut tx = self.parts.store.begin().await?;
        match tx.insert_model(&model).await {
            Ok(()) => {}
            // Somebody pushed a model of this name at the same moment.
            Err(store::Error::Taken { .. }) => return Err(Error::Busy),
            Err(error) => return Err(error.into()),
        }
        tx.insert_environment(&production).await?;
        let state = tx.load_model(&model.id).await?.ok_or_else(|| crate::parts::no_model(&model.id))?;
        Ok(Held::new(tx, state, model.generation, now))
    }

    async fn record_published(
        &self,
        held: &mut Held,
        actor: &Actor,
        push: &Push,
        checked: &Checked,
    ) -> Result<DeploymentId, Error> {
        let taken: Vec<DeploymentName> = held
            .state
            .deployments
            .iter()
            .filter(|d| d.deleted_at.is_none())
            .map(|d| d.name.clone())
            .collect();
        let name = match &checked.name {
            Some(name) if taken.contains(name) => {
                let problem =
                    format!("another deployment of {} is named `{name}` already", held.state.model.name);
                return Err(Invalid::new("deployment_name", problem).into());
            }
            Some(name) => name.clone(),
            None => {
                let name = held.state.model.take_name(|name| taken.contains(name));
                let model = held.state.model.clone();
                held.tx.save_model(&model).await?;
                name
            }
        };
        let mut deployment = self.new_deployment(held, actor, checked, name, DeploymentKind::Published);
        let id = deployment.id.clone();
        let pushed_name = deployment.name.clone();
        let Some(environment) = &checked.environment else {
            own_settings(&mut deployment, push)?;
            held.insert_deployment(deployment).await?;
            self.record_push(held, actor, push, &id, None, format!("{pushed_name} was pushed")).await?;
            return Ok(id);
        };
        // Asked before it was unpacked, too; access may have ended meanwhile.
        self.may_change(actor, environment)?;
        if let Some(running) = held.running(environment) {
            // They were brought for the environment: a deployment without one must not keep its replicas up for good.
            let dropped = match push.environment_patch() == EnvironmentPatch::default() {
                true => "",
                false => "; the settings that it brought were not applied",
            };
            let sentence = format!(
                "{pushed_name} was pushed and left unpromoted: {environment} has a promotion in progress ({} %){dropped}",
                running.percent()
            );
            held.insert_deployment(deployment).await?;
            self.record_push(held, actor, push, &id, None, sentence).await?;
            return Ok(id);
        }
        self.prepare_environment(held, actor, push, environment).await?;
        let request = push.promotion_request();
        let begun = self.begin_promotion(held, actor, deployment, environment, &request, true).await?;
        let sentence = format!("{pushed_name} was pushed to {environment}{}", begun.size_note);
        self.record_push(held, actor, push, &id, Some(environment), sentence).await?;
        Ok(id)
    }

    /// The environment that a push is for, made if it is to be, with the settings that the push brings. What is changed of
    /// it leaves a row of its own, as if it had been changed before the push.
    async fn prepare_environment(
        &self,
        held: &mut Held,
        actor: &Actor,
        push: &Push,
        name: &EnvironmentName,
    ) -> Result<(), Error> {
        let patch = push.environment_patch();
        if push.create_environment && held.environment(name).is_err() {
            let mut environment = Environment::new(held.state.model.id.clone(), name.clone(), held.now);
            environment.patch(&patch)?;
            held.tx.insert_environment(&environment).await?;
            let data = environment.settings();
            held.state.environments.push(environment);
            let sentence = format!("environment {name} was created by a push");
            let kind = EventKind::EnvironmentCreated;
            return held.record(self, actor, kind, None, Some(name), sentence, data).await;
        }
        let before = held.environment(name)?.clone();
        let mut after = before.clone();
        after.patch(&patch)?;
        if after != before {
            self.change_settings(held, actor, before, after).await?;
        }
        Ok(())
    }

    /// A push leaves one row for the model, the deployment and the promotion that it makes.
    async fn record_push(
        &self,
        held: &mut Held,
        actor: &Actor,
        push: &Push,
        id: &DeploymentId,
        environment: Option<&EnvironmentName>,
        sentence: String,
    ) -> Result<(), Error> {
        let new_model = held.state.deployments.len() == 1 && held.generation == 1;
        let sentence = match new_model {
            true => format!("{sentence}, the first of the new model {}", held.state.model.name),
            false => sentence,
        };
        let overridden = environment.is_some() && push.settings_override != PromotionPatch::default();
        let data = json!({
            "publish": !matches!(push.target, PushTarget::Development { .. }),
            "scale_previous_to_zero": environment.is_some() && push.scale_down_previous,
            "new_model": new_model,
            "settings_override": overridden.then_some(&push.settings_override),
        });
        held.record(self, actor, EventKind::ModelDeployed, Some(id), environment, sentence, data).await
    }

    /// Fills the one development slot, in place if there is one.
    async fn record_development(
        &self,
        held: &mut Held,
        actor: &Actor,
        push: &Push,
        checked: &Checked,
    ) -> Result<DeploymentId, Error> {
        let existing =
            held.state.deployments.iter().find(|d| d.is_development() && d.deleted_at.is_none()).cloned();
        let name = DeploymentName::development();
        let mut fresh = self.new_deployment(held, actor, checked, name, DeploymentKind::Development);
        if let Some(slot) = &existing {
            fresh.autoscaling = slot.autoscaling.clone();
            fresh.backpressure = slot.backpressure;
        }
        own_settings(&mut fresh, push)?;
        let id = match existing {
            None => {
                let id = fresh.id.clone();
                held.insert_deployment(fresh).await?;
                id
            }
            Some(slot) => {
                fresh.id = slot.id.clone();
                fresh.created_at = slot.created_at;
                fresh.version = slot.version;
                let change = ScaleChange::between(slot.target, fresh.target, ScaleCause::Pushed);
                held.save_deployment(fresh).await?;
                held.explain(self, &slot.id, change).await?;
                slot.id
            }
        };
        let sentence = "the development deployment was pushed".into();
        self.record_push(held, actor, push, &id, None, sentence).await?;
        Ok(id)
    }

    fn new_deployment(
        &self,
        held: &Held,
        actor: &Actor,
        checked: &Checked,
        name: DeploymentName,
        kind: DeploymentKind,
    ) -> Deployment {
        let (hash, signature) = checked.signature.clone().unzip();
        let pushed = checked.signature.clone().map(|(hash, signature)| PatchPoint { hash, signature });
        let live = pushed.map(LiveReload::as_pushed);
        Deployment {
            id: DeploymentId::from_random(self.random_bytes()),
            model: held.state.model.id.clone(),
            name,
            kind,
            created_at: after_others(held),
            created_by: actor.name.clone(),
            artifact: checked.artifact.clone(),
            config: checked.config.clone(),
            raw_config: checked.raw_config.clone(),
            labels: checked.labels.clone(),
            build: Build::Queued,
            lifecycle: Lifecycle::Active,
            environment: None,
            autoscaling: AutoscalingSettings::default(),
            target: 0,
            active_since: None,
            deadline: None,
            deploy_timeout_minutes: checked.timeout,
            failed_starts: 0,
            retry_at: None,
            last_exit: None,
            terminating: Vec::new(),
            failure: None,
            compute: checked.compute.clone(),
            waiting: None,
            backpressure: None,
            truss_hash: hash,
            truss_signature: signature,
            live,
            copied_from: None,
            deleted_at: None,
            version: 0,
        }
    }
}

/// Settings that a push brings for a deployment without an environment.
fn own_settings(deployment: &mut Deployment, push: &Push) -> Result<(), Invalid> {
    let patch = &push.autoscaling;
    if deployment.is_development() && (patch.min_replica.is_some() || patch.max_replica.is_some()) {
        let problem = "a development deployment has 0 to 1 replicas; leave min_replica and max_replica out";
        return Err(Invalid::new("autoscaling_settings", problem));
    }
    deployment.autoscaling = deployment.autoscaling.patched(patch)?;
    deployment.backpressure = push.backpressure.unwrap_or(deployment.backpressure);
    Ok(())
}

/// Now, and in any case after every other deployment, so that sorting by age keeps the order of pushes.
fn after_others(held: &Held) -> Timestamp {
    let last = held.state.deployments.iter().map(|deployment| deployment.created_at.plus(1)).max();
    last.map_or(held.now, |last| last.max(held.now))
}

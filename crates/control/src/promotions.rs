use domain::{
    Action, Actor, Begun, Deployment, DeploymentId, DeploymentKind, EnvironmentName, EventKind, Lifecycle,
    ModelId, Promotion, PromotionId, PromotionPatch, PromotionRequest, ScaleCause, ScaleChange, Source,
    begin,
};
use serde_json::json;

use crate::parts::{Held, persist};
use crate::{ControlPlane, Error};

/// What a promotion begins with.
pub(crate) struct Candidate {
    pub candidate: DeploymentId,
    /// What is to be said of its instance type, to go on a sentence with; empty if it is the one it was pushed with.
    pub size_note: String,
}

impl ControlPlane {
    /// Begins to make a deployment the current one of an environment and returns the candidate, which may be a copy. One
    /// that is the current one already stays it; then changes of settings that came with the promotion are made at once.
    ///
    /// Returns as soon as the intent is recorded; the engine does the rest.
    pub async fn promote(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        environment: &EnvironmentName,
        request: PromotionRequest,
    ) -> Result<DeploymentId, Error> {
        self.may(actor, Action::Deploy)?;
        persist!(self.try_promote(actor, model, deployment, environment, &request).await)
    }

    async fn try_promote(
        &self,
        actor: &Actor,
        model: &ModelId,
        deployment: &DeploymentId,
        environment: &EnvironmentName,
        request: &PromotionRequest,
    ) -> Result<DeploymentId, Error> {
        let mut held = self.hold(model).await?;
        let candidate = held.deployment(deployment)?.clone();
        let begun = self.begin_promotion(&mut held, actor, candidate, environment, request, false).await?;
        self.finish(held).await?;
        Ok(begun.candidate)
    }

    /// Records a promotion inside a use case that holds the model. `fresh` marks a candidate whose row is not written yet:
    /// its push is what people read of, so the promotion has no row of its own in the activity, and it is no copy, because
    /// nothing of it has started yet.
    pub(crate) async fn begin_promotion(
        &self,
        held: &mut Held,
        actor: &Actor,
        mut candidate: Deployment,
        name: &EnvironmentName,
        request: &PromotionRequest,
        fresh: bool,
    ) -> Result<Candidate, Error> {
        let now = held.now;
        let environment = held.environment(name)?.clone();
        self.may_change(actor, name)?;
        let settings = request.settings(&environment)?;
        let mut updated = environment.clone();
        if let Some(update) = &request.settings_update {
            updated.patch(update)?;
        }
        let served = environment.current.as_ref().filter(|id| *id != &candidate.id);
        let served =
            served.filter(|_| request.preserve_instance_type).and_then(|id| held.deployment(id).ok());
        let (size, lacks) = served.map_or((None, None), |served| self.kept_size(&candidate, served));
        let mut size_note = String::new();
        if lacks.is_some() {
            let (own, theirs) = (&candidate.compute, served.map(|served| &served.compute));
            let theirs = theirs.map(|compute| self.parts.host.type_name(compute)).unwrap_or_default();
            let own = self.parts.host.type_name(own);
            size_note =
                format!(", with its own instance type {own}, because {theirs} has less than it asks for");
        }
        let kept = size.is_some();
        let resized = kept && !fresh;
        if let Some(size) = size {
            size_note = format!(", with the instance type {} that {name} has", size.type_name);
            candidate.compute = size;
        }
        let begun = begin(&environment, &candidate, resized, held.running(name), request, now);
        let Begun::Promote { source, strategy, cleanup, previous } = begun.map_err(Error::Conflict)? else {
            // There is nothing to wait for.
            if updated != environment {
                self.change_settings(held, actor, environment, updated).await?;
            }
            return Ok(Candidate { candidate: candidate.id, size_note: String::new() });
        };
        let current = previous.as_ref().and_then(|id| held.deployment(id).ok());
        self.fits_both(&environment, &candidate, current, strategy, kept)?;
        let minimum = strategy.first_replicas(&environment.autoscaling);
        let copy = match source {
            Source::Copy { name } if !fresh => {
                candidate = self.copy(held, &candidate, name, actor);
                true
            }
            Source::Copy { .. } | Source::Itself => false,
        };
        let before = candidate.target;
        if candidate.lifecycle == Lifecycle::Inactive {
            candidate.begin_deploying(minimum, now);
        }
        candidate.environment = Some(name.clone());
        candidate.target = candidate.target.max(minimum);
        let change = ScaleChange::between(before, candidate.target, ScaleCause::Promotion);
        let timeout = i64::from(candidate.deploy_timeout_minutes) * 60_000;
        let promotion = Promotion {
            previous,
            cleanup,
            settings_update: request.settings_update.clone(),
            stop_on_errors: settings.stop_on_errors,
            ..Promotion::new(
                PromotionId::from_random(self.random_bytes()),
                &environment,
                candidate.id.clone(),
                strategy,
                &actor.name,
                now,
                now.plus(timeout),
            )
        };
        let id = candidate.id.clone();
        let candidate_name = candidate.name.clone();
        if copy || fresh {
            held.insert_deployment(candidate).await?;
        } else {
            held.save_deployment(candidate).await?;
        }
        held.tx.insert_promotion(&promotion).await?;
        held.explain(self, &id, change).await?;
        if fresh {
            return Ok(Candidate { candidate: id, size_note });
        }
        let sentence = format!("promotion of {candidate_name} to {name} began{size_note}");
        let overridden = request.settings_override != PromotionPatch::default();
        let data = json!({
            "promotion": promotion.id,
            "strategy": strategy,
            "copy": copy,
            "strategy_override": request.strategy.is_some() || overridden,
            "settings_override": overridden.then_some(&request.settings_override),
            "settings_update": request.settings_update,
            "own_size_because": lacks,
        });
        held.record(self, actor, EventKind::ModelDeploymentPromoted, Some(&id), Some(name), sentence, data)
            .await?;
        Ok(Candidate { candidate: id, size_note })
    }

    /// A deployment with the same build under a new id.
    pub(crate) fn copy(
        &self,
        held: &Held,
        source: &Deployment,
        name: domain::DeploymentName,
        actor: &Actor,
    ) -> Deployment {
        let taken = |name: &domain::DeploymentName| {
            held.state.deployments.iter().any(|other| other.deleted_at.is_none() && &other.name == name)
        };
        let mut seconds = held.now.seconds();
        let mut name = name;
        while taken(&name) {
            seconds += 1;
            name = domain::DeploymentName::copy_of(&source.name, seconds);
        }
        let runs = source.proven();
        Deployment {
            id: DeploymentId::from_random(self.random_bytes()),
            name,
            kind: DeploymentKind::Published,
            created_at: held.now,
            created_by: actor.name.clone(),
            lifecycle: Lifecycle::Active,
            environment: None,
            target: 0,
            active_since: None,
            deadline: None,
            failed_starts: 0,
            retry_at: None,
            last_exit: None,
            waiting: None,
            terminating: Vec::new(),
            failure: None,
            artifact: runs.artifact,
            config: runs.config,
            raw_config: runs.raw_config,
            live: None,
            copied_from: Some(source.id.clone()),
            deleted_at: None,
            version: 0,
            ..source.clone()
        }
    }

    /// Promotions into an environment, newest first.
    pub async fn promotions(
        &self,
        actor: &Actor,
        model: &ModelId,
        environment: &EnvironmentName,
        limit: u32,
    ) -> Result<Vec<Promotion>, Error> {
        self.may(actor, Action::View)?;
        Ok(self.parts.store.promotions(model, environment, limit).await?)
    }
}

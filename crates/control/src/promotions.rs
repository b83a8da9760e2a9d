use domain::{
    Action, Actor, Begun, Deployment, DeploymentId, DeploymentKind, EnvironmentName, EventKind, Lifecycle,
    ModelId, Phase, Position, Promotion, PromotionId, PromotionRequest, Source, begin,
};
use serde_json::json;

use crate::parts::{Held, persist};
use crate::{ControlPlane, Error};

impl ControlPlane {
    /// Begins to make a deployment the current one of an environment and returns the candidate, which may be a copy.
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
        let id = self.begin_promotion(&mut held, actor, candidate, environment, request, false).await?;
        self.finish(held).await?;
        Ok(id)
    }

    /// Records a promotion inside a use case that holds the model. `fresh` marks a candidate whose row is not written yet:
    /// its push is what people read of, so the promotion has no row of its own in the activity.
    pub(crate) async fn begin_promotion(
        &self,
        held: &mut Held,
        actor: &Actor,
        mut candidate: Deployment,
        name: &EnvironmentName,
        request: &PromotionRequest,
        fresh: bool,
    ) -> Result<DeploymentId, Error> {
        let now = held.now;
        let environment = held.environment(name)?.clone();
        self.may_change(actor, name)?;
        let begun =
            begin(&environment, &candidate, held.running(name), request, now).map_err(Error::Conflict)?;
        let Begun::Promote { source, strategy, cleanup, previous } = begun else { return Ok(candidate.id) };
        let current = previous.as_ref().and_then(|id| held.deployment(id).ok());
        self.fits_both(&environment, &candidate, current, strategy)?;
        let minimum = strategy.first_replicas(&environment.autoscaling);
        let copy = match source {
            Source::Itself => false,
            Source::Copy { name } => {
                candidate = self.copy(held, &candidate, name, actor);
                true
            }
        };
        if candidate.lifecycle == Lifecycle::Inactive {
            candidate.begin_deploying(minimum, now);
        }
        candidate.environment = Some(name.clone());
        candidate.target = candidate.target.max(minimum);
        let timeout = i64::from(candidate.deploy_timeout_minutes) * 60_000;
        let promotion = Promotion {
            id: PromotionId::from_random(self.random_bytes()),
            model: held.state.model.id.clone(),
            environment: name.clone(),
            candidate: candidate.id.clone(),
            previous,
            strategy,
            cleanup,
            phase: Phase::Releasing,
            position: Position::default(),
            counted_at: now,
            started_at: now,
            started_by: actor.name.clone(),
            gate_passed_at: None,
            ended_at: None,
            gate_deadline: now.plus(timeout),
            total: 0,
            previous_floor: 0,
            hold: None,
            stop_on_errors: environment.promotion.stop_on_errors,
            evidence: Default::default(),
            candidate_down_since: None,
            signal: None,
            signal_by: None,
            signal_at: None,
            paused_at: None,
            failing: None,
            reason: None,
            version: 0,
        };
        let id = candidate.id.clone();
        let candidate_name = candidate.name.clone();
        if copy || fresh {
            held.insert_deployment(candidate).await?;
        } else {
            held.save_deployment(candidate).await?;
        }
        held.tx.insert_promotion(&promotion).await?;
        if fresh {
            return Ok(id);
        }
        let sentence = format!("promotion of {candidate_name} to {name} began");
        let data = json!({
            "promotion": promotion.id,
            "strategy": strategy,
            "copy": copy,
            "strategy_override": request.strategy.is_some(),
        });
        held.record(self, actor, EventKind::ModelDeploymentPromoted, Some(&id), Some(name), sentence, data)
            .await?;
        Ok(id)
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

//! What was measured of requests and processes over time, as series (semantics: Metrics).

use std::collections::BTreeMap;

use domain::{
    Action, Actor, Attachment, Counted, DeploymentId, EnvironmentName, KEPT, Measured, ModelId, Period,
    ReplicaCount, Timestamp, attachments, served_first,
};
use store::MetricsOf;

use crate::looks::WRITE_EVERY;
use crate::{ControlPlane, Error};

/// Counts of replicas that are read for one series at most.
const MOST_COUNTS: u32 = 5_000;
/// Promotions of one period that are told apart at most: the newest ones.
const MOST_PROMOTIONS: u32 = 1_000;

/// A series, and up to when it is complete.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSeries {
    pub period: Period,
    /// One for each step; `None` where nothing was measured.
    pub points: Vec<Option<Measured>>,
    /// Replicas at the end of each step, of all deployments of the scope together.
    pub replicas: Vec<Option<ReplicaCount>>,
    /// Replicas that ended of themselves in each step.
    pub restarts: Vec<u64>,
    /// Everything that ended before is counted; `None` before the first look.
    pub complete_through: Option<Timestamp>,
}

/// Models with what was counted of their deployments.
pub struct MeasuredNow {
    pub models: Vec<store::ModelState>,
    pub counted: Vec<Counted>,
    /// Replicas that ended of themselves.
    pub crashes: BTreeMap<DeploymentId, u64>,
}

/// Whose series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricScope {
    Deployment(DeploymentId),
    Environment(EnvironmentName),
    /// All deployments of the model together.
    Model,
}

/// What a series is of.
struct Scope {
    of: MetricsOf,
    /// The deployments that count for a model.
    live: Vec<DeploymentId>,
    /// Whose replicas count, and when.
    attached: Vec<Attachment>,
    /// When what it is of began to be; another of its name may have been here before.
    since: Option<Timestamp>,
}

impl MetricSeries {
    /// How much of a step was looked at, in seconds, at least one: all of it, or less of the step under way. `None` where
    /// nothing was yet.
    pub fn step_seconds(&self, step: Timestamp) -> Option<f64> {
        self.seconds(step, step.plus(self.period.step))
    }

    /// How much of the whole period was looked at, as [`Self::step_seconds`].
    pub fn period_seconds(&self) -> Option<f64> {
        self.seconds(self.period.start, self.period.end)
    }

    fn seconds(&self, from: Timestamp, to: Timestamp) -> Option<f64> {
        let passed = self.complete_through?.min(to).since(from);
        (passed > 0).then(|| (passed as f64 / 1000.0).max(1.0))
    }
}

impl ControlPlane {
    /// What was measured from `start` to `end`, at most the last seven days, in at most 120 steps. Of an environment it is
    /// what its deployments did while they were attached to it, to within one look.
    ///
    /// # Errors
    /// There is no such model, deployment or environment, or the actor may not look at it.
    pub async fn metrics(
        &self,
        actor: &Actor,
        model: &ModelId,
        scope: &MetricScope,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<MetricSeries, Error> {
        self.may(actor, Action::View)?;
        let period = Period::new(start, end, self.now());
        let Scope { of, live, attached, since } = self.scope(actor, model, scope, &period).await?;
        let fine = period.step < WRITE_EVERY;
        let (mut measured, complete_through) = self.looks.recent(&of, &live, fine);
        if !fine {
            measured.extend(self.parts.store.metrics(&of, period.start, period.end).await?);
        }
        measured.retain(|one| since.is_none_or(|since| one.to > since));
        let mut replicas = vec![None; period.steps().count()];
        let mut restarts = vec![0; replicas.len()];
        let known_to = complete_through.map_or(period.start, |through| through.min(period.end));
        // What comes and goes is attached many times, and its record is one.
        let mut times_of: BTreeMap<DeploymentId, Vec<Attachment>> = BTreeMap::new();
        for one in attached {
            times_of.entry(one.deployment.clone()).or_default().push(one);
        }
        for (id, times) in &times_of {
            let counts = self.parts.store.replica_counts(id, period.start, MOST_COUNTS).await?;
            for one in times {
                for (sum, count) in replicas.iter_mut().zip(period.replicas_while(one, &counts, self.now())) {
                    *sum = together(*sum, count);
                }
            }
        }
        let ids: Vec<DeploymentId> = times_of.keys().cloned().collect();
        for (id, at) in self.parts.store.crashes(&ids, period.start, known_to).await? {
            let was_attached = times_of.get(&id).is_some_and(|times| times.iter().any(|one| one.is_at(at)));
            let step = usize::try_from(at.since(period.start) / period.step.max(1)).ok();
            if was_attached && let Some(count) = step.and_then(|step| restarts.get_mut(step)) {
                *count += 1;
            }
        }
        Ok(MetricSeries { points: period.series(&measured), replicas, restarts, period, complete_through })
    }

    async fn scope(
        &self,
        actor: &Actor,
        model: &ModelId,
        scope: &MetricScope,
        period: &Period,
    ) -> Result<Scope, Error> {
        let store = &self.parts.store;
        let always = |deployment| Attachment { deployment, from: period.start, to: None };
        if let MetricScope::Deployment(id) = scope {
            self.deployment_of(model, id).await?;
            let of = MetricsOf::Deployment(id.clone());
            return Ok(Scope { of, live: Vec::new(), attached: vec![always(id.clone())], since: None });
        }
        let state = self.model(actor, model).await?;
        let MetricScope::Environment(name) = scope else {
            let live = state.deployments.into_iter().filter(|deployment| deployment.deleted_at.is_none());
            let live = live.map(|deployment| deployment.id).collect();
            let attached = store.had_replicas(model, period.start).await?.into_iter().map(always).collect();
            return Ok(Scope { of: MetricsOf::Model(model.clone()), live, attached, since: None });
        };
        let Some(environment) = state.environments.iter().find(|environment| &environment.name == name)
        else {
            return Err(Error::NotFound(format!("{} has no environment `{name}`", state.model.name)));
        };
        let promotions =
            store.promotions_around(model, name, period.start, self.now(), MOST_PROMOTIONS).await?;
        let first_from = match served_first(environment, &promotions) {
            Some(first) => store.given(first, name).await?,
            None => None,
        };
        Ok(Scope {
            of: MetricsOf::Environment(model.clone(), name.clone()),
            live: Vec::new(),
            attached: attachments(environment, &promotions, first_from, period.start),
            since: Some(environment.created_at),
        })
    }

    /// Whether somebody may read [`Self::measured`]; for a door that counts only those who may.
    ///
    /// # Errors
    /// The actor's role does not read metrics.
    pub fn may_read_metrics(&self, actor: &Actor) -> Result<(), Error> {
        self.may(actor, Action::ReadMetrics)
    }

    /// Models with the counters of their deployments, for whoever may read metrics; a key that is limited to some models
    /// reads of those, and one that is limited to some environments of what is attached to them at this moment.
    pub async fn measured(&self, actor: &Actor) -> Result<MeasuredNow, Error> {
        self.may_read_metrics(actor)?;
        let mut models = self.parts.store.load_all_models().await?;
        let key = actor.key_prefix.as_deref().and_then(|prefix| self.ring.key(prefix));
        let (limit, environments) = key.map(|key| (key.models, key.environments)).unwrap_or_default();
        if let Some(limit) = limit {
            models.retain(|state| limit.iter().any(|id| id == state.model.id.as_str()));
        }
        if let Some(names) = environments {
            let is_part = |deployment: &domain::Deployment| {
                deployment.environment.as_ref().is_some_and(|name| names.contains(name))
            };
            models.iter_mut().for_each(|state| state.deployments.retain(is_part));
        }
        let crashes = self.parts.store.all_crashes().await?.into_iter().collect();
        Ok(MeasuredNow { models, counted: self.parts.traffic.counted(), crashes })
    }

    /// Drops what is older than a week.
    pub async fn trim_metrics(&self) -> Result<(), Error> {
        Ok(self.parts.store.trim_metrics(self.now().plus(-KEPT)).await?)
    }
}

fn together(one: Option<ReplicaCount>, other: Option<ReplicaCount>) -> Option<ReplicaCount> {
    let (Some(one), Some(other)) = (one, other) else { return one.or(other) };
    Some(ReplicaCount {
        at: one.at.max(other.at),
        wanted: one.wanted + other.wanted,
        starting: one.starting + other.starting,
        ready: one.ready + other.ready,
    })
}

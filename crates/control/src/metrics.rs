//! What was measured of requests and processes: kept in memory by the ten seconds, and in the store by the minute (semantics: Metrics).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::{
    Action, Actor, Counted, Counters, DeploymentId, EnvironmentName, KEPT, KEPT_FINE, Measured, ModelId,
    Period, ReplicaCount, ReplicaId, ReplicaSample, ReplicaUse, Timestamp,
};
use store::{MetricRow, MetricsOf};

use crate::{ControlPlane, Error};

/// How often the counters are looked at, in milliseconds.
pub const LOOK_EVERY: i64 = 10_000;
/// How often what was found is written down.
const WRITE_EVERY: i64 = 60_000;
/// Counts of replicas that are read for one series at most.
const MOST_COUNTS: u32 = 5_000;
/// Rows that may wait while the database can't be written; beyond that the oldest are lost.
const MOST_WAITING: usize = 50_000;

/// What is known between two looks, and the last twenty minutes.
#[derive(Default)]
pub(crate) struct Looks {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The last look; everything before it is known.
    at: Option<Timestamp>,
    before: BTreeMap<DeploymentId, Counters>,
    fine: BTreeMap<DeploymentId, VecDeque<Measured>>,
    /// The minute under way.
    minute: BTreeMap<DeploymentId, MetricRow>,
    began: Option<Timestamp>,
    /// Minutes that are over and not written yet.
    waiting: Vec<MetricRow>,
    /// The processes at the last look: what each replica had used of the processor, and its memory as last seen.
    processes: BTreeMap<ReplicaId, ReplicaUse>,
    /// When the memory of all was looked at.
    memory_at: Option<Timestamp>,
}

/// What the replicas of each deployment used since the last look.
type UsedBy = BTreeMap<DeploymentId, (ModelId, BTreeMap<ReplicaId, ReplicaUse>)>;

impl Looks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Replicas whose memory need not be looked at now: it was within the last minute.
    fn with_known_memory(&mut self, now: Timestamp) -> BTreeSet<ReplicaId> {
        if self.memory_at.is_some_and(|at| (0..WRITE_EVERY).contains(&now.since(at))) {
            return self.processes.keys().cloned().collect();
        }
        self.memory_at = Some(now);
        BTreeSet::new()
    }

    fn use_processes(&mut self, samples: Vec<ReplicaSample>) -> UsedBy {
        let before = std::mem::take(&mut self.processes);
        let mut used = UsedBy::new();
        for ReplicaSample { model, deployment, replica, cpu_ms, memory } in samples {
            let last = before.get(&replica);
            let memory = memory.or(last.map(|last| last.memory)).unwrap_or(0);
            // What ran before this server's first look has used its time before. A process that ended takes its time along.
            let since = match last {
                Some(last) => Some(cpu_ms.saturating_sub(last.cpu_ms)),
                None => self.at.is_some().then_some(cpu_ms),
            };
            if let Some(cpu_ms) = since {
                let (_, of) = used.entry(deployment).or_insert_with(|| (model, BTreeMap::new()));
                of.insert(replica.clone(), ReplicaUse { memory, cpu_ms });
            }
            self.processes.insert(replica, ReplicaUse { memory, cpu_ms });
        }
        used
    }

    fn look(&mut self, counted: Vec<Counted>, samples: Vec<ReplicaSample>, now: Timestamp) {
        let mut used = self.use_processes(samples);
        let from = self.at.replace(now).unwrap_or_else(|| now.plus(-LOOK_EVERY));
        self.began.get_or_insert(from);
        let mut before = std::mem::take(&mut self.before);
        let none = Counters::default();
        for Counted { model, deployment, counters } in counted {
            let mut measured =
                Measured::between(before.get(&deployment).unwrap_or(&none), &counters, from, now);
            before.remove(&deployment);
            self.before.insert(deployment.clone(), counters);
            measured.used = used.remove(&deployment).map(|(_, of)| of).unwrap_or_default();
            self.keep(model, deployment, measured);
        }
        for (deployment, (model, of)) in used {
            self.keep(model, deployment, Measured { used: of, ..Measured::nothing(from, now) });
        }
        let oldest = now.plus(-KEPT_FINE);
        self.fine.retain(|_, recent| {
            recent.retain(|one| one.from >= oldest);
            !recent.is_empty()
        });
    }

    fn keep(&mut self, model: ModelId, deployment: DeploymentId, measured: Measured) {
        if measured.is_nothing() {
            return;
        }
        self.fine.entry(deployment.clone()).or_default().push_back(measured.clone());
        let row = MetricRow { model, deployment: deployment.clone(), measured: measured.clone() };
        self.minute.entry(deployment).and_modify(|sum| sum.measured.add(&measured)).or_insert(row);
    }

    /// Ends the minute if it is over, or `now` if the server stops.
    fn end_minute(&mut self, at_once: bool) {
        let passed = self.at.zip(self.began).map_or(0, |(at, began)| at.since(began));
        if passed >= WRITE_EVERY || at_once {
            self.began = self.at;
            self.waiting.extend(std::mem::take(&mut self.minute).into_values());
            let over = self.waiting.len().saturating_sub(MOST_WAITING);
            self.waiting.drain(..over);
        }
    }

    /// What is not in the store yet.
    fn unwritten(&self, of: &MetricsOf, attached: &[DeploymentId]) -> Vec<Measured> {
        let rows = self.waiting.iter().chain(self.minute.values());
        rows.filter(|row| belongs(of, attached, &row.deployment)).map(|row| row.measured.clone()).collect()
    }

    fn fine(&self, of: &MetricsOf, attached: &[DeploymentId]) -> Vec<Measured> {
        let all = self.fine.iter().filter(|(id, _)| belongs(of, attached, id));
        all.flat_map(|(_, recent)| recent.iter().cloned()).collect()
    }
}

fn belongs(of: &MetricsOf, attached: &[DeploymentId], id: &DeploymentId) -> bool {
    match of {
        MetricsOf::Deployment(deployment) => deployment == id,
        MetricsOf::Environment(..) | MetricsOf::Model(_) => attached.contains(id),
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

impl ControlPlane {
    /// Looks at the gateway's counters and at the processes, and each minute writes down what came since. Called each [`LOOK_EVERY`].
    pub async fn look_at_metrics(&self) -> Result<(), Error> {
        self.look(false).await;
        self.write_metrics().await
    }

    /// Writes down the minute under way: the server stops.
    pub async fn flush_metrics(&self) -> Result<(), Error> {
        self.look(true).await;
        self.write_metrics().await
    }

    async fn look(&self, stops: bool) {
        let known = self.looks.state().with_known_memory(self.now());
        let samples = self.parts.runtime.samples(known).await;
        let counted = self.parts.traffic.counted();
        let now = self.now();
        let mut state = self.looks.state();
        state.look(counted, samples, now);
        state.end_minute(stops);
    }

    async fn write_metrics(&self) -> Result<(), Error> {
        let mut rows = std::mem::take(&mut self.looks.state().waiting);
        if rows.is_empty() {
            return Ok(());
        }
        let written = self.note_environments(&mut rows).await;
        let written = match written {
            Ok(()) => self.parts.store.add_metrics(&rows).await.map_err(Error::from),
            Err(error) => Err(error),
        };
        if written.is_err() {
            let mut state = self.looks.state();
            let newer = std::mem::replace(&mut state.waiting, rows);
            state.waiting.extend(newer);
        }
        written
    }

    /// Notes which environment each deployment serves.
    async fn note_environments(&self, rows: &mut [MetricRow]) -> Result<(), Error> {
        let mut known = BTreeMap::new();
        for row in rows {
            if !known.contains_key(&row.model) {
                let state = self.parts.store.load_model(&row.model).await?;
                let deployments = state.map(|state| state.deployments).unwrap_or_default();
                let of: BTreeMap<_, _> = deployments
                    .into_iter()
                    .map(|deployment| (deployment.id, deployment.environment))
                    .collect();
                known.insert(row.model.clone(), of);
            }
            let environment = known.get(&row.model).and_then(|of| of.get(&row.deployment));
            row.measured.environment = environment.cloned().flatten();
        }
        Ok(())
    }

    /// What was measured from `start` to `end`, at most the last seven days, in at most 120 steps.
    pub async fn metrics(
        &self,
        actor: &Actor,
        model: &ModelId,
        scope: &MetricScope,
        start: Timestamp,
        end: Timestamp,
    ) -> Result<MetricSeries, Error> {
        self.may(actor, Action::View)?;
        let (of, attached) = match scope {
            MetricScope::Deployment(id) => {
                self.deployment_of(model, id).await?;
                (MetricsOf::Deployment(id.clone()), vec![id.clone()])
            }
            MetricScope::Environment(name) => {
                let state = self.model(actor, model).await?;
                if !state.environments.iter().any(|environment| &environment.name == name) {
                    return Err(Error::NotFound(format!("{} has no environment `{name}`", state.model.name)));
                }
                let live = state.deployments.iter().filter(|deployment| deployment.deleted_at.is_none());
                let attached = live.filter(|deployment| deployment.environment.as_ref() == Some(name));
                let attached = attached.map(|deployment| deployment.id.clone()).collect();
                (MetricsOf::Environment(state.model.id.clone(), name.clone()), attached)
            }
            MetricScope::Model => {
                let state = self.model(actor, model).await?;
                let live = state.deployments.iter().filter(|deployment| deployment.deleted_at.is_none());
                let all = live.map(|deployment| deployment.id.clone()).collect();
                (MetricsOf::Model(state.model.id.clone()), all)
            }
        };
        let period = Period::new(start, end, self.now());
        let (mut measured, complete_through) = {
            let state = self.looks.state();
            let recent = if period.step < WRITE_EVERY {
                state.fine(&of, &attached)
            } else {
                state.unwritten(&of, &attached)
            };
            (recent, state.at)
        };
        if period.step >= WRITE_EVERY {
            measured.extend(self.parts.store.metrics(&of, period.start, period.end).await?);
        }
        let counted = match scope {
            MetricScope::Model => self.parts.store.had_replicas(model, period.start).await?,
            _ => attached,
        };
        let mut replicas = vec![None; period.steps().count()];
        for id in &counted {
            let counts = self.parts.store.replica_counts(id, period.start, MOST_COUNTS).await?;
            for (sum, count) in replicas.iter_mut().zip(period.replicas(&counts, self.now())) {
                *sum = together(*sum, count);
            }
        }
        let mut restarts = vec![0; replicas.len()];
        for at in self.parts.store.crashes(&counted, period.start, period.end).await? {
            let step = usize::try_from(at.since(period.start) / period.step.max(1)).ok();
            if let Some(count) = step.and_then(|step| restarts.get_mut(step)) {
                *count += 1;
            }
        }
        Ok(MetricSeries { points: period.series(&measured), replicas, restarts, period, complete_through })
    }

    /// Models with the counters of their deployments, for whoever may read metrics; a key that is limited to some models
    /// reads of those, and one that is limited to some environments of what is attached to them at this moment.
    pub async fn measured(&self, actor: &Actor) -> Result<MeasuredNow, Error> {
        self.may(actor, Action::ReadMetrics)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Outcomes;

    fn counted(deployment: &str, fine: u64) -> Counted {
        let outcomes = Outcomes { fine, ..Outcomes::default() };
        Counted {
            model: ModelId::new("m"),
            deployment: DeploymentId::new(deployment),
            counters: Counters { outcomes, ..Counters::default() },
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + seconds * 1000)
    }

    #[test]
    fn a_minute_sums_up_its_looks_and_counts_nothing_twice() {
        let mut state = State::default();
        for look in 0..=12 {
            state.look(vec![counted("busy", 5 * look as u64), counted("idle", 0)], vec![], at(look * 10));
            state.end_minute(false);
        }
        let written: u64 = state.waiting.iter().map(|row| row.measured.outcomes.fine).sum();
        let under_way: u64 = state.minute.values().map(|row| row.measured.outcomes.fine).sum();
        assert_eq!(written + under_way, 60);
        assert!(state.waiting.len() >= 2, "a minute each");
        assert!(!state.fine.contains_key(&DeploymentId::new("idle")), "what has no requests takes no room");
    }

    #[test]
    fn the_fine_points_are_forgotten_after_twenty_minutes() {
        let mut state = State::default();
        state.look(vec![counted("busy", 5)], vec![], at(0));
        state.look(vec![counted("busy", 5)], vec![], at(19 * 60));
        assert_eq!(state.fine.len(), 1);
        state.look(vec![counted("busy", 5)], vec![], at(21 * 60));
        assert!(state.fine.is_empty());
    }

    #[test]
    fn what_processes_use_is_kept_whether_or_not_somebody_calls_them() {
        let sample = |replica: &str, cpu_ms, memory| ReplicaSample {
            model: ModelId::new("m"),
            deployment: DeploymentId::new("quiet"),
            replica: ReplicaId::new(replica),
            cpu_ms,
            memory,
        };
        let mut state = State::default();
        assert!(state.with_known_memory(at(0)).is_empty());
        // It ran for an hour before this server did.
        state.look(vec![], vec![sample("old", 3_600_000, Some(70))], at(0));
        assert!(state.fine.is_empty());
        assert_eq!(state.with_known_memory(at(10)).len(), 1);
        state.look(vec![], vec![sample("old", 3_600_500, None), sample("new", 40, Some(8))], at(10));
        state.look(vec![], vec![sample("old", 3_600_400, None), sample("new", 90, None)], at(20));
        let of = &state.minute[&DeploymentId::new("quiet")].measured.used;
        assert_eq!(of[&ReplicaId::new("old")], ReplicaUse { memory: 70, cpu_ms: 500 });
        assert_eq!(of[&ReplicaId::new("new")], ReplicaUse { memory: 8, cpu_ms: 90 });
        assert_eq!(state.fine[&DeploymentId::new("quiet")].len(), 2);
        assert!(state.with_known_memory(at(60)).is_empty(), "once a minute it is looked at again");
    }

    #[test]
    fn a_stop_writes_what_is_under_way() {
        let mut state = State::default();
        state.look(vec![counted("busy", 5)], vec![], at(0));
        state.end_minute(true);
        assert_eq!(state.waiting.len(), 1);
        assert!(state.minute.is_empty());
    }
}

//! The looks at the gateway's counters and at the processes: the last twenty minutes by the ten seconds, and the minute under
//! way (semantics: Metrics).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{
    Counted, Counters, DeploymentId, EnvironmentName, KEPT_FINE, Measured, ModelId, ReplicaId, ReplicaSample,
    ReplicaUse, Timestamp,
};
use store::{MetricRow, MetricsOf};

use crate::points::Point;
use crate::{ControlPlane, Error};

/// How often the counters are looked at, in milliseconds: at round times, so that what came between two looks is a step's.
const LOOK_EVERY: i64 = 10_000;
/// How often what was found is written down.
pub(crate) const WRITE_EVERY: i64 = 60_000;
/// How long a look waits to hear what is attached to what; a look that waits for longer takes the time of others.
const ASKED_WITHIN: Duration = Duration::from_secs(1);
/// How long a look waits for what is to be written; the rest is left to the next look, so that this one is over by then.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3);
/// Rows that are written at once: so few that a slow database gets on with them.
const WRITTEN_AT_ONCE: usize = 1_000;
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
    /// Which environment each deployment that did something was attached to at the last look.
    attached: Attached,
    fine: BTreeMap<DeploymentId, Recent>,
    /// The minute under way: a row for each environment that a deployment was attached to in it.
    minute: BTreeMap<(DeploymentId, Option<EnvironmentName>), MetricRow>,
    began: Option<Timestamp>,
    /// Minutes that are over and not written yet.
    waiting: Vec<MetricRow>,
    /// The processes at the last look: what each replica had used of the processor, and its memory as last seen.
    processes: BTreeMap<ReplicaId, ReplicaUse>,
    /// When the memory of all was looked at.
    memory_at: Option<Timestamp>,
}

type Attached = BTreeMap<DeploymentId, EnvironmentName>;

/// The last twenty minutes of a deployment, oldest first.
struct Recent {
    model: ModelId,
    points: VecDeque<Point>,
}

/// What the replicas of each deployment used since the last look.
type UsedBy = BTreeMap<DeploymentId, (ModelId, BTreeMap<ReplicaId, ReplicaUse>)>;

impl Looks {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known beside the store's minutes, and up to when: by the ten seconds, or the minutes that are not written
    /// yet. `live` are the deployments that count for a model.
    pub fn recent(
        &self,
        of: &MetricsOf,
        live: &[DeploymentId],
        fine: bool,
    ) -> (Vec<Measured>, Option<Timestamp>) {
        let state = self.state();
        (if fine { state.fine(of, live) } else { state.unwritten(of, live) }, state.at)
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

    /// What came since the last look, of each deployment that something came of.
    fn measure(
        &mut self,
        counted: Vec<Counted>,
        samples: Vec<ReplicaSample>,
        now: Timestamp,
    ) -> Vec<MetricRow> {
        let mut used = self.use_processes(samples);
        let from = self.at.unwrap_or_else(|| now.plus(-LOOK_EVERY));
        let mut before = std::mem::take(&mut self.before);
        let none = Counters::default();
        let mut rows = Vec::new();
        for Counted { model, deployment, counters } in counted {
            let mut measured =
                Measured::between(before.get(&deployment).unwrap_or(&none), &counters, from, now);
            before.remove(&deployment);
            self.before.insert(deployment.clone(), counters);
            measured.used = used.remove(&deployment).map(|(_, of)| of).unwrap_or_default();
            rows.push(MetricRow { model, deployment, measured });
        }
        for (deployment, (model, of)) in used {
            let measured = Measured { used: of, ..Measured::nothing(from, now) };
            rows.push(MetricRow { model, deployment, measured });
        }
        rows.retain(|row| !row.measured.is_nothing());
        rows
    }

    /// Keeps what was measured until `now`. Each counts for the environment that its deployment is attached to; for one that
    /// left since the look before, it is the last time. Without `attached`, which could not be read, nothing has changed.
    fn keep(&mut self, rows: Vec<MetricRow>, attached: Option<Attached>, now: Timestamp) {
        let from = self.at.replace(now).unwrap_or_else(|| now.plus(-LOOK_EVERY));
        self.began.get_or_insert(from);
        let before = attached.map(|attached| std::mem::replace(&mut self.attached, attached));
        for mut row in rows {
            let id = &row.deployment;
            let last = || before.as_ref().and_then(|before| before.get(id));
            row.measured.environment = self.attached.get(id).or_else(last).cloned();
            let recent = self.fine.entry(id.clone());
            let recent =
                recent.or_insert_with(|| Recent { model: row.model.clone(), points: VecDeque::new() });
            recent.points.push_back(Point::of(&row.measured));
            let part = (id.clone(), row.measured.environment.clone());
            match self.minute.get_mut(&part) {
                Some(sum) => sum.measured.add(&row.measured),
                None => drop(self.minute.insert(part, row)),
            }
        }
        let oldest = now.plus(-KEPT_FINE);
        self.fine.retain(|_, recent| {
            recent.points.retain(|one| one.began() >= oldest);
            !recent.points.is_empty()
        });
    }

    /// Ends the minute if the clock's is over, or `at_once` if the server stops.
    fn end_minute(&mut self, at_once: bool) {
        let minute = |at: Timestamp| at.millis().div_euclid(WRITE_EVERY);
        let over = self.at.zip(self.began).is_some_and(|(at, began)| minute(at) != minute(began));
        if over || at_once {
            self.began = self.at;
            self.waiting.extend(std::mem::take(&mut self.minute).into_values());
            let over = self.waiting.len().saturating_sub(MOST_WAITING);
            self.waiting.drain(..over);
        }
    }

    /// The oldest of what is to be written; what could not be is to be put back.
    fn take_waiting(&mut self) -> Vec<MetricRow> {
        let count = self.waiting.len().min(WRITTEN_AT_ONCE);
        self.waiting.drain(..count).collect()
    }

    fn put_back(&mut self, mut rows: Vec<MetricRow>) {
        rows.append(&mut self.waiting);
        self.waiting = rows;
    }

    /// What is not in the store yet.
    fn unwritten(&self, of: &MetricsOf, live: &[DeploymentId]) -> Vec<Measured> {
        let rows = self.waiting.iter().chain(self.minute.values());
        let rows = rows.filter(|row| {
            let environment = row.measured.environment.as_ref();
            belongs(of, live, &row.model, &row.deployment, environment)
        });
        rows.map(|row| row.measured.clone()).collect()
    }

    fn fine(&self, of: &MetricsOf, live: &[DeploymentId]) -> Vec<Measured> {
        let all = self.fine.iter().flat_map(|(id, recent)| {
            let points = recent.points.iter();
            points.filter(move |point| belongs(of, live, &recent.model, id, point.environment()))
        });
        all.map(Point::measured).collect()
    }
}

fn belongs(
    of: &MetricsOf,
    live: &[DeploymentId],
    model: &ModelId,
    deployment: &DeploymentId,
    environment: Option<&EnvironmentName>,
) -> bool {
    match of {
        MetricsOf::Deployment(wanted) => wanted == deployment,
        MetricsOf::Environment(wanted, name) => wanted == model && environment == Some(name),
        MetricsOf::Model(_) => live.contains(deployment),
    }
}

impl ControlPlane {
    /// How long it is until the counters are to be looked at.
    pub fn until_look(&self) -> Duration {
        let passed = self.now().millis().rem_euclid(LOOK_EVERY);
        Duration::from_millis((LOOK_EVERY - passed).unsigned_abs())
    }

    /// Looks at the gateway's counters and at the processes, and each minute writes down what came since. Called at each
    /// end of [`Self::until_look`].
    ///
    /// # Errors
    /// The database could not be asked or written; what was measured is kept, and the next look tries again.
    pub async fn look_at_metrics(&self) -> Result<(), Error> {
        // A database that does not say is not waited for a second time.
        self.look(false).await?;
        self.write_metrics().await
    }

    /// Writes down the minute under way: the server stops.
    ///
    /// # Errors
    /// As [`Self::look_at_metrics`]; what was not written is lost with the server.
    pub async fn flush_metrics(&self) -> Result<(), Error> {
        let looked = self.look(true).await;
        self.write_metrics().await?;
        looked
    }

    async fn look(&self, stops: bool) -> Result<(), Error> {
        let known = self.looks.state().with_known_memory(self.now());
        let samples = self.parts.runtime.samples(known).await;
        let counted = self.parts.traffic.counted();
        let now = self.now();
        let rows = self.looks.state().measure(counted, samples, now);
        let models: BTreeSet<ModelId> = rows.iter().map(|row| row.model.clone()).collect();
        let models: Vec<ModelId> = models.into_iter().collect();
        let asked = tokio::time::timeout(ASKED_WITHIN, self.parts.store.attached(&models)).await;
        let (attached, asked) = match asked {
            Ok(Ok(attached)) => (Some(attached), Ok(())),
            Ok(Err(error)) => (None, Err(Error::from(error))),
            Err(_) => (None, Err(Error::Internal("the database did not answer within a second".into()))),
        };
        let mut state = self.looks.state();
        state.keep(rows, attached, now);
        state.end_minute(stops);
        asked
    }

    async fn write_metrics(&self) -> Result<(), Error> {
        let until = tokio::time::Instant::now() + WRITTEN_WITHIN;
        loop {
            let rows = self.looks.state().take_waiting();
            if rows.is_empty() {
                return Ok(());
            }
            // If it is written after all, it is written once more, over itself.
            let written = match tokio::time::timeout_at(until, self.parts.store.add_metrics(&rows)).await {
                Ok(written) => written.map_err(Error::from),
                Err(_) => Err(Error::Internal("the database did not write within three seconds".into())),
            };
            if written.is_err() {
                self.looks.state().put_back(rows);
                return written;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Answers;

    fn counted(deployment: &str, requests: u64) -> Counted {
        let fine = Answers { requests, ..Answers::default() };
        Counted {
            model: ModelId::new("m"),
            deployment: DeploymentId::new(deployment),
            counters: Counters { fine, ..Counters::default() },
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + seconds * 1000)
    }

    /// A look at which these deployments are attached to production.
    fn look(
        state: &mut State,
        counted: Vec<Counted>,
        samples: Vec<ReplicaSample>,
        serving: &[&str],
        now: Timestamp,
    ) {
        let rows = state.measure(counted, samples, now);
        let attached = serving.iter().map(|id| (DeploymentId::new(*id), EnvironmentName::production()));
        state.keep(rows, Some(attached.collect()), now);
        state.end_minute(false);
    }

    fn fine(measured: &[Measured]) -> u64 {
        measured.iter().map(|one| one.outcomes.fine).sum()
    }

    #[test]
    fn a_minute_sums_up_its_looks_and_counts_nothing_twice() {
        let mut state = State::default();
        for number in 0..=12 {
            let counted = vec![counted("busy", 5 * number as u64), counted("idle", 0)];
            look(&mut state, counted, vec![], &[], at(number * 10));
        }
        let written: u64 = state.waiting.iter().map(|row| row.measured.outcomes.fine).sum();
        let under_way: u64 = state.minute.values().map(|row| row.measured.outcomes.fine).sum();
        assert_eq!(written + under_way, 60);
        assert!(state.waiting.len() >= 2, "a minute each");
        assert!(!state.fine.contains_key(&DeploymentId::new("idle")), "what has no requests takes no room");
    }

    #[test]
    fn a_minute_ends_with_the_clocks_whenever_the_server_began() {
        let mut state = State::default();
        for second in [37, 40, 50, 60, 70, 120] {
            look(&mut state, vec![counted("busy", second as u64)], vec![], &[], at(second));
        }
        let minutes: Vec<_> = state.waiting.iter().map(|row| (row.measured.from, row.measured.to)).collect();
        assert_eq!(minutes, [(at(27), at(60)), (at(60), at(120))]);
    }

    #[test]
    fn an_environment_has_what_both_sides_did_while_they_were_attached_to_it() {
        let of = MetricsOf::Environment(ModelId::new("m"), EnvironmentName::production());
        let mut state = State::default();
        let mut requests = |serving: &[&str], old: u64, new: u64, second: i64| {
            look(&mut state, vec![counted("old", old), counted("new", new)], vec![], serving, at(second));
            (fine(&state.fine(&of, &[])), fine(&state.unwritten(&of, &[])))
        };
        assert_eq!(requests(&["old"], 1, 10, 10), (1, 1), "the new one is called by its own address");
        assert_eq!(requests(&["old", "new"], 3, 30, 20), (23, 23), "a canary runs");
        assert_eq!(requests(&["new"], 7, 70, 30), (67, 67), "it ended within these ten seconds");
        assert_eq!(requests(&["new"], 1007, 71, 40), (68, 68), "the old one is called by its own address");
        let of_another = MetricsOf::Environment(ModelId::new("another"), EnvironmentName::production());
        assert!(state.fine(&of_another, &[]).is_empty());
        look(&mut state, vec![], vec![], &[], at(60));
        let rows: Vec<_> = state.waiting.iter().map(|row| (&row.deployment, row.measured.from)).collect();
        let moments: BTreeSet<_> = rows.iter().collect();
        assert_eq!((rows.len(), moments.len()), (4, 4), "no row replaces another: {rows:?}");
    }

    #[test]
    fn what_could_not_be_asked_is_as_it_was() {
        let of = MetricsOf::Environment(ModelId::new("m"), EnvironmentName::production());
        let mut state = State::default();
        look(&mut state, vec![counted("a", 1)], vec![], &["a"], at(10));
        let rows = state.measure(vec![counted("a", 3)], vec![], at(20));
        state.keep(rows, None, at(20));
        assert_eq!(fine(&state.fine(&of, &[])), 3);
    }

    #[test]
    fn the_fine_points_are_forgotten_after_twenty_minutes() {
        let mut state = State::default();
        look(&mut state, vec![counted("busy", 5)], vec![], &[], at(0));
        look(&mut state, vec![counted("busy", 5)], vec![], &[], at(19 * 60));
        assert_eq!(state.fine.len(), 1);
        look(&mut state, vec![counted("busy", 5)], vec![], &[], at(21 * 60));
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
        look(&mut state, vec![], vec![sample("old", 3_600_000, Some(70))], &[], at(0));
        assert!(state.fine.is_empty());
        assert_eq!(state.with_known_memory(at(10)).len(), 1);
        let samples = vec![sample("old", 3_600_500, None), sample("new", 40, Some(8))];
        look(&mut state, vec![], samples, &[], at(10));
        let samples = vec![sample("old", 3_600_400, None), sample("new", 90, None)];
        look(&mut state, vec![], samples, &[], at(20));
        let of = &state.minute[&(DeploymentId::new("quiet"), None)].measured.used;
        assert_eq!(of[&ReplicaId::new("old")], ReplicaUse { memory: 70, cpu_ms: 500 });
        assert_eq!(of[&ReplicaId::new("new")], ReplicaUse { memory: 8, cpu_ms: 90 });
        assert_eq!(state.fine[&DeploymentId::new("quiet")].points.len(), 2);
        assert!(state.with_known_memory(at(60)).is_empty(), "once a minute it is looked at again");
    }

    #[test]
    fn what_could_not_be_written_is_the_first_to_be_written_later() {
        let mut state = State::default();
        for minute in 0..5 {
            look(&mut state, vec![counted("busy", minute + 1)], vec![], &[], at(minute as i64 * 60));
        }
        let from = |rows: &[MetricRow]| rows.iter().map(|row| row.measured.from).collect::<Vec<_>>();
        let all = from(&state.waiting);
        let taken = state.take_waiting();
        assert_eq!((from(&taken), state.waiting.len()), (all.clone(), 0));
        look(&mut state, vec![counted("busy", 6)], vec![], &[], at(300));
        state.put_back(taken);
        assert_eq!(state.waiting.len(), all.len() + 1);
        assert_eq!(from(&state.waiting)[..all.len()], all);
    }

    #[test]
    fn a_stop_writes_what_is_under_way() {
        let mut state = State::default();
        look(&mut state, vec![counted("busy", 5)], vec![], &[], at(10));
        assert!(state.waiting.is_empty());
        state.end_minute(true);
        assert_eq!(state.waiting.len(), 1);
        assert!(state.minute.is_empty());
    }
}

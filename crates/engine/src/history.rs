//! The record of scaling (semantics: The record of scaling): what changed at a look, written together a little later.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    ColdStart, Deployment, DeploymentId, DeploymentRoute, FirstAnswer, ModelId, Moment, ObservedReplica,
    Plan, ReplicaCount, ReplicaId, ReplicaState, SAMPLE_EVERY, Seen, Snapshot, StartMoments, StartOutcome,
    Timestamp, Traffic,
};

use crate::Engine;

/// How long rows wait for others before all are written, in milliseconds.
const TOGETHER: i64 = 1_000;
/// Rows that may wait while the database can't be written; beyond that the oldest are lost.
const MOST_WAITING: usize = 10_000;
/// How long the first answer of a replica is waited for before its start is recorded without, in milliseconds.
const ANSWER_WITHIN: i64 = 600_000;
/// A start that is not ready after this long is recorded as stalled, until more is known of it; milliseconds.
const STALLED_AFTER: i64 = 600_000;

/// What the record needs to know of one model from look to look.
#[derive(Default)]
pub(crate) struct Record {
    /// The numbers recorded last; read from the store at the first look.
    counts: Option<BTreeMap<DeploymentId, ReplicaCount>>,
    /// Since when a deployment has fewer processes than it should.
    short_since: BTreeMap<DeploymentId, Timestamp>,
    /// Replicas on their way into the routes, with the moment they were wanted.
    coming: BTreeMap<ReplicaId, Timestamp>,
    /// Replicas whose start is over, one way or the other, or that were there before this server's first look.
    arrived: BTreeSet<ReplicaId>,
    /// Those of `coming` that are recorded as stalled already.
    stalled: BTreeSet<ReplicaId>,
    /// Starts whose first answer is awaited.
    answering: Vec<ColdStart>,
}

/// Rows that wait to be written.
#[derive(Default)]
pub(crate) struct Waiting {
    counts: Vec<(DeploymentId, ReplicaCount)>,
    starts: Vec<ColdStart>,
    models: BTreeMap<ModelId, u64>,
    since: Option<i64>,
}

impl Waiting {
    /// When they are to be written; monotonic milliseconds.
    pub fn due_at(&self) -> Option<i64> {
        self.since.map(|since| since + TOGETHER)
    }

    fn bound(&mut self) {
        let over = self.counts.len().saturating_sub(MOST_WAITING);
        self.counts.drain(..over);
        let over = self.starts.len().saturating_sub(MOST_WAITING);
        self.starts.drain(..over);
    }
}

impl Engine {
    /// Hears of first answers as long as the gateway knows their replicas; called before new routes are published.
    pub(crate) fn hear_first_answers(&mut self, model: &ModelId) {
        let Some(known) = self.models.get_mut(model) else { return };
        for start in &mut known.record.answering {
            if let FirstAnswer::After(ms) = self.parts.traffic.first_answer(&start.replica) {
                start.first_byte_ms = Some(ms);
            }
        }
    }

    /// Takes note of what a look changed; called once its routes are published. Says when there is something to note though
    /// nothing happens, in monotonic milliseconds.
    pub(crate) async fn note_scaling(&mut self, snapshot: &Snapshot, plan: &Plan, at: Moment) -> Option<i64> {
        let Seen::Known(before) = &snapshot.replicas else { return None };
        let model = &snapshot.model.id;
        let now = if plan.start.is_empty() { Seen::Unknown } else { self.parts.runtime.observe(model) };
        let replicas = if let Seen::Known(now) = &now { now } else { before };
        let known = self.models.entry(model.clone()).or_default();
        if known.record.counts.is_none() {
            match self.parts.store.last_counts(model).await {
                Ok(counts) => known.record.begin(counts, before),
                Err(error) => {
                    tracing::warn!(%model, %error, "the record of scaling could not be read; trying again at the next look");
                    return Some(at.monotonic + SAMPLE_EVERY);
                }
            }
        }
        let look = Look { plan, before, replicas, traffic: self.parts.traffic.as_ref(), at };
        let routed_at = self.parts.clock.now();
        let (counts, starts) = known.record.update(&look, &snapshot.deployments, routed_at);
        let stalls = known.record.stalls_at(replicas).map(|when| at.monotonic + when.since(at.now).max(0));
        let answers = (!known.record.answering.is_empty()).then_some(at.monotonic + SAMPLE_EVERY);
        let again = stalls.into_iter().chain(answers).min();
        if counts.is_empty() && starts.is_empty() {
            return again;
        }
        self.start_times.count(model, &snapshot.deployments, &starts);
        self.waiting.counts.extend(counts);
        self.waiting.starts.extend(starts);
        self.waiting.models.insert(model.clone(), snapshot.model.generation);
        self.waiting.since.get_or_insert(at.monotonic);
        again
    }

    /// Writes the rows that wait, and tells whoever shows them.
    pub(crate) async fn flush_scaling(&mut self, monotonic: i64) {
        let written = self.parts.store.add_history(&self.waiting.counts, &self.waiting.starts).await;
        if let Err(error) = written {
            tracing::error!(%error, "the record of scaling could not be written; trying again in a second");
            self.waiting.bound();
            self.waiting.since = Some(monotonic);
            return;
        }
        let Waiting { models, .. } = std::mem::take(&mut self.waiting);
        for (model, generation) in models {
            self.tell(&model, generation);
        }
    }
}

/// What one look found and decided.
struct Look<'a> {
    plan: &'a Plan,
    /// Replicas as they were found.
    before: &'a [ObservedReplica],
    /// The same, and those that were started since.
    replicas: &'a [ObservedReplica],
    traffic: &'a dyn Traffic,
    at: Moment,
}

impl Look<'_> {
    fn of<'b>(&'b self, id: &'b DeploymentId) -> impl Iterator<Item = &'b ObservedReplica> {
        self.replicas.iter().filter(move |replica| &replica.deployment == id)
    }

    fn route(&self, id: &DeploymentId) -> Option<&DeploymentRoute> {
        self.plan.routes.deployments.iter().find(|route| &route.id == id)
    }

    fn is_routed(&self, replica: &ReplicaId) -> bool {
        let mut routes = self.plan.routes.deployments.iter();
        routes.any(|route| route.replicas.iter().any(|address| &address.id == replica))
    }

    /// A start that is over now, of what was seen of it.
    fn start(
        &self,
        deployments: &[Deployment],
        replica: &ObservedReplica,
        wanted: Option<Timestamp>,
        routed: Timestamp,
    ) -> ColdStart {
        let moments = StartMoments {
            wanted: wanted.unwrap_or(replica.started_at),
            started: replica.started_at,
            spawned: replica.spawned_at,
            loaded: replica.loaded_at,
            routed,
        };
        let mut known = self.plan.deployments.iter().chain(deployments);
        let known = known.find(|deployment| deployment.id == replica.deployment);
        ColdStart {
            environment: known.and_then(|deployment| deployment.environment.clone()),
            ..ColdStart::new(replica.deployment.clone(), replica.id.clone(), moments)
        }
    }

    /// The numbers of a deployment now.
    fn count(&self, deployment: &Deployment) -> ReplicaCount {
        let changed = self.plan.deployments.iter().find(|changed| changed.id == deployment.id);
        let deployment = changed.unwrap_or(deployment);
        ReplicaCount {
            at: self.at.now,
            wanted: if deployment.may_run() { deployment.target } else { 0 },
            starting: self.of(&deployment.id).filter(|replica| replica.is_starting()).count() as u32,
            ready: self.route(&deployment.id).map_or(0, |route| route.replicas.len() as u32),
        }
    }
}

impl Record {
    /// What was there before this server looked is no start of its own.
    fn begin(&mut self, counts: Vec<(DeploymentId, ReplicaCount)>, there: &[ObservedReplica]) {
        self.counts = Some(counts.into_iter().collect());
        self.arrived = there.iter().map(|replica| replica.id.clone()).collect();
    }

    /// The rows that a look adds.
    fn update(
        &mut self,
        look: &Look<'_>,
        deployments: &[Deployment],
        routed_at: Timestamp,
    ) -> (Vec<(DeploymentId, ReplicaCount)>, Vec<ColdStart>) {
        let mut counts = Vec::new();
        for deployment in deployments.iter().filter(|deployment| deployment.deleted_at.is_none()) {
            let count = look.count(deployment);
            self.note_shortage(look, &deployment.id, count);
            self.meet(look, &deployment.id, count.wanted);
            let last = self.counts.get_or_insert_default();
            let before = last.get(&deployment.id);
            if before.is_some_and(|before| before.same_numbers(&count)) {
                continue;
            }
            if before.is_none() && (count.wanted, count.starting, count.ready) == (0, 0, 0) {
                continue;
            }
            last.insert(deployment.id.clone(), count);
            counts.push((deployment.id.clone(), count));
        }
        self.arrive(look, deployments, routed_at);
        let mut starts = self.answered(look);
        starts.extend(self.fail(look, deployments, routed_at));
        self.coming.retain(|id, _| look.replicas.iter().any(|replica| &replica.id == id));
        self.arrived.retain(|id| look.replicas.iter().any(|replica| &replica.id == id));
        self.stalled.retain(|id| self.coming.contains_key(id));
        (counts, starts)
    }

    /// Replicas seen for the first time were started because their deployment was short.
    fn meet(&mut self, look: &Look<'_>, id: &DeploymentId, wanted: u32) {
        let since = self.short_since.get(id).copied();
        let mut have = 0;
        // One that has ended already may have begun since the last look.
        for replica in look.of(id).filter(|replica| replica.state != ReplicaState::Stopping) {
            have += u32::from(replica.is_alive());
            if !self.arrived.contains(&replica.id) {
                let since = since.unwrap_or(replica.started_at);
                self.coming.entry(replica.id.clone()).or_insert(since);
            }
        }
        if have >= wanted {
            self.short_since.remove(id);
        }
    }

    fn note_shortage(&mut self, look: &Look<'_>, id: &DeploymentId, count: ReplicaCount) {
        let of_it = look.before.iter().filter(|replica| &replica.deployment == id);
        let have = of_it.filter(|replica| replica.is_serving_or_coming()).count() as u32;
        if have < count.wanted && !self.short_since.contains_key(id) {
            // A request that found nobody has waited since it came.
            let waited = if count.ready == 0 { look.traffic.deployment(id).longest_wait_ms } else { 0 };
            self.short_since.insert(id.clone(), look.at.now.plus(-waited.max(0)));
        }
    }

    /// Replicas that the gateway has now.
    fn arrive(&mut self, look: &Look<'_>, deployments: &[Deployment], routed: Timestamp) {
        let now_there: Vec<ReplicaId> = self.coming.keys().filter(|id| look.is_routed(id)).cloned().collect();
        for id in now_there {
            let wanted = self.coming.remove(&id);
            self.arrived.insert(id.clone());
            let Some(replica) = look.replicas.iter().find(|replica| replica.id == id) else { continue };
            self.answering.push(look.start(deployments, replica, wanted, routed));
        }
    }

    /// Starts that came to nothing, and those that have taken long. A replica that is stopped because it is not wanted any
    /// more has failed at nothing, and has no row.
    fn fail(&mut self, look: &Look<'_>, deployments: &[Deployment], ended: Timestamp) -> Vec<ColdStart> {
        let mut rows = Vec::new();
        for (id, wanted) in self.coming.clone() {
            let Some(replica) = look.replicas.iter().find(|replica| replica.id == id) else { continue };
            let late = ended.since(replica.started_at) >= STALLED_AFTER;
            let stops = look.plan.stop.iter().any(|stop| stop.replica == id)
                || replica.state == ReplicaState::Stopping;
            let of_it = deployments.iter().find(|deployment| deployment.id == replica.deployment);
            let timed_out =
                of_it.and_then(|one| one.deadline).is_some_and(|deadline| deadline <= look.at.now);
            let outcome = match &replica.state {
                ReplicaState::Exited { reason, .. } => Some(StartOutcome::Failed { reason: reason.clone() }),
                _ if stops => (late || timed_out).then_some(StartOutcome::Stalled),
                _ if late && self.stalled.insert(id.clone()) => Some(StartOutcome::Stalled),
                _ => continue,
            };
            if stops || !replica.is_alive() {
                self.coming.remove(&id);
                self.arrived.insert(id);
            }
            if let Some(outcome) = outcome {
                rows.push(ColdStart { outcome, ..look.start(deployments, replica, Some(wanted), ended) });
            }
        }
        rows
    }

    /// When the first of the starts under way will have stalled that is not recorded as such.
    fn stalls_at(&self, replicas: &[ObservedReplica]) -> Option<Timestamp> {
        let waits = |id: &ReplicaId| self.coming.contains_key(id) && !self.stalled.contains(id);
        let coming = replicas.iter().filter(|replica| waits(&replica.id));
        coming.map(|replica| replica.started_at.plus(STALLED_AFTER)).min()
    }

    /// Starts that are complete: nobody had waited, or the first answer has begun, or it will not.
    fn answered(&mut self, look: &Look<'_>) -> Vec<ColdStart> {
        let mut complete = Vec::new();
        self.answering.retain_mut(|start| {
            let gone = !look.is_routed(&start.replica);
            match look.traffic.first_answer(&start.replica) {
                _ if start.first_byte_ms.is_some() => {}
                FirstAnswer::After(ms) => start.first_byte_ms = Some(ms),
                FirstAnswer::Awaited if !gone && look.at.now.since(start.at) < ANSWER_WITHIN => return true,
                FirstAnswer::Awaited | FirstAnswer::NoneWaited => {}
            }
            complete.push(start.clone());
            false
        });
        complete
    }
}

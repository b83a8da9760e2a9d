//! The one decision: from all that is known of a model to all that should follow.
//!
//! `plan` composes the smaller decisions in a fixed order. It reads nothing and changes nothing; ignorance is in the
//! snapshot, and its answer to it is to leave everything as it is.

mod carry;
mod controls;
mod ends;
mod errors;
mod lifecycle;
mod live;
mod peak;
mod promote;
mod replicas;
mod rolling;
mod routes;
mod scale;
#[cfg(test)]
mod tests;

pub use peak::Peak;
pub use scale::SAMPLE_EVERY;

use std::collections::BTreeMap;

use crate::{
    ArtifactId, Demand, Deployment, DeploymentId, Environment, EnvironmentName, EventKind, Evidence, Model,
    ModelRoutes, ObservedReplica, Position, Promotion, PromotionId, ReplicaId, ScaleCause, ScaleChange,
    Scaler, Seen, SideCounts, StopReason, Timestamp,
};

/// Wall time for records and monotonic milliseconds for measuring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub now: Timestamp,
    pub monotonic: i64,
}

/// Everything known about one model at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub model: Model,
    /// Deleted ones are among them until everything they left is removed.
    pub deployments: Vec<Deployment>,
    pub environments: Vec<Environment>,
    /// Running ones only.
    pub promotions: Vec<Promotion>,
    pub replicas: Seen<Vec<ObservedReplica>>,
    /// What was measured at the gateway; absent means nothing was.
    pub demand: BTreeMap<DeploymentId, Demand>,
    /// Requests that each deployment has had, as the gateway counts them: they only grow, and may begin anew.
    pub requests: BTreeMap<DeploymentId, u64>,
    pub in_flight: BTreeMap<ReplicaId, u32>,
    /// What each side of an environment answered, as the gateway has counted; for environments with a promotion.
    pub sides: BTreeMap<EnvironmentName, BTreeMap<DeploymentId, SideCounts>>,
    /// The table the gateway serves now, if one was published since the server started.
    pub published: Option<ModelRoutes>,
}

/// What is remembered from look to look. Losing it on a restart costs time, never correctness.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    pub scalers: BTreeMap<DeploymentId, Scaler>,
    /// Requests that each deployment had had at the last look.
    pub requests: BTreeMap<DeploymentId, u64>,
    /// Replicas taken out of the routes, with the monotonic moment and the reason.
    pub draining: BTreeMap<ReplicaId, (i64, StopReason)>,
    /// Replicas that were told to stop; their exit is no crash.
    pub stopping: std::collections::BTreeSet<ReplicaId>,
    /// How far rollouts have counted since their last save.
    pub counting: BTreeMap<PromotionId, Counting>,
    /// Where the gateway's counters stood when their evidence was that of the promotion as stored.
    pub counted_from: BTreeMap<PromotionId, (Evidence, Evidence)>,
    /// The greatest demand of late that the sides of a rolling promotion have replicas for.
    pub peaks: BTreeMap<PromotionId, Peak>,
    /// Replicas whose code is being swapped in place.
    pub reloading: BTreeMap<ReplicaId, ArtifactId>,
    /// When the candidate of a promotion was ready, or a process of it failed, for the first time in this server's life.
    pub tried: BTreeMap<PromotionId, Timestamp>,
    /// Whether this server has seen the model's replicas before.
    pub looked: bool,
}

impl Memory {
    /// Takes note that nothing has happened until now, in monotonic milliseconds: rollouts whose time counted at the last look
    /// have counted on, as a look would have found.
    pub fn rest(&mut self, monotonic: i64) {
        for counting in self.counting.values_mut().filter(|counting| counting.running) {
            counting.position.elapsed_ms += (monotonic - counting.counted_at).max(0);
            counting.counted_at = counting.counted_at.max(monotonic);
        }
    }
}

/// The live position of a rollout between two saves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Counting {
    pub position: Position,
    /// When it was counted up to, monotonic.
    pub counted_at: i64,
    /// Whether time counted at that look.
    pub running: bool,
}

/// Processes to start for a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    pub deployment: DeploymentId,
    pub count: u32,
    pub environment: Option<EnvironmentName>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    pub replica: ReplicaId,
    pub deployment: DeploymentId,
    pub reason: StopReason,
}

/// Code to swap in a running process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reload {
    pub replica: ReplicaId,
    pub artifact: ArtifactId,
}

/// The environment that the code of a running process is told it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tell {
    pub replica: ReplicaId,
    pub environment: Option<EnvironmentName>,
}

/// Something the engine did by itself, to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedEvent {
    pub kind: EventKind,
    pub deployment: Option<DeploymentId>,
    pub environment: Option<EnvironmentName>,
    pub sentence: String,
    pub data: serde_json::Value,
}

/// Everything that should follow, in the order in which it is safe: save, start, publish, stop.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Rows that changed, each to be written only over the version that was read.
    pub deployments: Vec<Deployment>,
    pub environments: Vec<Environment>,
    pub promotions: Vec<Promotion>,
    pub events: Vec<PlannedEvent>,
    /// Deployments that need a build to be running.
    pub builds: Vec<DeploymentId>,
    pub start: Vec<Start>,
    pub reload: Vec<Reload>,
    pub tell: Vec<Tell>,
    pub routes: ModelRoutes,
    pub stop: Vec<Stop>,
    /// Exited replicas that are accounted for.
    pub forget: Vec<ReplicaId>,
    /// Deleted deployments with nothing left running.
    pub purge: Vec<DeploymentId>,
    /// When to look again though nothing has happened; monotonic milliseconds.
    pub look_at: Option<i64>,
    /// When to look again if the gateway has counted something by then, or has something under way, and each [`SAMPLE_EVERY`]
    /// from then on; monotonic milliseconds. Until then a look would find what this one found.
    pub sample_at: Option<i64>,
    pub memory: Memory,
}

/// The plan while it is made.
struct Work<'a> {
    seen: &'a Snapshot,
    replicas: &'a [ObservedReplica],
    at: Moment,
    deployments: Vec<Deployment>,
    environments: Vec<Environment>,
    promotions: Vec<Promotion>,
    events: Vec<PlannedEvent>,
    memory: Memory,
    look_at: Option<i64>,
    sample_at: Option<i64>,
    stop: Vec<Stop>,
    forget: Vec<ReplicaId>,
    reloads: Vec<Reload>,
    /// Requests that came since the last look, ended ones included, where any came; of those that were known then.
    arrived: BTreeMap<DeploymentId, u64>,
    /// Replicas each deployment must have for the sake of a promotion.
    floors: BTreeMap<DeploymentId, u32>,
    /// Replicas of the sides of a rolling promotion, which are scaled together.
    pinned: BTreeMap<DeploymentId, u32>,
}

/// Decides what should follow for one model.
pub fn plan(seen: &Snapshot, memory: &Memory, at: Moment) -> Plan {
    let Seen::Known(replicas) = &seen.replicas else {
        return wait_and_see(seen, memory, at);
    };
    let mut work = Work::begin(seen, replicas, memory, at);
    work.count_arrivals();
    work.forget_the_gone();
    work.end_what_was_asked();
    work.follow_changes();
    work.follow_lifecycles();
    work.give_production_to_the_first();
    work.move_promotions();
    work.autoscale();
    let start = work.adjust_replicas();
    let tell = work.told_of_their_environment();
    let routes = work.routes();
    let builds = work.builds();
    let purge = work.purgeable();
    work.memory.looked = true;
    Plan {
        deployments: changed(&work.deployments, &seen.deployments),
        environments: changed(&work.environments, &seen.environments),
        promotions: changed(&work.promotions, &seen.promotions),
        events: work.events,
        builds,
        start,
        reload: work.reloads,
        tell,
        routes,
        stop: work.stop,
        forget: work.forget,
        purge,
        look_at: work.look_at,
        sample_at: work.sample_at,
        memory: work.memory,
    }
}

/// The table that follows from what is stored and what is ready, for as long as nothing can be written down: nothing moves, and
/// whoever is ready answers. `None` if that is not known.
pub fn routes_as_stored(seen: &Snapshot, memory: &Memory, at: Moment) -> Option<ModelRoutes> {
    let Seen::Known(replicas) = &seen.replicas else { return None };
    let mut work = Work::begin(seen, replicas, memory, at);
    work.end_what_was_asked();
    let routes = work.routes();
    // What was asked for since is not done.
    let generation = seen.published.as_ref().map_or(0, |routes| routes.generation);
    Some(ModelRoutes { generation, ..routes })
}

/// The answer to not knowing: nothing changes, and nothing of the time until now counts for a rollout.
fn wait_and_see(seen: &Snapshot, memory: &Memory, at: Moment) -> Plan {
    let mut memory = memory.clone();
    for counting in memory.counting.values_mut() {
        counting.running = false;
        counting.counted_at = at.monotonic;
    }
    let routes = seen.published.clone().unwrap_or_else(|| ModelRoutes {
        model: seen.model.id.clone(),
        name: seen.model.name.clone(),
        generation: 0,
        environments: Vec::new(),
        deployments: Vec::new(),
        development: None,
    });
    Plan {
        deployments: Vec::new(),
        environments: Vec::new(),
        promotions: Vec::new(),
        events: Vec::new(),
        builds: Vec::new(),
        start: Vec::new(),
        reload: Vec::new(),
        tell: Vec::new(),
        routes,
        stop: Vec::new(),
        forget: Vec::new(),
        purge: Vec::new(),
        look_at: Some(at.monotonic + 500),
        sample_at: None,
        memory,
    }
}

fn changed<T: PartialEq + Clone>(now: &[T], before: &[T]) -> Vec<T> {
    now.iter().zip(before).filter(|(now, before)| now != before).map(|(now, _)| now.clone()).collect()
}

impl<'a> Work<'a> {
    fn begin(seen: &'a Snapshot, replicas: &'a [ObservedReplica], memory: &Memory, at: Moment) -> Self {
        Self {
            seen,
            replicas,
            at,
            deployments: seen.deployments.clone(),
            environments: seen.environments.clone(),
            promotions: seen.promotions.clone(),
            events: Vec::new(),
            memory: memory.clone(),
            look_at: None,
            sample_at: None,
            stop: Vec::new(),
            forget: Vec::new(),
            reloads: Vec::new(),
            arrived: BTreeMap::new(),
            floors: BTreeMap::new(),
            pinned: BTreeMap::new(),
        }
    }
}

impl Work<'_> {
    fn look_by(&mut self, monotonic: i64) {
        self.look_at = Some(self.look_at.map_or(monotonic, |at| at.min(monotonic)));
    }

    /// Asks for a look if something comes until then.
    fn sample_by(&mut self, monotonic: i64) {
        self.sample_at = Some(self.sample_at.map_or(monotonic, |at| at.min(monotonic)));
    }

    /// Asks for a look at a wall-clock moment.
    fn look_when(&mut self, when: Timestamp) {
        let wait = when.since(self.at.now).max(0);
        self.look_by(self.at.monotonic + wait);
    }

    fn deployment(&self, id: &DeploymentId) -> Option<&Deployment> {
        self.deployments.iter().find(|deployment| &deployment.id == id)
    }

    fn deployment_mut(&mut self, id: &DeploymentId) -> Option<&mut Deployment> {
        self.deployments.iter_mut().find(|deployment| &deployment.id == id)
    }

    /// Sets how many replicas a deployment should have, for another reason than its load.
    fn retarget(&mut self, id: &DeploymentId, target: u32, cause: ScaleCause) {
        let Some(deployment) = self.deployment_mut(id) else { return };
        let before = std::mem::replace(&mut deployment.target, target);
        self.explain(id, before, cause);
    }

    /// Records why a deployment should have another number of replicas than `before`; nothing if it should not.
    fn explain(&mut self, id: &DeploymentId, before: u32, cause: ScaleCause) {
        let Some(deployment) = self.deployment(id) else { return };
        let Some(change) = ScaleChange::between(before, deployment.target, cause) else { return };
        let sentence = change.sentence(&deployment.name);
        self.record(EventKind::ScalingDecision, Some(id), None, sentence, change.data());
    }

    fn name_of(&self, id: &DeploymentId) -> String {
        self.deployment(id).map_or_else(|| id.to_string(), |deployment| deployment.name.to_string())
    }

    fn environment_mut(&mut self, name: &EnvironmentName) -> Option<&mut Environment> {
        self.environments.iter_mut().find(|environment| &environment.name == name)
    }

    /// Replicas of a deployment that may get requests: ready and not on their way out. Those with former code only as
    /// long as none with the present code is ready.
    fn ready(&self, id: &DeploymentId) -> u32 {
        self.ready_replicas(id).count() as u32
    }

    fn ready_replicas<'b>(&'b self, id: &'b DeploymentId) -> impl Iterator<Item = &'b ObservedReplica> {
        let able = move |replica: &&'b ObservedReplica| {
            &replica.deployment == id
                && replica.is_ready()
                && !self.memory.draining.contains_key(&replica.id)
                && !self.memory.stopping.contains(&replica.id)
        };
        let artifact = self.deployment(id).map(|deployment| &deployment.artifact);
        let fresh = move |replica: &ObservedReplica| artifact.is_none_or(|artifact| replica.runs(artifact));
        let any = self.replicas.iter().filter(able).any(fresh);
        self.replicas.iter().filter(able).filter(move |replica| !any || fresh(replica))
    }

    fn record(
        &mut self,
        kind: EventKind,
        deployment: Option<&DeploymentId>,
        environment: Option<&EnvironmentName>,
        sentence: String,
        data: serde_json::Value,
    ) {
        self.events.push(PlannedEvent {
            kind,
            deployment: deployment.cloned(),
            environment: environment.cloned(),
            sentence,
            data,
        });
    }
}

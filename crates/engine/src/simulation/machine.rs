//! A machine that follows a script on simulated time, in place of real processes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::{
    ArtifactId, BuildFailure, BuildSpec, Clock, Deployment, DeploymentId, EnvironmentName, Holding, LogFound,
    LogNews, LogQuery, ManualClock, ModelId, ObservedReplica, ReplicaId, ReplicaSpec, ReplicaState, Reserved,
    Runtime, RuntimeError, Seen, StopReason, StorageUse, Timestamp, Wake,
};
use tokio::sync::Notify;

use crate::Wakes;

/// How a deployment's build and replicas behave.
#[derive(Debug, Clone, Default)]
pub struct Script {
    pub build_fails: Option<String>,
    /// Its build panics at its end.
    pub build_panics: bool,
    /// Its build takes until it is let go.
    pub build_is_held: bool,
    /// From start to ready; half of it the process does not listen yet.
    pub ready_after_ms: i64,
    /// Each process ends with this reason instead of becoming ready.
    pub load_fails: Option<String>,
    pub never_ready: bool,
    /// It is the development deployment.
    pub development: bool,
    /// Each process ends by itself so long after it became ready.
    pub crash_after_ms: Option<i64>,
    /// What the deployment was given of the machine, for each process.
    pub needs: Reserved,
    /// Each so many answers one is an error; 0 for none.
    pub fails_every: u64,
}

/// What a stopping process takes to finish.
const STOP_TAKES: i64 = 200;

struct Process {
    seen: ObservedReplica,
    reserved: Reserved,
    /// When it ends after having been told to stop.
    ends_at: Option<Timestamp>,
}

#[derive(Default)]
struct State {
    scripts: BTreeMap<DeploymentId, Script>,
    down: BTreeMap<DeploymentId, bool>,
    /// Code that does not load, and why.
    broken: BTreeMap<ArtifactId, String>,
    /// Code that can't even be started, and why.
    refused: BTreeMap<ArtifactId, String>,
    processes: BTreeMap<ReplicaId, Process>,
    /// What is being built, in the order in which that began.
    building: Vec<DeploymentId>,
    blind: bool,
    next_port: u16,
}

/// Implements [`Runtime`] from scripts.
pub struct Machine {
    clock: Arc<ManualClock>,
    wakes: Arc<Wakes>,
    state: Mutex<State>,
    /// A build that was held is let go.
    goes: Notify,
}

impl Machine {
    pub fn new(clock: Arc<ManualClock>, wakes: Arc<Wakes>) -> Self {
        Self { clock, wakes, state: Mutex::default(), goes: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn script(&self, deployment: &DeploymentId, script: Script) {
        self.state().scripts.insert(deployment.clone(), script);
    }

    /// What a replica runs.
    pub fn code_of(&self, replica: &ReplicaId) -> Option<ArtifactId> {
        self.state().processes.get(replica)?.seen.artifact.clone()
    }

    /// Deployments that are being built, in the order in which that began.
    pub fn building(&self) -> Vec<DeploymentId> {
        self.state().building.clone()
    }

    /// Lets a build come to its end that was held.
    pub fn let_go(&self, deployment: &DeploymentId) {
        if let Some(script) = self.state().scripts.get_mut(deployment) {
            script.build_is_held = false;
        }
        self.goes.notify_waiters();
    }

    /// Code that fails to load wherever it is started.
    pub fn breaks(&self, artifact: &ArtifactId, reason: &str) {
        self.state().broken.insert(artifact.clone(), reason.to_owned());
    }

    /// Code that no process can be started from.
    pub fn refuses(&self, artifact: &ArtifactId, reason: &str) {
        self.state().refused.insert(artifact.clone(), reason.to_owned());
    }

    /// While blind, nothing can be said about replicas.
    pub fn blind(&self, blind: bool) {
        let mut state = self.state();
        state.blind = blind;
        for process in state.processes.values() {
            self.wakes.wake(&process.seen.model);
        }
    }

    /// Kills one ready replica of a deployment, if it has one.
    pub fn crash(&self, deployment: &DeploymentId) {
        let mut state = self.state();
        let victim = state
            .processes
            .values_mut()
            .find(|process| &process.seen.deployment == deployment && process.seen.is_ready());
        if let Some(process) = victim {
            process.exit("its process was killed by signal 9");
            self.wakes.wake(&process.seen.model);
        }
    }

    /// One ready replica of a deployment, if it has one.
    pub fn ready_one(&self, deployment: &DeploymentId) -> Option<ReplicaId> {
        let state = self.state();
        let mut ready = state.processes.values().map(|process| &process.seen);
        ready.find(|seen| &seen.deployment == deployment && seen.is_ready()).map(|seen| seen.id.clone())
    }

    /// Kills all replicas of a deployment and keeps new ones from becoming ready, or lets them again.
    pub fn set_down(&self, deployment: &DeploymentId, down: bool) {
        let mut state = self.state();
        state.down.insert(deployment.clone(), down);
        if !down {
            return;
        }
        for process in state.processes.values_mut() {
            if &process.seen.deployment == deployment && process.seen.is_alive() {
                process.exit("its process was killed by signal 9");
                self.wakes.wake(&process.seen.model);
            }
        }
    }

    /// Every process ends, and nobody hears of it.
    pub fn reboot(&self) {
        self.state().processes.clear();
    }

    /// When something changes by itself next.
    pub fn due(&self) -> Option<i64> {
        let state = self.state();
        state.processes.values().filter_map(|process| state.next_change(process)).map(Timestamp::millis).min()
    }

    /// Brings every process to where it is by now.
    pub fn advance(&self) {
        let now = self.clock.now();
        let mut state = self.state();
        let due: Vec<ReplicaId> = state
            .processes
            .iter()
            .filter(|(_, process)| state.next_change(process).is_some_and(|at| at <= now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            let Some(process) = state.processes.get(&id) else { continue };
            let mut script = state.scripts.get(&process.seen.deployment).cloned().unwrap_or_default();
            let broken = process.seen.artifact.as_ref().and_then(|artifact| state.broken.get(artifact));
            script.load_fails = broken.cloned().or(script.load_fails);
            let down = state.down.get(&process.seen.deployment).copied().unwrap_or(false);
            let Some(process) = state.processes.get_mut(&id) else { continue };
            process.go_on(&script, down, now);
            self.wakes.wake(&process.seen.model);
        }
    }
}

impl State {
    fn next_change(&self, process: &Process) -> Option<Timestamp> {
        let script = self.scripts.get(&process.seen.deployment)?;
        let started = process.seen.started_at;
        match process.seen.state {
            ReplicaState::Starting => Some(started.plus(script.ready_after_ms / 2)),
            ReplicaState::Loading => (!script.never_ready).then(|| started.plus(script.ready_after_ms)),
            ReplicaState::Ready => {
                script.crash_after_ms.zip(process.seen.ready_at).map(|(ms, at)| at.plus(ms))
            }
            ReplicaState::Stopping => process.ends_at,
            ReplicaState::Unready | ReplicaState::Exited { .. } => None,
        }
    }
}

impl Process {
    fn exit(&mut self, reason: &str) {
        self.seen.state = ReplicaState::Exited { code: Some(1), signal: None, reason: reason.to_owned() };
    }

    fn go_on(&mut self, script: &Script, down: bool, now: Timestamp) {
        match self.seen.state {
            ReplicaState::Starting => {
                self.seen.state = ReplicaState::Loading;
                self.seen.spawned_at = Some(now);
            }
            ReplicaState::Loading if down => self.exit("its process was killed by signal 9"),
            ReplicaState::Loading => match &script.load_fails {
                Some(reason) => self.exit(reason),
                None => {
                    self.seen.state = ReplicaState::Ready;
                    self.seen.loaded_at = Some(now);
                    self.seen.ready_at = Some(now);
                }
            },
            ReplicaState::Ready => self.exit("its process ended by itself"),
            ReplicaState::Stopping => self.exit("stopped"),
            ReplicaState::Unready | ReplicaState::Exited { .. } => {}
        }
    }
}

/// Names what is being built, as long as it is.
struct Building<'a> {
    machine: &'a Machine,
    deployment: DeploymentId,
}

impl<'a> Building<'a> {
    fn begin(machine: &'a Machine, deployment: &DeploymentId) -> Self {
        machine.state().building.push(deployment.clone());
        Self { machine, deployment: deployment.clone() }
    }
}

impl Drop for Building<'_> {
    fn drop(&mut self) {
        let mut state = self.machine.state();
        if let Some(index) = state.building.iter().position(|id| id == &self.deployment) {
            state.building.remove(index);
        }
    }
}

#[async_trait]
impl Runtime for Machine {
    async fn build(
        &self,
        spec: &BuildSpec,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), BuildFailure> {
        let _building = Building::begin(self, &spec.deployment);
        progress("installing requirements".into());
        loop {
            let goes = self.goes.notified();
            let script = self.state().scripts.get(&spec.deployment).cloned().unwrap_or_default();
            if !script.build_is_held {
                assert!(!script.build_panics, "the script says so");
                return script.build_fails.map_or(Ok(()), |reason| Err(BuildFailure { reason }));
            }
            goes.await;
        }
    }

    async fn start(&self, spec: &ReplicaSpec) -> Result<(), RuntimeError> {
        let now = self.clock.now();
        let mut state = self.state();
        if let Some(reason) = state.refused.get(&spec.artifact) {
            return Err(RuntimeError::Refused(reason.clone()));
        }
        state.next_port = state.next_port.wrapping_add(1);
        let port = 20_000 + state.next_port % 10_000;
        let seen = ObservedReplica {
            id: spec.id.clone(),
            model: spec.model.clone(),
            deployment: spec.deployment.clone(),
            state: ReplicaState::Starting,
            port,
            pid: None,
            started_at: now,
            spawned_at: None,
            loaded_at: None,
            ready_at: None,
            unready_since: None,
            artifact: Some(spec.artifact.clone()),
            refused: None,
            environment: spec.environment.clone(),
        };
        state.processes.entry(spec.id.clone()).or_insert(Process {
            seen,
            reserved: spec.reserved,
            ends_at: None,
        });
        Ok(())
    }

    async fn reload(&self, replica: &ReplicaId, artifact: &ArtifactId) {
        let mut state = self.state();
        let broken = state.broken.get(artifact).cloned();
        if let Some(process) = state.processes.get_mut(replica) {
            match broken {
                Some(reason) => process.seen.refused = Some((artifact.clone(), reason)),
                None => process.seen.artifact = Some(artifact.clone()),
            }
            self.wakes.wake(&process.seen.model);
        }
    }

    async fn tell(
        &self,
        replica: &ReplicaId,
        environment: Option<&EnvironmentName>,
    ) -> Result<(), RuntimeError> {
        if let Some(process) = self.state().processes.get_mut(replica) {
            process.seen.environment = environment.cloned();
        }
        Ok(())
    }

    async fn stop(&self, replica: &ReplicaId, _grace: Duration, _reason: StopReason) {
        let now = self.clock.now();
        if let Some(process) = self.state().processes.get_mut(replica)
            && process.seen.is_alive()
        {
            process.seen.state = ReplicaState::Stopping;
            process.ends_at = Some(now.plus(STOP_TAKES));
        }
    }

    fn observe(&self, model: &ModelId) -> Seen<Vec<ObservedReplica>> {
        let state = self.state();
        if state.blind {
            return Seen::Unknown;
        }
        let of_model = state.processes.values().filter(|process| &process.seen.model == model);
        Seen::Known(of_model.map(|process| process.seen.clone()).collect())
    }

    fn held(&self) -> Seen<Vec<Holding>> {
        let state = self.state();
        if state.blind {
            return Seen::Unknown;
        }
        let alive = state.processes.values().filter(|process| process.seen.is_alive());
        Seen::Known(
            alive
                .map(|process| Holding {
                    deployment: process.seen.deployment.clone(),
                    reserved: process.reserved,
                })
                .collect(),
        )
    }

    async fn forget(&self, replica: &ReplicaId) {
        self.state().processes.remove(replica);
    }

    async fn purge(&self, _: &DeploymentId) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn discard(&self, _: &ArtifactId) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn logs(&self, _: &DeploymentId, _: &LogQuery) -> Result<LogFound, RuntimeError> {
        Ok(LogFound::default())
    }

    async fn follow(&self, _: &DeploymentId, _: &LogQuery) -> Result<LogNews, RuntimeError> {
        std::future::pending().await
    }

    async fn note(&self, _: &DeploymentId, _: &str) {}

    async fn last_words(&self, _: &DeploymentId, _: usize) -> Vec<String> {
        Vec::new()
    }

    async fn storage(&self, _: &Deployment) -> StorageUse {
        StorageUse::default()
    }
}

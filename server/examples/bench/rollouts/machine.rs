//! A pretended machine: its replicas are ready at once, and one tiny server answers for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use domain::{
    ArtifactId, BuildFailure, BuildSpec, Deployment, DeploymentId, EnvironmentName, Holding, LogFound,
    LogNews, LogQuery, MIB, ModelId, ObservedReplica, ReplicaId, ReplicaSample, ReplicaSpec, ReplicaState,
    Reserved, Runtime, RuntimeError, Seen, StopReason, StorageUse, Timestamp, Wake,
};
use engine::Wakes;
use tokio::net::TcpListener;

use crate::world::micros;

/// How long adopted replicas have been ready, in milliseconds.
const ADOPTED_AGE: i64 = 3_600_000;

/// Starts the server that answers for all replicas; returns its port.
pub async fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = Router::new().fallback(|| async { "{}" });
    tokio::spawn(async move { axum::serve(listener, app).await });
    port
}

pub struct Machine {
    wakes: Arc<Wakes>,
    port: u16,
    replicas: Mutex<BTreeMap<ReplicaId, ObservedReplica>>,
    /// How often a model was looked at: each look asks once for its replicas, and so does the meter once a minute.
    looks: Arc<AtomicU64>,
}

impl Machine {
    /// A machine on which these replicas run already, as after a server that was killed.
    pub fn new(wakes: Arc<Wakes>, port: u16, adopted: &[ReplicaSpec], looks: Arc<AtomicU64>) -> Arc<Self> {
        let since = now().plus(-ADOPTED_AGE);
        let replicas = adopted.iter().map(|spec| (spec.id.clone(), ready(spec, port, since))).collect();
        Arc::new(Self { wakes, port, replicas: Mutex::new(replicas), looks })
    }

    fn replicas(&self) -> MutexGuard<'_, BTreeMap<ReplicaId, ObservedReplica>> {
        self.replicas.lock().unwrap()
    }
}

fn now() -> Timestamp {
    Timestamp::from_millis(micros() / 1_000)
}

fn ready(spec: &ReplicaSpec, port: u16, since: Timestamp) -> ObservedReplica {
    ObservedReplica {
        id: spec.id.clone(),
        model: spec.model.clone(),
        deployment: spec.deployment.clone(),
        state: ReplicaState::Ready,
        port,
        pid: None,
        started_at: since,
        spawned_at: Some(since),
        loaded_at: Some(since),
        ready_at: Some(since),
        unready_since: None,
        artifact: Some(spec.artifact.clone()),
        refused: None,
        environment: spec.environment.clone(),
    }
}

#[async_trait]
impl Runtime for Machine {
    async fn build(&self, _: &BuildSpec, _: &(dyn Fn(String) + Send + Sync)) -> Result<(), BuildFailure> {
        Ok(())
    }

    async fn start(&self, spec: &ReplicaSpec) -> Result<(), RuntimeError> {
        self.replicas().insert(spec.id.clone(), ready(spec, self.port, now()));
        self.wakes.wake(&spec.model);
        Ok(())
    }

    async fn reload(&self, replica: &ReplicaId, artifact: &ArtifactId) {
        if let Some(seen) = self.replicas().get_mut(replica) {
            seen.artifact = Some(artifact.clone());
            self.wakes.wake(&seen.model);
        }
    }

    async fn tell(
        &self,
        replica: &ReplicaId,
        environment: Option<&EnvironmentName>,
    ) -> Result<(), RuntimeError> {
        if let Some(seen) = self.replicas().get_mut(replica) {
            seen.environment = environment.cloned();
        }
        Ok(())
    }

    async fn stop(&self, replica: &ReplicaId, _: Duration, _: StopReason) {
        if let Some(seen) = self.replicas().get_mut(replica) {
            seen.state = ReplicaState::Exited { code: Some(0), signal: None, reason: "stopped".into() };
            self.wakes.wake(&seen.model);
        }
    }

    fn observe(&self, model: &ModelId) -> Seen<Vec<ObservedReplica>> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let replicas = self.replicas();
        Seen::Known(replicas.values().filter(|seen| &seen.model == model).cloned().collect())
    }

    fn held(&self) -> Seen<Vec<Holding>> {
        let replicas = self.replicas();
        let holding = |seen: &ObservedReplica| Holding {
            deployment: seen.deployment.clone(),
            reserved: Reserved::default(),
        };
        Seen::Known(replicas.values().filter(|seen| seen.is_alive()).map(holding).collect())
    }

    async fn forget(&self, replica: &ReplicaId) {
        self.replicas().remove(replica);
    }

    async fn purge(&self, _: &DeploymentId) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn discard(&self, _: &ArtifactId) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn logs(&self, _: &DeploymentId, _: &LogQuery) -> Result<LogFound, RuntimeError> {
        Ok(LogFound { lines: Vec::new(), searched_to: None })
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

    /// Processes that have 64 MiB each and do nothing.
    async fn samples(&self, without_memory: BTreeSet<ReplicaId>) -> Vec<ReplicaSample> {
        let replicas = self.replicas();
        let sample = |seen: &ObservedReplica| ReplicaSample {
            model: seen.model.clone(),
            deployment: seen.deployment.clone(),
            replica: seen.id.clone(),
            cpu_ms: 5_000,
            memory: (!without_memory.contains(&seen.id)).then_some(64 * MIB),
        };
        replicas.values().filter(|seen| seen.is_alive()).map(sample).collect()
    }
}

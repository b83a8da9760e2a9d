//! A machine whose models start at once: each replica is a small server inside the test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::routing::{any, get};
use domain::{
    ArtifactId, BuildFailure, BuildSpec, Clock, Deployment, DeploymentId, EnvironmentName, EnvironmentUse,
    ExternalUse, Holding, LogFound, LogLine, LogNews, LogQuery, LogSource, ModelId, ObservedReplica,
    ReplicaId, ReplicaSample, ReplicaSpec, ReplicaState, Reserved, Runtime, RuntimeError, Seen, StopReason,
    StorageUse, Timestamp, Wake,
};
use tokio::task::AbortHandle;

/// How long a replica loads that is slow.
const SLOW: Duration = Duration::from_secs(4);
/// What a replica writes whose model can't be loaded.
const FELL_OVER: &str = "Traceback (most recent call last):\nRuntimeError: it fell over";

/// Builds succeed at once, except of configurations whose description says `broken`. Those that are
/// described as `mortal` never start, those that are `slow` take their time to load, and `doomed` ones to fail.
pub struct Machine {
    wakes: Arc<engine::Wakes>,
    replicas: Arc<Mutex<BTreeMap<ReplicaId, (ObservedReplica, AbortHandle)>>>,
    reserved: Mutex<BTreeMap<ReplicaId, Reserved>>,
    lines: Arc<Lines>,
    looks: AtomicU64,
    /// Where pushed code is.
    artifacts: PathBuf,
}

/// The logs of all deployments.
#[derive(Default)]
struct Lines {
    all: Mutex<BTreeMap<DeploymentId, Vec<LogLine>>>,
    written: tokio::sync::Notify,
}

impl Lines {
    fn write(&self, deployment: &DeploymentId, source: LogSource, message: &str) {
        self.write_of(deployment, source, None, message);
    }

    /// A line that a replica wrote, if it is named.
    fn write_of(
        &self,
        deployment: &DeploymentId,
        source: LogSource,
        replica: Option<&ReplicaId>,
        message: &str,
    ) {
        let mut all = self.all.lock().unwrap();
        let now = server::clock::SystemClock::new().now().millis() * 1_000_000;
        let lines = all.entry(deployment.clone()).or_default();
        let nanos = lines.last().map_or(now, |line: &LogLine| now.max(line.nanos + 1));
        let level = Some(domain::LogLevel::Info);
        lines.push(LogLine {
            nanos,
            message: message.into(),
            level,
            source,
            replica: replica.cloned(),
            request_id: None,
        });
        drop(all);
        self.written.notify_waiters();
    }
}

impl Machine {
    pub fn new(wakes: Arc<engine::Wakes>, artifacts: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            wakes,
            replicas: Arc::default(),
            reserved: Mutex::default(),
            lines: Arc::default(),
            looks: AtomicU64::default(),
            artifacts,
        })
    }
}

#[async_trait]
impl Runtime for Machine {
    async fn build(
        &self,
        spec: &BuildSpec,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), BuildFailure> {
        progress("installing nothing".into());
        self.lines.write(&spec.deployment, LogSource::Build, "built");
        if spec.config["description"].as_str() == Some("broken") {
            return Err(BuildFailure { reason: "the description says so".into() });
        }
        Ok(())
    }

    async fn start(&self, spec: &ReplicaSpec) -> Result<(), RuntimeError> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let id = spec.id.to_string();
        let secrets: BTreeMap<String, String> =
            spec.secrets.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
        let (lines, deployment, speaker) = (self.lines.clone(), spec.deployment.clone(), spec.id.clone());
        let (replicas, wakes) = (self.replicas.clone(), self.wakes.clone());
        let answer = move |body: String| async move {
            // A model that prints, answers and dies as it is told to.
            let input: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
            if input["die"] == true
                && let Some((observed, _)) = replicas.lock().unwrap().get_mut(&speaker)
            {
                let reason = "it was told to".into();
                observed.state = ReplicaState::Exited { code: Some(1), signal: None, reason };
                wakes.wake(&observed.model);
            }
            if let Some(said) = input["say"].as_str() {
                lines.write_of(&deployment, LogSource::Replica, Some(&speaker), said);
            }
            let status = input["answer_with"].as_u64().unwrap_or(200);
            let status = http::StatusCode::from_u16(status.try_into().unwrap()).unwrap();
            (status, axum::Json(serde_json::json!({ "replica": id, "input": body, "secrets": secrets })))
        };
        let app = Router::new()
            .route("/", get(|| async { "true" }))
            .route("/v1/models/model", get(|| async { "{}" }))
            .fallback(any(answer));
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, app).await;
        });
        // Up from now on, and ready for so long that its deployment has proven itself.
        let (now, long_ago) = (server::clock::SystemClock::new().now(), Timestamp::from_millis(1));
        let described = spec.config["description"].as_str().unwrap_or_default();
        let (state, is_ready) = match described {
            "mortal" => {
                self.lines.write_of(&spec.deployment, LogSource::Replica, Some(&spec.id), FELL_OVER);
                let reason = "it fell over".into();
                (ReplicaState::Exited { code: Some(1), signal: None, reason }, false)
            }
            "slow" | "doomed" => (ReplicaState::Loading, false),
            _ => (ReplicaState::Ready, true),
        };
        let observed = ObservedReplica {
            id: spec.id.clone(),
            model: spec.model.clone(),
            deployment: spec.deployment.clone(),
            state,
            port,
            pid: None,
            started_at: now,
            spawned_at: None,
            loaded_at: None,
            ready_at: is_ready.then_some(long_ago),
            unready_since: None,
            artifact: Some(spec.artifact.clone()),
            refused: None,
            environment: spec.environment.clone(),
        };
        self.reserved.lock().unwrap().insert(spec.id.clone(), spec.reserved);
        self.replicas.lock().unwrap().insert(spec.id.clone(), (observed, task.abort_handle()));
        self.wakes.wake(&spec.model);
        if matches!(described, "slow" | "doomed") {
            let (replicas, wakes, id) = (self.replicas.clone(), self.wakes.clone(), spec.id.clone());
            let (lines, deployment, fails) =
                (self.lines.clone(), spec.deployment.clone(), described == "doomed");
            tokio::spawn(async move {
                tokio::time::sleep(SLOW).await;
                if fails {
                    lines.write_of(&deployment, LogSource::Replica, Some(&id), FELL_OVER);
                }
                if let Some((observed, _)) = replicas.lock().unwrap().get_mut(&id)
                    && observed.state == ReplicaState::Loading
                {
                    if fails {
                        let reason = "it fell over".into();
                        observed.state = ReplicaState::Exited { code: Some(1), signal: None, reason };
                    } else {
                        (observed.state, observed.ready_at) = (ReplicaState::Ready, Some(long_ago));
                    }
                    wakes.wake(&observed.model);
                }
            });
        }
        Ok(())
    }

    async fn reload(&self, replica: &ReplicaId, artifact: &ArtifactId) {
        if let Some((observed, _)) = self.replicas.lock().unwrap().get_mut(replica) {
            observed.artifact = Some(artifact.clone());
            self.wakes.wake(&observed.model);
        }
    }

    async fn tell(
        &self,
        replica: &ReplicaId,
        environment: Option<&EnvironmentName>,
    ) -> Result<(), RuntimeError> {
        if let Some((observed, _)) = self.replicas.lock().unwrap().get_mut(replica) {
            observed.environment = environment.cloned();
        }
        Ok(())
    }

    async fn stop(&self, replica: &ReplicaId, _: Duration, _: StopReason) {
        if let Some((observed, task)) = self.replicas.lock().unwrap().get_mut(replica) {
            task.abort();
            observed.state = ReplicaState::Exited { code: Some(0), signal: None, reason: "stopped".into() };
            self.wakes.wake(&observed.model);
        }
    }

    fn observe(&self, model: &ModelId) -> Seen<Vec<ObservedReplica>> {
        let replicas = self.replicas.lock().unwrap();
        Seen::Known(
            replicas.values().map(|(seen, _)| seen.clone()).filter(|seen| &seen.model == model).collect(),
        )
    }

    fn held(&self) -> Seen<Vec<Holding>> {
        let (replicas, reserved) = (self.replicas.lock().unwrap(), self.reserved.lock().unwrap());
        let alive = replicas.values().filter(|(seen, _)| seen.is_alive());
        Seen::Known(
            alive
                .map(|(seen, _)| Holding {
                    deployment: seen.deployment.clone(),
                    reserved: reserved[&seen.id],
                })
                .collect(),
        )
    }

    async fn forget(&self, replica: &ReplicaId) {
        self.replicas.lock().unwrap().remove(replica);
    }

    async fn purge(&self, deployment: &DeploymentId) -> Result<(), RuntimeError> {
        self.lines.all.lock().unwrap().remove(deployment);
        Ok(())
    }

    async fn discard(&self, artifact: &ArtifactId) -> Result<(), RuntimeError> {
        // Gone already is fine.
        let _ = std::fs::remove_dir_all(self.artifacts.join(artifact.as_str()));
        Ok(())
    }

    async fn logs(&self, deployment: &DeploymentId, query: &LogQuery) -> Result<LogFound, RuntimeError> {
        let all = self.lines.all.lock().unwrap();
        let mut lines: Vec<LogLine> = all.get(deployment).cloned().unwrap_or_default();
        lines.retain(|line| query.after_nanos.is_none_or(|after| line.nanos > after));
        lines.retain(|line| query.before_nanos.is_none_or(|before| line.nanos < before));
        lines.retain(|line| query.component.is_none_or(|component| line.source == component));
        lines.retain(|line| {
            let replica = line.replica.as_ref().map(ReplicaId::as_str);
            query.replica.is_none() || query.replica.as_deref() == replica
        });
        lines.retain(|line| query.includes.iter().all(|text| line.message.contains(text)));
        if !query.ascending {
            lines.reverse();
        }
        lines.truncate(query.limit);
        Ok(LogFound { lines, searched_to: None })
    }

    async fn follow(&self, deployment: &DeploymentId, query: &LogQuery) -> Result<LogNews, RuntimeError> {
        let query = LogQuery { ascending: true, ..query.clone() };
        loop {
            let written = self.lines.written.notified();
            let lines = self.logs(deployment, &query).await?.lines;
            if let Some(last) = lines.last() {
                return Ok(LogNews { read_to: last.nanos, lines, ..LogNews::default() });
            }
            written.await;
        }
    }

    async fn note(&self, deployment: &DeploymentId, line: &str) {
        self.lines.write(deployment, LogSource::Platform, line);
    }

    async fn last_words(&self, _: &DeploymentId, _: usize) -> Vec<String> {
        Vec::new()
    }

    /// Each replica has kept half a core busy since the look before, and has 64 MiB.
    async fn samples(&self, without_memory: BTreeSet<ReplicaId>) -> Vec<ReplicaSample> {
        let looks = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        let replicas = self.replicas.lock().unwrap();
        let alive = replicas.values().map(|(seen, _)| seen).filter(|seen| seen.is_alive());
        let sample = |seen: &ObservedReplica| ReplicaSample {
            model: seen.model.clone(),
            deployment: seen.deployment.clone(),
            replica: seen.id.clone(),
            cpu_ms: looks * 5_000,
            memory: (!without_memory.contains(&seen.id)).then_some(64 << 20),
        };
        alive.map(sample).collect()
    }

    /// Of those that are described as `vast` it takes for ever.
    async fn storage(&self, deployment: &Deployment) -> StorageUse {
        if deployment.config["description"].as_str() == Some("vast") {
            std::future::pending::<()>().await;
        }
        let environment = EnvironmentUse { key: "one for all".into(), bytes: 1000 };
        let logs = self.lines.all.lock().unwrap().get(&deployment.id).map_or(0, |lines| lines.len() as u64);
        let named = deployment.config["external_data"].as_array().map_or(&[][..], Vec::as_slice);
        let key = |item: &serde_json::Value| item["url"].as_str().unwrap_or_default().to_owned();
        let external = named.iter().map(|item| ExternalUse { key: key(item), bytes: 5000 }).collect();
        StorageUse { artifact: 100, logs, environment: Some(environment), external }
    }
}

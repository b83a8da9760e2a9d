use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{
    ArtifactId, BuildFailure, BuildSpec, Clock, DeploymentId, LogLevel, LogLine, LogQuery, LogSource,
    ModelId, ObservedReplica, ReplicaId, ReplicaSpec, ReplicaState, ReplicaUse, Runtime, RuntimeError, Seen,
    StopReason, StorageUse, Wake,
};
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::build::Builder;
use crate::files::{Files, size};
use crate::logs::Logs;
use crate::manifest::Manifest;
use crate::parse::Parsed;
use crate::probe::{Health, probe};
use crate::process::Identity;
use crate::registry::{Entry, Order, Registry};
use crate::reload::Reload;
use crate::spawn::spawn;
use crate::strays::stop_strays;
use crate::supervise::Supervisor;
use crate::tools::Tools;
use crate::usage::used_by;

/// What the driver needs.
pub struct LocalConfig {
    /// Absolute.
    pub data_dir: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub wake: Arc<dyn Wake>,
}

/// Runs replicas as processes of this machine.
pub struct LocalRuntime {
    files: Files,
    logs: Arc<Logs>,
    tools: Tools,
    registry: Registry,
    clock: Arc<dyn Clock>,
    wake: Arc<dyn Wake>,
}

impl LocalRuntime {
    /// Opens the data folder and adopts replicas that a former server left running and that are healthy.
    pub async fn open(config: LocalConfig) -> Result<Arc<Self>, RuntimeError> {
        let files = Files::new(&config.data_dir).map_err(|error| {
            RuntimeError::Refused(format!(
                "the data folder {} can't be used: {error}",
                config.data_dir.display()
            ))
        })?;
        let runtime = Arc::new(Self {
            logs: Arc::new(Logs::new(files.clone(), config.clock.clone())),
            tools: Tools::new(files.clone()),
            registry: Registry::default(),
            files,
            clock: config.clock,
            wake: config.wake,
        });
        runtime.adopt_all().await;
        Ok(runtime)
    }

    /// Replicas that this server did not start but found.
    pub fn adopted(&self) -> Vec<ObservedReplica> {
        self.registry.lock().replicas.values().map(|entry| entry.seen.clone()).collect()
    }

    /// Fetches `uv` and the Truss server code ahead of the first push.
    pub async fn prefetch(&self) -> Result<(), RuntimeError> {
        self.tools.wheel(&|_| {}).await.map(drop).map_err(RuntimeError::Retryable)
    }

    /// Stops every replica and waits for its end, or leaves them all to the next server.
    pub async fn shutdown(&self, keep_replicas: bool, grace: Duration) {
        let order =
            if keep_replicas { Order::Leave } else { Order::Stop { grace_ms: grace.as_millis() as u64 } };
        for entry in self.registry.lock().replicas.values() {
            entry.order.send_replace(order);
        }
        if keep_replicas {
            // One look at the output each is all that is left to do.
            tokio::time::sleep(Duration::from_millis(200)).await;
            return;
        }
        let end = tokio::time::Instant::now() + grace + Duration::from_secs(3);
        while tokio::time::Instant::now() < end {
            if !self.registry.lock().replicas.values().any(|entry| entry.seen.is_alive()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let ended: Vec<ReplicaId> = self.registry.lock().replicas.keys().cloned().collect();
        for id in ended {
            self.forget(&id).await;
        }
    }

    async fn adopt_all(self: &Arc<Self>) {
        let Ok(folders) = std::fs::read_dir(self.files.replicas()) else { return };
        let (mut kept, mut tokens, mut gone) = (JoinSet::new(), BTreeSet::new(), Vec::new());
        for folder in folders.flatten().map(|entry| entry.path()) {
            match Manifest::read(&folder) {
                Ok(manifest) if manifest.identity.is_alive() => {
                    tokens.insert(manifest.identity.token.clone());
                    kept.spawn(asked(manifest, folder));
                }
                // Ended, or never written down: nothing of it may be left.
                _ => gone.push(folder),
            }
        }
        let strays = stop_strays(&self.files.replicas(), &tokens).await;
        if strays > 0 {
            tracing::warn!(strays, "stopped processes that a former server had left");
        }
        for folder in gone {
            if let Err(error) = std::fs::remove_dir_all(&folder) {
                tracing::warn!(folder = %folder.display(), %error, "could not remove what a replica left");
            }
        }
        while let Some(asked) = kept.join_next().await {
            if let Ok((manifest, folder, health)) = asked {
                self.adopt(manifest, folder, health);
            }
        }
    }

    /// One that was ready and does not answer now may only be busy: it is watched like any other that is unready.
    fn adopt(&self, manifest: Manifest, folder: PathBuf, health: Health) {
        let state = match (health, manifest.ready_at) {
            (Health::Ready, Some(_)) => ReplicaState::Ready,
            (_, Some(_)) => ReplicaState::Unready,
            _ => ReplicaState::Loading,
        };
        let text = format!("replica {} was left running by a former server and is adopted", manifest.id);
        self.platform(&manifest.deployment, LogLevel::Info, &text);
        self.registry.lock().ports.mark(manifest.port);
        self.watch_over(manifest, folder, state, None);
    }

    /// Registers a running process and follows it to its end.
    fn watch_over(
        &self,
        manifest: Manifest,
        folder: PathBuf,
        state: ReplicaState,
        child: Option<tokio::process::Child>,
    ) {
        let (order, orders) = watch::channel(Order::Run);
        let seen = ObservedReplica {
            id: manifest.id.clone(),
            model: manifest.model.clone(),
            deployment: manifest.deployment.clone(),
            unready_since: (state == ReplicaState::Unready).then(|| self.clock.now()),
            state,
            port: manifest.port,
            pid: Some(manifest.identity.pid),
            started_at: manifest.started_at,
            spawned_at: manifest.spawned_at,
            loaded_at: manifest.loaded_at,
            ready_at: manifest.ready_at,
            artifact: manifest.artifact.clone(),
            refused: None,
        };
        let entry = Entry { seen, order };
        self.registry.lock().replicas.insert(manifest.id.clone(), entry);
        let supervisor = Supervisor {
            manifest,
            folder,
            registry: self.registry.clone(),
            logs: self.logs.clone(),
            clock: self.clock.clone(),
            wake: self.wake.clone(),
            orders,
            child,
        };
        tokio::spawn(supervisor.run());
    }

    fn platform(&self, deployment: &DeploymentId, level: LogLevel, text: &str) {
        self.logs.append(deployment, [Parsed::plain(LogSource::Platform, Some(level), text)]);
    }
}

/// Asks one that was ready how it is.
async fn asked(manifest: Manifest, folder: PathBuf) -> (Manifest, PathBuf, Health) {
    let health = match manifest.ready_at {
        Some(_) => probe(manifest.port, &manifest.endpoints.readiness, Duration::from_secs(2)).await,
        None => Health::NotReady,
    };
    (manifest, folder, health)
}

#[async_trait]
impl Runtime for LocalRuntime {
    async fn build(
        &self,
        spec: &BuildSpec,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), BuildFailure> {
        let builder = Builder { files: &self.files, logs: &self.logs, tools: &self.tools };
        builder.build(spec, progress).await
    }

    async fn start(&self, spec: &ReplicaSpec) -> Result<(), RuntimeError> {
        let port = {
            let mut state = self.registry.lock();
            if state.replicas.contains_key(&spec.id) {
                return Ok(());
            }
            state.ports.take()
        };
        let port =
            port.ok_or_else(|| RuntimeError::Retryable("every port from 20000 to 29999 is taken".into()))?;
        let token = format!("{}-{port}-{}", spec.id, self.clock.now().millis());
        let (files, copy, secret) = (self.files.clone(), spec.clone(), token.clone());
        let spawned = tokio::task::spawn_blocking({
            let handle = tokio::runtime::Handle::current();
            move || {
                let _entered = handle.enter();
                spawn(&files, &copy, port, &secret)
            }
        });
        let spawned = spawned.await.map_err(|error| RuntimeError::Retryable(error.to_string())).flatten();
        let folder = self.files.replica(&spec.id);
        let started = spawned.and_then(|spawned| {
            let pid = spawned.child.id().unwrap_or_default();
            let lost = |error: std::io::Error| {
                RuntimeError::Retryable(format!("its process ended at once: {error}"))
            };
            let identity = Identity::of(pid, &token).map_err(lost)?;
            let manifest = Manifest {
                id: spec.id.clone(),
                model: spec.model.clone(),
                deployment: spec.deployment.clone(),
                identity,
                port,
                started_at: self.clock.now(),
                spawned_at: None,
                loaded_at: None,
                ready_at: None,
                endpoints: spawned.endpoints,
                artifact: Some(spec.artifact.clone()),
            };
            if let Err(error) = manifest.write(&folder) {
                manifest.identity.signal(Signal::KILL);
                return Err(RuntimeError::Retryable(format!(
                    "its process could not be written down: {error}"
                )));
            }
            Ok((manifest, spawned.child))
        });
        match started {
            Ok((manifest, child)) => {
                self.platform(
                    &spec.deployment,
                    LogLevel::Info,
                    &format!("replica {} starts on port {port}", spec.id),
                );
                self.watch_over(manifest, folder, ReplicaState::Starting, Some(child));
                Ok(())
            }
            Err(error) => {
                self.registry.lock().ports.give_back(port);
                let _ = std::fs::remove_dir_all(&folder);
                Err(error)
            }
        }
    }

    async fn reload(&self, replica: &ReplicaId, artifact: &ArtifactId) {
        let Some(seen) = self.registry.lock().replicas.get(replica).map(|entry| entry.seen.clone()) else {
            return;
        };
        let reload = Reload {
            files: self.files.clone(),
            registry: self.registry.clone(),
            logs: self.logs.clone(),
            wake: self.wake.clone(),
            seen,
            artifact: artifact.clone(),
        };
        tokio::spawn(reload.run());
    }

    async fn stop(&self, replica: &ReplicaId, grace: Duration, reason: StopReason) {
        let mut deployment = None;
        self.registry.change(replica, |entry| {
            if entry.seen.is_alive() && *entry.order.borrow() == Order::Run {
                deployment = Some(entry.seen.deployment.clone());
                entry.seen.state = ReplicaState::Stopping;
                entry.order.send_replace(Order::Stop { grace_ms: grace.as_millis() as u64 });
            }
        });
        if let Some(deployment) = deployment {
            let text = format!("replica {replica} is told to stop: {}", reason.sentence());
            self.platform(&deployment, LogLevel::Info, &text);
        }
    }

    fn observe(&self, model: &ModelId) -> Seen<Vec<ObservedReplica>> {
        Seen::Known(self.registry.of_model(model))
    }

    async fn forget(&self, replica: &ReplicaId) {
        let mut state = self.registry.lock();
        if let Some(entry) = state.replicas.get(replica)
            && !entry.seen.is_alive()
        {
            let port = entry.seen.port;
            state.replicas.remove(replica);
            state.ports.give_back(port);
            drop(state);
            let _ = std::fs::remove_dir_all(self.files.replica(replica));
        }
    }

    async fn purge(&self, deployment: &DeploymentId) -> Result<(), RuntimeError> {
        self.logs.forget(deployment);
        match std::fs::remove_dir_all(self.files.logs(deployment)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(RuntimeError::Retryable(format!("its logs could not be removed: {error}")))
            }
            _ => Ok(()),
        }
    }

    async fn logs(&self, deployment: &DeploymentId, query: &LogQuery) -> Result<Vec<LogLine>, RuntimeError> {
        let (logs, deployment, query) = (self.logs.clone(), deployment.clone(), query.clone());
        tokio::task::spawn_blocking(move || logs.read(&deployment, &query).map_err(RuntimeError::Refused))
            .await
            .map_err(|error| RuntimeError::Retryable(error.to_string()))?
    }

    async fn note(&self, deployment: &DeploymentId, line: &str) {
        self.platform(deployment, LogLevel::Info, line);
    }

    async fn last_words(&self, deployment: &DeploymentId, lines: usize) -> Vec<String> {
        let (logs, deployment) = (self.logs.clone(), deployment.clone());
        let found = tokio::task::spawn_blocking(move || logs.last_of_replicas(&deployment, lines)).await;
        found.unwrap_or_default()
    }

    async fn storage(&self, deployment: &DeploymentId) -> StorageUse {
        StorageUse { artifact: 0, logs: size(&self.files.logs(deployment)) }
    }

    async fn uses(&self, replica: &ReplicaId) -> Option<ReplicaUse> {
        let pid = {
            let state = self.registry.lock();
            let entry = state.replicas.get(replica).filter(|entry| entry.seen.is_alive())?;
            entry.seen.pid?
        };
        tokio::task::spawn_blocking(move || used_by(pid)).await.ok().flatten()
    }
}

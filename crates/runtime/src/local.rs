use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use domain::{
    ArtifactId, BuildFailure, BuildSpec, Clock, Deployment, DeploymentId, EnvironmentName, Holding, LogFound,
    LogLevel, LogNews, LogQuery, LogSource, ModelId, ObservedReplica, ReplicaId, ReplicaSample, ReplicaSpec,
    ReplicaState, ReplicaUse, Runtime, RuntimeError, Seen, StopReason, StorageUse, Wake,
};
use tokio::sync::watch;

use crate::bounds::Bounds;
use crate::build::Builder;
use crate::build_time::BuildTime;
use crate::cgroup::Groups;
use crate::files::{Files, remove_artifact, remove_tree};
use crate::isolation::{Isolated, IsolationSettings, Sandboxes, find};
use crate::limits::Limits;
use crate::logs::Logs;
use crate::manifest::Manifest;
use crate::parse::Parsed;
use crate::registry::{Entry, Order, Registry};
use crate::reload::Reload;
use crate::sizes::Sizes;
use crate::supervise::Supervisor;
use crate::tidy::Unclaimed;
use crate::told;
use crate::tools::Tools;
use crate::usage::{used_by, used_by_all};

/// What the driver needs.
pub struct LocalConfig {
    /// Absolute.
    pub data_dir: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub wake: Arc<dyn Wake>,
    /// Graphics cards of this machine; replicas are given them by number, from 0.
    pub gpus: u32,
    pub isolation: IsolationSettings,
    pub limits: Limits,
}

/// Runs replicas as processes of this machine.
pub struct LocalRuntime {
    pub(crate) files: Files,
    pub(crate) logs: Arc<Logs>,
    tools: Tools,
    pub(crate) registry: Registry,
    pub(crate) clock: Arc<dyn Clock>,
    wake: Arc<dyn Wake>,
    pub(crate) gpus: u32,
    pub(crate) limits: Limits,
    /// Where replicas and builds are held to what they are given; looked for when the first one starts.
    pub(crate) groups: OnceLock<Arc<Groups>>,
    /// What keeps replicas and builds from the rest of the machine, if it is wanted and permitted.
    pub(crate) sandboxes: Arc<Sandboxes>,
    pub(crate) unclaimed: Unclaimed,
    building: Mutex<Vec<ArtifactId>>,
    sizes: Sizes,
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
        let sandboxes = sandboxes(config.isolation, config.data_dir).await?;
        let runtime = Arc::new(Self {
            logs: Arc::new(Logs::new(files.clone(), config.clock.clone())),
            tools: Tools::new(files.clone()),
            registry: Registry::default(),
            files,
            clock: config.clock,
            wake: config.wake,
            gpus: config.gpus,
            limits: config.limits,
            groups: OnceLock::new(),
            sandboxes: Arc::new(sandboxes),
            unclaimed: Unclaimed::default(),
            building: Mutex::default(),
            sizes: Sizes::default(),
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
        // A build that needs them waits for this.
        let time = BuildTime::new(self.limits.build, "fetching the Truss server code");
        time.keep(self.tools.wheel(&|_| {})).await.map(drop).map_err(RuntimeError::Retryable)
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

    /// The artifacts that are being built now.
    pub(crate) fn building(&self) -> Vec<String> {
        let building = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        building.iter().map(ToString::to_string).collect()
    }

    /// The keys of the environments that living replicas run in.
    pub(crate) fn environments_in_use(&self) -> BTreeSet<String> {
        let state = self.registry.lock();
        let alive = state.replicas.values().filter(|entry| entry.seen.is_alive());
        alive.filter_map(|entry| entry.env.clone()).collect()
    }

    /// Registers a running process and follows it to its end.
    pub(crate) fn watch_over(
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
            pid: Some(manifest.identity.program()),
            started_at: manifest.started_at,
            spawned_at: manifest.spawned_at,
            loaded_at: manifest.loaded_at,
            ready_at: manifest.ready_at,
            artifact: manifest.artifact.clone(),
            refused: None,
            environment: told::read(&folder),
        };
        let entry = Entry {
            seen,
            reserved: manifest.reserved,
            cards: manifest.cards.clone(),
            env: manifest.env.clone(),
            group: manifest.identity.group(),
            order,
        };
        let mut registered = self.registry.lock();
        registered.coming.remove(&manifest.id);
        registered.replicas.insert(manifest.id.clone(), entry);
        drop(registered);
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

    pub(crate) fn platform(&self, deployment: &DeploymentId, level: LogLevel, text: &str) {
        self.logs.append(deployment, [Parsed::plain(LogSource::Platform, Some(level), text)]);
    }
}

#[async_trait]
impl Runtime for LocalRuntime {
    async fn build(
        &self,
        spec: &BuildSpec,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), BuildFailure> {
        let _building = Building::begin(&self.building, &spec.artifact);
        let builder = Builder {
            files: &self.files,
            logs: &self.logs,
            tools: &self.tools,
            clock: self.clock.as_ref(),
            isolated: self.sandboxes.replicas.is_some(),
            sandbox: self.sandboxes.builds.as_ref(),
            required: self.sandboxes.required,
            limit: self.limits.build,
            bounds: Bounds::new(&self.files, self.groups(), &self.limits),
        };
        builder.build(spec, progress).await
    }

    async fn start(&self, spec: &ReplicaSpec) -> Result<(), RuntimeError> {
        self.start_replica(spec).await
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

    async fn tell(
        &self,
        replica: &ReplicaId,
        environment: Option<&EnvironmentName>,
    ) -> Result<(), RuntimeError> {
        let alive = |entry: &&Entry| entry.seen.is_alive();
        let deployment =
            self.registry.lock().replicas.get(replica).filter(alive).map(|e| e.seen.deployment.clone());
        let Some(deployment) = deployment else { return Ok(()) };
        let (folder, name) = (self.files.replica(replica), environment.cloned());
        let told = tokio::task::spawn_blocking(move || told::write(&folder, name.as_ref())).await;
        let told = told.map_err(|error| RuntimeError::Retryable(error.to_string()))?;
        told.map_err(|error| RuntimeError::Retryable(format!("it could not be written down: {error}")))?;
        self.registry.change(replica, |entry| entry.seen.environment = environment.cloned());
        let serves = environment.map_or_else(|| "no environment".to_owned(), ToString::to_string);
        self.platform(
            &deployment,
            LogLevel::Info,
            &format!("replica {replica} is told that it serves {serves}"),
        );
        Ok(())
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

    fn held(&self) -> Seen<Vec<Holding>> {
        Seen::Known(self.registry.held())
    }

    async fn forget(&self, replica: &ReplicaId) {
        if self.registry.forget(replica)
            && let Err(error) = remove_tree(&self.files.replica(replica)).await
        {
            tracing::warn!(%replica, %error, "could not remove what a replica left");
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

    async fn discard(&self, artifact: &ArtifactId) -> Result<(), RuntimeError> {
        let (files, name) = (self.files.clone(), artifact.to_string());
        let removed = tokio::task::spawn_blocking(move || remove_artifact(&files, &name)).await;
        let removed = removed.map_err(|error| RuntimeError::Retryable(error.to_string()))?;
        removed.map_err(|error| RuntimeError::Retryable(format!("its files could not be removed: {error}")))
    }

    async fn discard_former(&self, artifact: &ArtifactId) -> Result<(), RuntimeError> {
        // It makes an environment that newer changes may want, too.
        match self.building().iter().any(|building| building == artifact.as_str()) {
            true => Ok(()),
            false => self.discard(artifact).await,
        }
    }

    async fn logs(&self, deployment: &DeploymentId, query: &LogQuery) -> Result<LogFound, RuntimeError> {
        let (logs, deployment, query) = (self.logs.clone(), deployment.clone(), query.clone());
        tokio::task::spawn_blocking(move || logs.read(&deployment, &query).map_err(RuntimeError::Refused))
            .await
            .map_err(|error| RuntimeError::Retryable(error.to_string()))?
    }

    async fn follow(&self, deployment: &DeploymentId, query: &LogQuery) -> Result<LogNews, RuntimeError> {
        self.logs.clone().follow(deployment, query).await
    }

    async fn note(&self, deployment: &DeploymentId, line: &str) {
        self.platform(deployment, LogLevel::Info, line);
    }

    async fn last_words(&self, deployment: &DeploymentId, lines: usize) -> Vec<String> {
        let (logs, deployment) = (self.logs.clone(), deployment.clone());
        let found = tokio::task::spawn_blocking(move || logs.last_of_replicas(&deployment, lines)).await;
        found.unwrap_or_default()
    }

    async fn storage(&self, deployment: &Deployment) -> StorageUse {
        let (files, sizes, deployment) = (self.files.clone(), self.sizes.clone(), deployment.clone());
        let measured = tokio::task::spawn_blocking(move || sizes.measure(&files, &deployment)).await;
        measured.unwrap_or_default()
    }

    async fn uses(&self, replica: &ReplicaId) -> Option<ReplicaUse> {
        let group = {
            let state = self.registry.lock();
            state.replicas.get(replica).filter(|entry| entry.seen.is_alive())?.group
        };
        tokio::task::spawn_blocking(move || used_by(group)).await.ok().flatten()
    }

    async fn samples(&self, without_memory: BTreeSet<ReplicaId>) -> Vec<ReplicaSample> {
        let registry = self.registry.clone();
        let looked = tokio::task::spawn_blocking(move || used_by_all(&registry, &without_memory)).await;
        looked.unwrap_or_default()
    }
}

/// Finds out how replicas can be isolated, and says it once.
async fn sandboxes(settings: IsolationSettings, data_dir: PathBuf) -> Result<Sandboxes, RuntimeError> {
    let mode = settings.mode;
    let tried = tokio::task::spawn_blocking(move || find(&settings, &data_dir)).await;
    let (sandboxes, isolated) = tried.map_err(|error| RuntimeError::Refused(error.to_string()))?;
    if let Some(text) = isolated.refusal(mode) {
        return Err(RuntimeError::Refused(text));
    }
    match isolated {
        Isolated::Fully(_) | Isolated::Off => tracing::info!("{isolated}"),
        Isolated::Partly(_) | Isolated::No(_) => tracing::warn!("{isolated}"),
    }
    Ok(sandboxes)
}

/// Names what is being built, as long as it is.
struct Building<'a> {
    all: &'a Mutex<Vec<ArtifactId>>,
    artifact: ArtifactId,
}

impl<'a> Building<'a> {
    fn begin(all: &'a Mutex<Vec<ArtifactId>>, artifact: &ArtifactId) -> Self {
        all.lock().unwrap_or_else(PoisonError::into_inner).push(artifact.clone());
        Self { all, artifact: artifact.clone() }
    }
}

impl Drop for Building<'_> {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = all.iter().position(|building| building == &self.artifact) {
            all.swap_remove(index);
        }
    }
}

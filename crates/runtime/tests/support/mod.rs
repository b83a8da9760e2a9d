//! A data folder with Trusses in it, and a runtime over it.

#![allow(clippy::unwrap_used)]
#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::{
    ArtifactId, BuildSpec, Deployment, DeploymentId, LogQuery, ManualClock, ModelId, ObservedReplica,
    ReplicaId, ReplicaSpec, ReplicaState, Reserved, Runtime, SecretValue, Seen, Timestamp, Wake,
};
use runtime::{IsolationSettings, Limits, LocalConfig, LocalRuntime};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

/// Far longer than anything takes, so that only what hangs fails.
const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Default)]
pub struct Bell(Notify);

impl Wake for Bell {
    fn wake(&self, _: &ModelId) {
        self.0.notify_one();
    }
}

/// One server's life over a data folder.
pub struct Life {
    pub runtime: Arc<LocalRuntime>,
    bell: Arc<Bell>,
}

/// A data folder. Whatever still runs in it when a test is over, or fails, is ended.
pub struct Data(TempDir);

pub fn folder() -> Data {
    Data(tempfile::Builder::new().prefix("slipway-runtime-").tempdir().unwrap())
}

pub fn folder_in(parent: &Path) -> Data {
    Data(tempfile::Builder::new().prefix("slipway-runtime-").tempdir_in(parent).unwrap())
}

impl Data {
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The living processes of its replicas.
    pub fn processes(&self) -> Vec<i32> {
        let home = format!("HOME={}", self.path().join("replicas").display());
        living(|entry| entry.starts_with(&home))
    }

    /// The living processes of builds in it.
    pub fn builders(&self) -> Vec<i32> {
        let build = format!("SLIPWAY_BUILD={}", self.path().display());
        living(|entry| entry == build)
    }

    /// Its Python environments.
    pub fn envs(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path().join("envs")).unwrap().map(|entry| entry.unwrap());
        let folders = entries.filter(|entry| !entry.file_name().to_string_lossy().contains('.'));
        folders.map(|entry| entry.path()).collect()
    }

    /// The control groups of its replicas, as far as they are written down.
    fn groups(&self) -> Vec<PathBuf> {
        written(entries(&self.path().join("replicas")).map(|folder| folder.join("replica.json")))
    }

    /// The control groups of its builds that are there.
    pub fn build_groups(&self) -> Vec<PathBuf> {
        let written = written(entries(&self.path().join("groups")));
        written.into_iter().filter(|group| group.exists()).collect()
    }

    /// Waits until none is left of what was built, nor of what compiles it afterwards.
    pub async fn until_no_group_is_left(&self) {
        let gone = tokio::time::timeout(PATIENCE, async {
            while !self.build_groups().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        assert!(gone.await.is_ok(), "control groups of builds are left: {:?}", self.build_groups());
    }
}

/// Whether the host permits control groups for anything.
pub fn has_groups() -> bool {
    let all = [runtime::memory_limits(), runtime::process_limits(), runtime::processor_weights()];
    all.iter().any(Result::is_ok)
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// The control groups that are written down in these files.
fn written(files: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let texts = files.filter_map(|file| std::fs::read_to_string(file).ok());
    let notes = texts.filter_map(|text| serde_json::from_str::<Value>(&text).ok());
    notes
        .flat_map(|note| note["group"]["folders"].as_array().cloned().unwrap_or_default())
        .filter_map(|folder| folder.as_str().map(PathBuf::from))
        .collect()
}

/// The processes in a control group.
fn members(group: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Processes that have such an entry in their environment.
fn living(is_of: impl Fn(&str) -> bool) -> Vec<i32> {
    let read = |pid: i32, name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            String::from_utf8_lossy(&read(*pid, "environ")).split('\0').any(&is_of)
                && !String::from_utf8_lossy(&read(*pid, "stat")).contains(") Z ")
        })
        .collect()
}

impl Drop for Data {
    fn drop(&mut self) {
        let of_builds = self.build_groups();
        let compilers = of_builds.iter().flat_map(|group| members(group));
        for pid in self.processes().into_iter().chain(self.builders()).chain(compilers) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        for group in self.groups().into_iter().chain(of_builds) {
            // Whoever was killed is in it for another moment.
            for _ in 0..100 {
                match std::fs::remove_dir(&group) {
                    Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    _ => break,
                }
            }
        }
    }
}

pub fn model() -> ModelId {
    ModelId::new("mdl1")
}

pub fn deployment() -> DeploymentId {
    DeploymentId::new("dep1")
}

/// A Truss whose server is the Python program `text`.
pub fn custom(data: &Path, text: &str) -> Value {
    let truss = data.join("artifacts/art1");
    std::fs::create_dir_all(&truss).unwrap();
    std::fs::write(truss.join("server.py"), text).unwrap();
    json!({
        "python_version": "py311",
        "environment_variables": { "GREETING": "hello" },
        "secrets": { "token": null },
        "docker_server": {
            "start_command": "python server.py",
            "server_port": 8100,
            "predict_endpoint": "/predict",
            "readiness_endpoint": "/ready",
            "liveness_endpoint": "/live",
        },
    })
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_790_000_000_000)))
}

/// The deployment as it is stored.
pub fn row(config: &Value) -> Deployment {
    serde_json::from_value(json!({
        "id": deployment(),
        "model": model(),
        "name": "deployment-1",
        "kind": "published",
        "created_at": 0,
        "created_by": "someone",
        "artifact": "art1",
        "config": config,
        "build": { "state": "queued" },
        "lifecycle": "active",
        "autoscaling": domain::AutoscalingSettings::default(),
        "target": 1,
        "deploy_timeout_minutes": 30,
        "failed_starts": 0,
        "version": 0,
    }))
    .unwrap()
}

/// A Truss whose model is the Python class `text`.
pub fn truss(data: &Path, text: &str) -> Value {
    let folder = data.join("artifacts/art1");
    std::fs::create_dir_all(folder.join("model")).unwrap();
    std::fs::write(folder.join("model/__init__.py"), "").unwrap();
    std::fs::write(folder.join("model/model.py"), text).unwrap();
    let config = "model_name: Slow\npython_version: py311\n";
    std::fs::write(folder.join("config.yaml"), config).unwrap();
    truss::Config::from_yaml(config).unwrap().full()
}

impl Life {
    pub async fn begin(data: &Path) -> Self {
        Self::begin_with_cards(data, 0).await
    }

    /// On a machine with so many graphics cards.
    pub async fn begin_with_cards(data: &Path, gpus: u32) -> Self {
        Self::begin_on(data, gpus, clock()).await
    }

    /// With other settings of isolation than the usual ones.
    pub async fn begin_isolated(data: &Path, isolation: IsolationSettings) -> Self {
        Self::try_begin(data, isolation).await.unwrap()
    }

    /// As it goes; it may be refused.
    pub async fn try_begin(data: &Path, isolation: IsolationSettings) -> Result<Self, domain::RuntimeError> {
        Self::open(data, 0, clock(), isolation, Limits::default()).await
    }

    /// With other limits than the usual ones.
    pub async fn begin_limited(data: &Path, limits: Limits) -> Self {
        Self::open(data, 0, clock(), IsolationSettings::default(), limits).await.unwrap()
    }

    /// With a clock that the test sets.
    pub async fn begin_at(data: &Path) -> (Self, Arc<ManualClock>) {
        let clock = clock();
        (Self::begin_on(data, 0, clock.clone()).await, clock)
    }

    async fn begin_on(data: &Path, gpus: u32, clock: Arc<ManualClock>) -> Self {
        Self::open(data, gpus, clock, IsolationSettings::default(), Limits::default()).await.unwrap()
    }

    async fn open(
        data: &Path,
        gpus: u32,
        clock: Arc<ManualClock>,
        isolation: IsolationSettings,
        limits: Limits,
    ) -> Result<Self, domain::RuntimeError> {
        let bell = Arc::new(Bell::default());
        let wake = bell.clone();
        let config = LocalConfig { data_dir: data.to_owned(), clock, wake, gpus, isolation, limits };
        Ok(Self { runtime: LocalRuntime::open(config).await?, bell })
    }

    pub async fn build(&self, config: &Value) -> Result<(), domain::BuildFailure> {
        let spec = BuildSpec {
            model: model(),
            deployment: deployment(),
            artifact: ArtifactId::new("art1"),
            config: config.clone(),
        };
        self.runtime.build(&spec, &|_| {}).await
    }

    pub async fn start(&self, id: &str, config: &Value) -> ReplicaId {
        self.start_with(id, config, &[("token", "s3cret")]).await
    }

    /// Starts a replica with these secrets at hand.
    pub async fn start_with(&self, id: &str, config: &Value, secrets: &[(&str, &str)]) -> ReplicaId {
        self.start_holding(id, config, secrets, Reserved::default()).await.unwrap()
    }

    /// Starts a replica that holds something of the machine.
    pub async fn start_holding(
        &self,
        id: &str,
        config: &Value,
        secrets: &[(&str, &str)],
        reserved: Reserved,
    ) -> Result<ReplicaId, domain::RuntimeError> {
        let value = |text: &str| SecretValue::new(text).unwrap();
        let spec = ReplicaSpec {
            id: ReplicaId::new(id),
            model: model(),
            deployment: deployment(),
            artifact: ArtifactId::new("art1"),
            config: config.clone(),
            environment: Some(domain::EnvironmentName::production()),
            reserved,
            milli_cpu: 1000,
            secrets: secrets.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect(),
        };
        self.runtime.start(&spec).await?;
        Ok(spec.id)
    }

    pub fn replica(&self, id: &ReplicaId) -> Option<ObservedReplica> {
        let Seen::Known(all) = self.runtime.observe(&model()) else { return None };
        all.into_iter().find(|replica| &replica.id == id)
    }

    /// Waits until a replica is as it should be; a replica that ended stays so, which ends the wait.
    pub async fn until(&self, id: &ReplicaId, wanted: impl Fn(&ReplicaState) -> bool) -> ObservedReplica {
        let reached = tokio::time::timeout(PATIENCE, async {
            loop {
                let replica = self.replica(id).expect("the replica is unknown");
                if wanted(&replica.state) {
                    return replica;
                }
                if let ReplicaState::Exited { .. } = replica.state {
                    panic!("it ended: {:?}\n{}", replica.state, self.text().await.join("\n"));
                }
                self.bell.0.notified().await;
            }
        })
        .await;
        match reached {
            Ok(replica) => replica,
            Err(_) => panic!("still {:?}\n{}", self.replica(id), self.text().await.join("\n")),
        }
    }

    pub async fn ready(&self, id: &ReplicaId) -> ObservedReplica {
        self.until(id, |state| *state == ReplicaState::Ready).await
    }

    /// How it ended: code, signal, reason.
    pub async fn ended(&self, id: &ReplicaId) -> (Option<i32>, Option<i32>, String) {
        match self.until(id, |state| matches!(state, ReplicaState::Exited { .. })).await.state {
            ReplicaState::Exited { code, signal, reason } => (code, signal, reason),
            other => unreachable!("{other:?}"),
        }
    }

    /// All messages of the log, oldest first.
    pub async fn text(&self) -> Vec<String> {
        let query = LogQuery { ascending: true, limit: 1000, ..LogQuery::default() };
        self.runtime
            .logs(&deployment(), &query)
            .await
            .unwrap()
            .lines
            .into_iter()
            .map(|line| line.message)
            .collect()
    }
}

/// One request to a loopback port; the whole answer as text.
pub async fn ask(port: u16, request_line: &str, body: &str) -> std::io::Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let head = format!(
        "{request_line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

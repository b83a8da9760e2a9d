//! A model on this machine, behind a gateway, with an engine that looks after it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::*;
use engine::{Engine, Parts, Publisher, Wakes};
use gateway::{Gateway, GatewayConfig, KeyGrant, KeySnapshot};
use runtime::{IsolationSettings, LocalConfig, LocalRuntime};
use server::clock::SystemClock;
use sha2::{Digest, Sha256};
use store::{Store, Vault};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub const KEY: &str = "a key of the benchmark";

/// Wall time in microseconds, which a replica's process reads off the same clock.
#[expect(clippy::disallowed_methods, reason = "two processes are compared by the clock they share")]
pub fn micros() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_micros() as i64
}

/// Room for everything: what is measured is not placement.
fn host() -> Host {
    Host { milli_cpu: 64_000, memory: 64 << 30, gpus: 0, gpu_type: None, types: Vec::new(), whole: true }
}

/// Models may run this program as theirs.
pub fn isolation() -> IsolationSettings {
    let program = std::env::current_exe().unwrap();
    IsolationSettings { readable: vec![program.parent().unwrap().to_owned()], ..IsolationSettings::default() }
}

struct Published(Vec<Arc<Gateway>>);

impl Publisher for Published {
    fn publish(&self, routes: ModelRoutes) {
        self.0.iter().for_each(|gateway| gateway.publish(routes.clone()));
    }

    fn forget(&self, model: &ModelId) {
        self.0.iter().for_each(|gateway| gateway.forget(model));
    }

    fn knows_all(&self) {}
}

/// Everything between a request and a process.
pub struct World {
    pub address: SocketAddr,
    /// A second gateway before the same replicas, if there is one.
    pub beside: Option<SocketAddr>,
    runtime: Arc<LocalRuntime>,
    store: Store,
    wakes: Arc<Wakes>,
    stop: CancellationToken,
    serving: Vec<gateway::ServeHandle>,
    engine: tokio::task::JoinHandle<()>,
    data: tempfile::TempDir,
}

/// What is measured, by name.
pub struct Subject {
    pub model: ModelId,
    pub deployment: DeploymentId,
}

impl World {
    pub async fn new() -> Self {
        Self::with(vec![GatewayConfig::default()]).await
    }

    /// With a gateway, or two, that are set so.
    pub async fn with(configs: Vec<GatewayConfig>) -> Self {
        let data = tempfile::Builder::new().prefix("slipway-bench-").tempdir().unwrap();
        let store = Store::open(&data.path().join("bench.db").display().to_string()).await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let wakes = Arc::new(Wakes::default());
        let config = LocalConfig {
            data_dir: data.path().to_owned(),
            clock: clock.clone(),
            wake: wakes.clone(),
            gpus: 0,
            isolation: isolation(),
            limits: Default::default(),
        };
        let runtime = LocalRuntime::open(config).await.unwrap();
        let grant = KeyGrant { role: Role::Invoker, models: None, environments: None };
        let keys = HashMap::from([(Sha256::digest(KEY).into(), grant)]);
        let keys = Arc::new(KeySnapshot { keys });
        let stop = CancellationToken::new();
        let (mut gateways, mut addresses, mut serving) = (Vec::new(), Vec::new(), Vec::new());
        for config in configs {
            let gateway = Gateway::new(config, wakes.clone(), clock.clone());
            gateway.set_keys(keys.clone());
            let listeners = gateway::bind(&["127.0.0.1:0".parse().unwrap()], 2).unwrap();
            addresses.push(listeners.addrs()[0]);
            serving.push(gateway::serve(gateway.clone(), listeners, mpsc::channel(1).0, stop.clone()));
            gateways.push(gateway);
        }
        let engine = Engine::new(Parts {
            store: store.clone(),
            runtime: runtime.clone(),
            host: Arc::new(host()),
            builds_at_once: 2,
            traffic: gateways[0].clone(),
            publisher: Arc::new(Published(gateways)),
            clock,
            wakes: wakes.clone(),
            changes: Arc::new(|_| {}),
            random: Arc::new(server::random::fill),
            vault: Vault::new(&[0; 32]),
        });
        let ended = stop.clone();
        let engine = tokio::spawn(engine.run(async move { ended.cancelled().await }));
        let (address, beside) = (addresses[0], addresses.get(1).copied());
        Self { address, beside, runtime, store, wakes, stop, serving, engine, data }
    }

    /// Pushes a Truss of these files and waits until it is active.
    pub async fn push(&self, name: &str, files: &[(&str, &str)]) -> Subject {
        let subject = write_down(&self.store, self.data.path(), name, files).await;
        self.wakes.wake(&subject.model);
        self.until(name, || async {
            let state = self.store.load_model(&subject.model).await.unwrap().unwrap();
            let deployment = &state.deployments[0];
            assert!(deployment.failure.is_none(), "{:?}", deployment.failure);
            deployment.active_since.is_some() && state.environments[0].current.is_some()
        })
        .await;
        subject
    }

    /// Puts a deployment to sleep and waits until its last process has gone.
    pub async fn sleep(&self, subject: &Subject) {
        self.aim(subject, 0).await;
        self.until("it sleeps", || async { self.replicas(subject).is_empty() }).await;
    }

    /// Starts a replica that nobody waits for, and waits until it is ready. Not by the address for waking: that counts as
    /// demand for some seconds, which would keep the deployment from sleeping again.
    pub async fn wake(&self, subject: &Subject) {
        self.aim(subject, 1).await;
        self.until("it wakes", || async { self.replicas(subject).iter().any(ObservedReplica::is_ready) })
            .await;
    }

    /// Sets how many replicas there should be.
    async fn aim(&self, subject: &Subject, target: u32) {
        let mut saved = false;
        while !saved {
            let state = self.store.load_model(&subject.model).await.unwrap().unwrap();
            let mut deployment = state.deployments.into_iter().next().unwrap();
            deployment.target = target;
            let mut tx = self.store.begin().await.unwrap();
            saved = tx.save_deployment(&mut deployment).await.unwrap();
            tx.commit().await.unwrap();
        }
        self.wakes.wake(&subject.model);
    }

    fn replicas(&self, subject: &Subject) -> Vec<ObservedReplica> {
        match self.runtime.observe(&subject.model) {
            Seen::Known(replicas) => replicas,
            Seen::Unknown => Vec::new(),
        }
    }

    /// Where the time of its starts went, as they were recorded: medians of those that somebody waited for.
    pub async fn phases(&self, subject: &Subject) -> String {
        let epoch = Timestamp::from_millis(0);
        let starts = self.store.cold_starts(&subject.deployment, epoch, 10_000).await.unwrap();
        let awaited: Vec<&ColdStart> = starts.iter().filter(|start| start.first_byte_ms.is_some()).collect();
        let median = |part: fn(&ColdStart) -> i64| {
            let mut all: Vec<i64> = awaited.iter().map(|start| part(start)).collect();
            all.sort_unstable();
            all.get(all.len() / 2).copied().unwrap_or(0)
        };
        format!(
            "by phase, medians of {} starts: queue {} ms, spawn {} ms, load {} ms, ready {} ms, first byte {} ms",
            awaited.len(),
            median(|start| start.queue_ms),
            median(|start| start.spawn_ms),
            median(|start| start.load_ms),
            median(|start| start.ready_ms),
            median(|start| start.first_byte_ms.unwrap_or(0)),
        )
    }

    /// The phases of the newest start that a request waited for.
    pub async fn last_phases(&self, subject: &Subject) -> String {
        let epoch = Timestamp::from_millis(0);
        let starts = self.store.cold_starts(&subject.deployment, epoch, 10_000).await.unwrap();
        let newest = starts.iter().max_by_key(|start| start.at);
        newest.map(|start| format!("{start:?}")).unwrap_or_default()
    }

    /// The address of the replica that serves.
    pub fn replica(&self, subject: &Subject) -> SocketAddr {
        let port = self.replicas(subject).iter().find(|replica| replica.is_ready()).unwrap().port;
        ([127, 0, 0, 1], port).into()
    }

    async fn until<F: Future<Output = bool>>(&self, what: &str, so: impl Fn() -> F) {
        let reached = async {
            while !so().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(180), reached).await.unwrap_or_else(|_| panic!("{what}"));
    }

    pub async fn end(self) {
        self.stop.cancel();
        let _ = self.engine.await;
        for serving in self.serving {
            serving.join(Duration::from_secs(5)).await;
        }
        self.runtime.shutdown(false, Duration::from_secs(5)).await;
    }
}

/// The first byte's moment (microseconds of wall time) and the whole answer of one POST on a connection of its own.
pub async fn post(address: SocketAddr, path: &str) -> (i64, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1];
    stream.read_exact(&mut answer).await.unwrap();
    let first = micros();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    (first, answer)
}

/// Writes a Truss of these files into the database and the data folder, as a push does.
pub async fn write_down(store: &Store, data: &Path, name: &str, files: &[(&str, &str)]) -> Subject {
    let now = Timestamp::from_millis(micros() / 1000);
    let artifact = ArtifactId::new(name);
    let folder = data.join("artifacts").join(name);
    for (path, text) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let text = std::fs::read_to_string(folder.join("config.yaml")).unwrap();
    let model = Model {
        id: ModelId::new(name),
        name: ModelName::new(name).unwrap(),
        created_at: now,
        next_number: 2,
        generation: 1,
        allow_download: true,
    };
    let mut production = Environment::new(model.id.clone(), EnvironmentName::production(), now);
    production.autoscaling.concurrency_target = 64;
    let subject = Subject { model: model.id.clone(), deployment: DeploymentId::new(format!("{name}1")) };
    let deployment = Deployment {
        id: subject.deployment.clone(),
        model: model.id.clone(),
        name: DeploymentName::new("deployment-1").unwrap(),
        kind: DeploymentKind::Published,
        created_at: now,
        created_by: "the benchmark".into(),
        artifact,
        config: truss::Config::from_yaml(&text).unwrap().full(),
        raw_config: None,
        labels: None,
        build: Build::Queued,
        lifecycle: Lifecycle::Active,
        environment: None,
        autoscaling: production.autoscaling.clone(),
        target: 0,
        copied_from: None,
        live: None,
        terminating: Default::default(),
        active_since: None,
        deadline: None,
        deploy_timeout_minutes: 30,
        failed_starts: 0,
        retry_at: None,
        last_exit: None,
        failure: None,
        compute: Default::default(),
        waiting: None,
        backpressure: None,
        truss_hash: None,
        truss_signature: None,
        deleted_at: None,
        version: 0,
    };
    let mut tx = store.begin().await.unwrap();
    tx.insert_model(&model).await.unwrap();
    tx.insert_environment(&production).await.unwrap();
    tx.insert_deployment(&deployment).await.unwrap();
    tx.commit().await.unwrap();
    subject
}

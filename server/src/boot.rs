//! From settings to a server that answers, and back to nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use control::{ControlPlane, NewKey};
use domain::{Clock, Host, ModelId, ModelRoutes, Runtime, Seen, StopReason};
use engine::{Publisher, Wakes};
use gateway::{BindError, Gateway, GatewayConfig, Listeners, ServeHandle, Tls};
use runtime::{LocalConfig, LocalRuntime};
use store::Store;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::changes::Changes;
use crate::client::{self, Local};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::data_folder::DataFolder;
use crate::machine::Machine;
use crate::upkeep::Chores;
use crate::wire::{Machinery, Place};
use crate::{bridge, keys, looks, random, restore, upkeep, wire};

/// Requests for the application that may wait for it before the gateway answers 503.
const WAITING: usize = 1024;
/// What requests get to finish when the server stops.
const DRAIN: Duration = Duration::from_secs(20);
/// What replicas get to finish after that before they are killed.
const GRACE: Duration = Duration::from_secs(10);

/// A server that answers.
pub struct Server {
    address: SocketAddr,
    public_url: Arc<str>,
    admin_key: Option<NewKey>,
    control: ControlPlane,
    store: Store,
    machine: Models,
    keep_replicas: bool,
    shutdown: CancellationToken,
    serving: ServeHandle,
    engine: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
    folder: DataFolder,
}

/// Where models run.
enum Models {
    /// Here, as processes.
    Local(Arc<LocalRuntime>),
    /// Where a test says.
    Other(Arc<dyn Runtime>),
}

impl Models {
    fn runtime(&self) -> Arc<dyn Runtime> {
        match self {
            Self::Local(runtime) => runtime.clone(),
            Self::Other(runtime) => runtime.clone(),
        }
    }

    fn local(&self) -> Option<Arc<LocalRuntime>> {
        match self {
            Self::Local(runtime) => Some(runtime.clone()),
            Self::Other(_) => None,
        }
    }
}

/// What is there before anything runs.
struct Ground {
    config: Config,
    host: Arc<Host>,
    folder: DataFolder,
    store: Store,
    clock: Arc<dyn Clock>,
    wakes: Arc<Wakes>,
}

impl Ground {
    async fn prepare(config: Config) -> anyhow::Result<Self> {
        let folder = DataFolder::take(&config.data_dir)?;
        let name = wire::database_name(&config, folder.path());
        let store = Store::open(&config.database_url(folder.path())).await.map_err(|error| match error {
            // The address was right, and the sentence has the way out.
            store::Error::Damaged { .. } | store::Error::Newer { .. } => error.into(),
            other => anyhow::Error::from(other)
                .context(format!("opening the database ({name}); check DATABASE_URL")),
        })?;
        restore::finish(&folder, &store).await?;
        tracing::info!(database = name, folder = %folder.path().display(), "opened");
        let host = Arc::new(Machine::read().host(&config.machine));
        Ok(Self { config, host, folder, store, clock: Arc::new(SystemClock::new()), wakes: Arc::default() })
    }
}

/// Starts a server that runs models as processes of this machine.
pub async fn start(config: Config) -> anyhow::Result<Server> {
    let ground = Ground::prepare(config).await?;
    let runtime = LocalRuntime::open(LocalConfig {
        data_dir: ground.folder.path().to_owned(),
        wake: ground.wakes.clone(),
        clock: ground.clock.clone(),
        gpus: ground.host.gpus,
    })
    .await
    .context("preparing to run models on this machine")?;
    stop_strays(&ground.store, &runtime).await?;
    let ahead = runtime.clone();
    tokio::spawn(async move {
        if let Err(error) = ahead.prefetch().await {
            tracing::warn!(%error, "the tools for builds could not be fetched yet; the first push tries again");
        }
    });
    go(ground, Models::Local(runtime)).await
}

/// Starts a server whose models run on another machine than this one; tests do.
pub async fn start_on(
    config: Config,
    machine: impl FnOnce(Arc<Wakes>) -> Arc<dyn Runtime>,
) -> anyhow::Result<Server> {
    let ground = Ground::prepare(config).await?;
    let runtime = machine(ground.wakes.clone());
    go(ground, Models::Other(runtime)).await
}

async fn go(ground: Ground, machine: Models) -> anyhow::Result<Server> {
    let runtime = machine.runtime();
    let Ground { config, host, folder, store, clock, wakes } = ground;
    let shutdown = CancellationToken::new();
    let gateway_config = GatewayConfig {
        domain: config.domain.clone(),
        trusted_proxies: config.trusted_proxies.clone(),
        ..GatewayConfig::default()
    };
    let gateway = Gateway::new(gateway_config, wakes.clone(), clock.clone());
    let mut listeners = listen(&config)?;
    let tls =
        config.tls.as_ref().map(|tls| Tls::load(tls.certificate.clone(), tls.key.clone())).transpose()?;
    if let (Some(settings), Some(tls)) = (&config.tls, &tls) {
        listeners = listeners.with_tls(&settings.listen, tls.clone())?;
    }
    let address = listeners.addrs().first().copied().context("there is no address to listen on")?;
    let public_url: Arc<str> = config.public_url(address.port()).into();
    let place = Place {
        address,
        public_url: public_url.clone(),
        trial_key: random::word::<43>().into(),
        local_secret: random::word::<43>().into(),
    };
    let changes = Changes::new(shutdown.clone());
    let machinery = Machinery {
        runtime: runtime.clone(),
        host,
        traffic: gateway.clone(),
        applied: gateway.clone(),
        publisher: Arc::new(Published(gateway.clone())),
        wakes,
    };
    let wired = wire::wire(
        &config,
        &folder,
        store.clone(),
        clock.clone(),
        machinery,
        &place,
        changes,
        shutdown.clone(),
    )
    .await?;
    let control = wired.control;
    let mut tasks =
        vec![keys::follow(control.key_ring(), gateway.clone(), place.trial_key, shutdown.clone())];
    let chores = Chores {
        control: control.clone(),
        clock,
        uploads: folder.uploads(),
        local: machine.local(),
        keep: config.keep,
        tls,
    };
    tasks.push(upkeep::start(chores, shutdown.clone()));
    tasks.push(looks::start(control.clone(), shutdown.clone()));
    tasks.push(wired.following);
    let engine = {
        let stop = shutdown.clone();
        tokio::spawn(wired.engine.run(async move { stop.cancelled().await }))
    };
    let (sender, requests) = mpsc::channel(WAITING);
    tasks.push(tokio::spawn(bridge::carry(requests, wired.router)));
    let serving = gateway::serve(gateway, listeners, sender, shutdown.clone());
    let local = Local {
        address,
        public_url: public_url.to_string(),
        secret: place.local_secret.to_string(),
        database: wire::database_name(&config, folder.path()),
    };
    folder.write_private(client::FILE, &serde_json::to_string(&local)?)?;
    Ok(Server {
        address,
        public_url,
        admin_key: wired.admin_key,
        control,
        store,
        machine,
        keep_replicas: config.keep_replicas,
        shutdown,
        serving,
        engine,
        tasks,
        folder,
    })
}

/// Binds what was chosen, or loopback on both families; a machine without IPv6 is fine then.
fn listen(config: &Config) -> anyhow::Result<Listeners> {
    match gateway::bind(&config.listen, config.gateway_threads) {
        Ok(listeners) => Ok(listeners),
        Err(BindError::Failed { addr, source }) if !config.listen_chosen && addr.is_ipv6() => {
            tracing::info!(%addr, error = %source, "not listening on IPv6");
            let rest: Vec<SocketAddr> = config.listen.iter().copied().filter(SocketAddr::is_ipv4).collect();
            Ok(gateway::bind(&rest, config.gateway_threads)?)
        }
        Err(error) => Err(error.into()),
    }
}

impl Server {
    /// The first address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    pub fn control(&self) -> &ControlPlane {
        &self.control
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The admin key that this start made, if it was the first.
    pub fn admin_key(&self) -> Option<&str> {
        self.admin_key.as_ref().map(|key| key.key.as_str())
    }

    /// Stops in order: streams end, requests finish, replicas stop unless they are to be kept.
    pub async fn stop(self) {
        self.shutdown.cancel();
        // Before its replicas stop, or it would start others in their place.
        let _ = self.engine.await;
        self.serving.join(DRAIN).await;
        for task in self.tasks {
            task.abort();
        }
        match &self.machine {
            Models::Local(runtime) => runtime.shutdown(self.keep_replicas, GRACE).await,
            Models::Other(runtime) => stop_replicas(&self.store, runtime.as_ref()).await,
        }
        if let Err(error) = self.control.flush_key_use().await {
            tracing::warn!(%error, "when keys were last used could not be written");
        }
        self.store.close().await;
        let _ = std::fs::remove_file(self.folder.path().join(client::FILE));
    }
}

/// Stops processes of a former server whose deployment is not known any more.
async fn stop_strays(store: &Store, runtime: &LocalRuntime) -> anyhow::Result<()> {
    for replica in runtime.adopted() {
        let state = store.load_model(&replica.model).await?;
        let known =
            state.is_some_and(|state| state.deployments.iter().any(|found| found.id == replica.deployment));
        if !known {
            tracing::warn!(replica = %replica.id, deployment = %replica.deployment, "stopping a stray process");
            runtime.stop(&replica.id, GRACE, StopReason::Deleted).await;
        }
    }
    Ok(())
}

/// Asks every replica to stop.
async fn stop_replicas(store: &Store, runtime: &dyn Runtime) {
    for model in store.all_model_ids().await.unwrap_or_default() {
        let Seen::Known(replicas) = runtime.observe(&model) else { continue };
        for replica in replicas.iter().filter(|replica| replica.is_alive()) {
            runtime.stop(&replica.id, GRACE, StopReason::Shutdown).await;
        }
    }
}

/// The gateway as the engine sees it.
struct Published(Arc<Gateway>);

impl Publisher for Published {
    fn publish(&self, routes: ModelRoutes) {
        self.0.publish(routes);
    }

    fn forget(&self, model: &ModelId) {
        self.0.forget(model);
    }
}

//! From settings to a server that answers, and back to nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use control::{ControlPlane, NewKey};
use domain::{Clock, Host, ModelId, ModelRoutes, Runtime};
use engine::{Publisher, Wakes};
use gateway::{Adopter, BindError, Gateway, GatewayConfig, Listeners, ServeHandle, SharedSocket, Tls};
use runtime::{LocalConfig, LocalRuntime};
use store::Store;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::changes::Changes;
use crate::client::{self, Local};
use crate::clock::SystemClock;
use crate::config::{Config, TlsSettings};
use crate::data_folder::DataFolder;
use crate::door_threads::DoorThreads;
use crate::handover::{Door, Heir, Predecessor, Successor};
use crate::machine::Machine;
use crate::strays::{stop_replicas, stop_unknown, unknown};
use crate::upkeep::Chores;
use crate::wire::{Machinery, Place};
use crate::{keys, looks, open_files, random, restore, same_database, upkeep, wire};

/// Requests for the application that may wait for it before the gateway answers 503.
const WAITING: usize = 1024;
/// What requests get to finish when the server stops.
const DRAIN: Duration = Duration::from_secs(20);
/// What requests get to finish when another server has taken over, which nobody waits for.
const FINISH: Duration = Duration::from_secs(1200);
/// What pushes get to be recorded after that whose clients do not wait any more, when the server stops.
const LAST_PUSHES: Duration = Duration::from_secs(20);
/// What each task that decides gets for its last look.
const LAST_LOOK: Duration = Duration::from_secs(10);
/// What replicas get to finish after that before they are killed.
const GRACE: Duration = Duration::from_secs(10);

/// A server that answers.
pub struct Server {
    address: SocketAddr,
    public_url: Arc<str>,
    admin_key: Option<NewKey>,
    control: ControlPlane,
    changes: Changes,
    store: Store,
    machine: Models,
    keep_replicas: bool,
    shutdown: CancellationToken,
    serving: ServeHandle,
    gateway: Arc<Gateway>,
    /// What decides, and what only one server may do; ends before the rest when another one takes over.
    deciding: CancellationToken,
    deciders: Vec<JoinHandle<()>>,
    /// What requests need to the end.
    carrying: Vec<JoinHandle<()>>,
    /// Where requests for the application are answered. Its database is closed before it.
    _doors: DoorThreads,
    /// `None` if the data folder takes no socket.
    door: Option<Door>,
    /// Let go of when another server takes over.
    folder: Option<DataFolder>,
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
    start_after(config, None).await
}

/// As [`start`], in the place of a server that runs; it has to be told when this returns.
pub async fn start_after(config: Config, before: Option<&mut Predecessor>) -> anyhow::Result<Server> {
    let sockets = match before {
        Some(before) => {
            // What can be found wrong now must not be found when nobody decides any more.
            let tls = load_certificate(&config)?;
            Listeners::from_shared(duplicate(&before.sockets)?, config.gateway_threads, tls)?;
            isolation_permits(&config)?;
            same_database::check_successor(&config).await?;
            // It blocks, for as long as the other one takes to let go.
            tokio::task::block_in_place(|| before.step_aside())?;
            Some(std::mem::take(&mut before.sockets))
        }
        None => None,
    };
    let ground = Ground::prepare(config).await?;
    let runtime = LocalRuntime::open(LocalConfig {
        data_dir: ground.folder.path().to_owned(),
        wake: ground.wakes.clone(),
        clock: ground.clock.clone(),
        gpus: ground.host.gpus,
        isolation: ground.config.isolation.clone(),
        limits: ground.config.limits,
    })
    .await
    .context("preparing to run models on this machine")?;
    let unknown = unknown(&ground.store, &runtime).await?;
    let ours = wire::database_name(&ground.config, ground.folder.path());
    let other = same_database::other(&ground.config, &ours);
    if let Err(refusal) = same_database::may_stop(&unknown, other.as_deref(), &ours) {
        runtime.shutdown(true, GRACE).await;
        return Err(refusal);
    }
    stop_unknown(&unknown, &runtime, GRACE).await;
    let ahead = runtime.clone();
    tokio::spawn(async move {
        if let Err(error) = ahead.prefetch().await {
            tracing::warn!(%error, "the tools for builds could not be fetched yet; the first push tries again");
        }
    });
    go(ground, Models::Local(runtime), sockets).await
}

/// Starts a server whose models run on another machine than this one; tests do.
pub async fn start_on(
    config: Config,
    machine: impl FnOnce(Arc<Wakes>) -> Arc<dyn Runtime>,
) -> anyhow::Result<Server> {
    let ground = Ground::prepare(config).await?;
    let runtime = machine(ground.wakes.clone());
    go(ground, Models::Other(runtime), None).await
}

async fn go(ground: Ground, machine: Models, sockets: Option<Vec<SharedSocket>>) -> anyhow::Result<Server> {
    let runtime = machine.runtime();
    let Ground { config, host, folder, store, clock, wakes } = ground;
    let shutdown = CancellationToken::new();
    let deciding = CancellationToken::new();
    let gateway_config = GatewayConfig {
        domain: config.domain.clone(),
        trusted_proxies: config.trusted_proxies.clone(),
        max_connections: open_files::connections(config.gateway_connections),
        ..GatewayConfig::default()
    };
    let gateway = Gateway::new(gateway_config, wakes.clone(), clock.clone());
    gateway.expect_models();
    let tls = load_certificate(&config)?;
    let listeners = match (sockets, &config.tls, &tls) {
        (Some(sockets), ..) => Listeners::from_shared(sockets, config.gateway_threads, tls.clone())?,
        (None, Some(settings), Some(tls)) => listen(&config)?.with_tls(&settings.listen, tls.clone())?,
        (None, ..) => listen(&config)?,
    };
    let shared = listeners.share();
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
        changes.clone(),
        shutdown.clone(),
    )
    .await?;
    let control = wired.control;
    let mut carrying =
        vec![keys::follow(control.key_ring(), gateway.clone(), place.trial_key, shutdown.clone())];
    let chores = Chores {
        control: control.clone(),
        clock,
        uploads: folder.uploads(),
        local: machine.local(),
        keep: config.keep,
        tls,
    };
    let stop = deciding.clone();
    let mut deciders = vec![
        tokio::spawn(wired.engine.run(async move { stop.cancelled().await })),
        upkeep::start(chores, deciding.clone()),
        looks::start(control.clone(), deciding.clone()),
    ];
    let (sender, requests) = mpsc::channel(WAITING);
    let doors = DoorThreads::open()?;
    carrying.push(wired.following);
    carrying.extend(doors.carry(requests, wired.router));
    let local = Local {
        address,
        public_url: public_url.to_string(),
        secret: place.local_secret.to_string(),
        database: wire::database_name(&config, folder.path()),
    };
    deciders.extend(local.write(&folder, deciding.clone())?);
    let door = shared.and_then(|sockets| Door::open(folder.path(), sockets));
    let door =
        door.inspect_err(|error| tracing::warn!(%error, "no other server can take over from this one")).ok();
    let serving = doors.within(|| gateway::serve(gateway.clone(), listeners, sender, shutdown.clone()));
    Ok(Server {
        address,
        public_url,
        admin_key: wired.admin_key,
        control,
        changes,
        store,
        machine,
        keep_replicas: config.keep_replicas,
        shutdown,
        serving,
        gateway,
        deciding,
        deciders,
        carrying,
        _doors: doors,
        door,
        folder: Some(folder),
    })
}

fn load_certificate(config: &Config) -> anyhow::Result<Option<Tls>> {
    let load = |tls: &TlsSettings| Tls::load(tls.certificate.clone(), tls.key.clone());
    Ok(config.tls.as_ref().map(load).transpose()?)
}

/// Whether a server that requires its models to be isolated may start.
fn isolation_permits(config: &Config) -> anyhow::Result<()> {
    let settings = &config.isolation;
    match runtime::isolation(settings, &config.data_dir).refusal(settings.mode) {
        Some(text) => anyhow::bail!(text),
        None => Ok(()),
    }
}

fn duplicate(sockets: &[SharedSocket]) -> std::io::Result<Vec<SharedSocket>> {
    sockets.iter().map(SharedSocket::duplicate).collect()
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

    /// Where open pages are told of changes.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The admin key that this start made, if it was the first.
    pub fn admin_key(&self) -> Option<&str> {
        self.admin_key.as_ref().map(|key| key.key.as_str())
    }

    /// Stops in order: nobody is let in any more, streams end, requests finish, and replicas stop unless they are to be kept.
    pub async fn stop(mut self) {
        // It has the listening sockets, too: with them open the kernel would go on to accept, and nobody would serve.
        match self.door.take() {
            Some(door) if self.folder.is_some() => door.close(),
            // In its place is that of whoever has the folder now.
            other => drop(other),
        }
        self.shutdown.cancel();
        // Models may still start for requests that wait for them.
        self.serving.join(DRAIN).await;
        self.deciding.cancel();
        // Before its replicas stop, or it would start others in their place.
        last_looks(&mut self.deciders).await;
        self.carrying.iter().for_each(JoinHandle::abort);
        self.control.pushes_end(LAST_PUSHES).await;
        // Whoever took over has the replicas, too.
        if self.folder.is_some() {
            match &self.machine {
                Models::Local(runtime) => runtime.shutdown(self.keep_replicas, GRACE).await,
                Models::Other(runtime) => stop_replicas(&self.store, runtime.as_ref(), GRACE).await,
            }
        }
        if let Err(error) = self.control.flush_key_use().await {
            tracing::warn!(%error, "when keys were last used could not be written");
        }
        self.store.close().await;
        // Where replicas run on, it tells the next one which database knows them.
        if let Some(folder) = self.folder.filter(|_| !self.keep_replicas) {
            let _ = std::fs::remove_file(folder.path().join(client::FILE));
        }
    }

    /// Waits until another server wants to take over.
    pub async fn successor(&self) -> Successor {
        match &self.door {
            Some(door) => door.knocked().await,
            None => std::future::pending().await,
        }
    }

    /// Decides nothing any more, and lets go of the data folder, for a server that takes over. Replicas run on.
    pub async fn let_go(&mut self) {
        self.deciding.cancel();
        last_looks(&mut self.deciders).await;
        if self.folder.is_some()
            && let Models::Local(runtime) = &self.machine
        {
            runtime.shutdown(true, GRACE).await;
        }
        if let Err(error) = self.control.flush_key_use().await {
            tracing::warn!(%error, "when keys were last used could not be written");
        }
        self.folder = None;
    }

    /// Lets another server take over, after [`Self::let_go`]; it adopts the replicas. Requests go on being answered here until it
    /// answers them, and those that are in progress then are finished. Whoever waits for this no longer may [stop](Self::stop).
    ///
    /// # Errors
    /// If the other one ends before it serves. Then this one goes on carrying requests, and decides nothing any more: the next
    /// one may take over.
    pub async fn hand_over(&mut self, successor: Successor) -> anyhow::Result<Heir> {
        let taken = successor.takes().await;
        if let (Err(_), Some(door)) = (&taken, &mut self.door) {
            door.reopen().context("opening the door for the next one")?;
        }
        taken
    }

    /// The way in for connections of the server before this one.
    pub fn adopter(&self) -> Adopter {
        self.serving.adopter()
    }

    /// What counts requests; for those that the server before this one has in progress.
    pub fn gateway(&self) -> Arc<Gateway> {
        self.gateway.clone()
    }

    /// Finishes what is in progress after another server has taken over, brings it the connections, and ends.
    pub async fn finish(self, heir: Heir) {
        // Were they kept, connections would wait in sockets that nobody accepts from, if the other one ended.
        drop(self.door);
        let (mover, moved) = std::sync::mpsc::channel();
        // Until this is dropped the other one does not hear of the end: it looks then at what was written here last.
        let last = mover.clone();
        let gateway = self.gateway;
        let moving = tokio::task::spawn_blocking(move || heir.gets(&moved, || gateway.busy()));
        self.serving.hand_over(mover, FINISH).await;
        self.carrying.iter().for_each(JoinHandle::abort);
        self.control.pushes_end(FINISH).await;
        drop(last);
        if let Ok(Err(error)) = moving.await {
            tracing::warn!("connections could not be handed over, and were closed: {error:#}");
        }
        self.store.close().await;
    }
}

/// Waits until tasks that were told to end have.
async fn last_looks(deciders: &mut Vec<JoinHandle<()>>) {
    for task in std::mem::take(deciders) {
        let abort = task.abort_handle();
        if tokio::time::timeout(LAST_LOOK, task).await.is_err() {
            abort.abort();
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

    fn knows_all(&self) {
        self.0.knows_all();
    }
}

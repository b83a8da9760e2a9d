//! What the tests stand on: a gateway on a free port, toy replicas, a client.

use bytes::Bytes;
use domain::{
    Availability, Clock, DeploymentId, DeploymentRoute, EnvironmentName, EnvironmentRoute, ManualClock,
    ModelId, ModelName, ModelRoutes, ReplicaAddress, ReplicaId, Rewrite, Share, Timestamp, Traffic, Wake,
    Weight,
};
use gateway::{AppRequest, Gateway, GatewayConfig, KeyGrant, KeySnapshot, ServeHandle};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub type Body = UnsyncBoxBody<Bytes, Infallible>;
pub const KEY: &str = "secret";
pub const MODEL: &str = "model1";

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(&self, _: &ModelId) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A gateway that serves.
pub struct Stage {
    pub gateway: Arc<Gateway>,
    pub addr: SocketAddr,
    pub clock: Arc<ManualClock>,
    pub app: Option<mpsc::Receiver<AppRequest>>,
    wakes: Arc<Wakes>,
    handle: ServeHandle,
}

impl Stage {
    /// Idle connections are soon closed when it stops.
    pub fn new() -> Self {
        Self::with(GatewayConfig { linger: Duration::from_millis(50), ..GatewayConfig::default() })
    }

    pub fn with(config: GatewayConfig) -> Self {
        Self::listening(config, gateway::bind(&["127.0.0.1:0".parse().unwrap()], 2).unwrap())
    }

    pub fn listening(config: GatewayConfig, listeners: gateway::Listeners) -> Self {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_000_000)));
        let wakes = Arc::new(Wakes::default());
        let gateway = Gateway::new(config, wakes.clone(), clock.clone() as Arc<dyn Clock>);
        gateway.set_keys(Arc::new(KeySnapshot {
            keys: HashMap::from([grant(KEY, None), grant("elsewhere", Some(vec![ModelId::new("model2")]))]),
        }));
        let addr = listeners.addrs()[0];
        let (sender, app) = mpsc::channel(4);
        let handle = gateway::serve(gateway.clone(), listeners, sender, CancellationToken::new());
        Self { gateway, addr, clock, app: Some(app), wakes, handle }
    }

    pub fn wakes(&self) -> usize {
        self.wakes.0.load(SeqCst)
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.addr).await
    }

    /// Sends one request on a connection of its own, in the background.
    pub fn spawn(&self, request: Request<Full<Bytes>>) -> tokio::task::JoinHandle<Response<Incoming>> {
        let addr = self.addr;
        tokio::spawn(async move { Client::connect(addr).await.send(request).await })
    }

    pub fn held(&self, deployment: &str) -> u32 {
        self.traffic(deployment).demand.held
    }

    pub fn traffic(&self, deployment: &str) -> domain::DeploymentTraffic {
        self.gateway.deployment(&DeploymentId::new(deployment))
    }

    /// What the graphs are drawn from.
    pub fn counters(&self, deployment: &str) -> domain::Counters {
        let counted = self.gateway.counted().into_iter();
        let found =
            counted.filter(|one| one.deployment.as_str() == deployment).map(|one| one.counters).next();
        found.unwrap_or_default()
    }

    pub fn adopter(&self) -> gateway::Adopter {
        self.handle.adopter()
    }

    /// Ends, and hands its connections on.
    pub async fn hand_over(self, mover: std::sync::mpsc::Sender<gateway::Moved>) {
        self.handle.hand_over(mover, Duration::from_secs(10)).await;
    }

    pub async fn stop(self) {
        self.handle.join(Duration::from_secs(10)).await;
    }
}

fn grant(key: &str, models: Option<Vec<ModelId>>) -> ([u8; 32], KeyGrant) {
    (Sha256::digest(key).into(), KeyGrant { role: domain::Role::Invoker, models, environments: None })
}

/// One connection to the gateway.
pub struct Client(SendRequest<Full<Bytes>>);

impl Client {
    pub async fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.unwrap()).await
    }

    pub async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Self {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.try_send(request).await.unwrap()
    }

    pub async fn try_send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
        self.0.ready().await?;
        self.0.send_request(request).await
    }
}

/// A predict request with a valid key.
pub fn predict(path: &str, body: &str) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("host", "localhost")
        .header("authorization", format!("Bearer {KEY}"))
        .body(Full::from(body.to_owned()))
        .unwrap()
}

pub const PRODUCTION: &str = "/model/model1/production/predict";

pub async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// The status and the `error_code`.
pub async fn refusal(response: Response<Incoming>) -> (StatusCode, String) {
    let status = response.status();
    let text = text(response).await;
    let code = text.split(r#""error_code":""#).nth(1).and_then(|rest| rest.split('"').next());
    (status, code.unwrap_or(&text).to_owned())
}

pub fn plain(text: impl Into<String>) -> Response<Body> {
    Response::new(Full::from(text.into()).boxed_unsync())
}

/// A toy replica; stops when dropped.
pub struct Toy {
    pub port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Toy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Toy {
    pub async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, answer)
    }

    pub fn on<F, R>(listener: TcpListener, answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let answer = answer.clone();
                let service = service_fn(move |request| {
                    let answer = answer(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let serve = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                connections.spawn(serve);
            }
        });
        Self { port, task }
    }

    /// Answers everything with a text.
    pub async fn saying(text: &'static str) -> Self {
        Self::start(move |_| async move { plain(text) }).await
    }
}

pub fn deployment(id: &str, replicas: &[(&str, u16)], target: Option<u32>) -> DeploymentRoute {
    let address = |(id, port): &(&str, u16)| ReplicaAddress { id: ReplicaId::new(*id), port: *port };
    DeploymentRoute {
        id: DeploymentId::new(id),
        availability: Availability::Serving,
        concurrency_target: target,
        rejects_when_full: false,
        replicas: replicas.iter().map(address).collect(),
        rewrite: Rewrite::default(),
    }
}

/// Routes with a production environment.
pub fn routes(version: u64, shares: &[(&str, u32)], deployments: Vec<DeploymentRoute>) -> ModelRoutes {
    let share = |(id, percent): &(&str, u32)| Share {
        deployment: DeploymentId::new(*id),
        weight: Weight::percent(*percent),
        exemption: None,
    };
    ModelRoutes {
        model: ModelId::new(MODEL),
        name: ModelName::new("Model").unwrap(),
        generation: version,
        environments: vec![EnvironmentRoute {
            name: EnvironmentName::production(),
            version,
            shares: shares.iter().map(share).collect(),
        }],
        deployments,
        development: None,
    }
}

/// One deployment `a` behind production.
pub fn simple(version: u64, replicas: &[(&str, u16)], target: Option<u32>) -> ModelRoutes {
    routes(version, &[("a", 100)], vec![deployment("a", replicas, target)])
}

/// Waits until something is so; panics after ten seconds.
pub async fn until(what: &str, so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(10), async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

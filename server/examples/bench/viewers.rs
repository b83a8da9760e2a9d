//! What open dashboards cost the callers of a model: a hundred browsers look at one page while a thousand things change each
//! second, and requests arrive meanwhile; beside the same without browsers and changes.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use control::{KeyKind, KeyLimits};
use domain::{Actor, Change, ChangeKind, ModelId, Role};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use server::boot::{Server, start};
use server::config::Config;
use store::Store;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::world::{Subject, isolation, write_down};

/// Open pages, changes a second, and requests a second.
const VIEWERS: usize = 100;
const CHANGES: u64 = 1_000;
const RATE: u32 = 1_000;
/// Seconds of one turn, turns of each kind, and how much later the 99th of a hundred may be.
const SECONDS: u64 = 4;
const PAIRS: usize = 7;
const BOUND: f64 = 1.1;
/// A browser gathers what it is told for so long before it reads.
const SETTLE: Duration = Duration::from_millis(60);
/// Browsers share keys, each of which may read a hundred times a second.
const KEYS: usize = 10;

pub async fn run() -> bool {
    let data = tempfile::Builder::new().prefix("slipway-bench-").tempdir().unwrap();
    let (server, subject, keys) = serve(data.path()).await;
    let (mut quiet, mut looked_at, mut readings) = (Vec::new(), Vec::new(), 0);
    for _ in 0..PAIRS {
        quiet.push(late(&server, &subject, &keys[0]).await);
        let viewers = Viewers::open(&server, &subject, &keys).await;
        let changing = change(&server, &subject.model);
        looked_at.push(late(&server, &subject, &keys[0]).await);
        changing.abort();
        readings += viewers.close().await;
    }
    server.stop().await;
    let ratios: Vec<f64> = quiet.iter().zip(&looked_at).map(|(quiet, looked)| looked / quiet).collect();
    let ratio = median(ratios);
    let each = readings as f64 / (PAIRS * VIEWERS) as f64 / SECONDS as f64;
    println!(
        "viewers: 99 of a hundred requests within {:.0} us while {VIEWERS} pages are open and {CHANGES} things change a second, {:.0} us \
         without: {ratio:.2} x, median of {PAIRS} pairs (bound {BOUND}); each page read {each:.1} times a second",
        median(looked_at),
        median(quiet),
    );
    ratio <= BOUND && each > 0.3
}

/// A server with one model that serves, and keys for those who look.
async fn serve(data: &Path) -> (Server, Subject, Vec<String>) {
    let store = Store::open(&data.join("slipway.db").display().to_string()).await.unwrap();
    let program = std::env::current_exe().unwrap();
    let config = format!(
        "python_version: py311\ndocker_server:\n  start_command: {} replica\n  server_port: 8100\n  \
         predict_endpoint: /predict\n  readiness_endpoint: /ready\n  liveness_endpoint: /live\n",
        program.display()
    );
    let subject =
        write_down(&store, data, "looked-at", &[("config.yaml", &config), ("data/nothing", "")]).await;
    store.close().await;
    let config = Config {
        data_dir: data.to_owned(),
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        listen_chosen: true,
        public_url: None,
        tls: None,
        trusted_proxies: Vec::new(),
        domain: None,
        admin_key: None,
        secret_key: None,
        database_url: None,
        keep_replicas: false,
        gateway_threads: 1,
        gateway_connections: None,
        log: "warn".into(),
        machine: Default::default(),
        isolation: isolation(),
        limits: Default::default(),
        keep: runtime::Retention { environments: 0, logs: 0 },
    };
    let server = start(config).await.unwrap();
    let mut keys = Vec::new();
    for number in 0..KEYS {
        let (name, kind) = (format!("viewers-{number}"), KeyKind::Workspace(Role::Deployer));
        let (control, limits) = (server.control(), KeyLimits::default());
        keys.push(control.create_key(&Actor::system(), &name, kind, limits).await.unwrap().key);
    }
    let path = format!("/model/{}/production/sync/ready", subject.model);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while ask(&mut connect(server.address()).await, &path, &keys[0]).await.is_none() {
        assert!(tokio::time::Instant::now() < deadline, "the model does not serve");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    (server, subject, keys)
}

/// The 99th of a hundred of requests that arrive by chance, in microseconds.
async fn late(server: &Server, subject: &Subject, key: &str) -> f64 {
    let path = format!("/model/{}/production/predict", subject.model);
    let (pid, address) = (std::process::id().to_string(), server.address().to_string());
    let (rate, seconds) = (RATE.to_string(), SECONDS.to_string());
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["open", &address, &path, &pid, "32", &rate, &seconds])
        .env("BENCH_KEY", key)
        .output();
    let told: Value = serde_json::from_slice(&output.await.unwrap().stdout).unwrap();
    assert_eq!(told["tally"]["lost"], 0, "{told}");
    told["took_us"]["p99"].as_f64().unwrap()
}

/// Tells open pages of changes, at a steady rate.
fn change(server: &Server, model: &ModelId) -> tokio::task::JoinHandle<()> {
    let (changes, id) = (server.changes().clone(), model.to_string());
    tokio::spawn(async move {
        let mut every = tokio::time::interval(Duration::from_micros(1_000_000 / CHANGES));
        for generation in 0.. {
            every.tick().await;
            changes.tell(Change { kind: ChangeKind::Model, id: id.clone(), generation });
        }
    })
}

/// The browsers: a process of their own.
struct Viewers(Child);

impl Viewers {
    async fn open(server: &Server, subject: &Subject, keys: &[String]) -> Self {
        // They are on other machines, so what they take of this one's processors is none of what is measured.
        let mut child = Command::new("nice")
            .args(["-n", "19"])
            .arg(std::env::current_exe().unwrap())
            .args(["look", &server.address().to_string(), subject.model.as_str(), &VIEWERS.to_string()])
            .env("BENCH_KEYS", keys.join(","))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // It says when all are there.
        child.stdout.as_mut().unwrap().read_u8().await.unwrap();
        Self(child)
    }

    /// Closes them; answers how often they read altogether.
    async fn close(mut self) -> u64 {
        drop(self.0.stdin.take());
        let mut said = String::new();
        self.0.stdout.as_mut().unwrap().read_to_string(&mut said).await.unwrap();
        self.0.wait().await.unwrap();
        said.trim().parse().unwrap()
    }
}

/// So many browsers that have the page of a model open, until standard input closes.
pub async fn look(address: SocketAddr, model: &str, count: usize) {
    let keys = std::env::var("BENCH_KEYS").unwrap();
    let keys: Vec<&str> = keys.split(',').collect();
    let mut viewers = tokio::task::JoinSet::new();
    let readings = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    for number in 0..count {
        let key = keys[number % keys.len()].to_owned();
        let page = format!("/api/ui/model?model_id={model}");
        let mut told = send(&mut connect(address).await, "/api/ui/events", &key).await;
        assert_eq!(told.status(), 200);
        let readings = readings.clone();
        viewers.spawn(async move {
            let mut connection = connect(address).await;
            while let Some(Ok(frame)) = told.frame().await {
                let is_nudge = frame.data_ref().is_some_and(|data| data.starts_with(b"data:"));
                if is_nudge {
                    tokio::time::sleep(SETTLE).await;
                    assert!(ask(&mut connection, &page, &key).await.is_some(), "a page could not be read");
                    readings.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            }
        });
    }
    print!("+");
    std::io::Write::flush(&mut std::io::stdout()).unwrap();
    tokio::io::stdin().read_to_end(&mut Vec::new()).await.unwrap();
    viewers.shutdown().await;
    println!("{}", readings.load(std::sync::atomic::Ordering::Relaxed));
}

type Connection = SendRequest<Empty<Bytes>>;

async fn connect(address: SocketAddr) -> Connection {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn send(connection: &mut Connection, path: &str, key: &str) -> http::Response<Incoming> {
    let request =
        Request::get(path).header("host", "localhost").header("authorization", format!("Bearer {key}"));
    connection.ready().await.unwrap();
    connection.send_request(request.body(Empty::new()).unwrap()).await.unwrap()
}

/// The body of an answer with 200.
async fn ask(connection: &mut Connection, path: &str, key: &str) -> Option<Bytes> {
    let answer = send(connection, path, key).await;
    let is_fine = answer.status() == 200;
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    is_fine.then_some(body)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

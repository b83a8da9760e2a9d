//! The local driver with real processes.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::*;
use runtime::{IsolationSettings, Limits, LocalConfig, LocalRuntime};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// The machine's own time; only tests and the server ask it.
struct MachineClock;

#[expect(clippy::disallowed_methods, reason = "a clock is what asks the machine")]
impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Timestamp::from_millis(since.as_millis() as i64)
    }

    fn monotonic(&self) -> i64 {
        self.now().millis()
    }
}

#[derive(Default)]
struct Woken(Notify);

impl Wake for Woken {
    fn wake(&self, _: &ModelId) {
        self.0.notify_one();
    }
}

struct Host {
    data: tempfile::TempDir,
    runtime: Arc<LocalRuntime>,
    woken: Arc<Woken>,
}

async fn open(data: &Path, woken: &Arc<Woken>) -> Arc<LocalRuntime> {
    let config = LocalConfig {
        data_dir: data.to_owned(),
        clock: Arc::new(MachineClock),
        wake: woken.clone(),
        gpus: 0,
        isolation: IsolationSettings::default(),
        limits: Limits::default(),
    };
    LocalRuntime::open(config).await.unwrap()
}

fn model() -> ModelId {
    ModelId::new("model")
}

impl Host {
    async fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let woken = Arc::new(Woken::default());
        let runtime = open(data.path(), &woken).await;
        Self { data, runtime, woken }
    }

    /// A deployment that is a folder of this repository, or files given here.
    fn push(&self, name: &str, source: Source) -> Value {
        let folder = self.data.path().join("artifacts").join(name);
        match source {
            Source::Folder(path) => copy(&repository().join(path), &folder),
            Source::Script(script) => {
                std::fs::create_dir_all(folder.join("data")).unwrap();
                std::fs::write(folder.join("data/server.py"), script).unwrap();
                std::fs::write(folder.join("config.yaml"), CUSTOM).unwrap();
            }
        }
        let text = std::fs::read_to_string(folder.join("config.yaml")).unwrap();
        truss::Config::from_yaml(&text).unwrap().full()
    }

    async fn build(&self, name: &str, config: &Value) -> Result<(), BuildFailure> {
        let spec = BuildSpec {
            model: model(),
            deployment: DeploymentId::new(name),
            artifact: ArtifactId::new(name),
            config: config.clone(),
        };
        self.runtime.build(&spec, &|_| {}).await
    }

    fn spec(&self, name: &str, replica: &str, config: &Value) -> ReplicaSpec {
        ReplicaSpec {
            id: ReplicaId::new(replica),
            model: model(),
            deployment: DeploymentId::new(name),
            artifact: ArtifactId::new(name),
            config: config.clone(),
            environment: Some(EnvironmentName::production()),
            reserved: Default::default(),
            milli_cpu: 1000,
            secrets: Default::default(),
        }
    }

    fn see(&self, replica: &str) -> Option<ObservedReplica> {
        let Seen::Known(all) = self.runtime.observe(&model()) else {
            panic!("a local machine is always seen")
        };
        all.into_iter().find(|seen| seen.id.as_str() == replica)
    }

    /// Waits, woken by each change, until a replica is as wanted.
    async fn until(&self, replica: &str, wanted: impl Fn(&ReplicaState) -> bool) -> ObservedReplica {
        let wait = async {
            loop {
                if let Some(seen) = self.see(replica).filter(|seen| wanted(&seen.state)) {
                    return seen;
                }
                let _ = tokio::time::timeout(Duration::from_millis(200), self.woken.0.notified()).await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), wait).await {
            Ok(seen) => seen,
            Err(_) => panic!("{replica} never came to be as wanted: {:?}", self.see(replica)),
        }
    }

    async fn log(&self, name: &str) -> String {
        let query = LogQuery { ascending: true, limit: 1000, ..LogQuery::default() };
        let lines = self.runtime.logs(&DeploymentId::new(name), &query).await.unwrap().lines;
        lines.into_iter().map(|line| line.message + "\n").collect()
    }
}

enum Source {
    Folder(&'static str),
    Script(&'static str),
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

const CUSTOM: &str = "
model_name: custom
python_version: py311
docker_server:
  start_command: python data/server.py
  server_port: 8000
  predict_endpoint: /predict
  readiness_endpoint: /health
  liveness_endpoint: /health
";

const SERVER: &str = r#"
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/crash":
            print("about to fall over", flush=True)
            os._exit(3)
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *_): pass
print("listening soon", "SECRET" in os.environ, os.environ.get("DATABASE_URL"), flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

const EXPOSED: &str = r#"
import http.server, os
http.server.HTTPServer(("0.0.0.0", int(os.environ["PORT"])), http.server.SimpleHTTPRequestHandler).serve_forever()
"#;

async fn get(port: u16, path: &str) -> Option<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    Some(text)
}

fn ready(state: &ReplicaState) -> bool {
    *state == ReplicaState::Ready
}

fn exited(state: &ReplicaState) -> bool {
    matches!(state, ReplicaState::Exited { .. })
}

fn reason(seen: &ObservedReplica) -> String {
    match &seen.state {
        ReplicaState::Exited { reason, .. } => reason.clone(),
        other => panic!("it has not ended: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_server_starts_logs_crashes_and_stops() {
    let host = Host::new().await;
    let config = host.push("custom", Source::Script(SERVER));
    host.build("custom", &config).await.unwrap();
    host.runtime.start(&host.spec("custom", "aaaaa", &config)).await.unwrap();
    let seen = host.until("aaaaa", ready).await;
    assert!(get(seen.port, "/health").await.unwrap().contains("ok"));
    host.runtime.start(&host.spec("custom", "bbbbb", &config)).await.unwrap();
    let other = host.until("bbbbb", ready).await;
    assert_ne!(seen.port, other.port);

    get(seen.port, "/crash").await;
    let ended = host.until("aaaaa", exited).await;
    assert!(matches!(ended.state, ReplicaState::Exited { code: Some(3), .. }), "{ended:?}");
    assert!(reason(&ended).contains("exited with code 3"), "{}", reason(&ended));
    let log = host.log("custom").await;
    assert!(log.contains("about to fall over"), "{log}");
    assert!(
        log.contains("listening soon False None"),
        "nothing of the server's environment reaches it: {log}"
    );

    host.runtime.stop(&other.id, Duration::from_secs(5), StopReason::ScaleDown).await;
    let stopped = host.until("bbbbb", exited).await;
    assert_eq!(reason(&stopped), "it stopped as it was told");
    host.runtime.forget(&other.id).await;
    assert!(host.see("bbbbb").is_none());
    assert!(!host.data.path().join("replicas/bbbbb").exists(), "its folder is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_other_machines_could_reach_is_stopped() {
    let host = Host::new().await;
    let config = host.push("exposed", Source::Script(EXPOSED));
    host.build("exposed", &config).await.unwrap();
    host.runtime.start(&host.spec("exposed", "aaaaa", &config)).await.unwrap();
    let ended = host.until("aaaaa", exited).await;
    assert!(reason(&ended).contains("other machines could reach it"), "{}", reason(&ended));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_outlives_the_server_and_is_adopted() {
    let host = Host::new().await;
    let config = host.push("custom", Source::Script(SERVER));
    host.build("custom", &config).await.unwrap();
    host.runtime.start(&host.spec("custom", "aaaaa", &config)).await.unwrap();
    let before = host.until("aaaaa", ready).await;
    host.runtime.shutdown(true, Duration::ZERO).await;
    let Host { data, runtime, woken } = host;
    drop(runtime);
    let runtime = open(data.path(), &woken).await;
    let host = Host { data, runtime, woken };
    let adopted = host.see("aaaaa").unwrap();
    assert_eq!((adopted.pid, adopted.port), (before.pid, before.port));
    assert_eq!(adopted.state, ReplicaState::Ready, "it serves at once");
    host.runtime.stop(&adopted.id, Duration::from_secs(5), StopReason::Asked).await;
    let ended = host.until("aaaaa", exited).await;
    assert!(matches!(ended.state, ReplicaState::Exited { code: None, .. }), "how is not known: {ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truss_is_built_served_on_loopback_and_drained() {
    let host = Host::new().await;
    let config = host.push("echo", Source::Folder("examples/echo"));
    host.build("echo", &config).await.unwrap();
    host.runtime.start(&host.spec("echo", "aaaaa", &config)).await.unwrap();
    let seen = host.until("aaaaa", ready).await;
    let open: Vec<String> = ["tcp", "tcp6"]
        .iter()
        .flat_map(|table| {
            std::fs::read_to_string(format!("/proc/net/{table}"))
                .unwrap_or_default()
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .filter(|line| line.contains(&format!(":{:04X} ", seen.port)) && line.contains(" 0A "))
        .collect();
    assert_eq!(open.len(), 1, "{open:?}");
    assert!(open[0].contains("0100007F:"), "loopback only: {open:?}");
    host.runtime.shutdown(false, Duration::from_secs(10)).await;
    assert!(host.see("aaaaa").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_without_a_cache_has_an_environment_of_its_own() {
    let host = Host::new().await;
    let environments = || {
        let all = std::fs::read_dir(host.data.path().join("envs")).unwrap().flatten();
        all.filter(|entry| entry.path().extension().is_none()).count()
    };
    // A change in place goes on with the environment of its push.
    std::fs::write(host.data.path().join("artifacts/five.push"), "four").unwrap();
    for (name, no_cache, count) in
        [("one", false, 1), ("two", false, 1), ("three", true, 2), ("four", true, 3), ("five", true, 3)]
    {
        let mut config = host.push(name, Source::Script(SERVER));
        config["build"]["no_cache"] = json!(no_cache);
        host.build(name, &config).await.unwrap();
        assert_eq!(environments(), count, "{name}");
        let log = host.log(name).await;
        assert_eq!(log.contains("without any cache"), no_cache && name != "five", "{log}");
        assert_eq!(log.contains("reusing an environment"), name == "two" || name == "five", "{log}");
    }
    let mut config = host.push("four", Source::Script(SERVER));
    config["build"]["no_cache"] = json!(true);
    host.runtime.start(&host.spec("four", "aaaaa", &config)).await.unwrap();
    host.until("aaaaa", ready).await;
    host.runtime.shutdown(false, Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_without_a_cache_before_that_was_obeyed_starts_in_the_environment_it_has() {
    let host = Host::new().await;
    let mut config = host.push("old", Source::Script(SERVER));
    // A former server built it as if it had asked for nothing.
    host.build("old", &config).await.unwrap();
    config["build"]["no_cache"] = json!(true);
    host.runtime.start(&host.spec("old", "aaaaa", &config)).await.unwrap();
    host.until("aaaaa", ready).await;
    host.runtime.shutdown(false, Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_say_what_went_wrong() {
    let host = Host::new().await;
    let config = host.push("requirement", Source::Folder("end2end/trusses/broken-requirement"));
    let failure = host.build("requirement", &config).await.unwrap_err();
    assert!(failure.reason.contains("slipway-no-such-package"), "{}", failure.reason);
    let envs: Vec<_> = std::fs::read_dir(host.data.path().join("envs")).unwrap().flatten().collect();
    assert!(envs.iter().all(|entry| entry.path().extension().is_some_and(|kind| kind == "lock")), "{envs:?}");

    let mut config = host.push("python", Source::Folder("examples/echo"));
    config["python_version"] = json!("py39");
    let failure = host.build("python", &config).await.unwrap_err();
    assert!(failure.reason.contains("python_version: py3"), "{}", failure.reason);

    let config = host.push("load", Source::Folder("end2end/trusses/broken-load"));
    host.build("load", &config).await.unwrap();
    host.runtime.start(&host.spec("load", "aaaaa", &config)).await.unwrap();
    let ended = host.until("aaaaa", exited).await;
    assert!(reason(&ended).contains("nowhere to be found"), "{}", reason(&ended));
    assert!(ended.spawned_at.is_some() && ended.ready_at.is_none(), "it failed while it loaded");
    assert!(host.log("load").await.contains("Traceback"));
}

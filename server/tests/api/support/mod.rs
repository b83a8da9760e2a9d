//! A server with a data folder of its own, and ways to ask it.

pub mod client;
pub mod http;
pub mod machine;
pub mod s3;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use server::boot::{self, Server};
use server::config::Config;

pub use http::{Answer, Call};
use s3::Credentials;

pub const KEY: &str = "test-admin-key-0123456789";
/// The password of everybody.
pub const PASSWORD: &str = "correct-horse-battery";

/// A process is one server, and pages count on that: rendered by several runtimes of one process at once, one in a few
/// hundred waits for ever. So worlds take turns.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

pub struct World {
    server: Option<Server>,
    pub address: SocketAddr,
    pub data: tempfile::TempDir,
    /// What it was started with.
    pub config: Config,
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

impl World {
    /// Starts a server that knows nothing yet.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change).await
    }

    /// Starts a server whose models are processes of this machine, as outside of tests.
    pub async fn start_here() -> Self {
        Self::start_here_in(tempfile::tempdir().unwrap()).await
    }

    /// The same on a data folder that is there.
    pub async fn start_here_in(data: tempfile::TempDir) -> Self {
        Self::begin(data, |_| {}, boot::start).await
    }

    /// As [`World::start_with`], on a data folder that is there.
    pub async fn start_in(data: tempfile::TempDir, change: impl FnOnce(&mut Config)) -> Self {
        Self::begin(data, change, async |config| {
            let artifacts = config.data_dir.join("artifacts");
            boot::start_on(config, |wakes| machine::Machine::new(wakes, artifacts) as _).await
        })
        .await
    }

    async fn begin(
        data: tempfile::TempDir,
        change: impl FnOnce(&mut Config),
        start: impl AsyncFnOnce(Config) -> anyhow::Result<Server>,
    ) -> Self {
        let turn = TURN.lock().await;
        let mut config = Config {
            data_dir: data.path().to_owned(),
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            listen_chosen: true,
            public_url: None,
            tls: None,
            trusted_proxies: Vec::new(),
            domain: None,
            admin_key: Some(KEY.into()),
            secret_key: None,
            database_url: None,
            keep_replicas: false,
            gateway_threads: 1,
            gateway_connections: None,
            log: "warn".into(),
            machine: Default::default(),
            isolation: Default::default(),
            limits: Default::default(),
            keep: runtime::Retention { environments: 0, logs: 0 },
        };
        change(&mut config);
        let server = start(config.clone()).await.unwrap();
        Self { address: server.address(), server: Some(server), data, config, _turn: turn }
    }

    /// Stops the server as TERM does.
    pub async fn stop(mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    pub async fn send(&self, call: Call) -> Answer {
        call.send(self.address).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(with_key(Call::new("GET", path))).await
    }

    pub async fn rest(&self, method: &str, path: &str, body: Value) -> Answer {
        self.send(with_key(Call::new(method, path)).json(&body)).await
    }

    /// One question of the push client.
    pub async fn ask(&self, body: Value) -> Value {
        self.send(with_key(Call::new("POST", "/graphql/")).json(&body)).await.ok()
    }

    /// One server function, as the dashboard's forms call it.
    pub async fn act(&self, function: &str, fields: &[(&str, &str)]) -> Answer {
        let form: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let call = with_key(Call::new("POST", format!("/api/ui/{function}")))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.join("&"));
        self.send(call).await
    }

    /// A one-time link, as the command line gets it.
    pub async fn sign_in_link(&self) -> String {
        self.local().sign_in_link(None).await.unwrap()
    }

    /// One server function, as a browser with this cookie calls it; nobody's if it is empty.
    pub async fn act_as(&self, cookie: &str, function: &str, fields: &[(&str, &str)]) -> Answer {
        let form: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let call = Call::new("POST", format!("/api/ui/{function}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", cookie.to_owned())
            .body(form.join("&"));
        self.send(call).await
    }

    /// Makes the first admin by the link that the command line prints; answers the cookie.
    pub async fn first_admin(&self) -> String {
        let link = self.sign_in_link().await;
        let token = link.split("token=").nth(1).unwrap();
        let fields =
            [("token", token), ("email", "ada@example.org"), ("name", "Ada"), ("password", PASSWORD)];
        self.act_as("", "join", &fields).await.cookie()
    }

    /// A new key, as the command line makes it.
    pub async fn create_key(&self, name: &str, role: &str) -> String {
        self.local().create_key(name, role).await.unwrap()
    }

    fn local(&self) -> server::client::Local {
        let text = std::fs::read_to_string(self.data.path().join("local.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    pub async fn credentials(&self) -> Credentials {
        Credentials(
            self.ask(client::query(client::CREDENTIALS)).await["data"]["model_s3_upload_credentials"].clone(),
        )
    }

    pub fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// Uploads an archive in one piece; answers its key.
    pub async fn upload(&self, archive: Bytes) -> String {
        let credentials = self.credentials().await;
        let call = Call::new("PUT", credentials.path()).body(archive);
        let answer = self.send(credentials.sign(call, &self.host(), now())).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        credentials.key().to_owned()
    }

    /// Pushes a first or further deployment; answers the model's and the deployment's id.
    pub async fn push(&self, model: Result<&str, &str>, extra: &str) -> (String, String) {
        let key = self.upload(archive()).await;
        let answer = match model {
            Ok(name) => self.ask(client::create_model(name, &key, &config(""), extra)).await,
            Err(id) => self.ask(client::create_version(id, &key, &config(""), extra)).await,
        };
        pushed(&answer)
    }

    /// Pushes a model whose configuration has this beside the usual.
    pub async fn push_with(&self, name: &str, more: Value) -> (String, String) {
        pushed(&self.try_push_with(name, more).await)
    }

    pub async fn try_push_with(&self, name: &str, more: Value) -> Value {
        let key = self.upload(archive()).await;
        self.ask(client::create_model(name, &key, &config_with(more), "")).await
    }

    /// Pushes a further deployment of a model.
    pub async fn version_with(&self, model: &str, more: Value) -> (String, String) {
        let key = self.upload(archive()).await;
        pushed(&self.ask(client::create_version(model, &key, &config_with(more), "")).await)
    }

    pub fn store(&self) -> &store::Store {
        self.server.as_ref().unwrap().store()
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// What was recorded, newest first.
    pub async fn events(&self) -> Vec<domain::Event> {
        let filter = store::EventFilter { limit: 200, ..store::EventFilter::default() };
        let control = self.server.as_ref().unwrap().control();
        control.activity(&domain::Actor::system(), filter).await.unwrap()
    }

    /// Looks at the counters now, and not only at the next round time.
    pub async fn look(&self) {
        self.try_look().await.unwrap();
    }

    /// Writes what was measured, as a server that stops.
    pub async fn try_flush(&self) -> Result<(), control::Error> {
        self.server.as_ref().unwrap().control().flush_metrics().await
    }

    /// The server itself; from here on it is the caller's to stop.
    pub fn take_server(&mut self) -> Server {
        self.server.take().unwrap()
    }

    pub async fn try_look(&self) -> Result<(), control::Error> {
        self.server.as_ref().unwrap().control().look_at_metrics().await
    }

    /// Everything in the data folder that holds this text.
    pub fn files_with(&self, text: &str) -> Vec<PathBuf> {
        holding(self.data.path(), text.as_bytes())
    }

    pub async fn deployment(&self, model: &str, deployment: &str) -> Value {
        self.get(&format!("/v1/models/{model}/deployments/{deployment}")).await.ok()
    }

    /// Waits until a deployment has this status.
    pub async fn reaches(&self, model: &str, deployment: &str, status: &str) -> Value {
        let path = format!("/v1/models/{model}/deployments/{deployment}");
        self.until(&path, |seen| seen["status"] == status).await
    }

    /// Asks until the answer is as wanted.
    pub async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..1200 {
            last = self.get(path).await.ok();
            if wanted(&last) {
                return last;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("waited in vain; {path} is {last}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A test that failed leaves its server to the process's end.
        drop(self.server.take());
    }
}

pub fn with_key(call: Call) -> Call {
    call.header("authorization", format!("Api-Key {KEY}"))
}

fn holding(folder: &Path, text: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if path.is_file()
            && std::fs::read(&path).unwrap().windows(text.len()).any(|window| window == text)
        {
            found.push(path);
        }
    }
    found
}

/// The ids in the answer to a push.
pub fn pushed(answer: &Value) -> (String, String) {
    assert!(answer.get("errors").is_none(), "{answer}");
    let data = answer["data"].as_object().unwrap().values().next().unwrap();
    let version = &data["model_version"];
    (version["oracle"]["id"].as_str().unwrap().into(), version["id"].as_str().unwrap().into())
}

/// The usual configuration with this beside it.
pub fn config_with(more: Value) -> String {
    let mut config: Value = serde_json::from_slice(&STANDARD.decode(config("")).unwrap()).unwrap();
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    STANDARD.encode(config.to_string())
}

/// A configuration as the client sends it.
pub fn config(description: &str) -> String {
    let config = json!({
        "model_name": "Echo",
        "description": description,
        "python_version": "py311",
        "model_module_dir": "model",
        "model_class_filename": "model.py",
        "model_class_name": "Model",
        "requirements": [],
        "resources": { "cpu": "1", "memory": "512Mi", "use_gpu": false, "accelerator": null },
    });
    STANDARD.encode(config.to_string())
}

/// A Truss as the client packs it: a plain tar of files.
pub fn archive() -> Bytes {
    archive_of(&[
        ("config.yaml", "model_name: Echo\npython_version: py311\n"),
        ("model/__init__.py", ""),
        ("model/model.py", "class Model:\n    def predict(self, request):\n        return request\n"),
    ])
}

pub fn archive_of(files: &[(&str, &str)]) -> Bytes {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().into()
}

pub fn now() -> i64 {
    use domain::Clock;
    server::clock::SystemClock::new().now().seconds()
}

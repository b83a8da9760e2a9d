//! A backup, and what a server makes of it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use server::backup::Backup;
use server::config::Config;
use server::restore::restore;

use crate::support::{Call, World, archive_of, client, pushed, with_key};

const VALUE: &str = "hf_J9sQ2wXk7Lm4Tn8V";

/// Answers with the secret that it was started with.
const SERVER: &str = r#"
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200); self.end_headers()
        self.wfile.write(os.environ.get("TRUSS_SECRET_token", "nothing").encode())
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// A server of its own, which needs nothing installed.
fn config() -> String {
    let config = json!({
        "model_name": "Kept",
        "python_version": "py311",
        "secrets": { "token": null },
        "docker_server": {
            "start_command": "python server.py",
            "server_port": 8100,
            "predict_endpoint": "/predict",
            "readiness_endpoint": "/",
            "liveness_endpoint": "/",
        },
    });
    STANDARD.encode(config.to_string())
}

async fn back_up(config: &Config, target: &Path, with_key: bool) -> anyhow::Result<String> {
    let now = domain::Timestamp::from_millis(crate::support::now() * 1000);
    Backup { config, target, with_key, now }.write(&|_| {}).await
}

async fn restore_to(config: &Config, folder: &Path, source: &Path) -> anyhow::Result<String> {
    restore(&Config { data_dir: folder.to_owned(), ..config.clone() }, source, &|_| {}).await
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Writes secrets over and over until it is told to stop; answers how many.
fn write_on(world: &World) -> (Arc<AtomicBool>, tokio::task::JoinHandle<u32>) {
    let (stop, address) = (Arc::new(AtomicBool::new(false)), world.address);
    let stopped = stop.clone();
    let writing = tokio::spawn(async move {
        let mut count = 0;
        while !stopped.load(Ordering::Relaxed) {
            let body = json!({ "name": format!("load_{}", count % 50), "value": "x".repeat(2_000) });
            with_key(Call::new("POST", "/v1/secrets")).json(&body).send(address).await.ok();
            count += 1;
        }
        count
    });
    (stop, writing)
}

/// Asks the model in production; the deployment serves a moment before production is its.
async fn ask(world: &World, model: &str, key: &str) -> String {
    let end = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let call = Call::new("POST", format!("/model/{model}/production/predict"))
            .header("authorization", format!("Api-Key {key}"))
            .json(&json!({}));
        let answer = world.send(call).await;
        if answer.status == 404 && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        assert_eq!(answer.status, 200, "{}", answer.text());
        return answer.text();
    }
}

async fn serves(world: &World, model: &str, deployment: &str) {
    let path = format!("/v1/models/{model}/deployments/{deployment}");
    let failed = |seen: &Value| seen["status"].as_str().unwrap().contains("FAILED");
    world
        .until(&path, |seen| {
            assert!(!failed(seen), "{seen}");
            seen["status"] == "ACTIVE" && seen["active_replica_count"] == 1
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_backed_up_under_writes_serves_elsewhere() {
    let world = World::start_here().await;
    world.rest("POST", "/v1/secrets", json!({ "name": "token", "value": VALUE })).await.ok();
    let cookie = world.first_admin().await;
    let invoker = world.create_key("caller", "invoker").await;
    let key = world.upload(archive_of(&[("config.yaml", "model_name: Kept\n"), ("server.py", SERVER)])).await;
    let (model, deployment) = pushed(&world.ask(client::create_model("Kept", &key, &config(), "")).await);
    serves(&world, &model, &deployment).await;
    assert_eq!(ask(&world, &model, &invoker).await, VALUE);

    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("backup");
    let (stop, writing) = write_on(&world);
    let told = back_up(&world.config, &target, true).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    assert!(writing.await.unwrap() > 0);
    assert!(told.contains("the code of 1 push") && told.contains("together"), "{told}");
    assert!(!told.contains("WARNING"), "{told}");
    assert_eq!(names(&target), ["artifacts", "backup.json", "secret.key", "slipway.db"]);
    assert_eq!(names(elsewhere.path()), ["backup"]);
    assert_eq!(mode(&target), 0o700);
    for file in ["backup.json", "secret.key", "slipway.db"] {
        assert_eq!(mode(&target.join(file)), 0o600, "{file}");
    }
    let config = world.config.clone();
    // With its data folder and all that was built there.
    world.stop().await;

    let data = tempfile::tempdir().unwrap();
    let told = restore_to(&config, data.path(), &target).await.unwrap();
    assert!(told.contains("slipway serve --data-dir") && !told.contains("WARNING"), "{told}");
    let world = World::start_here_in(data).await;
    serves(&world, &model, &deployment).await;
    assert_eq!(ask(&world, &model, &invoker).await, VALUE, "the key of a caller, and a secret, are the same");
    assert_eq!(world.get(&format!("/v1/models/{model}")).await.ok()["name"], "Kept");
    let page = world.send(Call::new("GET", "/models").header("cookie", cookie)).await;
    assert!(
        page.status == 200 && page.text().contains("Kept"),
        "who was signed in still is: {}",
        page.status
    );
    let (_, next) = pushed(
        &world
            .ask(client::create_version(
                &model,
                &{
                    let files = [("config.yaml", "model_name: Kept\n"), ("server.py", SERVER)];
                    world.upload(archive_of(&files)).await
                },
                &self::config(),
                "",
            ))
            .await,
    );
    assert_ne!(next, deployment, "and life goes on");
    world.stop().await;
}

#[tokio::test]
async fn a_backup_is_refused_where_something_is_or_from_another_database() {
    let world = World::start().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("backup");
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("mine"), "precious").unwrap();
    let refusal = back_up(&world.config, &target, true).await.unwrap_err().to_string();
    assert!(refusal.contains("exists already"), "{refusal}");
    assert_eq!(names(&target), ["mine"]);

    let url = Some("postgres://ada:hush@db/slipway".to_owned());
    let other = Config { database_url: url, ..world.config.clone() };
    let refusal = back_up(&other, &elsewhere.path().join("other"), true).await.unwrap_err().to_string();
    assert!(refusal.contains("DATABASE_URL") && !refusal.contains("hush"), "{refusal}");
    let nowhere = Config { data_dir: elsewhere.path().join("none"), ..world.config.clone() };
    let refusal = back_up(&nowhere, &elsewhere.path().join("other"), true).await.unwrap_err().to_string();
    assert!(refusal.contains("--data-dir"), "{refusal}");
    assert_eq!(names(elsewhere.path()), ["backup"], "nothing is left of what was refused");
    world.stop().await;
}

#[tokio::test]
async fn a_restore_takes_a_whole_backup_only_and_an_unused_folder_only() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Kept"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let elsewhere = tempfile::tempdir().unwrap();
    let (at, to) = (|name: &str| elsewhere.path().join(name), elsewhere.path().join("new"));
    let refused = async |source: &Path| {
        let refusal = restore_to(&world.config, &to, source).await.unwrap_err();
        let left =
            names(elsewhere.path()).into_iter().filter(|name| name.contains("new")).collect::<Vec<_>>();
        assert_eq!(left, Vec::<String>::new(), "{refusal:#}");
        format!("{refusal:#}")
    };
    let make = async |name: &str| {
        back_up(&world.config, &at(name), true).await.unwrap();
        at(name)
    };
    let model_file = |backup: &Path| {
        let artifact = names(&backup.join("artifacts")).remove(0);
        backup.join("artifacts").join(artifact).join("model/model.py")
    };

    let changed = make("changed").await;
    std::fs::write(model_file(&changed), "import antigravity\n").unwrap();
    assert!(refused(&changed).await.contains("not what was backed up"));
    let short = make("short").await;
    std::fs::remove_dir_all(short.join("artifacts")).unwrap();
    assert!(refused(&short).await.contains("artifacts"));
    let torn = make("torn").await;
    let database = std::fs::read(torn.join("slipway.db")).unwrap();
    std::fs::write(torn.join("slipway.db"), &database[..database.len() / 2]).unwrap();
    assert!(refused(&torn).await.contains("damaged"));
    // One whose list was shortened with it is found out by what the database names.
    let lost = make("lost").await;
    let text = std::fs::read_to_string(lost.join("backup.json")).unwrap();
    let mut manifest: Value = serde_json::from_str(&text).unwrap();
    manifest["artifacts"] = json!({});
    std::fs::write(lost.join("backup.json"), manifest.to_string()).unwrap();
    assert!(refused(&lost).await.contains("names pushed code that is not in the backup"));
    manifest["format"] = json!(99);
    std::fs::write(lost.join("backup.json"), manifest.to_string()).unwrap();
    assert!(refused(&lost).await.contains("newer Slipway"));
    assert!(refused(&at("none")).await.contains("is no backup"));

    // What was changed in place since its push says which push that was.
    let artifact = names(&world.data().join("artifacts")).remove(0);
    let note = format!("artifacts/{artifact}.push");
    std::fs::write(world.data().join(&note), "another").unwrap();
    let renamed = make("renamed").await;
    std::fs::write(renamed.join(&note), "a third").unwrap();
    assert!(refused(&renamed).await.contains("not what was backed up"));

    let sound = make("sound").await;
    let refusal = restore_to(&world.config, world.data(), &sound).await.unwrap_err().to_string();
    assert!(refusal.contains("in use"), "{refusal}");
    let refusal = restore_to(&world.config, &sound, &sound).await.unwrap_err().to_string();
    assert!(refusal.contains("holds something already"), "{refusal}");
    restore_to(&world.config, &to, &sound).await.unwrap();
    assert_eq!(names(&to), ["artifacts", "layout", "restored", "secret.key", "slipway.db"]);
    assert_eq!(std::fs::read_to_string(to.join(&note)).unwrap(), "another");
    assert_eq!(mode(&to), 0o700);
    world.stop().await;
}

#[tokio::test]
async fn a_backup_says_which_secrets_its_key_does_not_open() {
    let world = World::start().await;
    world.rest("POST", "/v1/secrets", json!({ "name": "token", "value": VALUE })).await.ok();
    let elsewhere = tempfile::tempdir().unwrap();
    let without = elsewhere.path().join("without");
    let told = back_up(&world.config, &without, false).await.unwrap();
    assert!(told.contains("keep secret.key, or SLIPWAY_SECRET_KEY, apart"), "{told}");
    assert!(!without.join("secret.key").exists());
    let told = restore_to(&world.config, &elsewhere.path().join("new"), &without).await.unwrap();
    assert!(told.contains("The key of secrets is not in the backup"), "{told}");

    let wrong = Config { secret_key: Some(store::Vault::new(&[1; 32])), ..world.config.clone() };
    let told = back_up(&wrong, &elsewhere.path().join("wrong"), true).await.unwrap();
    assert!(told.contains("WARNING") && told.contains("token") && !told.contains(VALUE), "{told}");
    world.stop().await;
}

#[tokio::test]
async fn with_postgres_the_command_that_saves_it_is_told_and_builds_begin_again() {
    let scratch = store::testing::postgres().await;
    let url = scratch.address.replacen("postgres@", "postgres:hush@", 1);
    let world = World::start_in(tempfile::tempdir().unwrap(), |config| config.database_url = Some(url)).await;
    let (model, deployment) = world.push(Ok("Kept"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("backup");
    let told = back_up(&world.config, &target, true).await.unwrap();
    assert!(told.contains("pg_dump --format=custom") && !told.contains("hush"), "{told}");
    assert_eq!(names(&target), ["artifacts", "backup.json", "secret.key"]);
    let config = world.config.clone();
    world.stop().await;

    let data = tempfile::tempdir().unwrap();
    let told = restore_to(&config, data.path(), &target).await.unwrap();
    assert!(told.contains("pg_restore"), "{told}");
    let world = World::start_in(data, |fresh| fresh.database_url = config.database_url).await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let log = world.get(&format!("/v1/models/{model}/deployments/{deployment}/logs")).await.ok();
    assert!(log.to_string().contains("built"), "on this machine, that is: {log}");
    world.stop().await;
}

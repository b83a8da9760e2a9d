//! Secrets: set by people, read by the models that declare them, seen by nobody.

use std::io::Write;
use std::sync::{Arc, Mutex};

use domain::EventKind;
use serde_json::{Value, json};

use crate::support::{Answer, Call, World, with_key};

const VALUE: &str = "hf_J9sQ2wXk7Lm4Tn8V";
const NEXT: &str = "hf_P3rZ6yBd1Hc5Gf0N";

/// What a model is asked, and by which secrets it answers.
async fn secrets_of(world: &World, model: &str) -> Value {
    let call = Call::new("POST", format!("/model/{model}/production/predict")).json(&json!({}));
    world.send(with_key(call)).await.ok()["secrets"].clone()
}

async fn serve(world: &World, name: &str, secrets: Value) -> (String, String) {
    let (model, deployment) = world.push_with(name, json!({ "secrets": secrets })).await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    world.until(&format!("/v1/models/{model}"), |model| model["production_deployment_id"].is_string()).await;
    (model, deployment)
}

async fn set(world: &World, name: &str, value: &str) -> Answer {
    world.rest("POST", "/v1/secrets", json!({ "name": name, "value": value })).await
}

#[tokio::test]
async fn a_secret_is_set_replaced_listed_and_deleted() {
    let world = World::start().await;
    let first = set(&world, "hf_token", VALUE).await.ok();
    for field in ["id", "created_at", "name", "team_name"] {
        assert!(first[field].is_string(), "no {field} in {first}");
    }
    assert!(first["note"].as_str().unwrap().contains("start from now on"), "{first}");
    let again = world
        .rest("POST", "/v1/teams/default/secrets", json!({ "name": "hf_token", "value": NEXT }))
        .await
        .ok();
    assert_eq!((&again["id"], &again["created_at"]), (&first["id"], &first["created_at"]));
    let listed = world.get("/v1/secrets").await.ok();
    assert_eq!(listed["secrets"].as_array().unwrap().len(), 1);
    assert_eq!(listed["secrets"][0]["name"], "hf_token");
    assert_eq!(world.get("/v1/teams/default/secrets").await.ok(), listed);
    assert_eq!(world.get("/v1/teams/other/secrets").await.status, 404);
    let gone = world.rest("DELETE", "/v1/secrets/hf_token", json!({})).await.ok();
    assert_eq!(gone, json!({ "name": "hf_token" }));
    assert_eq!(world.rest("DELETE", "/v1/teams/default/secrets/hf_token", json!({})).await.status, 404);
    assert_eq!(world.get("/v1/secrets").await.ok(), json!({ "secrets": [] }));
    world.stop().await;
}

#[tokio::test]
async fn refusals_name_the_field_and_repeat_no_value() {
    let world = World::start().await;
    let long = VALUE.repeat(4_000);
    for (body, field) in [
        (json!({ "name": "a b", "value": VALUE }), "name"),
        (json!({ "name": "", "value": VALUE }), "name"),
        (json!({ "name": "a", "value": "" }), "value"),
        (json!({ "name": "a", "value": long }), "value"),
        (json!({ "name": "a", "value": [VALUE] }), "value"),
        (json!({ "name": "a", "value": 8_734_912_650_u64 }), "value"),
        (json!({ "name": "a" }), "value"),
        (json!({ "name": "a", "valeu": VALUE }), "valeu"),
        (json!(VALUE), "body"),
    ] {
        let answer = world.rest("POST", "/v1/secrets", body).await;
        let text = answer.text();
        assert_eq!(answer.status, 400, "{text}");
        assert!(text.contains(field), "{field} in {text}");
        assert!(!text.contains(VALUE) && !text.contains("8734912650"), "{text}");
    }
    assert_eq!(world.get("/v1/secrets").await.ok(), json!({ "secrets": [] }));
    world.stop().await;
}

#[tokio::test]
async fn viewers_see_names_and_deployers_set_values() {
    let world = World::start().await;
    set(&world, "hf_token", VALUE).await.ok();
    for (kind, reads, writes) in [
        ("invoker", 403, 403),
        ("exporter", 403, 403),
        ("keykeeper", 403, 403),
        ("viewer", 200, 403),
        ("deployer", 200, 200),
    ] {
        let key = format!("Bearer {}", world.create_key(kind, kind).await);
        let status =
            async |call: Call| world.send(call.header("authorization", key.clone())).await.status.as_u16();
        assert_eq!(status(Call::new("GET", "/v1/secrets")).await, reads, "{kind}");
        let body = json!({ "name": "hf_token", "value": NEXT });
        assert_eq!(status(Call::new("POST", "/v1/secrets").json(&body)).await, writes, "{kind}");
        assert_eq!(status(Call::new("DELETE", "/v1/secrets/hf_token")).await, writes, "{kind}");
    }
    world.stop().await;
}

#[tokio::test]
async fn only_what_a_model_declares_reaches_it() {
    let world = World::start().await;
    set(&world, "hf_token", VALUE).await.ok();
    set(&world, "other", "something else").await.ok();
    let (reader, _) = serve(&world, "Reader", json!({ "hf_token": null })).await;
    assert_eq!(secrets_of(&world, &reader).await, json!({ "hf_token": VALUE }));
    let (blind, _) = serve(&world, "Blind", json!({})).await;
    assert_eq!(secrets_of(&world, &blind).await, json!({}));

    set(&world, "hf_token", NEXT).await.ok();
    assert_eq!(secrets_of(&world, &reader).await, json!({ "hf_token": VALUE }), "a replica keeps its value");
    let (later, _) = serve(&world, "Later", json!({ "hf_token": null })).await;
    assert_eq!(
        secrets_of(&world, &later).await,
        json!({ "hf_token": NEXT }),
        "one that starts later has the new"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_secret_that_is_not_set_is_told_in_the_log() {
    let world = World::start().await;
    let (model, deployment) = serve(&world, "Reader", json!({ "hf_token": null, "level": "low" })).await;
    assert_eq!(secrets_of(&world, &model).await, json!({}));
    let logs = world.get(&format!("/v1/models/{model}/deployments/{deployment}/logs")).await.text();
    assert!(logs.contains("`hf_token` is declared but not set"), "{logs}");
    assert!(!logs.contains("`level`"), "it has a text of its own: {logs}");
    world.stop().await;
}

#[tokio::test]
async fn another_key_opens_nothing_until_the_secret_is_set_again() {
    let data = tempfile::tempdir().unwrap();
    let at = |key: [u8; 32]| {
        let path = data.path().to_owned();
        move |config: &mut server::config::Config| {
            config.data_dir = path;
            config.secret_key = Some(store::Vault::new(&key));
        }
    };
    let world = World::start_with(at([1; 32])).await;
    set(&world, "hf_token", VALUE).await.ok();
    world.stop().await;

    let world = World::start_with(at([2; 32])).await;
    assert_eq!(world.get("/v1/secrets").await.ok()["secrets"][0]["name"], "hf_token");
    let (model, deployment) = world.push_with("Reader", json!({ "secrets": { "hf_token": null } })).await;
    let logs = format!("/v1/models/{model}/deployments/{deployment}/logs");
    world.until(&logs, |logs| logs.to_string().contains("SLIPWAY_SECRET_KEY")).await;
    set(&world, "hf_token", NEXT).await.ok();
    world.rest("POST", &format!("/v1/models/{model}/deployments/{deployment}/retry"), json!({})).await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    world.stop().await;
}

/// Everything that is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_value_is_nowhere_to_be_found() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    // For the whole process: requests are carried by other threads than this one.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let world = World::start().await;
    let mut seen =
        vec![set(&world, "hf_token", VALUE).await.text(), set(&world, "hf_token", VALUE).await.text()];
    let (model, deployment) = serve(&world, "Reader", json!({ "hf_token": null })).await;
    assert_eq!(secrets_of(&world, &model).await["hf_token"], VALUE, "the model has it");
    let base = format!("/v1/models/{model}/deployments/{deployment}");
    for path in ["/v1/secrets".into(), format!("{base}/logs"), format!("{base}/config"), base.clone()] {
        seen.push(world.get(&path).await.text());
    }
    let events = world.events().await;
    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == EventKind::SecretUpdated).count(), 2, "{kinds:?}");
    seen.extend(events.iter().map(|event| format!("{event:?}")));
    seen.push(world.send(with_key(Call::new("GET", format!("/models/{model}")))).await.text());
    seen.push(String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned());
    assert!(!seen.last().unwrap().is_empty(), "nothing was logged");
    for text in seen {
        assert!(!text.contains(VALUE), "{text}");
    }
    assert_eq!(world.files_with(VALUE), Vec::<std::path::PathBuf>::new());
    assert!(!world.files_with("hf_token").is_empty(), "names are stored as they are");
    world.stop().await;
}

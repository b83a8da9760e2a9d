//! Changes of the development deployment in place, as `truss watch` and the Python library send them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{World, archive, client, config, pushed};

const MODEL: &str = "class Model:\n    def predict(self, request):\n        return 2\n";

async fn draft(world: &World, name: &str) -> (String, String) {
    let key = world.upload(archive()).await;
    let (model, deployment) = pushed(&world.ask(client::deploy_draft(name, &key, &config(""))).await);
    world.reaches(&model, &deployment, "ACTIVE").await;
    (model, deployment)
}

/// The state that the client starts from: that of the version it fetched.
async fn pushed_state(world: &World, deployment: &str) -> (String, Value) {
    let version = world.ask(client::version(deployment)).await["data"]["model_version"].clone();
    let hash = version["truss_hash"].as_str().unwrap().to_owned();
    (hash, serde_json::from_str(version["truss_signature"].as_str().unwrap()).unwrap())
}

fn code(content: &str) -> Value {
    json!({"type": "model_code", "body": {"action": "UPDATE", "path": "model.py", "content": content}})
}

fn patch(prev: &str, next: &str, signature: &Value, ops: &[Value]) -> String {
    let signature = signature.to_string();
    STANDARD.encode(
        json!({"prev_hash": prev, "prev_signature": "", "next_hash": next, "next_signature": signature, "patch_ops": ops})
            .to_string(),
    )
}

async fn stage(world: &World, model: &str, patch: &str) -> Value {
    let answer = world.ask(client::stage_patch(model, patch)).await;
    answer["data"]["stage_patch_for_draft_truss"].clone()
}

async fn sync(world: &World, model: &str) -> Value {
    let text =
        format!("mutation {{ sync_draft_truss(id: \"{model}\") {{ succeeded needs_full_deploy error }} }}");
    world.ask(client::query(&text)).await["data"]["sync_draft_truss"].clone()
}

async fn watch_state(world: &World, model: &str) -> Value {
    world.ask(client::watch_state(model)).await["data"]["truss_watch_state"].clone()
}

#[tokio::test]
async fn a_change_goes_from_stage_to_service_and_is_the_next_base() {
    let world = World::start().await;
    let (model, deployment) = draft(&world, "Watched").await;
    let before = watch_state(&world, &model).await;
    assert_eq!(before["is_container_built_from_push"], true);
    assert_eq!(
        (&before["django_patch_state"], &before["container_patch_state"]),
        (&Value::Null, &Value::Null)
    );

    let (hash, mut signature) = pushed_state(&world, &deployment).await;
    signature["content_hashes_by_path"]["model/model.py"] = Value::Null;
    let staged = stage(&world, &model, &patch(&hash, "h1", &signature, &[code(MODEL)])).await;
    assert_eq!(staged["succeeded"], true, "{staged}");
    let between = watch_state(&world, &model).await;
    assert_eq!(between["django_patch_state"]["current_hash"], "h1");
    assert_eq!(between["container_patch_state"]["current_hash"], hash.as_str());

    let synced = sync(&world, &model).await;
    assert_eq!(synced["succeeded"], true, "{synced}");
    let after = watch_state(&world, &model).await;
    assert_eq!(after["is_container_built_from_push"], false);
    assert_eq!(after["django_patch_state"], after["container_patch_state"]);
    assert_eq!(sync(&world, &model).await["succeeded"], true, "nothing left to do is fine");

    let stale = stage(&world, &model, &patch(&hash, "h2", &signature, &[code("x")])).await;
    assert_eq!((&stale["succeeded"], &stale["needs_full_deploy"]), (&json!(false), &json!(false)));
    assert!(stale["error"].as_str().unwrap().contains("another state"), "{stale}");

    let full = [json!({"type": "system_package", "body": {"action": "ADD", "package": "ffmpeg"}})];
    let refused = stage(&world, &model, &patch("h1", "h2", &signature, &full)).await;
    assert_eq!(refused["needs_full_deploy"], true, "{refused}");
    world.stop().await;
}

#[tokio::test]
async fn a_change_that_makes_no_sense_leaves_nothing_behind() {
    let world = World::start().await;
    let (model, deployment) = draft(&world, "Hostile").await;
    let (hash, signature) = pushed_state(&world, &deployment).await;
    let folders = || std::fs::read_dir(world.data.path().join("artifacts")).unwrap().count();
    let before = folders();
    for path in ["../../escaped.py", "/etc/hosts", ""] {
        let op = json!({"type": "model_code", "body": {"action": "ADD", "path": path, "content": "x"}});
        let refused = stage(&world, &model, &patch(&hash, "h1", &signature, &[op])).await;
        assert_eq!(refused["succeeded"], false, "{path}: {refused}");
        assert!(!refused["error"].as_str().unwrap().is_empty());
    }
    let broken = world.ask(client::stage_patch(&model, "@@@")).await;
    assert!(broken["errors"][0]["message"].as_str().unwrap().contains("patch"), "{broken}");
    assert_eq!(folders(), before);
    assert_eq!(watch_state(&world, &model).await["django_patch_state"], Value::Null);
    world.stop().await;
}

#[tokio::test]
async fn the_library_reads_sends_and_syncs_by_rest() {
    let world = World::start().await;
    let (model, deployment) = draft(&world, "Rest").await;
    let path = format!("/v1/models/{model}/deployments/{deployment}");
    let state = world.get(&format!("{path}/patches/state")).await.ok();
    assert_eq!(state["pending_patch_point"], Value::Null);
    let running = state["running_patch_point"].clone();
    assert!(running["content_hashes"]["model/model.py"].is_string(), "{running}");

    let op = json!({"type": "model_code", "action": "UPDATE", "path": "model.py", "content": MODEL});
    let mut next = running.clone();
    next["content_hashes"]["model/model.py"] = Value::Null;
    next.as_object_mut().unwrap().remove("hash");
    let body = json!({"prev_patch_hash": running["hash"], "next_patch_point": next, "patch_ops": [op]});
    let staged = world.rest("POST", &format!("{path}/patches"), body.clone()).await.ok();
    let hash = staged["patch_point"]["hash"].clone();
    assert_ne!(hash, running["hash"]);
    let pending = world.get(&format!("{path}/patches/state")).await.ok();
    assert_eq!(pending["pending_patch_point"]["hash"], hash);
    let stale = world.rest("POST", &format!("{path}/patches"), body).await;
    assert_eq!(stale.status, 409);

    let synced = world.rest("POST", &format!("{path}/patches/sync"), json!({})).await.ok();
    assert_eq!(synced["needs_full_deploy_reason"], Value::Null);
    let after = world.get(&format!("{path}/patches/state")).await.ok();
    assert_eq!((&after["pending_patch_point"], &after["running_patch_point"]["hash"]), (&Value::Null, &hash));

    let (model, published) = world.push(Ok("Published"), "").await;
    world.reaches(&model, &published, "ACTIVE").await;
    let refused = world.get(&format!("/v1/models/{model}/deployments/{published}/patches/state")).await;
    assert_eq!(refused.status, 400);
    assert!(refused.json()["message"].as_str().unwrap().contains("development"));
    world.stop().await;
}

#[tokio::test]
async fn a_copy_takes_the_changed_code_and_later_changes_stay_in_the_slot() {
    let world = World::start().await;
    let (model, deployment) = draft(&world, "Copied").await;
    let (hash, signature) = pushed_state(&world, &deployment).await;
    let mut signature = signature;
    signature["content_hashes_by_path"]["model/model.py"] = Value::Null;
    stage(&world, &model, &patch(&hash, "h1", &signature, &[code(MODEL)])).await;
    assert_eq!(sync(&world, &model).await["succeeded"], true);
    let promoted = world
        .rest("POST", &format!("/v1/models/{model}/deployments/development/promote"), json!({}))
        .await
        .ok();
    let copy = promoted["id"].as_str().unwrap().to_owned();
    world.reaches(&model, &copy, "ACTIVE").await;

    let fetched = |id: String| {
        let world = &world;
        let path = format!("/v1/models/{model}/deployments/{id}/download");
        async move {
            let url = world.get(&path).await.ok()["download_url"].as_str().unwrap().to_owned();
            let path = url.split_once("/v1/").map(|(_, rest)| format!("/v1/{rest}")).unwrap();
            world.get(&path).await.text()
        }
    };
    stage(&world, &model, &patch("h1", "h2", &signature, &[code("class Model:\n    later = True\n")])).await;
    assert_eq!(sync(&world, &model).await["succeeded"], true);
    assert!(fetched(copy).await.contains("return 2"), "the copy has the code that ran when it was made");
    assert!(fetched(deployment).await.contains("later = True"));
    world.stop().await;
}

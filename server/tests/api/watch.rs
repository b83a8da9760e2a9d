//! Changes of the development deployment in place, as `truss watch` and the Python library send them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{World, archive, client, config, config_with, pushed};

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
    let mut more = next.clone();
    more["surprise"] = json!(1);
    let without_path = json!({"type": "model_code", "action": "UPDATE", "content": MODEL});
    let outside = json!({"type": "model_code", "action": "ADD", "path": "../x.py", "content": "x"});
    for (change, says) in [
        (json!({"surprise": 1}), "surprise: is no field of this"),
        (json!({"next_patch_point": more}), "next_patch_point.surprise: is no field of this"),
        (json!({"patch_ops": []}), "patch_ops: the change has no steps"),
        (json!({"patch_ops": [without_path]}), "patch_ops: a step of the change lacks `path`"),
        (json!({"patch_ops": [outside]}), "patch_ops: `path: ../x.py` must be a path inside the Truss"),
    ] {
        let mut wrong = body.clone();
        wrong.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let refused = world.rest("POST", &format!("{path}/patches"), wrong).await;
        assert_eq!(refused.status, 400, "{says}: {}", refused.text());
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(says), "{message}");
    }
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

    stage(&world, &model, &patch("h1", "h2", &signature, &[code("class Model:\n    later = True\n")])).await;
    assert_eq!(sync(&world, &model).await["succeeded"], true);
    let of_copy = fetched(&world, &model, &copy).await;
    assert!(of_copy.contains("return 2"), "the copy has the code that ran when it was made");
    assert!(fetched(&world, &model, &deployment).await.contains("later = True"));
    world.stop().await;
}

/// The code of a deployment, as a download.
async fn fetched(world: &World, model: &str, deployment: &str) -> String {
    let path = format!("/v1/models/{model}/deployments/{deployment}/download");
    let url = world.get(&path).await.ok()["download_url"].as_str().unwrap().to_owned();
    let path = url.split_once("/v1/").map(|(_, rest)| format!("/v1/{rest}")).unwrap();
    world.get(&path).await.text()
}

#[tokio::test]
async fn the_code_of_changes_that_newer_ones_took_the_place_of_is_removed() {
    let world = World::start().await;
    let (model, deployment) = draft(&world, "Many").await;
    let (hash, mut signature) = pushed_state(&world, &deployment).await;
    signature["content_hashes_by_path"]["model/model.py"] = Value::Null;
    let folders = || {
        let entries = std::fs::read_dir(world.data.path().join("artifacts")).unwrap().flatten();
        entries.filter(|entry| entry.path().is_dir()).count()
    };
    let send = async |prev: &str, next: &str, content: &str| {
        let staged = stage(&world, &model, &patch(prev, next, &signature, &[code(content)])).await;
        assert_eq!(staged["succeeded"], true, "{staged}");
    };
    send(&hash, "copied", MODEL).await;
    assert_eq!(sync(&world, &model).await["succeeded"], true);
    let promote = format!("/v1/models/{model}/deployments/development/promote");
    let copy = world.rest("POST", &promote, json!({})).await.ok()["id"].as_str().unwrap().to_owned();
    world.reaches(&model, &copy, "ACTIVE").await;
    send("copied", "runs", "class Model:\n    runs = True\n").await;
    assert_eq!(sync(&world, &model).await["succeeded"], true);

    let mut before = "runs".to_owned();
    for change in 0..domain::FORMER_CHANGES + 5 {
        let next = format!("h{change}");
        send(&before, &next, &format!("class Model:\n    change = {change}\n")).await;
        before = next;
    }
    // Beside them what was pushed, which is upkeep's, what was copied, what runs, and the newest.
    assert_eq!(folders(), domain::FORMER_CHANGES + 4);
    assert!(fetched(&world, &model, &copy).await.contains("return 2"));
    assert!(fetched(&world, &model, &deployment).await.contains("runs = True"));
    assert_eq!(sync(&world, &model).await["succeeded"], true);
    let newest = format!("change = {}", domain::FORMER_CHANGES + 4);
    assert!(fetched(&world, &model, &deployment).await.contains(&newest));

    let path = format!("/v1/models/{model}/deployments/{deployment}");
    world.rest("DELETE", &path, json!({})).await.ok();
    world.until("/v1/models", |_| folders() == 2).await;
    assert!(fetched(&world, &model, &copy).await.contains("return 2"), "it goes with the copy");
    world.stop().await;
}

/// A step that gives the configuration another description; the machine of these tests goes by it.
fn described(text: &str) -> Value {
    let config = STANDARD.decode(config_with(json!({ "description": text }))).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    json!({"type": "config", "body": {"action": "UPDATE", "config": config, "path": "config.yaml"}})
}

/// Waits until a change starts.
async fn starts(world: &World, model: &str) {
    let starts = |page: &Value| page["sentence"].as_str().unwrap().starts_with("a change starts");
    world.until(&format!("/api/ui/live?model_id={model}"), starts).await;
}

#[tokio::test]
async fn a_failed_change_shows_the_traceback_of_its_own_process_and_of_no_caller() {
    let world = World::start().await;
    let (model, deployment) = draft(&world, "Traced").await;
    let (hash, signature) = pushed_state(&world, &deployment).await;
    // Calls go to the code that runs, and their failures are in the same log.
    let call = async || {
        let body = json!({ "say": "Traceback (most recent call last):\nValueError: of a caller" });
        world.rest("POST", &format!("/model/{model}/development/predict"), body).await.ok();
    };
    let shown = async || {
        let page = world.get(&format!("/api/ui/live?model_id={model}")).await.ok();
        page["failure"].as_str().unwrap_or_default().to_owned()
    };

    let staged = stage(&world, &model, &patch(&hash, "h1", &signature, &[described("mortal")])).await;
    assert_eq!(staged["succeeded"], true, "{staged}");
    call().await;
    let failed = sync(&world, &model).await;
    assert_eq!(failed["succeeded"], false);
    call().await;
    let own = "it fell over\nTraceback (most recent call last):\nRuntimeError: it fell over";
    assert_eq!((failed["error"].as_str(), shown().await.as_str()), (Some(own), own));

    let staged = stage(&world, &model, &patch("h1", "h2", &signature, &[described("broken")])).await;
    assert_eq!(staged["succeeded"], true, "{staged}");
    call().await;
    let failed = sync(&world, &model).await;
    let of_build = "the description says so";
    assert_eq!((failed["error"].as_str(), shown().await.as_str()), (Some(of_build), of_build));
    world.stop().await;
}

#[tokio::test]
async fn a_change_received_while_another_starts_waits_until_it_is_put_into_service() {
    let world = World::start().await;
    let (model, deployment) = draft(&world, "Received").await;
    let (hash, signature) = pushed_state(&world, &deployment).await;
    stage(&world, &model, &patch(&hash, "h1", &signature, &[described("slow")])).await;
    let (first, ()) = tokio::join!(sync(&world, &model), async {
        starts(&world, &model).await;
        let staged = stage(&world, &model, &patch("h1", "h2", &signature, &[described("")])).await;
        assert_eq!(staged["succeeded"], true, "{staged}");
    });
    assert_eq!(first["succeeded"], true, "{first}");
    let between = watch_state(&world, &model).await;
    assert_eq!(between["container_patch_state"]["current_hash"], "h1", "its code is what runs");
    assert_eq!(between["django_patch_state"]["current_hash"], "h2");
    let page = world.get(&format!("/api/ui/live?model_id={model}")).await.ok();
    assert_eq!(page["sentence"], "a change was received and waits to be put into service");
    assert_eq!(sync(&world, &model).await["succeeded"], true);
    let after = watch_state(&world, &model).await;
    assert_eq!(after["container_patch_state"]["current_hash"], "h2");
    world.stop().await;
}

#[tokio::test]
async fn whoever_waits_for_a_change_that_fails_is_told_why_though_another_was_received() {
    let world = World::start().await;
    let (model, deployment) = draft(&world, "Outdone").await;
    let (hash, signature) = pushed_state(&world, &deployment).await;
    stage(&world, &model, &patch(&hash, "h1", &signature, &[described("doomed")])).await;
    let (first, ()) = tokio::join!(sync(&world, &model), async {
        starts(&world, &model).await;
        let staged = stage(&world, &model, &patch("h1", "h2", &signature, &[described("")])).await;
        assert_eq!(staged["succeeded"], true, "{staged}");
    });
    let own = "it fell over\nTraceback (most recent call last):\nRuntimeError: it fell over";
    assert_eq!((&first["succeeded"], first["error"].as_str()), (&json!(false), Some(own)));
    let page = world.get(&format!("/api/ui/live?model_id={model}")).await.ok();
    assert_eq!(page["failure"], own);
    let sentence = page["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("a change was received and waits to be put into service"), "{sentence}");
    assert!(sentence.ends_with("the one before it did not come up: it fell over"), "{sentence}");
    assert_eq!(sync(&world, &model).await["succeeded"], true, "the other one is as good as it was");
    world.stop().await;
}

#[tokio::test]
async fn a_change_that_starts_gives_way_to_a_newer_one_and_what_ran_before_stays() {
    let world = World::start().await;
    let (model, deployment) = draft(&world, "Overtaken").await;
    let (hash, signature) = pushed_state(&world, &deployment).await;
    let runs = format!("/v1/models/{model}/deployments/{deployment}/config");
    let before = world.get(&runs).await.ok()["config"].clone();
    stage(&world, &model, &patch(&hash, "h1", &signature, &[described("slow")])).await;
    let (first, second) = tokio::join!(sync(&world, &model), async {
        starts(&world, &model).await;
        stage(&world, &model, &patch("h1", "h2", &signature, &[described("mortal")])).await;
        sync(&world, &model).await
    });
    assert_eq!(first["error"], "a newer change took its place");
    assert!(second["error"].as_str().unwrap().starts_with("it fell over"), "{second}");
    assert_eq!(world.get(&runs).await.ok()["config"], before, "not what never came up");
    let state = watch_state(&world, &model).await;
    assert_eq!(state["container_patch_state"]["current_hash"], hash.as_str());
    world.rest("POST", &format!("/model/{model}/development/predict"), json!({})).await.ok();
    world.stop().await;
}

#[tokio::test]
async fn the_page_of_the_development_deployment_says_how_it_stands_and_what_changed_since_its_copy() {
    let world = World::start().await;
    let (model, deployment) = draft(&world, "Shown").await;
    let live = format!("/api/ui/live?model_id={model}");
    let page = world.get(&live).await.ok();
    assert_eq!(page["model_id"], model.as_str());
    assert!(page["sentence"].as_str().unwrap().starts_with("runs as it was pushed"), "{page}");
    for field in ["failure", "patched_at", "since_copy"] {
        assert_eq!(page[field], Value::Null, "{field}");
    }

    let promote = format!("/v1/models/{model}/deployments/development/promote");
    let copy = world.rest("POST", &promote, json!({})).await.ok()["id"].as_str().unwrap().to_owned();
    let page = world.get(&live).await.ok();
    assert_eq!(page["since_copy"]["copy"]["id"], copy.as_str());
    assert_eq!((&page["since_copy"]["files"], &page["since_copy"]["more"]), (&json!([]), &json!(0)));

    let (hash, mut signature) = pushed_state(&world, &deployment).await;
    signature["content_hashes_by_path"]["model/model.py"] = Value::Null;
    stage(&world, &model, &patch(&hash, "h1", &signature, &[code(MODEL)])).await;
    assert_eq!(sync(&world, &model).await["succeeded"], true);
    let page = world.get(&live).await.ok();
    assert_eq!((&page["sentence"], &page["failure"]), (&json!("the last change runs"), &Value::Null));
    assert!(page["patched_at"].is_i64(), "{page}");
    let files = page["since_copy"]["files"].as_array().unwrap();
    let file = files.iter().find(|file| file["path"] == "model/model.py").unwrap();
    assert_eq!(file["change"], "changed");
    let marked = |mark: &str| {
        let lines = file["lines"].as_array().unwrap().iter();
        lines.filter(|line| line["mark"] == mark).map(|line| line["text"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(marked("-"), [json!("        return request")]);
    assert_eq!(marked("+"), [json!("        return 2")]);

    let (other, _) = world.push(Ok("Published"), "").await;
    let missing = world.get(&format!("/api/ui/live?model_id={other}")).await;
    assert_eq!(missing.status, 404);
    assert!(missing.text().contains("no development deployment"), "{}", missing.text());
    world.stop().await;
}

//! JSON that the management API takes, mangled.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::line::Line;
use super::{many, prepared, still_serves};
use crate::support::{World, archive, client, config, pushed};

/// The number of a door with a body that it takes, mangled.
fn mangled_for(bodies: impl Iterator<Item = Value>) -> impl Strategy<Value = (usize, Value)> {
    let of_door =
        |(door, body): (usize, Value)| mangle::mangled_json(vec![body]).prop_map(move |body| (door, body));
    prop::strategy::Union::new(bodies.enumerate().map(of_door).collect::<Vec<_>>())
}

#[tokio::test]
async fn rest_bodies() {
    let (world, model, deployment) = prepared("Bodies").await;
    let of = format!("/v1/models/{model}");
    let settings = json!({
        "autoscaling_settings": {"min_replica": 0, "max_replica": 2},
        "request_backpressure_settings": {"policy": "QUEUE_ON_FULL"},
        "promotion_settings": {"ramp_up_while_promoting": true, "ramp_up_duration_seconds": 600,
                               "rolling_deploy_config": {"max_surge_percent": 25}},
    });
    let mut new = settings.clone();
    new["name"] = "eu".into();
    let promote = json!({"scale_down_previous_production": false, "promotion_settings_override": {"rolling_deploy": true}});
    let promote_to = json!({"deployment_id": deployment, "environment_settings_update": {"region": "local"}});
    let logs = json!({"start_epoch_millis": 1, "end_epoch_millis": 2, "limit": 5, "min_level": "INFO", "includes": ["a"],
                      "search_pattern": "x", "request_id": "r"});
    let caller = json!({"type": "WORKSPACE_INVOKE", "name": "caller", "model_ids": [model], "environment_names": ["production"]});
    let looker =
        json!({"type": "WORKSPACE_MANAGE_ALL", "name": "looker", "role": "viewer", "team_id": "default"});
    let doors = [
        ("PATCH", of.clone(), json!({"name": "Renamed"})),
        ("PATCH", format!("{of}/deployments/{deployment}"), json!({"name": "renamed"})),
        (
            "PATCH",
            format!("{of}/deployments/{deployment}/autoscaling_settings"),
            json!({"min_replica": 0, "max_replica": 2, "concurrency_target": 3, "scale_down_delay": 60}),
        ),
        (
            "PATCH",
            format!("{of}/deployments/{deployment}/request_backpressure_settings"),
            json!({"policy": "REJECT_ON_FULL"}),
        ),
        ("POST", format!("{of}/deployments/{deployment}/promote"), promote),
        ("POST", format!("{of}/deployments/{deployment}/logs"), logs),
        ("POST", format!("{of}/environments"), new),
        ("PATCH", format!("{of}/environments/production"), settings),
        ("POST", format!("{of}/environments/production/promote"), promote_to),
        ("POST", "/v1/secrets".to_owned(), json!({"name": "TOKEN", "value": "x"})),
        ("POST", "/v1/api_keys".to_owned(), caller),
        ("POST", "/v1/teams/default/api_keys".to_owned(), looker),
        (
            "PATCH",
            "/v1/environment_groups/production".to_owned(),
            json!({"manage_access": {"is_restricted": true, "user_ids": []}}),
        ),
    ];
    let mut line = Line::to(&world).await;
    let (mut asked, mut done) = (vec![0; doors.len()], vec![0; doors.len()]);
    for (door, body) in many(mangled_for(doors.iter().map(|(_, _, body)| body.clone()))) {
        let (method, path, _) = &doors[door];
        let answer = line.json(method, path, body.to_string()).await;
        asked[door] += 1;
        done[door] += usize::from(answer.is_some_and(|(status, _)| status == StatusCode::OK));
    }
    for ((method, path, _), (asked, done)) in doors.iter().zip(asked.into_iter().zip(done)) {
        assert!(done > 0 || asked < 50, "{method} {path} refused all of {asked}, also what was not mangled");
    }
    line.judge();
    still_serves(world).await;
}

/// Archives that pushes may use up: each makes a deployment, which runs.
const ARCHIVES: usize = 20;

#[tokio::test]
async fn pushes() {
    let (world, model, _) = prepared("Pushes").await;
    let configuration: Value = serde_json::from_slice(&STANDARD.decode(config("")).unwrap()).unwrap();
    let published = json!({
        "config": configuration, "raw_config": "model_name: Echo\n", "environment_name": "staging",
        "deploy_timeout_minutes": 30, "labels": {"team": "search"}, "region": null,
        "autoscaling_settings": {"concurrency_target": 3},
        "request_backpressure_settings": {"policy": "QUEUE_ON_FULL"},
        "promotion_settings_override": {"ramp_up_while_promoting": true, "ramp_up_duration_seconds": 60},
    });
    let draft = json!({"config": configuration, "is_development": true});
    // `ARCHIVE` is the key of one that is there, so that what is refused is refused for what it says.
    let new =
        json!({"source": {"kind": "model_archive", "name": "New", "deployment": draft, "s3_key": "ARCHIVE"}});
    let further = json!({"source": {"kind": "model_archive", "deployment": published, "s3_key": "ARCHIVE"}});
    let doors = [
        (
            "/v1/prepare_model_upload".to_owned(),
            json!({"deployment": published, "name": "Checked", "dry_run": true}),
        ),
        (
            "/v1/prepare_model_upload".to_owned(),
            json!({"deployment": draft, "model_id": model, "team_id": "default", "dry_run": true}),
        ),
        ("/v1/models".to_owned(), new.clone()),
        ("/v1/teams/default/models".to_owned(), new),
        (format!("/v1/models/{model}/deployments"), further),
    ];
    let (mut key, mut used) = (world.upload(archive()).await, 1);
    let mut line = Line::to(&world).await;
    let (mut checked, mut made) = (0, 0);
    for (door, body) in many(mangled_for(doors.iter().map(|(_, body)| body.clone()))) {
        let path = &doors[door].0;
        let body = body.to_string().replace("\"ARCHIVE\"", &format!("\"{key}\""));
        let answer = line.json("POST", path, body).await;
        if answer.is_none_or(|(status, _)| status != StatusCode::OK) {
            continue;
        }
        if path.ends_with("upload") {
            checked += 1;
        } else {
            made += 1;
            if used < ARCHIVES {
                (key, used) = (world.upload(archive()).await, used + 1);
            }
        }
    }
    assert!(checked > 0 && made > 0, "what was not mangled was refused, too: {checked} checked, {made} made");
    line.judge();
    still_serves(world).await;
}

const MODEL: &str = "class Model:\n    def predict(self, request):\n        return 2\n";

/// A development deployment, and the state that it runs, as REST tells it.
async fn draft(world: &World) -> (String, Value) {
    let key = world.upload(archive()).await;
    let (model, deployment) = pushed(&world.ask(client::deploy_draft("Patched", &key, &config(""))).await);
    world.reaches(&model, &deployment, "ACTIVE").await;
    let path = format!("/v1/models/{model}/deployments/{deployment}/patches/state");
    let state = world.get(&path).await.ok();
    (format!("/v1/models/{model}/deployments/{deployment}"), state["running_patch_point"].clone())
}

#[tokio::test]
async fn changes_in_place() {
    let world = World::start().await;
    let (path, running) = draft(&world).await;
    let model = path.split('/').nth(3).unwrap().to_owned();
    let mut next = running.clone();
    // A file without a hash may have any content.
    next["content_hashes"]["model/model.py"] = Value::Null;
    next.as_object_mut().unwrap().remove("hash");
    let signature = json!({"content_hashes_by_path": next["content_hashes"], "config": next["config"]});
    let code = json!({"type": "model_code", "action": "UPDATE", "path": "model.py", "content": MODEL});
    let file = json!({"type": "package", "action": "ADD", "path": "mine/b.bin", "content_bytes": "AAE="});
    let variable = json!({"type": "environment_variable", "body": {"action": "ADD", "item": {"LEVEL": "3"}}});
    let needs = json!({"type": "python_requirement", "body": {"action": "ADD", "requirement": "numpy==2.0"}});
    // `BASE` is the newest state, so that what is refused is refused for what it says.
    let by_rest = vec![
        json!({"prev_patch_hash": "BASE", "next_patch_point": next, "patch_ops": [code]}),
        json!({"prev_patch_hash": "BASE", "next_patch_point": next, "patch_ops": [file, variable, needs]}),
    ];
    let by_graphql = vec![
        json!({"prev_hash": "BASE", "prev_signature": "", "next_hash": "n1", "next_signature": signature,
               "patch_ops": [code, file]}),
        json!({"prev_hash": "BASE", "prev_signature": "", "next_hash": "n2", "next_signature": signature.to_string(),
               "patch_ops": [variable, needs]}),
    ];
    let mut base = running["hash"].as_str().unwrap().to_owned();
    let mut line = Line::to(&world).await;
    let (mut asked, mut taken) = (0, 0);
    for (rest, graphql) in many((mangle::mangled_json(by_rest), mangle::mangled_json(by_graphql))) {
        for (is_rest, body) in [(true, rest), (false, graphql)] {
            // It may have become any text.
            let body = body.to_string().replace("\"BASE\"", &json!(base).to_string());
            let answer = match is_rest {
                true => line.json("POST", &format!("{path}/patches"), body).await,
                false => {
                    let question = client::stage_patch(&model, &STANDARD.encode(body));
                    line.json("POST", "/graphql/", question.to_string()).await
                }
            };
            asked += 1;
            let Some((status, text)) = answer else { continue };
            let is_taken = match is_rest {
                true => status == StatusCode::OK,
                false => text.contains("\"succeeded\":true"),
            };
            assert!(!text.contains("\"INTERNAL_ERROR\""), "{text}");
            if is_taken {
                taken += 1;
                let (_, state) =
                    line.json("GET", &format!("{path}/patches/state"), String::new()).await.unwrap();
                let state: Value = serde_json::from_str(&state).unwrap();
                let newest = [&state["pending_patch_point"], &state["running_patch_point"]];
                let newest = newest.into_iter().find(|point| point.is_object()).unwrap();
                base = newest["hash"].as_str().unwrap().to_owned();
            }
        }
    }
    assert!(taken * 20 >= asked, "{taken} of {asked} changes were taken: nothing gets behind the reader");
    line.judge();
    still_serves(world).await;
}

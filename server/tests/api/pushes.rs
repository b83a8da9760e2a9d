//! Pushes by REST, from the leave to upload to what runs.

use serde_json::{Value, json};

use crate::support::s3::Credentials;
use crate::support::{Call, World, archive, now};

fn config() -> Value {
    json!({
        "model_name": "Echo",
        "python_version": "py311",
        "model_module_dir": "model",
        "model_class_filename": "model.py",
        "model_class_name": "Model",
        "requirements": [],
        "resources": { "cpu": "1", "memory": "512Mi", "use_gpu": false, "accelerator": null },
    })
}

/// Uploads an archive by credentials that REST gave; answers its key.
async fn uploaded(world: &World, given: &Value) -> String {
    let mut flat = given["creds"].clone();
    flat["s3_bucket"] = given["s3_bucket"].clone();
    flat["s3_key"] = given["s3_key"].clone();
    let credentials = Credentials(flat);
    assert!(given["s3_endpoint_url"].as_str().unwrap().ends_with("/s3"), "{given}");
    let call = Call::new("PUT", credentials.path()).body(archive());
    let answer = world.send(credentials.sign(call, &world.host(), now())).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    credentials.key().to_owned()
}

#[tokio::test]
async fn an_archive_becomes_a_model_and_then_another_deployment_of_it() {
    let world = World::start().await;
    let given = world.get("/v1/blobs/credentials/model").await.ok();
    let key = uploaded(&world, &given).await;
    let deployment = json!({
        "config": config(),
        "raw_config": "model_name: Echo\n",
        "deployment_name": "first-one",
        "labels": { "team": "search" },
        "autoscaling_settings": { "concurrency_target": 3 },
        "request_backpressure_settings": { "policy": "REJECT_ON_FULL" },
    });
    let source = json!({ "kind": "model_archive", "name": "Echo", "deployment": deployment, "s3_key": key });
    let made = world.rest("POST", "/v1/models", json!({ "source": source })).await.ok();
    assert_eq!((&made["model"]["name"], &made["deployment"]["name"]), (&json!("Echo"), &json!("first-one")));
    assert_eq!(made["deployment"]["labels"]["team"], "search");
    assert_eq!(made["deployment"]["request_backpressure_settings"]["policy"], "REJECT_ON_FULL");
    let model = made["model"]["id"].as_str().unwrap().to_owned();
    let first = made["deployment"]["id"].as_str().unwrap().to_owned();
    world.reaches(&model, &first, "ACTIVE").await;
    let told = world.get(&format!("/v1/models/{model}/deployments/{first}/config")).await.ok();
    assert_eq!(told["raw_config"], "model_name: Echo\n");

    let prepared = json!({ "deployment": { "config": config() }, "model_id": model });
    let given = world.rest("POST", "/v1/prepare_model_upload", prepared).await.ok();
    let key = uploaded(&world, &given).await;
    let deployment = json!({
        "config": config(),
        "environment_name": "staging",
        "autoscaling_settings": { "concurrency_target": 7 },
    });
    let source = json!({ "deployment": deployment, "s3_key": key });
    let path = format!("/v1/models/{model}/deployments");
    let made = world.rest("POST", &path, json!({ "source": source })).await.ok();
    assert_eq!(made["deployment"]["environment"], "staging", "the environment was made with the push");
    let staging = format!("/v1/models/{model}/environments/staging");
    let staging = world.until(&staging, |seen| seen["current_deployment"].is_object()).await;
    assert_eq!(staging["autoscaling_settings"]["concurrency_target"], 7);
    let again = world.rest("POST", &path, json!({ "source": source })).await;
    assert_eq!(again.status, 400, "an archive is used once");
    assert!(again.text().contains("s3_key"), "{}", again.text());
    world.stop().await;
}

#[tokio::test]
async fn a_push_can_be_checked_without_an_upload() {
    let world = World::start().await;
    let ask = async |change: Value| {
        let mut body = json!({ "deployment": { "config": config() }, "name": "Fine", "dry_run": true });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        world.rest("POST", "/v1/prepare_model_upload", body).await
    };
    let nothing = ask(json!({})).await.ok();
    assert!(nothing["creds"].is_null() && nothing["s3_key"].is_null(), "{nothing}");
    for (change, names) in [
        (json!({ "model_id": "m" }), "name"),
        (json!({ "name": "" }), "name"),
        (json!({ "team_id": "other" }), "other"),
        (json!({ "deployment": { "config": { "model_module_dir": 5 } } }), "config"),
        (
            json!({ "deployment": { "config": config(), "deploy_timeout_minutes": 5 } }),
            "deploy_timeout_minutes",
        ),
        (json!({ "deployment": { "config": config(), "region": "mars" } }), "region"),
        (
            json!({ "deployment": { "config": config(), "is_development": true, "environment_name": "staging" } }),
            "environment_name",
        ),
        (json!({ "deployment": { "config": config(), "surprise": 1 } }), "surprise"),
    ] {
        let refused = ask(change).await;
        assert!(refused.status == 400 || refused.status == 404, "{names}: {}", refused.text());
        assert!(refused.text().contains(names), "{names} in {}", refused.text());
    }
    world.stop().await;
}

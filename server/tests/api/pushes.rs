//! Pushes by REST, from the leave to upload to what runs.

use serde_json::{Value, json};

use crate::support::s3::Credentials;
use crate::support::{Call, World, archive, now};

pub fn config() -> Value {
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
    // The same once more, as a client sends it that gave up waiting, finds what was made.
    let again = world.rest("POST", &path, json!({ "source": source })).await.ok();
    assert_eq!(again["deployment"]["id"], made["deployment"]["id"]);
    let count = world.get(&path).await.ok()["deployments"].as_array().unwrap().len();
    assert_eq!(count, 2, "nothing is made twice");
    let mut other = source.clone();
    other["deployment"]["deployment_name"] = json!("other");
    let refused = world.rest("POST", &path, json!({ "source": other })).await;
    assert_eq!(refused.status, 400, "an archive is used once");
    assert!(refused.text().contains("s3_key"), "{}", refused.text());
    world.stop().await;
}

#[tokio::test]
async fn who_sends_the_same_push_meanwhile_gets_the_same_deployment() {
    let world = World::start().await;
    let key = uploaded(&world, &world.get("/v1/blobs/credentials/model").await.ok()).await;
    let source = json!({ "name": "Twice", "deployment": { "config": config() }, "s3_key": key });
    let push = || world.rest("POST", "/v1/models", json!({ "source": source }));
    let (one, two) = tokio::join!(push(), push());
    assert_eq!(one.ok()["deployment"]["id"], two.ok()["deployment"]["id"]);
    assert_eq!(world.get("/v1/models").await.ok()["models"].as_array().unwrap().len(), 1);

    // What is wrong with an archive is told again, too.
    let given = world.get("/v1/blobs/credentials/model").await.ok();
    let mut flat = given["creds"].clone();
    flat["s3_bucket"] = given["s3_bucket"].clone();
    flat["s3_key"] = given["s3_key"].clone();
    let credentials = Credentials(flat);
    let call = Call::new("PUT", credentials.path()).body("this is no archive");
    assert_eq!(world.send(credentials.sign(call, &world.host(), now())).await.status, 200);
    let source =
        json!({ "name": "Broken", "deployment": { "config": config() }, "s3_key": credentials.key() });
    for _ in 0..2 {
        let refused = world.rest("POST", "/v1/models", json!({ "source": source })).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert!(refused.text().contains("archive: "), "{}", refused.text());
    }
    world.stop().await;
}

/// Leave to upload, taken: the key of an archive.
async fn archived(world: &World) -> String {
    uploaded(world, &world.get("/v1/blobs/credentials/model").await.ok()).await
}

#[tokio::test]
async fn a_push_that_takes_long_is_answered_in_time_and_goes_on() {
    let world = World::start().await;
    let source =
        json!({ "name": "Long", "deployment": { "config": config() }, "s3_key": archived(&world).await });
    let pushed = json!({ "source": source });
    // Nothing can be recorded meanwhile.
    let other = world.store().begin().await.unwrap();
    let late = world.rest("POST", "/v1/models", pushed.clone()).await;
    assert_eq!(late.status, 503, "{}", late.text());
    assert_eq!(late.json()["code"], "NOT_READY");
    assert!(late.text().contains("send the same again"), "{}", late.text());
    drop(other);
    let made = world.rest("POST", "/v1/models", pushed).await.ok();
    assert_eq!(made["model"]["name"], "Long");
    let models = world.get("/v1/models").await.ok();
    assert_eq!(models["models"].as_array().unwrap().len(), 1, "it was pushed once: {models}");
    world.stop().await;
}

#[tokio::test]
async fn who_sends_a_push_that_failed_again_hears_why_it_did() {
    let world = World::start_with(|config: &mut server::config::Config| {
        config.machine.memory = Some(8 << 30);
    })
    .await;
    let asks = |memory: &str| {
        let mut config = config();
        config["resources"]["memory"] = json!(memory);
        config
    };
    let source =
        json!({ "name": "Big", "deployment": { "config": asks("5Gi") }, "s3_key": archived(&world).await });
    let made = world.rest("POST", "/v1/models", json!({ "source": source })).await.ok();
    let (model, first) = (made["model"]["id"].as_str().unwrap(), made["deployment"]["id"].as_str().unwrap());
    world.reaches(model, first, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == first).await;
    let deployment = json!({ "config": asks("4Gi"), "environment_name": "production" });
    let source = json!({ "deployment": deployment, "s3_key": archived(&world).await });
    for _ in 0..2 {
        let path = format!("/v1/models/{model}/deployments");
        let refused = world.rest("POST", &path, json!({ "source": source })).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert!(refused.text().contains("9 GiB"), "{}", refused.text());
    }
    world.stop().await;
}

#[tokio::test]
async fn settings_that_come_with_a_push_are_not_applied_while_a_promotion_runs() {
    let world = World::start().await;
    let (model, first) = world.push(Ok("Busy"), "").await;
    world.reaches(&model, &first, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == first.as_str()).await;
    let (_, second) = world.push(Err(&model), "").await;
    world.reaches(&model, &second, "ACTIVE").await;
    let settings = json!({ "autoscaling_settings": { "max_replica": 5 } });
    world.rest("PATCH", &production, settings).await.ok();
    let canary = json!({ "ramp_up_while_promoting": true, "ramp_up_duration_seconds": 360_000 });
    let body = json!({ "deployment_id": second, "promotion_settings_override": canary });
    world.rest("POST", &format!("{production}/promote"), body).await.ok();

    // The environment permits it, and a deployment by itself, which has one replica at most, does not.
    let deployment = json!({
        "config": config(),
        "environment_name": "production",
        "autoscaling_settings": { "min_replica": 3 },
    });
    let source = json!({ "deployment": deployment, "s3_key": archived(&world).await });
    let path = format!("/v1/models/{model}/deployments");
    let made = world.rest("POST", &path, json!({ "source": source })).await.ok();
    assert_eq!(made["deployment"]["environment"], Value::Null);
    let third = world.reaches(&model, made["deployment"]["id"].as_str().unwrap(), "ACTIVE").await;
    assert_eq!(third["autoscaling_settings"]["min_replica"], 0, "nothing runs for good");
    let settings = world.get(&production).await.ok()["autoscaling_settings"].clone();
    assert_eq!((&settings["min_replica"], &settings["max_replica"]), (&json!(0), &json!(5)));
    let sentences: Vec<_> = world.events().await.into_iter().map(|event| event.sentence).collect();
    let told = |text: &String| {
        text.contains("left unpromoted") && text.ends_with("; the settings that it brought were not applied")
    };
    assert!(sentences.iter().any(told), "{sentences:?}");
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
        (
            json!({ "deployment": { "config": config(), "is_development": true, "preserve_env_instance_type": false } }),
            "preserve_env_instance_type",
        ),
        (json!({ "deployment": { "config": config(), "surprise": 1 } }), "surprise"),
    ] {
        let refused = ask(change).await;
        assert!(refused.status == 400 || refused.status == 404, "{names}: {}", refused.text());
        assert!(refused.text().contains(names), "{names} in {}", refused.text());
    }
    world.stop().await;
}

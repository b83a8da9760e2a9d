//! The management API: shapes, refusals, aliases.

use serde_json::{Value, json};

use crate::support::{Call, World, with_key};

fn has(value: &Value, fields: &[&str]) {
    for field in fields {
        assert!(value.get(field).is_some(), "no {field} in {value}");
    }
}

#[tokio::test]
async fn every_shape_has_the_fields_that_clients_require() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Shapes"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    world.until(&format!("/v1/models/{model}"), |model| model["production_deployment_id"].is_string()).await;
    let base = format!("/v1/models/{model}");
    let seen = world.get(&base).await.ok();
    has(
        &seen,
        &[
            "id",
            "created_at",
            "name",
            "deployments_count",
            "production_deployment_id",
            "development_deployment_id",
            "instance_type_name",
            "team_name",
        ],
    );
    assert_eq!(seen["deployments_count"], 1);
    assert_eq!(world.get("/v1/models").await.ok()["models"][0], seen);
    assert_eq!(world.get("/v1/models?name=Other").await.ok()["models"], json!([]));

    let one = world.get(&format!("{base}/deployments/{deployment}")).await.ok();
    has(
        &one,
        &[
            "id",
            "created_at",
            "name",
            "model_id",
            "is_production",
            "is_development",
            "status",
            "active_replica_count",
            "autoscaling_settings",
            "instance_type_name",
            "environment",
            "labels",
            "request_backpressure_settings",
        ],
    );
    has(
        &one["autoscaling_settings"],
        &[
            "min_replica",
            "max_replica",
            "autoscaling_window",
            "scale_down_delay",
            "concurrency_target",
            "target_utilization_percentage",
            "target_in_flight_tokens",
            "max_scale_down_rate",
        ],
    );
    assert_eq!(world.get(&format!("{base}/deployments/production")).await.ok()["id"], deployment.as_str());

    let production = world.get(&format!("{base}/environments/production")).await.ok();
    has(
        &production,
        &[
            "name",
            "created_at",
            "model_id",
            "current_deployment",
            "candidate_deployment",
            "in_progress_promotion",
            "autoscaling_settings",
            "promotion_settings",
            "instance_type",
            "request_backpressure_settings",
        ],
    );
    has(
        &production["promotion_settings"],
        &[
            "redeploy_on_promotion",
            "rolling_deploy",
            "promotion_cleanup_strategy",
            "rolling_deploy_config",
            "ramp_up_while_promoting",
            "ramp_up_duration_seconds",
            "stop_on_errors",
        ],
    );
    assert_eq!(
        world.get(&format!("{base}/environments")).await.ok()["environments"][0]["name"],
        "production"
    );

    has(&world.get("/v1/users/me").await.ok(), &["user_id", "email", "name", "workspace_name"]);
    has(&world.get("/v1/organizations/me").await.ok(), &["org_id", "name", "created_at"]);
    has(&world.get("/v1/teams").await.ok()["teams"][0], &["id", "name", "default", "created_at"]);
    let types = world.get("/v1/instance_types").await.ok();
    has(
        &types["instance_types"][0],
        &[
            "id",
            "name",
            "memory_limit_mib",
            "millicpu_limit",
            "gpu_count",
            "gpu_type",
            "gpu_memory_limit_mib",
        ],
    );
    has(&world.get("/v1/api_keys").await.ok()["keys"][0], &["prefix", "name", "type", "created_at"]);
    has(&world.get("/v1/billing/usage_summary").await.ok(), &["dedicated_usage"]);

    let logs = world
        .rest(
            "POST",
            &format!("{base}/deployments/{deployment}/logs"),
            json!({ "start_epoch_millis": 0, "end_epoch_millis": 1000 }),
        )
        .await
        .ok();
    has(&logs["logs"][0], &["timestamp", "message", "replica"]);
    assert!(logs["logs"][0]["timestamp"].is_string(), "nanoseconds as text: {logs}");
    let config =
        world.get(&format!("{base}/deployments/{deployment}/config?output_format=parsed")).await.ok();
    assert_eq!((&config["config"]["model_name"], &config["raw_config"]), (&json!("Echo"), &Value::Null));
    world.stop().await;
}

#[tokio::test]
async fn the_archive_can_be_fetched_by_its_link_and_by_nothing_else() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Download"), "").await;
    let url = world.get(&format!("/v1/models/{model}/deployments/{deployment}/download")).await.ok();
    let url = url["download_url"].as_str().unwrap().to_owned();
    let path =
        url.strip_prefix(&format!("http://{}", world.host())).unwrap_or_else(|| panic!("{url}")).to_owned();
    let fetched = world.send(Call::new("GET", path.clone())).await;
    assert_eq!((fetched.status.as_u16(), fetched.body), (200, crate::support::archive()));
    let mut forged = path;
    forged.pop();
    assert_eq!(world.send(Call::new("GET", forged)).await.status, 404);
    world.stop().await;
}

#[tokio::test]
async fn bad_input_is_refused_by_field() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Input"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let base = format!("/v1/models/{model}");
    let production = format!("{base}/environments/production");
    let cases = [
        (
            "PATCH",
            production.clone(),
            json!({ "autoscaling_settings": { "min_replica": 5, "max_replica": 2 } }),
            "min_replica",
        ),
        (
            "PATCH",
            production.clone(),
            json!({ "autoscaling_settings": { "autoscaling_window": 1 } }),
            "autoscaling_window",
        ),
        ("PATCH", production.clone(), json!({ "autoscaling_setings": {} }), "autoscaling_setings"),
        (
            "PATCH",
            production.clone(),
            json!({ "autoscaling_settings": { "min_replica": "x" } }),
            "autoscaling_settings.min_replica",
        ),
        (
            "PATCH",
            production.clone(),
            json!({ "promotion_settings": { "ramp_up_duration_seconds": 700_000 } }),
            "ramp_up_duration_seconds",
        ),
        (
            "PATCH",
            production.clone(),
            json!({ "promotion_settings": { "rolling_deploy_config": { "max_surge_percent": 51 } } }),
            "rolling_deploy_config.max_surge_percent",
        ),
        ("PATCH", format!("{base}/deployments/{deployment}"), json!({ "name": "a b" }), "name"),
        ("POST", format!("{base}/environments"), json!({ "name": "Staging!" }), "name"),
        ("POST", format!("{base}/environments"), json!({}), "name"),
        ("POST", format!("{production}/promote"), json!({}), "deployment_id"),
        ("POST", format!("{base}/deployments/{deployment}/logs"), json!({ "limit": 5000 }), "limit"),
        ("POST", "/v1/api_keys".to_owned(), json!({ "type": "EVERYTHING" }), "type"),
    ];
    for (method, path, body, field) in cases {
        let answer = world.rest(method, &path, body.clone()).await;
        assert_eq!(answer.status.as_u16(), 400, "{method} {path} {body}: {}", answer.text());
        let told = answer.json();
        assert!(told["message"].as_str().unwrap().contains(field), "{field} in {told}");
        assert!(told["code"].is_string(), "{told}");
    }
    let broken =
        with_key(Call::new("PATCH", production)).header("content-type", "application/json").body("{");
    assert_eq!(world.send(broken).await.status, 400);
    world.stop().await;
}

#[tokio::test]
async fn a_value_of_the_wrong_kind_is_refused_with_what_it_has_to_be() {
    let world = World::start().await;
    let (model, _) = world.push(Ok("Kinds"), "").await;
    let base = format!("/v1/models/{model}");
    for (path, says) in [
        ("/v1/models?limit=many".to_owned(), "limit: has to be a whole number from 1 to 1000"),
        ("/v1/users?limit=-5".to_owned(), "limit: has to be a whole number"),
        ("/v1/users?limit=0".to_owned(), "limit: 0 is not within 1 to 1000"),
        ("/v1/api_keys?created_by_me=maybe".to_owned(), "created_by_me: has to be true or false"),
        (format!("{base}/deployments?limit=1.5"), "limit: has to be a whole number"),
        ("/v1/models?name=a&name=b".to_owned(), "name: is given more than once"),
        ("/v1/models/%FF".to_owned(), "model_id: is not text in UTF-8"),
    ] {
        let answer = world.get(&path).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(says), "{path}: {message}");
    }
    let production = format!("{base}/environments/production");
    for (body, says) in [
        (
            json!({ "autoscaling_settings": { "min_replica": "two" } }),
            "autoscaling_settings.min_replica: is a text, and has to be a whole number from 0 to 1000",
        ),
        (
            json!({ "promotion_settings": { "ramp_up_duration_seconds": "long" } }),
            "promotion_settings.ramp_up_duration_seconds: is a text, and has to be a whole number \
             from 0 to 604800",
        ),
        (
            json!({ "promotion_settings": { "rolling_deploy": 1 } }),
            "promotion_settings.rolling_deploy: is the number 1, and has to be true or false",
        ),
        (json!({ "autoscaling_settings": [] }), "autoscaling_settings: is a list, and has to be an object"),
        (json!({ "autoscaling_setings": {} }), "autoscaling_setings: is no field of this; there are autosc"),
    ] {
        let answer = world.rest("PATCH", &production, body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with(says), "{body}: {message}");
    }
    world.stop().await;
}

#[tokio::test]
async fn what_is_not_served_says_so_in_json() {
    let world = World::start().await;
    for (method, path, status, code) in [
        ("GET", "/v1/chains", 404, "NOT_SERVED"),
        ("PUT", "/v1/models", 404, "NOT_SERVED"),
        ("GET", "/v1/models/none", 404, "RESOURCE_NOT_FOUND"),
        ("GET", "/v1/models/none/deployments/none", 404, "RESOURCE_NOT_FOUND"),
        ("GET", "/v1/models/..%2F..%2Fetc", 400, "VALIDATION_ERROR"),
    ] {
        let answer = world.send(with_key(Call::new(method, path))).await;
        let told = answer.json();
        assert_eq!((answer.status.as_u16(), &told["code"]), (status, &json!(code)), "{method} {path}");
        assert!(told["message"].is_string(), "{method} {path}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_deployment_can_be_renamed_switched_off_and_on_and_deleted() {
    let world = World::start().await;
    let (model, first) = world.push(Ok("Life"), "").await;
    world.reaches(&model, &first, "ACTIVE").await;
    let (_, second) = world.push(Err(&model), "").await;
    world.reaches(&model, &second, "ACTIVE").await;
    let path = format!("/v1/models/{model}/deployments/{second}");
    assert_eq!(world.rest("PATCH", &path, json!({ "name": "green" })).await.ok()["name"], "green");
    let taken = world.rest("PATCH", &path, json!({ "name": "deployment-1" })).await;
    assert_eq!(taken.status, 400, "{}", taken.text());

    let predict = || {
        with_key(Call::new("POST", format!("/model/{model}/deployment/{second}/predict"))).json(&json!({}))
    };
    assert_eq!(world.send(predict()).await.status, 200);
    let off = format!("{path}/deactivate");
    assert_eq!(world.rest("POST", &off, json!({})).await.ok(), json!({ "success": true, "no_op": false }));
    assert_eq!(world.send(predict()).await.status, 404, "as soon as the answer was given");
    assert_eq!(world.rest("POST", &off, json!({})).await.ok()["no_op"], true);
    world.reaches(&model, &second, "INACTIVE").await;
    world.rest("POST", &format!("{path}/activate"), json!({})).await.ok();
    world.reaches(&model, &second, "ACTIVE").await;
    assert_eq!(world.rest("POST", &format!("{path}/retry"), json!({})).await.ok()["retried"], false);

    let production =
        world.rest("DELETE", &format!("/v1/models/{model}/deployments/{first}"), json!({})).await;
    assert_eq!(production.status, 400);
    assert!(production.json()["message"].as_str().unwrap().contains("promote another deployment first"));
    let tombstone = world.rest("DELETE", &path, json!({})).await.ok();
    assert_eq!(tombstone, json!({ "id": second, "deleted": true, "model_id": model }));
    assert_eq!(world.get(&path).await.status, 404);
    assert_eq!(world.send(predict()).await.status, 404);
    world.stop().await;
}

#[tokio::test]
async fn an_environment_is_made_changed_and_removed() {
    let world = World::start().await;
    let (model, _) = world.push(Ok("Slots"), "").await;
    let base = format!("/v1/models/{model}/environments");
    let body = json!({ "name": "staging", "autoscaling_settings": { "max_replica": 3 }, "promotion_settings": { "ramp_up_while_promoting": true, "ramp_up_duration_seconds": 60, "stop_on_errors": false } });
    let made = world.rest("POST", &base, body).await.ok();
    assert_eq!(
        (&made["autoscaling_settings"]["max_replica"], &made["current_deployment"]),
        (&json!(3), &Value::Null)
    );
    assert_eq!(made["promotion_settings"]["ramp_up_while_promoting"], true);
    assert_eq!(made["promotion_settings"]["stop_on_errors"], false);
    let again = world.rest("POST", &base, json!({ "name": "staging" })).await;
    assert_eq!(again.status, 400, "{}", again.text());
    let path = format!("{base}/staging");
    let update = json!({ "autoscaling_settings": { "min_replica": 1 } });
    assert_eq!(world.rest("PATCH", &path, update.clone()).await.ok()["status"], "ACCEPTED");
    assert_eq!(world.rest("PATCH", &path, update).await.ok()["status"], "UNCHANGED");
    assert_eq!(world.rest("DELETE", &path, json!({})).await.ok()["deleted"], true);
    assert_eq!(world.get(&path).await.status, 404);
    let production = world.rest("DELETE", &format!("{base}/production"), json!({})).await;
    assert_eq!(production.status, 400, "{}", production.text());
    world.stop().await;
}

#[tokio::test]
async fn a_model_can_be_renamed_and_deleted() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Before"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let path = format!("/v1/models/{model}");
    assert_eq!(world.rest("PATCH", &path, json!({ "name": "After" })).await.ok()["name"], "After");
    assert_eq!(world.rest("DELETE", &path, json!({})).await.ok(), json!({ "id": model, "deleted": true }));
    assert_eq!(world.get(&path).await.status, 404);
    assert_eq!(world.get("/v1/models").await.ok()["models"], json!([]));
    world.stop().await;
}

#[tokio::test]
async fn a_canary_begins_and_is_cancelled() {
    let world = World::start().await;
    let (model, first) = world.push(Ok("Canary"), "").await;
    world.reaches(&model, &first, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == first.as_str()).await;
    let (_, second) = world.push(Err(&model), "").await;
    world.reaches(&model, &second, "ACTIVE").await;
    let body = json!({ "deployment_id": second, "promotion_settings_override": { "ramp_up_while_promoting": true, "ramp_up_duration_seconds": 3600 } });
    let candidate = world.rest("POST", &format!("{production}/promote"), body.clone()).await.ok();
    assert_eq!(candidate["id"], second.as_str());
    let seen = world.until(&production, |seen| seen["in_progress_promotion"]["status"] == "RAMPING_UP").await;
    assert_eq!(seen["in_progress_promotion"]["percent_traffic_to_new_version"], 10);
    assert_eq!(seen["candidate_deployment"]["id"], second.as_str());
    let twice = world.rest("POST", &format!("{production}/promote"), body).await;
    assert_eq!(twice.status, 400, "{}", twice.text());
    let canceled = world.rest("POST", &format!("{production}/cancel_promotion"), json!({})).await.ok();
    assert_eq!(canceled["status"], "CANCELED", "{canceled}");
    let after = world.get(&production).await.ok();
    assert_eq!(
        (&after["current_deployment"]["id"], &after["in_progress_promotion"]),
        (&json!(first), &Value::Null)
    );
    world.stop().await;
}

//! How replicas started, and what becomes of requests while all are busy.

use serde_json::json;

use crate::support::{World, archive_of, client, config_with, pushed};

#[tokio::test]
async fn a_start_is_listed_with_its_phases_and_counted() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Started"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let window = "start_epoch_millis=0&end_epoch_millis=4000000000000";
    let of_deployment = format!("/v1/models/{model}/deployments/{deployment}/startups");
    let list = world.until(&format!("{of_deployment}?{window}"), |page| page["total_count"] == 1).await;
    let attempt = &list["items"][0];
    assert_eq!((&attempt["outcome"], &attempt["environment_name"]), (&json!("SUCCESS"), &json!(null)));
    let phases = attempt["phase_summary"].as_array().unwrap();
    let sum: i64 = phases.iter().map(|phase| phase["duration_ms"].as_i64().unwrap()).sum();
    assert_eq!(attempt["duration_ms"], sum);
    assert_eq!(list["pagination"], json!({ "has_more": false, "cursor": null }));
    let summary = world.get(&format!("{of_deployment}/summary?{window}")).await.ok();
    assert_eq!(summary["total_duration_ms"]["p50_ms"], attempt["duration_ms"]);
    assert_eq!(summary["total_duration_ms"]["sample_count"], 1);
    let page =
        world.get(&format!("/api/ui/scaling?model_id={model}&deployment_id={deployment}&hours=24")).await;
    let (page, container) = (page.ok(), &summary["phase_duration_ms"][1]["duration_ms"]);
    assert_eq!(page["start_phases"][1]["starts"], 1);
    assert_eq!(page["start_phases"][1]["median_ms"], container["p50_ms"]);
    let metrics = world.get("/metrics").await.text();
    let named =
        |line: &&str| line.starts_with("slipway_cold_start_seconds_count{") && line.contains(&deployment);
    for phase in ["queue", "spawn", "load", "ready"] {
        let line = metrics.lines().filter(named).find(|line| line.contains(&format!("phase=\"{phase}\"}}")));
        assert!(line.is_some_and(|line| line.ends_with(" 1")), "{phase}: {metrics}");
    }
    let none = world.get(&format!("{of_deployment}?{window}&outcomes=FAILED")).await.ok();
    assert_eq!(none["total_count"], 0);

    // A start for an environment is the environment's, also of what has become production by it.
    let of_production = format!("/v1/models/{model}/environments/production/startups");
    assert_eq!(world.get(&format!("{of_production}?{window}")).await.ok()["total_count"], 1);
    let (_, second) = world.push(Err(&model), "environment_name: \"production\"").await;
    let page = world.until(&format!("{of_production}?{window}"), |page| page["total_count"] == 2).await;
    assert_eq!(page["items"][0]["deployment_id"], second.as_str());
    assert_eq!(page["items"][0]["environment_name"], "production");

    for (query, field) in
        [("", "start_epoch_millis"), ("start_epoch_millis=5&end_epoch_millis=5", "end_epoch_millis")]
    {
        let refused = world.get(&format!("{of_deployment}?{query}")).await;
        assert_eq!(refused.status, 400);
        assert!(refused.text().contains(field), "{}", refused.text());
    }
    world.stop().await;
}

#[tokio::test]
async fn a_start_that_fails_is_listed_with_the_phase_and_counts_in_no_percentile() {
    let world = World::start().await;
    let (model, deployment) = world.push_with("Mortal", json!({ "description": "mortal" })).await;
    world.reaches(&model, &deployment, "DEPLOY_FAILED").await;
    let window = "start_epoch_millis=0&end_epoch_millis=4000000000000";
    let startups = format!("/v1/models/{model}/deployments/{deployment}/startups");
    let list =
        world.until(&format!("{startups}?{window}&outcomes=FAILED"), |page| page["total_count"] == 2).await;
    for attempt in list["items"].as_array().unwrap() {
        assert_eq!(
            (&attempt["outcome"], &attempt["ready_at_epoch_millis"]),
            (&json!("FAILED"), &json!(null))
        );
        let phases = attempt["phase_summary"].as_array().unwrap();
        let phases =
            phases.iter().map(|phase| (phase["phase"].as_str().unwrap(), phase["status"].as_str().unwrap()));
        assert!(phases.eq([("SCHEDULING", "COMPLETED"), ("CONTAINER_START", "FAILED")]), "{attempt}");
    }
    for (filter, count) in [("", 2), ("&outcomes=SUCCESS&outcomes=STALLED", 0), ("&phase=IMAGE_PULL", 0)] {
        assert_eq!(
            world.get(&format!("{startups}?{window}{filter}")).await.ok()["total_count"],
            count,
            "{filter}"
        );
    }
    let summary = world.get(&format!("{startups}/summary?{window}")).await.ok();
    assert_eq!(summary["total_duration_ms"]["sample_count"], 0);
    let page = format!("/api/ui/scaling?model_id={model}&deployment_id={deployment}&hours=24");
    let page = world.get(&page).await.ok();
    assert_eq!(page["cold_starts"][0]["failed"], "failed: it fell over");
    assert_eq!(page["start_phases"], json!([]), "what never got ready says nothing of how long it takes");
    world.stop().await;
}

/// Pushes a model whose process ends by itself before its port answers; for a world of real processes.
pub async fn push_dying(world: &World) -> (String, String) {
    let server = "raise SystemExit('the weights are nowhere to be found')";
    let key = world.upload(archive_of(&[("config.yaml", "model_name: Dies\n"), ("server.py", server)])).await;
    let config = config_with(json!({
        "docker_server": {
            "start_command": "python server.py",
            "server_port": 8100,
            "predict_endpoint": "/predict",
            "readiness_endpoint": "/",
            "liveness_endpoint": "/",
        },
    }));
    pushed(&world.ask(client::create_model("Dies", &key, &config, "")).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_leaves_its_failed_start() {
    let world = World::start_here().await;
    let (model, deployment) = push_dying(&world).await;
    let startups = format!("/v1/models/{model}/deployments/{deployment}/startups");
    let window = "start_epoch_millis=0&end_epoch_millis=4000000000000";
    let list = world.until(&format!("{startups}?{window}"), |page| page["total_count"] == 2).await;
    let attempt = &list["items"][1];
    assert_eq!((&attempt["outcome"], &attempt["ready_at_epoch_millis"]), (&json!("FAILED"), &json!(null)));
    assert_eq!(attempt["phase_summary"][1]["status"], "FAILED");
    assert!(attempt["duration_ms"].as_i64().unwrap() > 0, "{attempt}");
    assert!(attempt["replica_id"].is_string() && attempt["started_at_epoch_millis"].as_i64().unwrap() > 0);
    world.stop().await;
}

#[tokio::test]
async fn the_choice_for_busy_times_is_the_environments_while_it_is_served() {
    let world = World::start().await;
    let (model, first) = world.push(Ok("Busy"), "").await;
    world.reaches(&model, &first, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == first.as_str()).await;
    let (_, second) = world.push(Err(&model), "").await;
    world.reaches(&model, &second, "ACTIVE").await;
    let path = |deployment: &str| {
        format!("/v1/models/{model}/deployments/{deployment}/request_backpressure_settings")
    };
    let policy = async |deployment: &str| {
        let seen = world.deployment(&model, deployment).await;
        seen["request_backpressure_settings"]["policy"].clone()
    };

    // Through a deployment that serves it, the environment's choice changes.
    let chosen = world.rest("PATCH", &path(&first), json!({ "policy": "REJECT_ON_FULL" })).await.ok();
    assert_eq!(chosen, json!({ "policy": "REJECT_ON_FULL" }));
    let seen = world.get(&production).await.ok();
    assert_eq!(seen["request_backpressure_settings"]["policy"], "REJECT_ON_FULL");
    assert_eq!(policy(&second).await, json!(null));

    // What is promoted follows it, and what is replaced keeps it.
    world.rest("POST", &format!("/v1/models/{model}/deployments/{second}/promote"), json!({})).await.ok();
    world.until(&production, |seen| seen["current_deployment"]["id"] == second.as_str()).await;
    assert_eq!(policy(&second).await, "REJECT_ON_FULL");
    assert_eq!(policy(&first).await, "REJECT_ON_FULL");

    // Null takes the choice away; leaving it out does not.
    world.rest("PATCH", &path(&second), json!({})).await.ok();
    assert_eq!(policy(&second).await, "REJECT_ON_FULL");
    let updated = json!({ "request_backpressure_settings": { "policy": null } });
    let updated = world.rest("PATCH", &production, updated).await.ok();
    assert_eq!(updated["environment"]["request_backpressure_settings"]["policy"], json!(null));
    assert_eq!((policy(&second).await, policy(&first).await), (json!(null), json!("REJECT_ON_FULL")));
    let refused = world.rest("PATCH", &path(&second), json!({ "policy": "SHED" })).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("QUEUE_ON_FULL"), "{}", refused.text());

    let log = world.get("/v1/audit_logs?event_type_groups=REQUEST_BACKPRESSURE_SETTINGS").await.ok();
    let data = &log["items"][0]["event_data"];
    assert_eq!((&data["policy"], &data["previous_policy"]), (&json!("REJECT_ON_FULL"), &json!(null)));
    world.stop().await;
}

//! How replicas started, and what becomes of requests while all are busy.

use serde_json::json;

use crate::support::World;

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

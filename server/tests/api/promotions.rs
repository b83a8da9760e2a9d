//! What comes with a promotion: changes to its environment, and settings for it alone.

use domain::{CleanupStrategy, Door, EnvironmentName, Event, EventKind, ModelId, Promotion};
use serde_json::{Value, json};

use crate::support::{World, client, config, pushed};

/// A model whose first deployment serves production, and another deployment that is active.
async fn two(world: &World, name: &str) -> (String, String, String, String) {
    let (model, first) = world.push(Ok(name), "").await;
    world.reaches(&model, &first, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == first.as_str()).await;
    let (_, second) = world.push(Err(&model), "").await;
    world.reaches(&model, &second, "ACTIVE").await;
    (model, first, second, production)
}

async fn newest(world: &World, model: &str) -> Promotion {
    let promotions = world.store().promotions(&ModelId::new(model), &EnvironmentName::production(), 1).await;
    promotions.unwrap().remove(0)
}

async fn updates(world: &World) -> Vec<Event> {
    let events = world.events().await.into_iter();
    events.filter(|event| event.kind == EventKind::EnvironmentUpdated).collect()
}

#[tokio::test]
async fn settings_that_come_with_a_promotion_are_changed_when_it_succeeds_and_only_then() {
    let world = World::start().await;
    let (_, first, second, production) = two(&world, "Later").await;
    let promote = async |body: Value| world.rest("POST", &format!("{production}/promote"), body).await;
    let settings = async || {
        let seen = world.get(&production).await.ok();
        (
            seen["autoscaling_settings"]["max_replica"].clone(),
            seen["promotion_settings"]["ramp_up_duration_seconds"].clone(),
            seen["request_backpressure_settings"]["policy"].clone(),
        )
    };
    let before = (json!(1), json!(600), Value::Null);
    let update = json!({
        "autoscaling_settings": { "max_replica": 3 },
        "promotion_settings": { "ramp_up_duration_seconds": 77 },
        "request_backpressure_settings": { "policy": "REJECT_ON_FULL" },
    });
    let canary = json!({ "ramp_up_while_promoting": true, "ramp_up_duration_seconds": 360_000 });

    // What is out of range is said at once, and nothing begins.
    let wrong = json!({ "autoscaling_settings": { "min_replica": 5, "max_replica": 2 } });
    let refused = promote(json!({ "deployment_id": second, "environment_settings_update": wrong })).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(world.get(&production).await.ok()["in_progress_promotion"], Value::Null);

    let body = json!({
        "deployment_id": second,
        "environment_settings_update": update,
        "promotion_settings_override": canary,
    });
    promote(body).await.ok();
    world.until(&production, |seen| seen["in_progress_promotion"]["status"] == "RAMPING_UP").await;
    assert_eq!(settings().await, before);
    let more = json!({ "autoscaling_settings": { "max_replica": 9 } });
    let refused = promote(json!({ "deployment_id": first, "environment_settings_update": more })).await;
    assert_eq!(refused.status, 400, "one runs already: {}", refused.text());
    assert_eq!(settings().await, before, "a promotion that is refused changes nothing");
    world.rest("POST", &format!("{production}/cancel_promotion"), json!({})).await.ok();
    assert_eq!(settings().await, before, "nor does one that was canceled");
    assert!(updates(&world).await.is_empty());

    promote(json!({ "deployment_id": second, "environment_settings_update": update })).await.ok();
    world.until(&production, |seen| seen["current_deployment"]["id"] == second.as_str()).await;
    assert_eq!(settings().await, (json!(3), json!(77), json!("REJECT_ON_FULL")));
    let event = updates(&world).await.remove(0);
    assert_eq!(event.actor.door, Door::System, "it was asked for with the promotion, whose row says by whom");
    assert_eq!(event.data["previous_settings"]["autoscaling"]["max_replica"], 1);
    let log = world.get("/v1/audit_logs?search=promotion%20of&limit=1").await.ok()["items"][0].clone();
    assert_eq!(log["event_type"], "MODEL_DEPLOYMENT_PROMOTED");
    let data = &log["event_data"];
    assert_eq!(data["autoscaling_settings_update"], json!({ "max_replica": 3 }));
    assert_eq!(data["request_backpressure_settings_update"], json!({ "policy": "REJECT_ON_FULL" }));

    // The current one has nothing to wait for.
    let more = json!({ "autoscaling_settings": { "max_replica": 4 } });
    promote(json!({ "deployment_id": second, "environment_settings_update": more })).await.ok();
    assert_eq!(settings().await.0, 4);
    assert_eq!(updates(&world).await.len(), 2);
    world.stop().await;
}

#[tokio::test]
async fn every_setting_can_be_another_for_one_promotion() {
    let world = World::start().await;
    let (model, _, second, production) = two(&world, "Once").await;
    let settings = world.get(&production).await.ok()["promotion_settings"].clone();
    let body = json!({
        "deployment_id": second,
        "promotion_settings_override": {
            "stop_on_errors": false,
            "redeploy_on_promotion": true,
            "promotion_cleanup_strategy": "KEEP",
        },
    });
    let candidate = world.rest("POST", &format!("{production}/promote"), body).await.ok();
    assert_ne!(candidate["id"], second.as_str(), "a copy is promoted");
    let promotion = newest(&world, &model).await;
    assert_eq!((promotion.stop_on_errors, promotion.cleanup), (false, CleanupStrategy::Keep));
    assert_eq!(world.get(&production).await.ok()["promotion_settings"], settings);
    let wrong = json!({
        "deployment_id": second,
        "promotion_settings_override": { "ramp_up_duration_seconds": -1 },
    });
    world.until(&production, |seen| seen["current_deployment"]["id"] == candidate["id"]).await;
    let refused = world.rest("POST", &format!("{production}/promote"), wrong).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("promotion_settings_override.ramp_up_duration_seconds"));
    world.stop().await;
}

#[tokio::test]
async fn a_push_into_an_environment_that_redeploys_is_what_is_promoted() {
    let world = World::start().await;
    let (model, _, _, production) = two(&world, "Fresh").await;
    let settings = json!({ "promotion_settings": { "redeploy_on_promotion": true } });
    world.rest("PATCH", &production, settings).await.ok();
    let key = world.upload(crate::support::archive()).await;
    let push = client::create_version(&model, &key, &config(""), "environment_name: \"production\"");
    let (_, third) = pushed(&world.ask(push).await);
    world.until(&production, |seen| seen["current_deployment"]["id"] == third.as_str()).await;
    world.stop().await;
}

#[tokio::test]
async fn settings_that_do_not_go_with_what_was_changed_meanwhile_are_left_and_the_record_says_why() {
    let world = World::start().await;
    let (_, _, second, production) = two(&world, "Meanwhile").await;
    let canary = json!({ "ramp_up_while_promoting": true, "ramp_up_duration_seconds": 360_000 });
    let body = json!({
        "deployment_id": second,
        "environment_settings_update": { "autoscaling_settings": { "max_replica": 2 } },
        "promotion_settings_override": canary,
    });
    world.rest("POST", &format!("{production}/promote"), body).await.ok();
    world.until(&production, |seen| seen["in_progress_promotion"]["status"] == "RAMPING_UP").await;
    let meanwhile = json!({ "autoscaling_settings": { "min_replica": 3, "max_replica": 4 } });
    world.rest("PATCH", &production, meanwhile).await.ok();
    world.rest("POST", &format!("{production}/force_roll_forward_promotion"), json!({})).await.ok();
    let seen = world.until(&production, |seen| seen["current_deployment"]["id"] == second.as_str()).await;
    let settings = &seen["autoscaling_settings"];
    assert_eq!((&settings["min_replica"], &settings["max_replica"]), (&json!(3), &json!(4)));
    let events = world.events().await;
    let ends: Vec<_> = events.iter().filter(|e| e.kind == EventKind::ModelPromotionSucceeded).collect();
    let told = |event: &&Event| event.sentence.contains("its settings stay as they are, because");
    assert!(ends.iter().any(|event| told(event) && event.sentence.contains("max_replica")), "{ends:?}");
    world.stop().await;
}

//! Controls of a running promotion, by REST and by the dashboard's API.

use serde_json::{Value, json};

use crate::support::World;

/// A model with a canary into production that has passed its gate; its first stage lasts for hours.
async fn ramping(world: &World, name: &str) -> (String, String, String) {
    let (model, first) = world.push(Ok(name), "").await;
    world.reaches(&model, &first, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == first.as_str()).await;
    let (_, second) = world.push(Err(&model), "").await;
    world.reaches(&model, &second, "ACTIVE").await;
    let body = json!({
        "deployment_id": second,
        "promotion_settings_override": { "ramp_up_while_promoting": true, "ramp_up_duration_seconds": 360_000 },
    });
    world.rest("POST", &format!("{production}/promote"), body).await.ok();
    world.until(&production, |seen| seen["in_progress_promotion"]["status"] == "RAMPING_UP").await;
    (model, second, production)
}

/// What the record says was asked of promotions, oldest first.
async fn actions(world: &World) -> Vec<String> {
    let mut events = world.events().await;
    events.retain(|event| event.kind == domain::EventKind::ModelPromotionControlAction);
    events.sort_by(|a, b| a.id.cmp(&b.id));
    events.iter().map(|event| event.data["action"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_promotion_is_paused_resumed_and_rolled_forward() {
    let world = World::start().await;
    let (_, second, production) = ramping(&world, "Controls").await;
    let send = async |control: &str| world.rest("POST", &format!("{production}/{control}"), json!({})).await;
    let status = async || world.get(&production).await.ok()["in_progress_promotion"].clone();

    // Each is asked twice, which is one act.
    for _ in 0..2 {
        assert_eq!(send("pause_promotion").await.ok(), json!({ "success": true }));
        let paused = status().await;
        assert_eq!(
            (&paused["status"], &paused["percent_traffic_to_new_version"]),
            (&json!("PAUSED"), &json!(10))
        );
    }
    for _ in 0..2 {
        assert_eq!(send("resume_promotion").await.ok(), json!({ "success": true }));
        assert_eq!(status().await["status"], "RAMPING_UP");
    }
    assert_eq!(send("force_roll_forward_promotion").await.ok(), json!({ "success": true }));
    let after = world.get(&production).await.ok();
    assert_eq!(after["current_deployment"]["id"], second.as_str());
    assert_eq!(after["in_progress_promotion"], Value::Null);
    assert_eq!(actions(&world).await, ["PAUSE", "RESUME", "FORCE_ROLL_FORWARD"]);
    world.stop().await;
}

#[tokio::test]
async fn a_paused_promotion_can_be_canceled() {
    let world = World::start().await;
    let (_, _, production) = ramping(&world, "Paused").await;
    world.rest("POST", &format!("{production}/pause_promotion"), json!({})).await.ok();
    let canceled = world.rest("POST", &format!("{production}/cancel_promotion"), json!({})).await.ok();
    assert_eq!(canceled["status"], "CANCELED", "{canceled}");
    assert_eq!(actions(&world).await, ["PAUSE", "FORCE_CANCEL"]);
    world.stop().await;
}

#[tokio::test]
async fn a_control_without_a_promotion_says_so() {
    let world = World::start().await;
    let (model, first) = world.push(Ok("Nothing"), "").await;
    world.reaches(&model, &first, "ACTIVE").await;
    for control in ["pause", "resume", "cancel", "force_cancel", "force_roll_forward"] {
        let path = format!("/v1/models/{model}/environments/production/{control}_promotion");
        let answer = world.rest("POST", &path, json!({})).await;
        assert_eq!(answer.status, 400, "{control}: {}", answer.text());
        let body = answer.json();
        assert_eq!(body["code"], "VALIDATION_ERROR");
        assert_eq!(body["message"], "Environment production has no in progress promotion.");
        let path = format!("/v1/models/{model}/environments/nowhere/{control}_promotion");
        assert_eq!(world.rest("POST", &path, json!({})).await.status, 404, "{control}");
    }
    assert!(actions(&world).await.is_empty());
    world.stop().await;
}

#[tokio::test]
async fn the_dashboard_says_what_may_be_asked_and_why_not() {
    let world = World::start().await;
    let (model, _, _) = ramping(&world, "Dashboard").await;
    let fields = [("model_id", model.as_str()), ("environment", "production")];
    let read = async || {
        let path = format!("/api/ui/environment?model_id={model}&environment=production");
        world.get(&path).await.ok()
    };
    let page = read().await;
    assert_eq!(page["controls"]["pause"], json!("Allowed"), "{}", page["controls"]);
    assert_eq!(page["controls"]["resume"], json!({ "Refused": "it is not paused" }));
    let answer = world.act("pause_promotion", &fields).await.ok();
    assert_eq!(answer["sentence"], "Paused: the split of production stays as it is.", "{answer}");
    let page = read().await;
    assert_eq!(page["rollout"]["phase"], "PAUSED");
    assert!(page["rollout"]["sentence"].as_str().unwrap().starts_with("paused by "), "{}", page["rollout"]);
    assert_eq!(page["rollout"]["finishes_at"], Value::Null, "nobody knows when it will be done");
    assert_eq!(page["controls"]["pause"], json!({ "Refused": "it is paused already" }));
    assert_eq!(page["controls"]["resume"], json!("Allowed"));
    world.act("resume_promotion", &fields).await.ok();
    let forward = world.act("force_roll_forward_promotion", &fields).await.ok();
    assert_eq!(forward["sentence"], "Rolled forward: all traffic of production is with the candidate.");
    assert_eq!(read().await["rollout"]["phase"], "SUCCEEDED");
    world.stop().await;
}

//! Controls of a running rolling promotion, each with what it does to traffic.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Call, World, with_key};

/// A promotion that has moved one of two replicas.
struct Rolling {
    world: World,
    model: String,
    first: String,
    second: String,
    production: String,
}

impl Rolling {
    /// Between its steps pass so many seconds. `described` is how the machine takes the current deployment's replicas.
    async fn half_way(name: &str, described: &str, seconds: u32) -> Self {
        let world = World::start().await;
        let (model, first) = world.push_with(name, json!({ "description": described })).await;
        world.reaches(&model, &first, "ACTIVE").await;
        let production = format!("/v1/models/{model}/environments/production");
        world.until(&production, |seen| seen["current_deployment"]["id"] == first.as_str()).await;
        let settings = json!({
            "autoscaling_settings": { "min_replica": 2, "max_replica": 2 },
            "promotion_settings": {
                "rolling_deploy": true,
                "rolling_deploy_config": { "max_surge_percent": 50, "stabilization_time_seconds": seconds },
            },
        });
        world.rest("PATCH", &production, settings).await.ok();
        let both = |seen: &Value| seen["active_replica_count"] == 2;
        world.until(&format!("/v1/models/{model}/deployments/{first}"), both).await;
        let (_, second) = world.push(Err(&model), "").await;
        world.reaches(&model, &second, "ACTIVE").await;
        let body = json!({ "deployment_id": second });
        world.rest("POST", &format!("{production}/promote"), body).await.ok();
        let moved = |seen: &Value| seen["in_progress_promotion"]["percent_traffic_to_new_version"] == 50;
        world.until(&production, moved).await;
        let one = |seen: &Value| seen["active_replica_count"] == 1;
        world.until(&format!("/v1/models/{model}/deployments/{first}"), one).await;
        Self { world, model, first, second, production }
    }

    async fn send(&self, control: &str) -> crate::support::Answer {
        self.world.rest("POST", &format!("{}/{control}_promotion", self.production), json!({})).await
    }

    /// What runs of the promotion; null if nothing does.
    async fn promotion(&self) -> Value {
        self.world.get(&self.production).await.ok()["in_progress_promotion"].clone()
    }

    /// Waits for its end, and for two replicas of what serves then.
    async fn ends_with(&self, deployment: &str) {
        let after = self.world.until(&self.production, |seen| seen["in_progress_promotion"].is_null()).await;
        assert_eq!(after["current_deployment"]["id"], deployment);
        let both = |seen: &Value| seen["active_replica_count"] == 2;
        let path = format!("/v1/models/{}/deployments/{deployment}", self.model);
        self.world.until(&path, both).await;
    }

    /// Which of the two answer calls of production: so many calls, one after the other.
    async fn answering(&self, calls: usize) -> Vec<&str> {
        let mut answering = Vec::new();
        for _ in 0..calls {
            let call = Call::new("POST", format!("/model/{}/production/predict", self.model));
            let replica = self.world.send(with_key(call).json(&json!({}))).await.ok()["replica"].clone();
            answering.push(if self.replicas(&self.second).await.contains(&replica) {
                self.second.as_str()
            } else {
                self.first.as_str()
            });
        }
        answering
    }

    async fn replicas(&self, deployment: &str) -> Vec<Value> {
        let path = format!("/api/ui/replicas?model_id={}&deployment_id={deployment}", self.model);
        let seen = self.world.get(&path).await.ok();
        seen["copies"].as_array().unwrap().iter().map(|copy| copy["id"].clone()).collect()
    }

    /// What the record says was asked, oldest first.
    async fn actions(&self) -> Vec<String> {
        let mut events = self.world.events().await;
        events.retain(|event| event.kind == domain::EventKind::ModelPromotionControlAction);
        events.sort_by(|a, b| a.id.cmp(&b.id));
        events.iter().map(|event| event.data["action"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn a_pause_keeps_the_step_and_a_resume_goes_on() {
    let rolling = Rolling::half_way("Paused", "", 3).await;
    for _ in 0..2 {
        assert_eq!(rolling.send("pause").await.ok(), json!({ "success": true }));
    }
    let paused = rolling.promotion().await;
    assert_eq!(
        (&paused["status"], &paused["percent_traffic_to_new_version"]),
        (&json!("PAUSED"), &json!(50))
    );
    // Longer than a step settles.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let later = rolling.promotion().await;
    let told = ["status", "percent_traffic_to_new_version"];
    assert_eq!(told.map(|field| &later[field]), told.map(|field| &paused[field]), "no time counts");
    let answering = rolling.answering(10).await;
    let moved = answering.iter().filter(|side| **side == rolling.second).count();
    assert!((4..=6).contains(&moved), "half of them to within one: {answering:?}");

    assert_eq!(rolling.send("resume").await.ok(), json!({ "success": true }));
    assert_eq!(rolling.promotion().await["status"], "RAMPING_UP");
    rolling.ends_with(&rolling.second).await;
    assert!(rolling.answering(4).await.iter().all(|side| *side == rolling.second));
    rolling.world.reaches(&rolling.model, &rolling.first, "SCALED_TO_ZERO").await;
    assert_eq!(rolling.actions().await, ["PAUSE", "RESUME"]);
    rolling.world.stop().await;
}

#[tokio::test]
async fn a_forced_cancel_takes_the_traffic_back() {
    let rolling = Rolling::half_way("Forced", "", 3600).await;
    rolling.send("pause").await.ok();
    assert_eq!(rolling.send("force_cancel").await.ok(), json!({ "success": true }));
    rolling.ends_with(&rolling.first).await;
    assert!(rolling.answering(4).await.iter().all(|side| *side == rolling.first));
    rolling.world.reaches(&rolling.model, &rolling.second, "SCALED_TO_ZERO").await;
    let candidate = rolling.world.deployment(&rolling.model, &rolling.second).await;
    assert_eq!(candidate["environment"], Value::Null, "{candidate}");
    assert_eq!(rolling.actions().await, ["PAUSE", "FORCE_CANCEL"]);
    rolling.world.stop().await;
}

#[tokio::test]
async fn rolled_forward_it_takes_over_whatever_steps_are_left() {
    let rolling = Rolling::half_way("Forward", "", 3600).await;
    for _ in 0..2 {
        let answer = rolling.send("force_roll_forward").await;
        // The second time it may be over.
        assert!(answer.status == 200 || answer.text().contains("no in progress"), "{}", answer.text());
    }
    rolling.ends_with(&rolling.second).await;
    assert!(rolling.answering(4).await.iter().all(|side| *side == rolling.second));
    rolling.world.reaches(&rolling.model, &rolling.first, "SCALED_TO_ZERO").await;
    assert_eq!(rolling.actions().await, ["FORCE_ROLL_FORWARD"]);
    rolling.world.stop().await;
}

#[tokio::test]
async fn what_goes_back_can_be_rolled_forward_but_not_paused() {
    let rolling = Rolling::half_way("Returning", "slow", 3600).await;
    let canceled = rolling.send("cancel").await.ok();
    assert_eq!(canceled["status"], "RAMPING_DOWN", "the current deployment lacks a replica: {canceled}");
    for (control, verb) in [("pause", "paused"), ("resume", "resumed")] {
        let refused = rolling.send(control).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains(&format!("can't be {verb}")) && message.contains("roll it forward"),
            "{message}"
        );
    }
    let returning = rolling.promotion().await;
    assert_eq!(returning["status"], "RAMPING_DOWN");
    assert_eq!(returning["error_message"], Value::Null, "nothing went wrong: {returning}");
    assert_eq!(rolling.send("force_roll_forward").await.ok(), json!({ "success": true }));
    rolling.ends_with(&rolling.second).await;
    assert!(rolling.answering(4).await.iter().all(|side| *side == rolling.second));
    assert_eq!(rolling.actions().await, ["GRACEFUL_CANCEL", "FORCE_ROLL_FORWARD"]);
    rolling.world.stop().await;
}

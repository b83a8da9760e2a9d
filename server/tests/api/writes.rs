//! What requests cost the database: nothing.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::support::{Call, World, with_key};

const REQUESTS: u64 = 1_000;
/// What may be written by time while they are answered: how often keys were used, what was measured and used, each minute.
const BY_TIME: u64 = REQUESTS / 10;

#[tokio::test]
async fn a_request_writes_nothing() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Frugal"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == deployment.as_str()).await;

    let commits = world.store().count_commits().await.unwrap();
    world.rest("PATCH", &format!("/v1/models/{model}"), json!({ "name": "Counted" })).await.ok();
    assert!(commits.swap(0, Ordering::SeqCst) > 0, "a change is counted");
    for _ in 0..REQUESTS {
        let call = Call::new("POST", format!("/model/{model}/production/predict"));
        world.send(with_key(call).json(&json!({}))).await.ok();
    }
    let made = commits.load(Ordering::SeqCst);
    assert!(made < BY_TIME, "{made} transactions were committed while {REQUESTS} requests were answered");
    world.stop().await;
}

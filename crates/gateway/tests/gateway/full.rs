//! Deployments that refuse what they can't take at once.

use crate::stage::*;
use domain::ModelRoutes;
use std::sync::Arc;
use tokio::sync::Semaphore;

fn refusing(version: u64, replicas: &[(&str, u16)]) -> ModelRoutes {
    let mut routes = simple(version, replicas, Some(1));
    routes.deployments[0].rejects_when_full = true;
    routes
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_every_place_taken_is_refused_at_once() {
    let stage = Stage::new();
    let gate = Arc::new(Semaphore::new(0));
    let toy = Toy::start({
        let gate = gate.clone();
        move |_| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                plain("ok")
            }
        }
    })
    .await;
    stage.gateway.publish(refusing(1, &[("r1", toy.port)]));
    let first = stage.spawn(predict(PRODUCTION, "1"));
    until("the place is taken", || stage.traffic("a").demand.in_flight == 1).await;
    let mut client = stage.client().await;
    let refused = client.send(predict(PRODUCTION, "2")).await;
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refusal(refused).await, (http::StatusCode::TOO_MANY_REQUESTS, "rate_limited".into()));
    assert_eq!(stage.held("a"), 0, "nobody waits");
    gate.add_permits(2);
    assert_eq!(text(first.await.unwrap()).await, "ok");
    until("the place is free", || stage.traffic("a").demand.in_flight == 0).await;
    assert_eq!(text(client.send(predict(PRODUCTION, "3")).await).await, "ok");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_wakes_a_replica_waits_for_it() {
    let stage = Stage::new();
    stage.gateway.publish(refusing(1, &[]));
    let held = stage.spawn(predict(PRODUCTION, "1"));
    until("it is held", || stage.held("a") == 1).await;
    assert!(stage.wakes() > 0, "nobody was told");
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(refusing(2, &[("r1", toy.port)]));
    assert_eq!(text(held.await.unwrap()).await, "ok");
    stage.stop().await;
}

//! Who gets which share, and what a change of routes does to requests.

use crate::stage::*;
use domain::{AppliedRoutes, DeploymentId, EnvironmentName, ModelId, Traffic};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

fn two(version: u64, b: u32, ports: (u16, u16)) -> domain::ModelRoutes {
    let deployments =
        vec![deployment("a", &[("ra", ports.0)], None), deployment("b", &[("rb", ports.1)], None)];
    routes(version, &[("a", 100 - b), ("b", b)], deployments)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_prefix_keeps_the_shares_to_within_one() {
    let stage = Stage::new();
    let (a, b) = (Toy::saying("a").await, Toy::saying("b").await);
    stage.gateway.publish(two(1, 30, (a.port, b.port)));
    let mut client = stage.client().await;
    let mut to_b = 0f64;
    for n in 1..=100 {
        if text(client.send(predict(PRODUCTION, "{}")).await).await == "b" {
            to_b += 1.0;
        }
        assert!((to_b - 0.3 * f64::from(n)).abs() <= 1.0, "{to_b} of {n}");
    }
    assert_eq!(to_b, 30.0);
    let routed = stage.gateway.routed(&ModelId::new(MODEL), &EnvironmentName::production());
    let (a, b) = (DeploymentId::new("a"), DeploymentId::new("b"));
    assert_eq!(routed, vec![(a, 70, 70), (b, 30, 30)]);
    assert_eq!(stage.traffic("b").requests, 30);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_flip_under_load_without_a_lost_request() {
    let stage = Stage::new();
    let (a, b) = (Toy::saying("a").await, Toy::saying("b").await);
    let ports = (a.port, b.port);
    stage.gateway.publish(two(1, 50, ports));
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut load = Vec::new();
    for _ in 0..8 {
        let (mut client, stop, answered) = (stage.client().await, stop.clone(), answered.clone());
        load.push(tokio::spawn(async move {
            while !stop.load(SeqCst) {
                let response = client.send(predict(PRODUCTION, "{}")).await;
                assert_eq!(response.status(), 200);
                text(response).await;
                answered.fetch_add(1, SeqCst);
            }
        }));
    }
    for version in 2..40 {
        let seen = answered.load(SeqCst);
        until("requests flow", || answered.load(SeqCst) >= seen + 20).await;
        stage.gateway.publish(two(version, (version as u32 * 37) % 101, ports));
    }
    stop.store(true, SeqCst);
    for task in load {
        task.await.unwrap();
    }
    let sum: u64 = ["a", "b"].map(|id| stage.traffic(id).requests).iter().sum();
    assert_eq!(sum, answered.load(SeqCst));
    for id in ["a", "b"] {
        let traffic = stage.traffic(id);
        assert_eq!((traffic.lost, traffic.errors, traffic.demand.in_flight), (0, 0, 0));
        assert!(traffic.p50_micros > 0 && traffic.p95_micros >= traffic.p50_micros);
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_zero_gets_nothing_once_publish_returned() {
    let stage = Stage::new();
    let (a, b) = (Toy::saying("a").await, Toy::saying("b").await);
    stage.gateway.publish(two(1, 50, (a.port, b.port)));
    let mut client = stage.client().await;
    for version in 1..20 {
        stage.gateway.publish(two(version * 2, 50, (a.port, b.port)));
        text(client.send(predict(PRODUCTION, "{}")).await).await;
        stage.gateway.publish(two(version * 2 + 1, 0, (a.port, b.port)));
        for _ in 0..5 {
            assert_eq!(text(client.send(predict(PRODUCTION, "{}")).await).await, "a");
        }
    }
    // Its own address still works.
    let own = client.send(predict("/model/model1/deployment/b/predict", "{}")).await;
    assert_eq!(text(own).await, "b");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_survives_a_change_of_routes() {
    let stage = Stage::new();
    let (old, new) = (Toy::saying("old").await, Toy::saying("new").await);
    stage.gateway.publish(simple(1, &[("r1", old.port)], Some(1)));
    let mut client = stage.client().await;
    assert_eq!(text(client.send(predict(PRODUCTION, "{}")).await).await, "old");
    stage.gateway.publish(simple(2, &[("r2", new.port)], Some(1)));
    drop(old);
    assert_eq!(text(client.send(predict(PRODUCTION, "{}")).await).await, "new");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_left_finishes_its_requests() {
    let stage = Stage::new();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let toy = {
        let gate = gate.clone();
        Toy::start(move |_| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                plain("done")
            }
        })
        .await
    };
    let next = Toy::saying("next").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], Some(1)));
    let leaving = domain::ReplicaId::new("r1");
    let slow = stage.spawn(predict(PRODUCTION, "{}"));
    until("it is in flight", || stage.gateway.in_flight(&leaving) == 1).await;
    stage.gateway.publish(simple(2, &[("r2", next.port)], Some(1)));
    assert_eq!(stage.gateway.in_flight(&leaving), 1);
    assert_eq!(text(stage.client().await.send(predict(PRODUCTION, "{}")).await).await, "next");
    gate.add_permits(1);
    assert_eq!(text(slow.await.unwrap()).await, "done");
    until("it is drained", || stage.gateway.in_flight(&leaving) == 0).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_busy_replica_is_chosen() {
    let stage = Stage::new();
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let mut toys = Vec::new();
    for _ in 0..3 {
        let gate = gate.clone();
        toys.push(
            Toy::start(move |_| {
                let gate = gate.clone();
                async move {
                    gate.acquire().await.unwrap().forget();
                    plain("done")
                }
            })
            .await,
        );
    }
    let replicas = [("r0", toys[0].port), ("r1", toys[1].port), ("r2", toys[2].port)];
    stage.gateway.publish(simple(1, &replicas, None));
    let mut load = Vec::new();
    for n in 1..=9 {
        load.push(stage.spawn(predict(PRODUCTION, "{}")));
        until("it is in flight", || stage.traffic("a").demand.in_flight == n).await;
    }
    for id in ["r0", "r1", "r2"] {
        assert_eq!(stage.gateway.in_flight(&domain::ReplicaId::new(id)), 3);
    }
    gate.add_permits(9);
    for task in load {
        assert_eq!(text(task.await.unwrap()).await, "done");
    }
    stage.stop().await;
}

#[tokio::test]
async fn others_can_wait_for_a_generation() {
    let stage = Stage::new();
    let model = ModelId::new(MODEL);
    assert_eq!(stage.gateway.applied(&model), 0);
    assert!(!stage.gateway.wait_applied(&model, 1, Duration::ZERO).await);
    let waiting = {
        let (gateway, model) = (stage.gateway.clone(), model.clone());
        tokio::spawn(async move { gateway.wait_applied(&model, 2, Duration::from_secs(10)).await })
    };
    stage.gateway.publish(simple(1, &[], None));
    stage.gateway.publish(simple(2, &[], None));
    assert!(waiting.await.unwrap());
    stage.gateway.forget(&model);
    assert_eq!(stage.gateway.applied(&model), 0);
    stage.stop().await;
}

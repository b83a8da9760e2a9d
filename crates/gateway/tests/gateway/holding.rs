//! Requests that wait, who is next, and who leaves.

use crate::stage::*;
use bytes::Bytes;
use domain::{Availability, Demand, DeploymentId, Traffic};
use futures::future::Either;
use gateway::GatewayConfig;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::sync::Notify;

#[tokio::test(flavor = "multi_thread")]
async fn held_requests_go_on_in_the_order_of_arrival() {
    let stage = Stage::new();
    stage.gateway.publish(simple(1, &[], Some(1)));
    let mut waiting = Vec::new();
    for n in 0..5 {
        waiting.push(stage.spawn(predict(PRODUCTION, &n.to_string())));
        until("it is held", || stage.held("a") == n + 1).await;
    }
    assert!(stage.wakes() > 0, "nobody was told");
    let order = Arc::new(Mutex::new(Vec::new()));
    let toy = {
        let order = order.clone();
        Toy::start(move |request| {
            let order = order.clone();
            async move {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                order.lock().unwrap().push(String::from_utf8(body.to_vec()).unwrap());
                plain("ok")
            }
        })
        .await
    };
    stage.gateway.publish(simple(2, &[("r1", toy.port)], Some(1)));
    for task in waiting {
        let response = task.await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.headers().contains_key("x-cold-start-ms"));
        text(response).await;
    }
    assert_eq!(*order.lock().unwrap(), ["0", "1", "2", "3", "4"]);
    let mut client = stage.client().await;
    let prompt = client.send(predict(PRODUCTION, "{}")).await;
    assert!(!prompt.headers().contains_key("x-cold-start-ms"));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_replica_gets_more_than_its_target() {
    let stage = Stage::new();
    let most = Arc::new(AtomicU32::new(0));
    let mut toys = Vec::new();
    for _ in 0..2 {
        let (now, most) = (Arc::new(AtomicU32::new(0)), most.clone());
        toys.push(
            Toy::start(move |_| {
                let (now, most) = (now.clone(), most.clone());
                async move {
                    most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                    tokio::task::yield_now().await;
                    now.fetch_sub(1, SeqCst);
                    plain("ok")
                }
            })
            .await,
        );
    }
    stage.gateway.publish(simple(1, &[("r1", toys[0].port), ("r2", toys[1].port)], Some(2)));
    let mut load = Vec::new();
    for _ in 0..16 {
        let mut client = stage.client().await;
        load.push(tokio::spawn(async move {
            for _ in 0..25 {
                let response = client.send(predict(PRODUCTION, "{}")).await;
                assert_eq!(response.status(), 200);
                text(response).await;
            }
        }));
    }
    for task in load {
        task.await.unwrap();
    }
    assert!(most.load(SeqCst) <= 2, "{} at once", most.load(SeqCst));
    until("all ended", || stage.traffic("a").demand.total() == 0).await;
    assert_eq!(stage.traffic("a").requests, 400);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_frees_the_place() {
    let stage = Stage::with(GatewayConfig { hold_limit: 2, ..Default::default() });
    stage.gateway.publish(simple(1, &[], Some(1)));
    let first = stage.spawn(predict(PRODUCTION, "1"));
    let second = stage.spawn(predict(PRODUCTION, "2"));
    until("two are held", || stage.held("a") == 2).await;
    let mut client = stage.client().await;
    let third = client.send(predict(PRODUCTION, "3")).await;
    assert!(third.headers().contains_key("retry-after"));
    assert_eq!(refusal(third).await, (http::StatusCode::TOO_MANY_REQUESTS, "rate_limited".into()));
    first.abort();
    until("one is held", || stage.held("a") == 1).await;
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(2, &[("r1", toy.port)], Some(1)));
    assert_eq!(text(second.await.unwrap()).await, "ok");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_bounded_in_bytes() {
    let stage = Stage::with(GatewayConfig { hold_bytes: 25_000, ..Default::default() });
    stage.gateway.publish(simple(1, &[], Some(1)));
    let first = stage.spawn(predict(PRODUCTION, &"x".repeat(10_000)));
    let second = stage.spawn(predict(PRODUCTION, &"y".repeat(10_000)));
    until("two are held", || stage.held("a") == 2).await;
    let mut client = stage.client().await;
    let third = client.send(predict(PRODUCTION, &"z".repeat(10_000))).await;
    assert_eq!(refusal(third).await, (http::StatusCode::TOO_MANY_REQUESTS, "rate_limited".into()));
    // Whoever leaves makes room, and so does whoever is passed on.
    first.abort();
    until("one is held", || stage.held("a") == 1).await;
    let third = stage.spawn(predict(PRODUCTION, &"z".repeat(10_000)));
    until("two are held again", || stage.held("a") == 2).await;
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(2, &[("r1", toy.port)], Some(1)));
    for held in [second, third] {
        assert_eq!(text(held.await.unwrap()).await, "ok");
    }
    stage.gateway.publish(simple(3, &[], Some(1)));
    let held = [
        stage.spawn(predict(PRODUCTION, &"x".repeat(10_000))),
        stage.spawn(predict(PRODUCTION, &"y".repeat(10_000))),
    ];
    until("two are held once more", || stage.held("a") == 2).await;
    held.iter().for_each(|held| held.abort());
    stage.stop().await;
}

/// A request whose head is so long, and a little longer.
fn long_headed(path: &str, bytes: usize) -> Request<Full<Bytes>> {
    let mut request = predict(path, "{}");
    request.headers_mut().insert("x-long", "x".repeat(bytes).parse().unwrap());
    request
}

/// One that is left to hyper.
fn unusual(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    request.headers_mut().insert("cookie", "slipway_session=x".parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_counts_twice_while_its_request_waits() {
    let stage = Stage::with(GatewayConfig { hold_bytes: 100_000, ..Default::default() });
    let toy = Toy::saying("ok").await;
    let long = || long_headed(PRODUCTION, 30_000);
    for (version, request) in [(1, long()), (3, unusual(long()))] {
        stage.gateway.publish(simple(version, &[], Some(1)));
        let first = stage.spawn(request);
        until("one is held", || stage.held("a") == 1).await;
        for request in [long(), unusual(long())] {
            let refused = stage.client().await.send(request).await;
            assert!(refused.headers().contains_key("retry-after"));
            assert_eq!(refusal(refused).await, (StatusCode::TOO_MANY_REQUESTS, "rate_limited".into()));
        }
        let small = stage.spawn(predict(PRODUCTION, "{}"));
        until("a small one is held, too", || stage.held("a") == 2).await;
        stage.gateway.publish(simple(version + 1, &[("r1", toy.port)], Some(1)));
        for held in [first, small] {
            assert_eq!(text(held.await.unwrap()).await, "ok");
        }
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_deployments_together_hold_so_much_and_no_more() {
    let stage = Stage::with(GatewayConfig { hold_bytes_in_all: 25_000, ..Default::default() });
    let toy = Toy::saying("ok").await;
    let both = |of_b: &[(&str, u16)]| vec![deployment("a", &[], Some(1)), deployment("b", of_b, Some(1))];
    stage.gateway.publish(routes(1, &[("a", 100)], both(&[])));
    let (of_a, of_b) = ("/model/model1/deployment/a/predict", "/model/model1/deployment/b/predict");
    let body = "x".repeat(10_000);
    let first = stage.spawn(predict(of_a, &body));
    let second = stage.spawn(predict(of_b, &body));
    until("both are held", || (stage.held("a"), stage.held("b")) == (1, 1)).await;
    for path in [of_a, of_b] {
        let refused = stage.client().await.send(predict(path, &body)).await;
        assert!(refused.headers().contains_key("retry-after"));
        let (status, message) = (refused.status(), text(refused).await);
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        assert!(message.contains("at most 25000 bytes") && message.contains("rate_limited"), "{message}");
    }
    assert_eq!(stage.counters("a").outcomes().client_errors, 1);
    // Whoever leaves makes room for all, and so does whoever is passed on.
    first.abort();
    until("one is held", || stage.held("a") == 0).await;
    let third = stage.spawn(predict(of_b, &body));
    until("two are held again", || stage.held("b") == 2).await;
    stage.gateway.publish(routes(2, &[("a", 100)], both(&[("r1", toy.port)])));
    for held in [second, third] {
        assert_eq!(text(held.await.unwrap()).await, "ok");
    }
    let held = [stage.spawn(predict(of_a, &body)), stage.spawn(predict(of_a, &body))];
    until("two are held once more", || stage.held("a") == 2).await;
    // Nothing is kept of those whose wait ends without a replica either.
    let mut inactive = both(&[]);
    inactive[0].availability = Availability::Inactive { reason: "it is inactive".into() };
    stage.gateway.publish(routes(3, &[("a", 100)], inactive));
    for held in held {
        assert_eq!(held.await.unwrap().status(), StatusCode::NOT_FOUND);
    }
    let held = [stage.spawn(predict(of_b, &body)), stage.spawn(predict(of_b, &body))];
    until("two are held at last", || stage.held("b") == 2).await;
    held.iter().for_each(|held| held.abort());
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_model_to_be_known_is_bounded_too() {
    let stage = Stage::with(GatewayConfig { hold_bytes_in_all: 25_000, ..Default::default() });
    stage.gateway.expect_models();
    let body = "x".repeat(15_000);
    // One finds room and waits, whichever comes first; there is none for the other one.
    let (one, other) = (stage.spawn(predict(PRODUCTION, &body)), stage.spawn(predict(PRODUCTION, &body)));
    let (refused, waits) = match futures::future::select(one, other).await {
        Either::Left((ended, waits)) | Either::Right((ended, waits)) => (ended.unwrap(), waits),
    };
    assert_eq!(refusal(refused).await, (StatusCode::TOO_MANY_REQUESTS, "rate_limited".into()));
    let waker = stage.client().await.send(long_headed("/model/model1/production/wake", 30_000)).await;
    assert_eq!(waker.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(!waits.is_finished());
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], Some(1)));
    assert_eq!(text(waits.await.unwrap()).await, "ok");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_when_waiting_would_not_help() {
    let stage = Stage::new();
    for (version, availability, expected) in [
        (1, Some(Availability::Inactive { reason: "it is inactive".into() }), (404, "model_does_not_exist")),
        (3, Some(Availability::Failed { reason: "it failed".into() }), (503, "model_unavailable")),
        (5, None, (404, "model_does_not_exist")),
    ] {
        stage.gateway.publish(simple(version, &[], Some(1)));
        let held = stage.spawn(predict("/model/model1/deployment/a/predict", "{}"));
        until("it is held", || stage.held("a") == 1).await;
        let mut next = simple(version + 1, &[], Some(1));
        match availability {
            Some(availability) => next.deployments[0].availability = availability,
            None => next.deployments.clear(),
        }
        stage.gateway.publish(next);
        let (status, code) = refusal(held.await.unwrap()).await;
        assert_eq!((status.as_u16(), code.as_str()), expected);
        if version == 3 {
            assert_eq!(stage.counters("a").statuses, [(404, 1), (503, 1)], "each was counted as it was told");
        }
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_request_follows_its_environment() {
    let stage = Stage::new();
    let toy = Toy::saying("a").await;
    let both = || vec![deployment("a", &[("ra", toy.port)], None), deployment("b", &[], None)];
    stage.gateway.publish(routes(1, &[("a", 0), ("b", 100)], both()));
    let held = stage.spawn(predict(PRODUCTION, "{}"));
    let own = stage.spawn(predict("/model/model1/deployment/b/predict", "{}"));
    until("both are held", || stage.held("b") == 2).await;
    stage.gateway.publish(routes(2, &[("a", 100), ("b", 0)], both()));
    assert_eq!(text(held.await.unwrap()).await, "a");
    assert_eq!(stage.held("b"), 1, "what asked for the deployment itself still waits for it");
    own.abort();
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_has_a_limit() {
    let config = GatewayConfig { predict_timeout: Duration::from_millis(50), ..Default::default() };
    let stage = Stage::with(config);
    stage.gateway.publish(simple(1, &[], Some(1)));
    let response = stage.client().await.send(predict(PRODUCTION, "{}")).await;
    let (status, code) = refusal(response).await;
    assert_eq!((status.as_u16(), code.as_str()), (500, "timeout"));
    assert_eq!((stage.held("a"), stage.traffic("a").errors), (0, 1));
    assert_eq!(stage.counters("a").statuses, [(500, 1)]);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_refuses_connections_is_passed_over() {
    let stage = Stage::new();
    // A port that is taken and does not listen yet.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    stage.gateway.publish(simple(1, &[("dead", port)], Some(1)));
    let held = stage.spawn(predict(PRODUCTION, "{}"));
    until("it is held", || stage.held("a") == 1 && stage.wakes() > 0).await;
    let toy = Toy::saying("alive").await;
    stage.gateway.publish(simple(2, &[("dead", port), ("live", toy.port)], Some(1)));
    assert_eq!(text(held.await.unwrap()).await, "alive");
    // Once it listens, it serves.
    stage.gateway.publish(simple(3, &[("dead", port)], Some(1)));
    let held = stage.spawn(predict(PRODUCTION, "{}"));
    until("it is held", || stage.held("a") == 1).await;
    let _late = Toy::on(socket.listen(16).unwrap(), |_| async { plain("late") });
    assert_eq!(text(held.await.unwrap()).await, "late");
    assert_eq!((stage.traffic("a").lost, stage.traffic("a").errors), (0, 0));
    assert_eq!(stage.traffic("a").requests, 2, "trying again is not another request");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waking_counts_as_demand_until_a_replica_is_ready_and_ten_seconds_more() {
    let stage = Stage::new();
    stage.gateway.publish(simple(1, &[], Some(1)));
    let mut client = stage.client().await;
    let response = client.send(predict("/model/model1/deployment/a/wake", "")).await;
    assert_eq!((response.status().as_u16(), text(response).await.as_str()), (202, "{}"));
    assert_eq!((stage.wakes(), stage.held("a")), (1, 1));
    let is_quiet = |requests| stage.gateway.is_quiet(&DeploymentId::new("a"), requests);
    stage.clock.advance(599_999);
    assert_eq!(stage.held("a"), 1, "it loads");
    assert!(!is_quiet(0));
    stage.clock.advance(1);
    assert_eq!(stage.held("a"), 0, "it has had its time");
    assert!(is_quiet(0) && !is_quiet(1));
    text(client.send(predict("/model/model1/production/wake", "")).await).await;
    stage.clock.advance(60_000);
    assert_eq!(stage.held("a"), 1);
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(2, &[("r1", toy.port)], Some(1)));
    stage.clock.advance(5_000);
    assert_eq!(stage.held("a"), 1);
    stage.gateway.publish(simple(3, &[("r1", toy.port)], Some(1)));
    stage.clock.advance(4_999);
    assert_eq!(stage.held("a"), 1, "whoever woke it may send what they have");
    stage.clock.advance(1);
    assert_eq!(stage.held("a"), 0);
    // While it is ready.
    text(client.send(predict("/model/model1/production/wake", "")).await).await;
    stage.clock.advance(9_999);
    assert_eq!(stage.held("a"), 1);
    stage.clock.advance(1);
    assert_eq!(stage.held("a"), 0);
    assert_eq!(stage.traffic(DeploymentId::new("a").as_str()).requests, 0);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_counts_beside_nothing_else_and_not_where_waiting_would_not_help() {
    let stage = Stage::new();
    let go_on = Arc::new(Notify::new());
    let toy = {
        let go_on = go_on.clone();
        Toy::start(move |_| {
            let go_on = go_on.clone();
            async move {
                go_on.notified().await;
                plain("ok")
            }
        })
        .await
    };
    stage.gateway.publish(simple(1, &[("r1", toy.port)], Some(2)));
    let mut client = stage.client().await;
    text(client.send(predict("/model/model1/production/wake", "")).await).await;
    assert_eq!(stage.traffic("a").demand, Demand { in_flight: 0, held: 1 });
    let busy = stage.spawn(predict(PRODUCTION, "{}"));
    until("it is at the replica", || stage.traffic("a").demand == Demand { in_flight: 1, held: 0 }).await;
    go_on.notify_one();
    assert_eq!(text(busy.await.unwrap()).await, "ok");
    until("it has ended", || stage.traffic("a").demand == Demand { in_flight: 0, held: 1 }).await;
    let mut failed = simple(2, &[], Some(1));
    failed.deployments[0].availability = Availability::Failed { reason: "it failed".into() };
    stage.gateway.publish(failed);
    assert_eq!(stage.held("a"), 0);
    stage.gateway.publish(simple(3, &[], Some(1)));
    assert_eq!(stage.held("a"), 0, "nobody waits any more");
    stage.stop().await;
}

//! A gateway's connections go on in another one's process.

use crate::stage::*;
use http_body_util::BodyExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::Notify;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_on_elsewhere_after_the_answer_it_is_at() {
    let (first, second) = (Stage::new(), Stage::new());
    let (old, new) = (Toy::saying("the former").await, Toy::saying("the new one").await);
    let go_on = Arc::new(Notify::new());
    let slow = Toy::start({
        let go_on = go_on.clone();
        move |_| {
            let go_on = go_on.clone();
            async move {
                go_on.notified().await;
                plain("slowly")
            }
        }
    })
    .await;
    let shares = [("a", 100)];
    let both =
        |port| vec![deployment("a", &[("r1", port)], None), deployment("slow", &[("r2", slow.port)], None)];
    first.gateway.publish(routes(1, &shares, both(old.port)));
    second.gateway.publish(routes(1, &shares, both(new.port)));

    let (mut idle, mut busy) = (first.client().await, first.client().await);
    assert_eq!(text(idle.send(predict(PRODUCTION, "{}")).await).await, "the former");
    let waits = tokio::spawn(async move {
        let answer = busy.send(predict("/model/model1/deployment/slow/predict", "{}")).await;
        let closes = answer.headers().contains_key("connection");
        (text(answer).await, closes, busy)
    });
    until("the slow one is asked", || first.traffic("slow").demand.in_flight == 1).await;

    let (mover, moved) = mpsc::channel();
    let adopter = second.adopter();
    let arrived = Arc::new(AtomicUsize::new(0));
    let arrivals = arrived.clone();
    std::thread::spawn(move || {
        for one in moved {
            adopter.adopt(arrivals.fetch_add(1, SeqCst), one);
        }
    });
    let ended = tokio::spawn(first.hand_over(mover));
    until("the idle one has moved", || arrived.load(SeqCst) == 1).await;
    // While the other one is still at its answer.
    assert_eq!(text(idle.send(predict(PRODUCTION, "{}")).await).await, "the new one");
    assert!(!ended.is_finished());
    go_on.notify_one();
    let (answer, closes, mut busy) = waits.await.unwrap();
    assert_eq!((answer.as_str(), closes), ("slowly", false));
    assert_eq!(text(busy.send(predict(PRODUCTION, "{}")).await).await, "the new one");
    tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap().unwrap();
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_not_published_yet_is_waited_for() {
    let stage = Stage::new();
    stage.gateway.expect_models();
    let toy = Toy::saying("hello").await;
    let early = stage.spawn(predict(PRODUCTION, "{}"));
    let nothing = stage.spawn(predict("/model/nothing/production/predict", "{}"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!early.is_finished() && !nothing.is_finished());
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    assert_eq!(text(early.await.unwrap()).await, "hello");
    assert!(!nothing.is_finished());
    stage.gateway.knows_all();
    assert_eq!(nothing.await.unwrap().status(), 404);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waits_for_a_replica_is_answered_elsewhere() {
    let (first, second) = (Stage::new(), Stage::new());
    first.gateway.publish(simple(1, &[], None));
    let waits = first.spawn(predict(PRODUCTION, &"x".repeat(200_000)));
    until("it waits", || first.held("a") == 1).await;
    let toy = Toy::start(|request| async move {
        let body = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
        plain(body.to_string())
    })
    .await;
    second.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let (mover, moved) = mpsc::channel();
    let adopter = second.adopter();
    std::thread::spawn(move || moved.into_iter().for_each(|one| adopter.adopt(0, one)));
    first.hand_over(mover).await;
    assert_eq!(text(waits.await.unwrap()).await, "200000");
    second.stop().await;
}

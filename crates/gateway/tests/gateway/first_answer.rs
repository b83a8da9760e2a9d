//! How long the first of those that waited has to wait for its answer once a replica is there.

use std::time::Duration;

use domain::{FirstAnswer, ReplicaId, Traffic};

use crate::stage::{PRODUCTION, Stage, Toy, plain, predict, simple, text, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_answer_to_one_that_waited_is_noted() {
    let stage = Stage::new();
    stage.gateway.publish(simple(1, &[], Some(1)));
    let held = stage.spawn(predict(PRODUCTION, "{}"));
    until("it is held", || stage.held("a") == 1).await;
    assert!(stage.traffic("a").longest_wait_ms >= 0);
    let (go, gone) = tokio::sync::watch::channel(false);
    let toy = Toy::start(move |_| {
        let mut gone = gone.clone();
        async move {
            let _ = gone.wait_for(|go| *go).await;
            plain("late")
        }
    })
    .await;
    stage.gateway.publish(simple(2, &[("r1", toy.port)], Some(1)));
    let first = || stage.gateway.first_answer(&ReplicaId::new("r1"));
    assert_eq!(first(), FirstAnswer::Awaited);
    stage.clock.advance(40);
    go.send_replace(true);
    assert_eq!(text(held.await.unwrap()).await, "late");
    assert_eq!(first(), FirstAnswer::After(40));
    // Later ones change nothing.
    stage.clock.advance(40);
    assert_eq!(text(stage.client().await.send(predict(PRODUCTION, "{}")).await).await, "late");
    assert_eq!(first(), FirstAnswer::After(40));
    assert_eq!(stage.traffic("a").longest_wait_ms, 0);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_at_the_replica_leaves_out_the_wait_for_it() {
    let stage = Stage::new();
    stage.gateway.publish(simple(1, &[], Some(1)));
    let held = stage.spawn(predict(PRODUCTION, "{}"));
    until("it is held", || stage.held("a") == 1).await;
    // Of real time: that is what a request's account is made of.
    tokio::time::sleep(Duration::from_millis(600)).await;
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(2, &[("r1", toy.port)], Some(1)));
    assert_eq!(text(held.await.unwrap()).await, "ok");
    until("it is counted", || stage.counters("a").all().inference.count() == 1).await;
    let counted = stage.counters("a").all();
    let micros = |of: &domain::Histogram| of.percentile(50).unwrap();
    assert!(micros(&counted.end_to_end) > 500_000, "all of it: {} µs", micros(&counted.end_to_end));
    assert!(micros(&counted.inference) < 300_000, "only the call: {} µs", micros(&counted.inference));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waited_for_a_replica_that_found_an_empty_queue() {
    let stage = Stage::new();
    stage.gateway.publish(simple(1, &[], Some(1)));
    let held = stage.spawn(predict(PRODUCTION, "{}"));
    until("it is held", || stage.held("a") == 1).await;
    held.abort();
    until("it has gone", || stage.held("a") == 0).await;
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(2, &[("r1", toy.port)], Some(1)));
    assert_eq!(stage.gateway.first_answer(&ReplicaId::new("r1")), FirstAnswer::NoneWaited);
    assert_eq!(stage.gateway.first_answer(&ReplicaId::new("unknown")), FirstAnswer::NoneWaited);
    stage.stop().await;
}

//! Requests are counted by the status that their client was told.

use crate::stage::*;
use http_body_util::BodyExt;

/// Answers with the status that it is sent.
async fn obedient() -> Toy {
    Toy::start(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut response = plain("told");
        *response.status_mut() = String::from_utf8_lossy(&body).parse().unwrap();
        response
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_status_is_counted_as_often_as_it_was_told() {
    let told: [(u16, u64); 7] = [(200, 3), (201, 1), (307, 1), (404, 2), (422, 1), (500, 1), (503, 2)];
    let stage = Stage::new();
    let toy = obedient().await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut client = stage.client().await;
    for (status, times) in told {
        for _ in 0..times {
            let response = client.send(predict(PRODUCTION, &status.to_string())).await;
            assert_eq!(response.status(), status);
            assert_eq!(text(response).await, "told");
        }
    }
    let counters = stage.counters("a");
    assert_eq!(counters.statuses, told);
    let outcomes = counters.outcomes();
    assert_eq!((outcomes.fine, outcomes.client_errors, outcomes.server_errors), (5, 3, 3));
    stage.stop().await;
}

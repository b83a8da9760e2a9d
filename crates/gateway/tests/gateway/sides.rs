//! Answers and errors are counted by side, of those alone that came by the environment's address.

use domain::{DeploymentId, EnvironmentName, ModelId, SideCounts, Traffic};
use gateway::GatewayConfig;
use http::{Response, StatusCode};
use std::time::Duration;

use crate::stage::{
    Body, MODEL, PRODUCTION, Stage, Toy, deployment, plain, predict, refusal, routes, simple,
};

fn counts(stage: &Stage, id: &str) -> SideCounts {
    let all = stage.gateway.sides(&ModelId::new(MODEL), &EnvironmentName::production());
    all.into_iter().find(|(found, _)| found == &DeploymentId::new(id)).map(|(_, counts)| counts).unwrap()
}

fn with_status(status: u16) -> Response<Body> {
    let mut response = plain("x");
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_counted_on_the_side_that_made_them() {
    let stage = Stage::new();
    // The candidate's answers take turns: right, the model's own 4xx, an error.
    let turn = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let candidate = Toy::start(move |_| {
        let turn = turn.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async move { with_status([200, 422, 500][turn % 3]) }
    })
    .await;
    let current = Toy::saying("fine").await;
    let both = |version, share| {
        let pools = vec![
            deployment("a", &[("ra", current.port)], None),
            deployment("b", &[("rb", candidate.port)], None),
        ];
        routes(version, &[("a", 100 - share), ("b", share)], pools)
    };
    stage.gateway.publish(both(1, 50));
    let mut client = stage.client().await;
    for _ in 0..12 {
        client.send(predict(PRODUCTION, "{}")).await;
    }
    // By its own address: no matter of the environment.
    for _ in 0..3 {
        client.send(predict("/model/model1/deployment/b/predict", "{}")).await;
    }
    assert_eq!(counts(&stage, "a"), SideCounts { answered: 6, errors: 0 });
    assert_eq!(counts(&stage, "b"), SideCounts { answered: 6, errors: 2 });
    // The counters go on through the stages.
    stage.gateway.publish(both(2, 100));
    client.send(predict(PRODUCTION, "{}")).await;
    assert_eq!(counts(&stage, "b").answered, 7);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_in_vain_was_failed() {
    let config = GatewayConfig { predict_timeout: Duration::from_millis(50), ..Default::default() };
    let stage = Stage::with(config);
    stage.gateway.publish(simple(1, &[], Some(1)));
    let response = stage.client().await.send(predict(PRODUCTION, "{}")).await;
    assert_eq!(refusal(response).await.0.as_u16(), 500);
    assert_eq!(counts(&stage, "a"), SideCounts { answered: 1, errors: 1 });
    let silent = Toy::start(|_| std::future::pending::<Response<Body>>()).await;
    stage.gateway.publish(simple(2, &[("r1", silent.port)], Some(1)));
    let response = stage.client().await.send(predict(PRODUCTION, "{}")).await;
    assert_eq!(refusal(response).await.0.as_u16(), 504);
    assert_eq!(counts(&stage, "a"), SideCounts { answered: 2, errors: 2 });
    stage.stop().await;
}

//! Each refusal has its status, its code and a sentence.

use crate::stage::*;
use domain::Availability;
use gateway::GatewayConfig;
use http::Request;
use http_body_util::{BodyExt, Full};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn answer(stage: &Stage, request: Request<Full<bytes::Bytes>>) -> (u16, String) {
    let (status, code) = refusal(stage.client().await.send(request).await).await;
    (status.as_u16(), code)
}

fn with_key(key: Option<&str>) -> Request<Full<bytes::Bytes>> {
    let mut request = predict(PRODUCTION, "{}");
    request.headers_mut().remove("authorization");
    if let Some(key) = key {
        request.headers_mut().insert("authorization", key.parse().unwrap());
    }
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_key_for_the_model_lets_in() {
    let stage = Stage::new();
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    for bad in [None, Some("Bearer wrong"), Some("Basic secret")] {
        assert_eq!(answer(&stage, with_key(bad)).await, (401, "unauthorized".into()), "{bad:?}");
    }
    let mut cookie = with_key(None);
    cookie.headers_mut().insert("cookie", "slipway_session=secret".parse().unwrap());
    assert_eq!(answer(&stage, cookie).await.0, 401);
    assert_eq!(answer(&stage, with_key(Some("Bearer elsewhere"))).await, (403, "unauthorized".into()));
    assert_eq!(answer(&stage, with_key(Some("Api-Key secret"))).await, (200, "ok".into()));
    stage.gateway.set_keys(Default::default());
    assert_eq!(answer(&stage, with_key(Some("Bearer secret"))).await.0, 401);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_answers_404() {
    let stage = Stage::new();
    let mut table = routes(1, &[], vec![deployment("a", &[], None)]);
    table.deployments[0].availability = Availability::Inactive { reason: "it is inactive".into() };
    stage.gateway.publish(table);
    for path in [
        "/model/other/production/predict",
        PRODUCTION,
        "/model/model1/environments/staging/predict",
        "/model/model1/development/predict",
        "/model/model1/deployment/b/predict",
        "/model/model1/deployment/a/predict",
        "/model/model1/deployment/a/wake",
        "/model/model1/production/wake",
    ] {
        let (status, code) = answer(&stage, predict(path, "{}")).await;
        assert_eq!((status, code.as_str()), (404, "model_does_not_exist"), "{path}");
    }
    let reason = stage.client().await.send(predict("/model/model1/deployment/a/predict", "")).await;
    assert!(text(reason).await.contains("it is inactive"));
    let async_call = answer(&stage, predict("/model/model1/production/async_predict", "{}")).await;
    assert_eq!(async_call, (404, "client_error".into()));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_answers_503() {
    let stage = Stage::new();
    let mut table = simple(1, &[], None);
    table.deployments[0].availability = Availability::Failed { reason: "its build failed".into() };
    stage.gateway.publish(table);
    assert_eq!(answer(&stage, predict(PRODUCTION, "{}")).await, (503, "model_unavailable".into()));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_a_limit() {
    let stage = Stage::with(GatewayConfig { body_limit: 1000, ..Default::default() });
    let toy = Toy::start(|request| async move {
        let length = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
        plain(length.to_string())
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    assert_eq!(answer(&stage, predict(PRODUCTION, &"x".repeat(1000))).await, (200, "1000".into()));
    let large = answer(&stage, predict(PRODUCTION, &"x".repeat(1001))).await;
    assert_eq!(large, (413, "payload_too_large".into()));
    // Without a length, it is counted on its way.
    let mut raw = TcpStream::connect(stage.addr).await.unwrap();
    let head = format!(
        "POST {PRODUCTION} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    raw.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..3 {
        raw.write_all(format!("190\r\n{}\r\n", "x".repeat(400)).as_bytes()).await.unwrap();
    }
    let mut answer = [0; 12];
    raw.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    assert_eq!(stage.traffic("a").lost, 0);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_dies_meanwhile_is_told_and_counted() {
    let stage = Stage::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut some = [0; 16];
        stream.read_exact(&mut some).await.unwrap();
    });
    stage.gateway.publish(simple(1, &[("r1", port)], None));
    assert_eq!(answer(&stage, predict(PRODUCTION, "{}")).await, (502, "model_unavailable".into()));
    let traffic = stage.traffic("a");
    assert_eq!((traffic.lost, traffic.errors, traffic.demand.in_flight), (1, 1, 0));
    let counters = stage.counters("a");
    assert_eq!((counters.outcomes().server_errors, counters.outcomes().total()), (1, 1));
    assert_eq!(counters.statuses, [(502, 1)], "what the client was told");
    assert_eq!(counters.all().first_byte.count(), 0, "there was none");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_not_passed_as_whole() {
    let stage = Stage::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut some = [0; 16];
        stream.read_exact(&mut some).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await.unwrap();
    });
    stage.gateway.publish(simple(1, &[("r1", port)], None));
    let response = stage.client().await.send(predict(PRODUCTION, "{}")).await;
    assert!(response.into_body().collect().await.is_err());
    until("it is counted", || stage.traffic("a").lost == 1).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_too_slow_answers_504() {
    let config = GatewayConfig { predict_timeout: Duration::from_millis(50), ..Default::default() };
    let stage = Stage::with(config);
    let toy = Toy::start(|_| std::future::pending()).await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    assert_eq!(answer(&stage, predict(PRODUCTION, "{}")).await, (504, "timeout".into()));
    assert_eq!(stage.traffic("a").errors, 1);
    assert_eq!(stage.counters("a").statuses, [(504, 1)]);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_ends_is_cut_off() {
    let stage = Stage::with(GatewayConfig { predict_timeout: Duration::from_secs(1), ..Default::default() });
    let toy = Toy::start(|_| async {
        let first = futures::stream::iter([Ok(http_body::Frame::data("first".into()))]);
        let frames = futures::StreamExt::chain(first, futures::stream::pending());
        http::Response::new(http_body_util::StreamBody::new(frames).boxed_unsync())
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut response = stage.client().await.send(predict(PRODUCTION, "{}")).await;
    assert_eq!(response.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    assert!(response.frame().await.unwrap().is_err());
    let traffic = stage.traffic("a");
    assert_eq!((traffic.errors, traffic.lost, traffic.demand.in_flight), (1, 0, 0));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_a_limit() {
    let stage = Stage::new();
    let mut request = predict(PRODUCTION, "{}");
    request.headers_mut().insert("x-large", "x".repeat(300_000).parse().unwrap());
    // It is told, unless the connection closes while the rest is still being sent.
    if let Ok(response) = stage.client().await.try_send(request).await {
        assert_eq!(response.status(), 431);
    }
    assert_eq!(refusal(stage.client().await.send(predict(PRODUCTION, "{}")).await).await.0, 404);
    stage.stop().await;
}

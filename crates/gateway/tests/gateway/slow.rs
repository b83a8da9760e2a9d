//! Clients that take their time are sent away.

use crate::stage::*;
use gateway::GatewayConfig;
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn hasty() -> GatewayConfig {
    let short = Duration::from_millis(200);
    GatewayConfig { header_timeout: short, body_timeout: short, ..GatewayConfig::default() }
}

/// Sends a head, and then a byte now and then; answers what came back until the connection closed.
async fn trickle(stage: &Stage, head: &str, with: &[u8]) -> String {
    let (mut read, mut write) = TcpStream::connect(stage.addr).await.unwrap().into_split();
    write.write_all(head.as_bytes()).await.unwrap();
    let with = with.to_vec();
    let sending = tokio::spawn(async move {
        while write.write_all(&with).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), read.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the connection is still open: {}", String::from_utf8_lossy(&answer));
    sending.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_trickles_ends_the_connection() {
    let stage = Stage::with(hasty());
    let answer = trickle(&stage, "POST / HTTP/1.1\r\nhost: localhost\r\nx-slow: ", b"x").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_to_a_model_is_refused() {
    let stage = Stage::with(hasty());
    let toy = Toy::start(|request| async move {
        let _ = request.into_body().collect().await;
        plain("ok")
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let head = format!(
        "POST {PRODUCTION} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let answer = trickle(&stage, &head, b"1\r\nx\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("did not arrive in time"), "{answer}");
    assert_eq!(stage.traffic("a").lost, 0, "that is no fault of the replica");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_to_the_application_fails_there() {
    let mut stage = Stage::with(hasty());
    let mut requests = stage.app.take().unwrap();
    let application = tokio::spawn(async move {
        let request = requests.recv().await.unwrap();
        let failed = request.request.into_body().collect().await.map(|_| ()).unwrap_err();
        let text = http_body_util::Full::from(failed.to_string()).map_err(|never| match never {});
        let _ = request.reply.send(http::Response::new(text.boxed_unsync()));
    });
    let head = "POST /v1/models HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n";
    let answer = trickle(&stage, head, b"x").await;
    assert!(answer.contains("did not arrive in time"), "{answer}");
    application.await.unwrap();
    stage.stop().await;
}

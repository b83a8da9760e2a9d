//! A server that is told to stop answers what was sent before, and refuses what comes later.

use crate::application::echo;
use crate::stage::*;
use crate::tls::{certify, connect};
use gateway::{AppRequest, GatewayConfig, Tls};
use http_body_util::BodyExt;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Whoever waits for a request's end has all the time that a test may need.
fn patient() -> GatewayConfig {
    GatewayConfig { linger: Duration::from_secs(60), ..GatewayConfig::default() }
}

/// A request with a valid key, as it goes over the connection.
fn asks() -> String {
    format!(
        "POST {PRODUCTION} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\ncontent-length: 2\r\n\r\n{{}}"
    )
}

/// Reads an answer that ends with this.
pub async fn heard<S: AsyncRead + Unpin>(stream: &mut S, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        match stream.read_u8().await {
            Ok(byte) => read.push(byte),
            Err(error) => panic!("{error} instead of `{end}`, after {}", String::from_utf8_lossy(&read)),
        }
    }
    String::from_utf8(read).unwrap()
}

/// Waits until nobody is let in any more.
async fn refuses(addr: SocketAddr) {
    until("connections are refused", || std::net::TcpStream::connect(addr).is_err()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_in_the_same_moment_is_answered() {
    let toy = Toy::saying("ok").await;
    let mut ended = Vec::new();
    for _ in 0..50 {
        let stage = Stage::new();
        stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
        let mut idle = Vec::new();
        for number in 0..16 {
            let mut stream = TcpStream::connect(stage.addr).await.unwrap();
            // Some have had an answer, others have only connected.
            if number < 8 {
                stream.write_all(asks().as_bytes()).await.unwrap();
                heard(&mut stream, "\r\n\r\nok").await;
            }
            idle.push(stream);
        }
        for stream in &mut idle {
            stream.write_all(asks().as_bytes()).await.unwrap();
        }
        ended.push(tokio::spawn(stage.stop()));
        for stream in &mut idle {
            let answer = heard(stream, "\r\n\r\nok").await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        }
    }
    for ended in ended {
        ended.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_has_begun_is_waited_for() {
    let stage = Stage::with(patient());
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let request = asks();
    let mut streams = Vec::new();
    for said in [40, 0] {
        let (begin, rest) = request.split_at(said);
        let mut stream = TcpStream::connect(stage.addr).await.unwrap();
        stream.write_all(begin.as_bytes()).await.unwrap();
        streams.push((stream, rest));
    }
    let addr = stage.addr;
    let stopping = tokio::spawn(stage.stop());
    refuses(addr).await;
    for (mut stream, rest) in streams {
        stream.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ok"), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_to_be_accepted_is_answered_and_who_comes_later_is_refused() {
    let listeners = gateway::bind(&["127.0.0.1:0".parse().unwrap()], 2).unwrap();
    let addr = listeners.addrs()[0];
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(asks().as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    let stage = Stage::listening(GatewayConfig::default(), listeners);
    let stopping = tokio::spawn(stage.stop());
    for mut stream in waiting {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    }
    stopping.await.unwrap();
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_end_soon() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = certify(folder.path());
    let tls = Tls::load(folder.path().join("certificate.pem"), folder.path().join("key.pem")).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let listeners = gateway::bind(&[any], 2).unwrap().with_tls(&[any], tls).unwrap();
    let encrypted = listeners.addrs()[1];
    let stage = Stage::listening(GatewayConfig::default(), listeners);
    let mut silent = TcpStream::connect(stage.addr).await.unwrap();
    let mut silent_handshake = TcpStream::connect(encrypted).await.unwrap();
    let mut silent_within = connect(encrypted, &certificate, &[]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(8), stage.stop()).await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(silent_handshake.read(&mut [0]).await.unwrap(), 0);
    // It may say that encryption ends, or not.
    assert!(!matches!(silent_within.read(&mut [0]).await, Ok(1..)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_request_that_was_on_its_way_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = certify(folder.path());
    let tls = Tls::load(folder.path().join("certificate.pem"), folder.path().join("key.pem")).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let listeners = gateway::bind(&[any], 2).unwrap().with_tls(&[any], tls).unwrap();
    let encrypted = listeners.addrs()[1];
    let stage = Stage::listening(patient(), listeners);
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut stream = connect(encrypted, &certificate, &[]).await.unwrap();
    let stopping = tokio::spawn(stage.stop());
    refuses(encrypted).await;
    stream.write_all(asks().as_bytes()).await.unwrap();
    let answer = heard(&mut stream, "\r\n\r\nok").await;
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_had_a_body_for_the_application_answers_once_more() {
    let mut stage = Stage::with(patient());
    tokio::spawn(echo(stage.app.take().unwrap()));
    let asks = "POST /v1/models HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}";
    let mut stream = TcpStream::connect(stage.addr).await.unwrap();
    stream.write_all(asks.as_bytes()).await.unwrap();
    let first = heard(&mut stream, "/v1/models 2 127.0.0.1").await;
    assert!(!first.contains("connection: close\r\n"), "{first}");
    let addr = stage.addr;
    let stopping = tokio::spawn(stage.stop());
    refuses(addr).await;
    stream.write_all(asks.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("/v1/models 2 127.0.0.1"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_application_takes_longer_for_than_connections_stay_is_answered() {
    let linger = Duration::from_millis(500);
    let mut stage = Stage::with(GatewayConfig { linger, ..GatewayConfig::default() });
    let mut app = stage.app.take().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let Some(AppRequest { request, reply, .. }) = app.recv().await else { return };
            request.into_body().collect().await.unwrap();
            if number > 0 {
                tokio::time::sleep(4 * linger).await;
            }
            let body = http_body_util::Full::from("done").map_err(|never| match never {}).boxed_unsync();
            let _ = reply.send(http::Response::new(body));
        }
    });
    let asks = "POST /v1/models HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}";
    let mut stream = TcpStream::connect(stage.addr).await.unwrap();
    stream.write_all(asks.as_bytes()).await.unwrap();
    heard(&mut stream, "done").await;
    let addr = stage.addr;
    let stopping = tokio::spawn(stage.stop());
    refuses(addr).await;
    stream.write_all(asks.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_its_answer_does_not_hold_the_end_up() {
    let short = Duration::from_millis(200);
    let config = GatewayConfig { linger: short, body_timeout: short, ..GatewayConfig::default() };
    let mut stage = Stage::with(config);
    let mut app = stage.app.take().unwrap();
    tokio::spawn(async move {
        while let Some(AppRequest { request, reply, .. }) = app.recv().await {
            request.into_body().collect().await.unwrap();
            // More than the kernel keeps for a connection.
            let body = http_body_util::Full::from(vec![b'x'; 64 << 20]);
            let _ = reply.send(http::Response::new(body.map_err(|never| match never {}).boxed_unsync()));
        }
    });
    let mut streams = Vec::new();
    for asks in [
        "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}",
    ] {
        let mut stream = TcpStream::connect(stage.addr).await.unwrap();
        stream.write_all(asks.as_bytes()).await.unwrap();
        heard(&mut stream, "\r\n\r\n").await;
        streams.push(stream);
    }
    tokio::time::timeout(Duration::from_secs(8), stage.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_model_gets_it_if_it_comes_in_time() {
    let stage = Stage::new();
    stage.gateway.publish(simple(1, &[], None));
    let waits = stage.spawn(predict(PRODUCTION, "{}"));
    until("it waits", || stage.held("a") == 1).await;
    let (addr, gateway) = (stage.addr, stage.gateway.clone());
    let stopping = tokio::spawn(stage.stop());
    refuses(addr).await;
    let toy = Toy::saying("ok").await;
    gateway.publish(simple(2, &[("r1", toy.port)], None));
    assert_eq!(text(waits.await.unwrap()).await, "ok");
    stopping.await.unwrap();
}

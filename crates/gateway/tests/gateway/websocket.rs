//! Bytes both ways after a handshake.

use crate::stage::*;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const HANDSHAKE: &str = "GET /model/model1/production/websocket HTTP/1.1\r\nhost: localhost\r\n\
    authorization: Bearer secret\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: abc\r\n\r\n";

pub async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_pass_both_ways() {
    let stage = Stage::new();
    let toy = Toy::start(|mut request| async move {
        assert_eq!(request.uri(), "/v1/websocket");
        assert_eq!(request.headers()["sec-websocket-key"], "abc");
        assert!(!request.headers().contains_key("authorization"));
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            let mut word = [0; 4];
            while stream.read_exact(&mut word).await.is_ok() {
                word.reverse();
                stream.write_all(&word).await.unwrap();
            }
        });
        let mut response = Response::new(http_body_util::Empty::new().boxed_unsync());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        for (name, value) in [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", "xyz"),
            ("set-cookie", "a=1"),
        ] {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut stream = TcpStream::connect(stage.addr).await.unwrap();
    stream.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let head = head(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(!head.contains("set-cookie"), "{head}");
    assert!(head.contains("sec-websocket-accept: xyz") && head.contains("x-served-by: a/r1"), "{head}");
    for (word, expected) in [(b"abcd", b"dcba"), (b"1234", b"4321")] {
        stream.write_all(word).await.unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, expected);
    }
    assert_eq!(stage.traffic("a").demand.in_flight, 1);
    assert_eq!(stage.counters("a").websockets, 1);
    drop(stream);
    until("it ended", || stage.traffic("a").demand.in_flight == 0).await;
    assert_eq!(stage.counters("a").websockets, 0);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_may_decline() {
    let stage = Stage::new();
    let toy = Toy::start(|_| async {
        let mut response = plain("no");
        *response.status_mut() = StatusCode::FORBIDDEN;
        response
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut stream = TcpStream::connect(stage.addr).await.unwrap();
    stream.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 403"));
    until("it ended", || stage.traffic("a").demand.in_flight == 0).await;
    assert_eq!(stage.counters("a").websockets, 0, "none was opened");

    let mut without = simple(2, &[("r1", toy.port)], None);
    without.deployments[0].rewrite.websocket = None;
    stage.gateway.publish(without);
    let mut stream = TcpStream::connect(stage.addr).await.unwrap();
    stream.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 404"));
    stage.stop().await;
}

//! More connections than may be open at once.

use crate::application::echo;
use crate::http2::over;
use crate::stage::*;
use crate::stopping::heard;
use crate::tls::certify;
use crate::websocket::{HANDSHAKE, head};
use bytes::Bytes;
use gateway::{AppRequest, GatewayConfig, Tls};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

fn with_places(most: usize) -> GatewayConfig {
    GatewayConfig { max_connections: Some(most), ..GatewayConfig::default() }
}

/// A request for the application, as it goes over the connection.
const TO_APPLICATION: &str = "POST /v1/models HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}";

/// Asks on a connection of its own, which must get a place long before those that have one end by themselves.
async fn is_let_in(stage: &Stage) {
    let asks = stage.spawn(predict(PRODUCTION, "{}"));
    let answer = tokio::time::timeout(Duration::from_secs(20), asks).await;
    assert_eq!(text(answer.unwrap().unwrap()).await, "ok");
}

/// What replicas were asked.
type Asked = Arc<Mutex<Vec<String>>>;

/// Answers `stream` with these frames as they come, `stuck` never, and everything else with itself.
async fn toy(frames: mpsc::UnboundedReceiver<&'static str>, asked: &Asked) -> Toy {
    let (frames, asked) = (Arc::new(Mutex::new(Some(frames))), asked.clone());
    Toy::start(move |request: Request<Incoming>| {
        let (frames, asked) = (frames.clone(), asked.clone());
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let body = String::from_utf8(body.to_vec()).unwrap();
            asked.lock().unwrap().push(body.clone());
            match body.as_str() {
                "stuck" => std::future::pending().await,
                "stream" => {
                    let frames = frames.lock().unwrap().take().unwrap();
                    let frames = futures::stream::unfold(frames, |mut frames| async move {
                        let text = frames.recv().await?;
                        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), frames))
                    });
                    Response::new(StreamBody::new(frames).boxed_unsync())
                }
                _ => plain(body),
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_waits_until_another_one_ends() {
    let stage = Stage::with(with_places(2));
    let (sender, frames) = mpsc::unbounded_channel();
    let asked = Asked::default();
    let toy = toy(frames, &asked).await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut first = stage.client().await;
    let mut stream = first.send(predict(PRODUCTION, "stream")).await;
    let mut second = TcpStream::connect(stage.addr).await.unwrap();
    let request = format!(
        "POST {PRODUCTION} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\ncontent-length: 5\r\n\r\nstuck"
    );
    second.write_all(request.as_bytes()).await.unwrap();
    until("both are at the replica", || stage.traffic("a").demand.in_flight == 2).await;

    let third = stage.spawn(predict(PRODUCTION, "third"));
    for word in ["what", "is", "open", "goes", "on"] {
        sender.send(word).unwrap();
        assert_eq!(stream.frame().await.unwrap().unwrap().into_data().unwrap(), word);
    }
    assert_eq!(*asked.lock().unwrap(), ["stream", "stuck"]);
    drop(second);
    assert_eq!(text(third.await.unwrap()).await, "third");
    sender.send("still").unwrap();
    assert_eq!(stream.frame().await.unwrap().unwrap().into_data().unwrap(), "still");
    drop((sender, stream, first));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_rest_leave_their_places() {
    let stage = Stage::with(with_places(1));
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut first = stage.client().await;
    assert_eq!(text(first.send(predict(PRODUCTION, "1")).await).await, "ok");
    assert_eq!(text(stage.spawn(predict(PRODUCTION, "2")).await.unwrap()).await, "ok");
    assert!(first.try_send(predict(PRODUCTION, "3")).await.is_err(), "it was closed");

    // One that carries many requests is told to go.
    let (mut many, ended) = over::<Full<Bytes>, _>(TcpStream::connect(stage.addr).await.unwrap()).await;
    let mut request = predict(&format!("http://localhost{PRODUCTION}"), "4");
    request.headers_mut().remove("host");
    assert_eq!(text(many.send_request(request).await.unwrap()).await, "ok");
    assert_eq!(text(stage.spawn(predict(PRODUCTION, "5")).await.unwrap()).await, "ok");
    let _ = ended.await.unwrap();
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_keeps_no_place() {
    let folder = tempfile::tempdir().unwrap();
    certify(folder.path());
    let tls = Tls::load(folder.path().join("certificate.pem"), folder.path().join("key.pem")).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let listeners = gateway::bind(&[any], 2).unwrap().with_tls(&[any], tls).unwrap();
    let addrs = listeners.addrs().to_vec();
    let stage = Stage::listening(with_places(1), listeners);
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    for addr in addrs {
        let mut silent = TcpStream::connect(addr).await.unwrap();
        let closed = tokio::spawn(async move { silent.read_to_end(&mut Vec::new()).await });
        while !closed.is_finished() {
            assert_eq!(text(stage.spawn(predict(PRODUCTION, "1")).await.unwrap()).await, "ok");
        }
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_its_head_byte_by_byte_keeps_no_place() {
    // On one thread, where who came first is let in first.
    let listeners = gateway::bind(&["127.0.0.1:0".parse().unwrap()], 1).unwrap();
    let stage = Stage::listening(with_places(1), listeners);
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut slow = TcpStream::connect(stage.addr).await.unwrap();
    slow.write_all(b"POST / HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await.unwrap();
    let trickles = tokio::spawn(async move {
        while slow.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    is_let_in(&stage).await;
    trickles.await.unwrap();
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_before_keeps_no_place() {
    let mut stage = Stage::with(with_places(1));
    tokio::spawn(echo(stage.app.take().unwrap()));
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let chunked = format!(
        "POST {PRODUCTION} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n\
         transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
    );
    for (request, end) in [(TO_APPLICATION, "/v1/models 2 127.0.0.1"), (chunked.as_str(), "ok")] {
        let mut idle = TcpStream::connect(stage.addr).await.unwrap();
        idle.write_all(request.as_bytes()).await.unwrap();
        heard(&mut idle, end).await;
        is_let_in(&stage).await;
        assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_the_application_keeps_its_place() {
    let mut stage = Stage::with(with_places(2));
    let mut app = stage.app.take().unwrap();
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut busy = TcpStream::connect(stage.addr).await.unwrap();
    busy.write_all(TO_APPLICATION.as_bytes()).await.unwrap();
    answer(app.recv().await.unwrap()).await;
    heard(&mut busy, "done").await;
    // It has rested, and does not any more.
    busy.write_all(TO_APPLICATION.as_bytes()).await.unwrap();
    let waits = app.recv().await.unwrap();
    let mut idle = TcpStream::connect(stage.addr).await.unwrap();
    idle.write_all(TO_APPLICATION.as_bytes()).await.unwrap();
    answer(app.recv().await.unwrap()).await;
    heard(&mut idle, "done").await;
    is_let_in(&stage).await;
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
    answer(waits).await;
    heard(&mut busy, "done").await;
    stage.stop().await;
}

/// Answers as the application.
async fn answer(AppRequest { request, reply, .. }: AppRequest) {
    request.into_body().collect().await.unwrap();
    let body = Full::from("done").map_err(|never| match never {}).boxed_unsync();
    let _ = reply.send(Response::new(body));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_keeps_its_place_until_it_closes() {
    let stage = Stage::with(with_places(1));
    let asked = Asked::default();
    let toy = Toy::start({
        let asked = asked.clone();
        move |mut request: Request<Incoming>| {
            let asked = asked.clone();
            async move {
                if !request.headers().contains_key("upgrade") {
                    asked.lock().unwrap().push(request.uri().to_string());
                    return plain("ok");
                }
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    let mut stream = TokioIo::new(upgrade.await.unwrap());
                    let mut word = [0; 4];
                    while stream.read_exact(&mut word).await.is_ok() {
                        stream.write_all(&word).await.unwrap();
                    }
                });
                let mut response = Response::new(Empty::new().boxed_unsync());
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
                for (name, value) in [("connection", "upgrade"), ("upgrade", "websocket")] {
                    response.headers_mut().insert(name, value.parse().unwrap());
                }
                response
            }
        }
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut stream = TcpStream::connect(stage.addr).await.unwrap();
    stream.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 101"));
    let next = stage.spawn(predict(PRODUCTION, "{}"));
    for word in [b"abcd", b"1234", b"wxyz"] {
        stream.write_all(word).await.unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, word);
    }
    assert!(asked.lock().unwrap().is_empty());
    drop(stream);
    assert_eq!(text(next.await.unwrap()).await, "ok");
    stage.stop().await;
}

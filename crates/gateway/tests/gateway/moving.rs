//! A gateway's connections go on in another one's process.

use crate::application::echo;
use crate::http2::over;
use crate::stage::*;
use crate::stopping::heard;
use crate::tls::{certify, connect};
use bytes::Bytes;
use gateway::{GatewayConfig, Tls};
use http_body_util::{BodyExt, Full};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};

/// A request whose body comes in chunks, as it goes over the connection.
fn chunked() -> String {
    format!(
        "POST {PRODUCTION} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n\
         transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
    )
}

/// A gateway with one thread, so that whatever it has noticed, all its connections have.
fn on_one_thread() -> Stage {
    let listeners = gateway::bind(&["127.0.0.1:0".parse().unwrap()], 1).unwrap();
    Stage::listening(GatewayConfig::default(), listeners)
}

/// Waits until the first connection has moved.
async fn one_moves(moves: &mpsc::Receiver<gateway::Moved>) {
    until("an idle one has moved", || moves.try_recv().is_ok()).await;
}

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
    assert!(stage.wakes() > 0, "it is not asked for");
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

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_stays_answers_what_was_on_its_way() {
    let mut stage = on_one_thread();
    tokio::spawn(echo(stage.app.take().unwrap()));
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let application = "PATCH /v1/models HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}";
    let asked = [(application.to_owned(), "/v1/models 2 127.0.0.1"), (chunked(), "ok")];
    let mut streams = Vec::new();
    for (request, answer) in &asked {
        let mut stream = TcpStream::connect(stage.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let first = heard(&mut stream, answer).await;
        assert!(!first.contains("connection: close\r\n"), "{first}");
        streams.push(stream);
    }
    let mut idle = stage.client().await;
    assert_eq!(text(idle.send(predict(PRODUCTION, "{}")).await).await, "ok");
    let (mover, moves) = mpsc::channel();
    let ended = tokio::spawn(stage.hand_over(mover));
    one_moves(&moves).await;
    for (mut stream, (request, end)) in streams.into_iter().zip(&asked) {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(end), "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_has_begun_goes_on_elsewhere() {
    let (first, second) = (on_one_thread(), Stage::new());
    let toy = Toy::saying("the new one").await;
    second.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let (begin, end) = ("POST /model/model1/production/pre", "dict HTTP/1.1\r\nhost: localhost\r\n");
    let mut stream = TcpStream::connect(first.addr).await.unwrap();
    stream.write_all(begin.as_bytes()).await.unwrap();
    // Who came before was accepted then.
    assert_eq!(first.client().await.send(predict(PRODUCTION, "{}")).await.status(), 404);
    let (mover, moves) = mpsc::channel();
    let adopter = second.adopter();
    std::thread::spawn(move || moves.into_iter().for_each(|one| adopter.adopt(0, one)));
    first.hand_over(mover).await;
    let rest = format!("{end}authorization: Bearer {KEY}\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(rest.as_bytes()).await.unwrap();
    heard(&mut stream, "the new one").await;
    drop(stream);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_connection_that_had_no_request_may_speak_http2_elsewhere() {
    let (first, second) = (on_one_thread(), Stage::new());
    let toy = Toy::saying("ok").await;
    first.gateway.publish(simple(1, &[("r1", toy.port)], None));
    second.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let silent = TcpStream::connect(first.addr).await.unwrap();
    let mut used = TcpStream::connect(first.addr).await.unwrap();
    let asks = format!(
        "POST {PRODUCTION} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\ncontent-length: 0\r\n\r\n"
    );
    used.write_all(asks.as_bytes()).await.unwrap();
    heard(&mut used, "\r\n\r\nok").await;
    let (mover, moves) = mpsc::channel();
    let adopter = second.adopter();
    std::thread::spawn(move || moves.into_iter().for_each(|one| adopter.adopt(0, one)));
    first.hand_over(mover).await;

    let (mut many, _) = over::<Full<Bytes>, _>(silent).await;
    let mut request = predict(&format!("http://localhost{PRODUCTION}"), "{}");
    request.headers_mut().remove("host");
    assert_eq!(text(many.send_request(request).await.unwrap()).await, "ok");
    used.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = used.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    drop(many);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_busy_replica_gets_its_turn_there() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = certify(folder.path());
    let tls = Tls::load(folder.path().join("certificate.pem"), folder.path().join("key.pem")).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let listeners = gateway::bind(&[any], 1).unwrap().with_tls(&[any], tls).unwrap();
    let encrypted = listeners.addrs()[1];
    let stage = Stage::listening(GatewayConfig::default(), listeners);
    let gate = Arc::new(Semaphore::new(0));
    let toy = Toy::start({
        let gate = gate.clone();
        move |_| {
            let gate = gate.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                plain("ok")
            }
        }
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], Some(1)));
    let idle = stage.client().await;
    let busy = stage.spawn(predict(PRODUCTION, "{}"));
    until("the replica is busy", || stage.traffic("a").demand.in_flight == 1).await;
    let mut in_chunks = TcpStream::connect(stage.addr).await.unwrap();
    in_chunks.write_all(chunked().as_bytes()).await.unwrap();
    let mut within = Client::over(connect(encrypted, &certificate, &[]).await.unwrap()).await;
    let within = tokio::spawn(async move { within.send(predict(PRODUCTION, "{}")).await });
    until("both wait", || stage.held("a") == 2).await;
    let (mover, moves) = mpsc::channel();
    let ended = tokio::spawn(stage.hand_over(mover));
    one_moves(&moves).await;
    gate.add_permits(3);
    assert_eq!(text(busy.await.unwrap()).await, "ok");
    heard(&mut in_chunks, "\r\n\r\nok").await;
    assert_eq!(text(within.await.unwrap()).await, "ok");
    drop((idle, in_chunks, moves));
    ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_replica_that_goes_is_told_to_come_again() {
    let stage = on_one_thread();
    let replica = TcpListener::bind("127.0.0.1:0").await.unwrap();
    stage.gateway.publish(simple(1, &[("r1", replica.local_addr().unwrap().port())], Some(1)));
    let idle = stage.client().await;
    let busy = stage.spawn(predict(PRODUCTION, "{}"));
    let (only, _) = replica.accept().await.unwrap();
    let mut waits = TcpStream::connect(stage.addr).await.unwrap();
    waits.write_all(chunked().as_bytes()).await.unwrap();
    until("one waits", || stage.held("a") == 1).await;
    let (mover, moves) = mpsc::channel();
    let ended = tokio::spawn(stage.hand_over(mover));
    one_moves(&moves).await;
    drop(replica);
    drop(only);
    assert_eq!(busy.await.unwrap().status(), 502);
    let answer = heard(&mut waits, "\"}").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("try again"), "{answer}");
    drop((idle, waits, moves));
    ended.await.unwrap();
}

//! Clients that would do harm: they get what they are owed, and nobody else is the worse for it.

use crate::crowd::more_files;
use crate::stage::*;
use gateway::GatewayConfig;
use http_body_util::BodyExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

fn head(more: &str) -> String {
    format!("POST {PRODUCTION} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n{more}")
}

/// Sends, and reads until the connection ends; a side that does not take it all may still have said why.
async fn said_to(stage: &Stage, bytes: &str) -> String {
    let mut client = TcpStream::connect(stage.addr).await.unwrap();
    let _ = client.write_all(bytes.as_bytes()).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), client.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the connection is still open: {}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_large_are_told_so() {
    let stage = Stage::new();
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let many: String = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect();
    for (what, fields) in [
        ("one field", format!("x-large: {}\r\n", "x".repeat(66_000))),
        ("many fields", many),
        ("no end", format!("x-large: {}", "x".repeat(66_000))),
    ] {
        let answer = said_to(&stage, &head(&format!("{fields}\r\n"))).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{what}: {answer:?}");
    }
    // One that fits passes, however large.
    let fits =
        format!("x-large: {}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}", "x".repeat(50_000));
    assert!(said_to(&stage, &head(&fits)).await.starts_with("HTTP/1.1 200 "));
    stage.stop().await;
}

/// Answers when it is told to.
async fn told(go_on: &Arc<Notify>) -> Toy {
    let go_on = go_on.clone();
    Toy::start(move |request| {
        let go_on = go_on.clone();
        async move {
            let _ = request.into_body().collect().await;
            go_on.notified().await;
            plain("answer")
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closed_its_half_gets_its_answer() {
    let stage = Stage::new();
    let go_on = Arc::new(Notify::new());
    let toy = told(&go_on).await;
    // At first it waits for a replica.
    stage.gateway.publish(simple(1, &[], None));
    let mut client = TcpStream::connect(stage.addr).await.unwrap();
    client.write_all(head("content-length: 2\r\n\r\n{}").as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    until("it waits", || stage.held("a") == 1).await;
    stage.gateway.publish(simple(2, &[("r1", toy.port)], None));
    until("it is passed on", || stage.traffic("a").demand.in_flight == 1).await;
    go_on.notify_one();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let answer = answer.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&answer);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("answer"), "{answer}");
    assert_eq!(stage.counters("a").outcomes().fine, 1);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closed_its_half_and_goes_frees_its_place() {
    let stage = Stage::new();
    let toy = told(&Arc::new(Notify::new())).await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], Some(1)));
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = TcpStream::connect(stage.addr).await.unwrap();
        client.write_all(head("content-length: 2\r\n\r\n{}").as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        clients.push(client);
    }
    until("one is at the replica and one waits", || {
        stage.traffic("a").demand == domain::Demand { in_flight: 1, held: 1 }
    })
    .await;
    drop(clients);
    until("both places are free", || stage.traffic("a").demand == domain::Demand::default()).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_known_length_that_trickles_is_refused_and_counted() {
    let body_timeout = Duration::from_millis(200);
    let stage = Stage::with(GatewayConfig { body_timeout, ..GatewayConfig::default() });
    let toy = Toy::start(|request| async move {
        let _ = request.into_body().collect().await;
        plain("ok")
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let answer = said_to(&stage, &head("content-length: 100\r\n\r\nbegun")).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("did not arrive in time"), "{answer}");
    let counters = stage.counters("a");
    assert_eq!(counters.statuses, [(408, 1)]);
    assert_eq!(counters.outcomes().total(), 1);
    assert_eq!((stage.traffic("a").demand.in_flight, stage.traffic("a").lost), (0, 0));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_on_beside_thousands_of_idle_connections() {
    const IDLE: usize = 5_000;
    const REQUESTS: usize = 500;
    let _one = crate::crowd::ONE.lock().await;
    more_files();
    let stage = Stage::new();
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut idle = Vec::with_capacity(IDLE);
    for number in 0..IDLE {
        let mut client = TcpStream::connect(stage.addr).await.unwrap();
        // Some have begun to say something.
        if number % 3 == 0 {
            client.write_all(head("").as_bytes()).await.unwrap();
        }
        idle.push(client);
    }
    let mut busy = stage.client().await;
    for _ in 0..REQUESTS {
        assert_eq!(text(busy.send(predict(PRODUCTION, "{}")).await).await, "ok");
    }
    // They were not forgotten, either.
    for (number, client) in idle.iter_mut().enumerate().step_by(IDLE / 50) {
        let rest = "connection: close\r\ncontent-length: 2\r\n\r\n{}";
        let rest = if number % 3 == 0 { rest.to_owned() } else { head(rest) };
        client.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{number}: {answer}");
    }
    drop(idle);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_its_answer_is_not_asked_for_and_let_go() {
    const CLIENTS: usize = 8;
    const ANSWER: u64 = 1 << 30;
    let stage = Stage::with(GatewayConfig { predict_timeout: Duration::from_secs(2), ..Default::default() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Arc::new(AtomicU64::new(0));
    tokio::spawn({
        let taken = taken.clone();
        async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let taken = taken.clone();
                tokio::spawn(async move {
                    stream.read_exact(&mut [0; 64]).await.unwrap();
                    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {ANSWER}\r\n\r\n");
                    stream.write_all(head.as_bytes()).await.unwrap();
                    // Until nobody takes it any more.
                    let piece = [b'x'; 16 << 10];
                    while let Ok(count) = stream.write(&piece).await {
                        taken.fetch_add(count as u64, SeqCst);
                    }
                });
            }
        }
    });
    stage.gateway.publish(simple(1, &[("r1", port)], None));
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = TcpStream::connect(stage.addr).await.unwrap();
        client.write_all(head("content-length: 2\r\n\r\n{}").as_bytes()).await.unwrap();
        clients.push(client);
    }
    until("all answers have begun", || stage.counters("a").outcomes().fine == CLIENTS as u64).await;
    until("their places are free", || stage.traffic("a").demand.in_flight == 0).await;
    let each = taken.load(SeqCst) / CLIENTS as u64;
    // What the kernel keeps of the connections on both sides, and a buffer between them.
    assert!(each < 64 << 20, "{each} bytes were taken of each answer that nobody read");
    stage.stop().await;
}

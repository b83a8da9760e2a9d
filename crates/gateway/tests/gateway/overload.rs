//! More than can be served, and a server that is about to end.

use crate::stage::*;
use bytes::Bytes;
use domain::ModelId;
use gateway::GatewayConfig;
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const OTHER: &str = "/model/model2/production/predict";

/// Another model with a deployment `b`.
fn other(port: u16) -> domain::ModelRoutes {
    let mut routes = routes(1, &[("b", 100)], vec![deployment("b", &[("r2", port)], Some(4))]);
    routes.model = ModelId::new("model2");
    routes
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overload_of_one_model_is_its_own() {
    const HELD: usize = 20;
    let stage = Stage::with(GatewayConfig { hold_limit: HELD, ..GatewayConfig::default() });
    let stuck = Toy::start(|_| std::future::pending()).await;
    let fine = Toy::saying("fine").await;
    stage.gateway.publish(simple(1, &[("r1", stuck.port)], Some(1)));
    stage.gateway.publish(other(fine.port));
    let waiting: Vec<_> = (0..=HELD).map(|_| stage.spawn(predict(PRODUCTION, "{}"))).collect();
    until("its queue is full", || {
        stage.traffic("a").demand == domain::Demand { in_flight: 1, held: HELD as u32 }
    })
    .await;
    let (mut one, mut two) = (stage.client().await, stage.client().await);
    for _ in 0..200 {
        let refused = one.send(predict(PRODUCTION, "{}")).await;
        assert!(refused.headers().contains_key("retry-after"));
        assert_eq!(refusal(refused).await, (StatusCode::TOO_MANY_REQUESTS, "rate_limited".into()));
        let answer = two.send(predict(OTHER, "{}")).await;
        assert!(!answer.headers().contains_key("x-cold-start-ms"), "it waited");
        assert_eq!(text(answer).await, "fine");
    }
    assert_eq!(stage.counters("a").statuses, [(429, 200)]);
    let outcomes = stage.counters("b").outcomes();
    assert_eq!((outcomes.fine, outcomes.total()), (200, 200));
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_ends_and_nothing_new_begins() {
    let stage = Stage::new();
    let (sender, frames) = mpsc::unbounded_channel::<&'static str>();
    let frames = Arc::new(Mutex::new(Some(frames)));
    let toy = Toy::start(move |request| {
        let frames = frames.lock().unwrap().take();
        async move {
            let _ = request.into_body().collect().await;
            let Some(frames) = frames else { return plain("whole") };
            let frames = futures::stream::unfold(frames, |mut frames| async move {
                let text = frames.recv().await?;
                Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), frames))
            });
            Response::new(StreamBody::new(frames).boxed_unsync())
        }
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let addr = stage.addr;

    let mut client = stage.client().await;
    let mut stream = client.send(predict(PRODUCTION, "{}")).await;
    sender.send("one").unwrap();
    assert_eq!(stream.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    // One that waits for its next request, and one that is in the middle of sending one.
    let mut idle = TcpStream::connect(addr).await.unwrap();
    let request = format!(
        "POST {PRODUCTION} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    idle.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 15];
    idle.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let mut sending = TcpStream::connect(addr).await.unwrap();
    let (most, last) = request.split_at(request.len() - 1);
    sending.write_all(most.as_bytes()).await.unwrap();
    until("it is at the replica", || stage.traffic("a").demand.in_flight == 2).await;

    let gateway = stage.gateway.clone();
    let stopping = tokio::spawn(stage.stop());
    // The idle one is closed in order, without an error.
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(10), idle.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.ends_with(b"whole"));
    let refused = async { while TcpStream::connect(addr).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(10), refused).await.unwrap();
    sending.write_all(last.as_bytes()).await.unwrap();
    let mut answer = String::new();
    sending.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("whole"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(!stopping.is_finished(), "a stream is under way");
    sender.send("two").unwrap();
    assert_eq!(stream.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
    drop(sender);
    assert!(stream.frame().await.is_none(), "it ended as it should");
    tokio::time::timeout(Duration::from_secs(10), stopping).await.unwrap().unwrap();
    let counters = domain::Traffic::counted(&*gateway).remove(0).counters;
    assert_eq!((counters.outcomes().fine, counters.outcomes().total()), (3, 3));
}

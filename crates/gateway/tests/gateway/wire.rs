//! What goes over the connections byte by byte, on both sides.

use crate::stage::*;
use http::Response;
use http_body_util::BodyExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A replica that reads a request whose body is `{}` and answers with these bytes, once for each connection; then it closes.
async fn answering(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_until(&mut stream, "{}").await;
            stream.write_all(bytes).await.unwrap();
        }
    });
    port
}

/// Reads until the text ends so, or the connection does.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        match tokio::time::timeout(Duration::from_secs(10), stream.read_u8()).await {
            Ok(Ok(byte)) => read.push(byte),
            Ok(Err(_)) => break,
            Err(_) => panic!("waited in vain for {end:?}, read {:?}", String::from_utf8_lossy(&read)),
        }
    }
    String::from_utf8(read).unwrap()
}

fn post(path: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n{more}content-length: {length}\r\n\r\n{body}"
    )
}

async fn connect(stage: &Stage) -> TcpStream {
    TcpStream::connect(stage.addr).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_sent_ahead_are_answered_in_order() {
    let stage = Stage::new();
    let toy = Toy::start(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        plain(format!("<{}>", String::from_utf8_lossy(&body)))
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut client = connect(&stage).await;
    let three: String = ["one", "two", "three"].map(|body| post(PRODUCTION, "", body)).concat();
    // In two pieces, cut in the middle of a head.
    let (first, second) = three.split_at(three.len() / 2);
    client.write_all(first.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    client.write_all(second.as_bytes()).await.unwrap();
    for body in ["<one>", "<two>", "<three>"] {
        let answer = read_until(&mut client, body).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_ends_with_its_connection_leaves_the_clients_open() {
    let stage = Stage::new();
    let port = answering(b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nuntil the end").await;
    stage.gateway.publish(simple(1, &[("r1", port)], None));
    let mut client = connect(&stage).await;
    for _ in 0..2 {
        client.write_all(post(PRODUCTION, "", "{}").as_bytes()).await.unwrap();
        let answer = read_until(&mut client, "\r\n0\r\n\r\n").await;
        assert!(answer.contains("transfer-encoding: chunked\r\n"), "{answer}");
        assert!(answer.contains("\r\nd\r\nuntil the end\r\n"), "{answer}");
    }
    until("both are counted", || stage.counters("a").outcomes().fine == 2).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_announces_an_answer_is_left_out() {
    let stage = Stage::new();
    let port = answering(
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    stage.gateway.publish(simple(1, &[("r1", port)], None));
    let mut client = connect(&stage).await;
    client.write_all(post(PRODUCTION, "", "{}").as_bytes()).await.unwrap();
    let answer = read_until(&mut client, "ok").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && !answer.contains("103 Early"), "{answer}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_two_readings_is_none() {
    let stage = Stage::new();
    for bytes in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok!",
        b"220 mail.example ESMTP\r\n",
    ] {
        let port = answering(bytes).await;
        stage.gateway.publish(simple(1, &[("r1", port)], None));
        let mut client = connect(&stage).await;
        client.write_all(post(PRODUCTION, "", "{}").as_bytes()).await.unwrap();
        let answer = read_until(&mut client, "\r\n").await;
        assert_eq!(answer, "HTTP/1.1 502 Bad Gateway\r\n");
    }
    assert_eq!(stage.traffic("a").lost, 3);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_are_none_break_the_answer_off() {
    let stage = Stage::new();
    let port =
        answering(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\nfive\r\nwrong\r\n").await;
    stage.gateway.publish(simple(1, &[("r1", port)], None));
    let mut client = connect(&stage).await;
    client.write_all(post(PRODUCTION, "", "{}").as_bytes()).await.unwrap();
    let answer = read_until(&mut client, "never").await;
    assert!(!answer.contains("wrong") && !answer.ends_with("\r\n0\r\n\r\n"), "{answer}");
    until("it is counted as lost", || stage.traffic("a").lost == 1).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_head_has_no_body() {
    let stage = Stage::new();
    let toy = Toy::saying("hello").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut client = connect(&stage).await;
    let path = "/model/model1/production/sync/about";
    let head = format!("HEAD {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    let answer = read_until(&mut client, "\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("content-length: 5\r\n"),
        "{answer}"
    );
    client.write_all(head.replace("HEAD", "GET").as_bytes()).await.unwrap();
    let answer = read_until(&mut client, "hello").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_still_sending_reads_why_it_was_refused() {
    let stage = Stage::new();
    let mut client = connect(&stage).await;
    let body = "x".repeat(4 << 20);
    let (mut reader, mut writer) = client.split();
    let request = post("/model/nothing/production/predict", "", &body);
    let (mut answer, sent) = (Vec::new(), writer.write_all(request.as_bytes()));
    let (read, sent) = tokio::join!(reader.read_to_end(&mut answer), sent);
    assert!(read.is_ok() && sent.is_ok(), "{read:?} {sent:?}");
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_leaves_the_connection_open_if_nothing_is_unread() {
    let stage = Stage::new();
    let toy = Toy::saying("hello").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut client = connect(&stage).await;
    client.write_all(post("/model/nothing/production/predict", "", "{}").as_bytes()).await.unwrap();
    let answer = read_until(&mut client, "}").await;
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    client.write_all(post(PRODUCTION, "connection: close\r\n", "{}").as_bytes()).await.unwrap();
    let answer = read_until(&mut client, "never").await;
    assert!(answer.ends_with("hello") && answer.contains("connection: close\r\n"), "{answer}");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_passes_both_ways() {
    let stage = Stage::new();
    let toy = Toy::start(|request| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(http_body_util::Full::from(body).boxed_unsync())
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let body: String = (0..3_000_000).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
    let mut client = stage.client().await;
    for _ in 0..2 {
        let response = client.send(predict(PRODUCTION, &body)).await;
        assert!(text(response).await == body);
    }
    stage.stop().await;
}

/// What a proxy in front and this gateway could read differently must not let a second request in.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_hides_in_another() {
    let stage = Stage::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let toy = Toy::start({
        let seen = seen.clone();
        move |request| {
            let seen = seen.clone();
            async move {
                seen.lock().unwrap().push(request.uri().to_string());
                let _ = request.into_body().collect().await;
                plain("ok")
            }
        }
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let hidden = post("/model/model1/production/sync/hidden", "", "");
    for fields in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
        "transfer-encoding: xchunked\r\ncontent-length: 0\r\n",
        "transfer-encoding : chunked\r\ncontent-length: 0\r\n",
        "content-length: 0\r\ncontent-length: 400\r\n",
        "content-length: 0x190\r\n",
        "content-length: 400,\r\n",
        " content-length: 400\r\n",
    ] {
        let mut client = connect(&stage).await;
        let head = format!(
            "POST {PRODUCTION} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n{fields}\r\n0\r\n\r\n{hidden}"
        );
        client.write_all(head.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        read_until(&mut client, "never").await;
        let seen = std::mem::take(&mut *seen.lock().unwrap());
        assert!(seen.len() <= 1, "{fields:?} let {seen:?} in");
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_after_its_body_frees_the_replica() {
    let stage = Stage::new();
    let toy = Toy::start(|request| async move {
        let _ = request.into_body().collect().await;
        std::future::pending::<Response<Body>>().await
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut client = connect(&stage).await;
    let request = post(PRODUCTION, "", &"x".repeat(100_000));
    let (head, body) = request.split_at(request.find("\r\n\r\n").unwrap() + 4);
    client.write_all(head.as_bytes()).await.unwrap();
    until("it is asked", || stage.traffic("a").demand.in_flight == 1).await;
    client.write_all(body.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(client);
    until("its place is free", || stage.traffic("a").demand.in_flight == 0).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_begin_before_the_body_is_there() {
    let stage = Stage::new();
    let toy =
        Toy::start(|request| async move { Response::new(EchoBody(request.into_body()).boxed_unsync()) })
            .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut client = connect(&stage).await;
    let request = post(PRODUCTION, "", &"0123456789".repeat(30_000));
    let (first, second) = request.split_at(40_000);
    client.write_all(first.as_bytes()).await.unwrap();
    let head = read_until(&mut client, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    let (mut reader, mut writer) = client.split();
    let mut rest = vec![0; 300_000];
    let (sent, read) = tokio::join!(writer.write_all(second.as_bytes()), reader.read_exact(&mut rest));
    sent.unwrap();
    read.unwrap();
    stage.stop().await;
}

/// Gives back what comes, as it comes.
struct EchoBody(hyper::body::Incoming);

impl http_body::Body for EchoBody {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        // A request that breaks off ends the answer, too.
        std::pin::Pin::new(&mut self.0).poll_frame(cx).map(|frame| frame.and_then(Result::ok).map(Ok))
    }
}

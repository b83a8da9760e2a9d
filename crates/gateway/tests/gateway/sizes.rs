//! The bytes of bodies are counted, by whatever way they pass.

use crate::stage::*;
use bytes::Bytes;
use domain::Histogram;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use std::convert::Infallible;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How many were counted, all of them with up to 2^`power` bytes and more than a quarter of that.
fn all_near(counted: &Histogram, power: u32) -> u64 {
    assert_eq!((counted.below_power(power - 2), counted.below_power(power)), (0, counted.count()));
    counted.count()
}

/// Answers with 40,000 bytes, in pieces if it is asked to.
async fn answer(request: Request<hyper::body::Incoming>) -> Response<Body> {
    let in_pieces = request.uri().query() == Some("pieces");
    let _ = request.into_body().collect().await;
    if !in_pieces {
        return Response::new(Full::from("x".repeat(40_000)).boxed_unsync());
    }
    let piece = |_| Ok::<_, Infallible>(Frame::data(Bytes::from("x".repeat(400))));
    Response::new(StreamBody::new(futures::stream::iter((0..100).map(piece))).boxed_unsync())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_counted_by_their_bytes_however_they_are_framed() {
    let stage = Stage::new();
    let toy = Toy::start(answer).await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut client = stage.client().await;
    for path in [PRODUCTION.to_owned(), format!("{PRODUCTION}?pieces")] {
        assert_eq!(text(client.send(predict(&path, &"x".repeat(3_000))).await).await.len(), 40_000);
        // Without a length, hyper passes it on.
        let mut raw = TcpStream::connect(stage.addr).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\
             transfer-encoding: chunked\r\n\r\n"
        );
        let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1_000));
        raw.write_all([&head, &chunk, &chunk, &chunk, "0\r\n\r\n"].concat().as_bytes()).await.unwrap();
        raw.read_to_end(&mut Vec::new()).await.unwrap();
    }
    until("all four are counted", || stage.counters("a").all().response_sizes.count() == 4).await;
    let counted = stage.counters("a").fine;
    assert_eq!(all_near(&counted.request_sizes, 12), 4, "3,000 bytes each");
    assert_eq!(all_near(&counted.response_sizes, 16), 4, "40,000 bytes each");
    assert_eq!(counted.end_to_end.count(), 4);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_with_its_connection_is_counted_and_what_breaks_off_is_not() {
    let stage = Stage::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for head in ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.read_exact(&mut [0; 64]).await.unwrap();
            stream.write_all(format!("{head}{}", "x".repeat(4_000)).as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    });
    stage.gateway.publish(simple(1, &[("r1", port)], None));
    assert_eq!(text(stage.client().await.send(predict(PRODUCTION, "")).await).await.len(), 4_000);
    let broken = stage.client().await.send(predict(PRODUCTION, "{}")).await;
    assert!(broken.into_body().collect().await.is_err());
    until("the second one is lost", || stage.traffic("a").lost == 1).await;
    let counted = stage.counters("a").all();
    assert_eq!(all_near(&counted.response_sizes, 12), 1);
    assert_eq!((counted.request_sizes.count(), counted.request_sizes.sum()), (1, 0), "an empty one");
    stage.stop().await;
}

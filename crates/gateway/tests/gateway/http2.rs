//! Many requests at once over one connection.

use crate::stage::*;
use crate::tls::{certify, connect};
use bytes::Bytes;
use gateway::{AppRequest, GatewayConfig, Tls};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

pub type Sender<B> = SendRequest<B>;

/// A connection, and how it ends.
pub async fn over<B, S>(stream: S) -> (Sender<B>, JoinHandle<hyper::Result<()>>)
where
    B: http_body::Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(connection))
}

async fn client(stage: &Stage) -> (Sender<Full<Bytes>>, JoinHandle<hyper::Result<()>>) {
    over(TcpStream::connect(stage.addr).await.unwrap()).await
}

/// As [`predict`], with an address as this protocol has it.
fn post(path: &str, body: &str) -> Request<Full<Bytes>> {
    let mut request = predict(&format!("http://localhost{path}"), body);
    request.headers_mut().remove("host");
    request
}

/// Answers with what came, once there is a permit.
async fn echo(gate: &Arc<Semaphore>) -> Toy {
    let gate = gate.clone();
    Toy::start(move |request: Request<Incoming>| {
        let gate = gate.clone();
        async move {
            let body =
                request.into_body().collect().await.map_or_else(|_| Bytes::new(), |body| body.to_bytes());
            gate.acquire().await.unwrap().forget();
            Response::new(Full::from(body).boxed_unsync())
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_are_under_way_at_once() {
    let mut stage = Stage::new();
    let gate = Arc::new(Semaphore::new(0));
    let toy = echo(&gate).await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut requests = stage.app.take().unwrap();
    tokio::spawn(async move {
        while let Some(AppRequest { request, reply, .. }) = requests.recv().await {
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            let uri = request.uri().clone();
            let length = request.into_body().collect().await.unwrap().to_bytes().len();
            let text = format!("{host} {uri} {length}");
            let body = Full::from(text).map_err(|never| match never {}).boxed_unsync();
            let _ = reply.send(Response::new(body));
        }
    });
    let (mut sender, _) = client(&stage).await;
    let large = "x".repeat(300_000);
    let ask = |number: u32| {
        let (large, answering) =
            (large.clone(), sender.send_request(post(PRODUCTION, &format!("{number} {large}"))));
        tokio::spawn(async move {
            let answer = answering.await.unwrap();
            assert_eq!(
                (answer.status(), answer.headers()["x-served-by"].as_bytes()),
                (StatusCode::OK, &b"a/r1"[..])
            );
            assert!(text(answer).await == format!("{number} {large}"));
        })
    };
    let waiting: Vec<_> = (0..50).map(ask).collect();
    until("all are at the replica", || stage.traffic("a").demand.in_flight == 50).await;
    // The application answers meanwhile, over the same connection.
    let answer = sender.send_request(post("/v1/models?x=1", "{}")).await.unwrap();
    assert_eq!(text(answer).await, "localhost /v1/models?x=1 2");
    gate.add_permits(50);
    for waiting in waiting {
        waiting.await.unwrap();
    }
    until("all are counted", || stage.counters("a").all().end_to_end.count() == 50).await;
    let counters = stage.counters("a");
    assert_eq!((counters.outcomes().fine, counters.outcomes().total()), (50, 50));
    let sizes = &counters.fine.request_sizes;
    assert_eq!((sizes.count(), sizes.below_power(18)), (50, 0));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_and_a_client_see_what_they_see_over_http1() {
    let stage = Stage::new();
    let seen = Arc::new(Mutex::new(None));
    let toy = Toy::start({
        let seen = seen.clone();
        move |request: Request<Incoming>| {
            *seen.lock().unwrap() = Some((request.uri().to_string(), request.headers().clone()));
            async {
                let mut response = plain("ok");
                response.headers_mut().insert("set-cookie", "a=1".parse().unwrap());
                response.headers_mut().insert("keep-alive", "timeout=5".parse().unwrap());
                response
            }
        }
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let (mut sender, _) = client(&stage).await;
    let mut request = post(&format!("{PRODUCTION}?a=1%2F2"), "{}");
    for (name, value) in [("cookie", "slipway_session=mine"), ("cookie", "theme=dark"), ("te", "trailers")] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    let answer = sender.send_request(request).await.unwrap();
    let (uri, headers) = seen.lock().unwrap().take().unwrap();
    assert_eq!(uri, "/v1/models/model:predict?a=1%2F2");
    assert_eq!(
        (&headers["cookie"], &headers["x-forwarded-for"]),
        (&"theme=dark".parse().unwrap(), &"127.0.0.1".parse().unwrap())
    );
    assert_eq!(headers["host"], format!("127.0.0.1:{}", toy.port).as_str());
    assert!(!headers.contains_key("authorization") && !headers.contains_key("te"));
    assert!(!answer.headers().contains_key("set-cookie") && !answer.headers().contains_key("keep-alive"));
    assert_eq!(answer.headers()["content-security-policy"], "sandbox");
    assert_eq!(answer.headers()["content-length"], "2");

    // Refusals are the same, too.
    let mut refused = |mut request: Request<Full<Bytes>>, change: fn(&mut http::HeaderMap)| {
        change(request.headers_mut());
        sender.send_request(request)
    };
    let no_key =
        refused(post(PRODUCTION, "{}"), |headers| drop(headers.remove("authorization"))).await.unwrap();
    assert_eq!(refusal(no_key).await, (StatusCode::UNAUTHORIZED, "unauthorized".into()));
    let two =
        refused(post(PRODUCTION, "{}"), |headers| drop(headers.insert("host", "another".parse().unwrap())));
    assert_eq!(refusal(two.await.unwrap()).await, (StatusCode::BAD_REQUEST, "client_error".into()));
    let large = refused(post(PRODUCTION, "{}"), |headers| {
        drop(headers.insert("x-large", "x".repeat(70_000).parse().unwrap()));
    });
    assert_eq!(large.await.unwrap().status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_agreed_on_under_encryption() {
    let folder = tempfile::tempdir().unwrap();
    let trusted = certify(folder.path());
    let tls = Tls::load(folder.path().join("certificate.pem"), folder.path().join("key.pem")).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let listeners = gateway::bind(&[any], 2).unwrap().with_tls(&[any], tls).unwrap();
    let addr = listeners.addrs()[1];
    let stage = Stage::listening(GatewayConfig::default(), listeners);
    let toy = Toy::saying("encrypted").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    for (offered, agreed) in
        [(&[&b"h2"[..], b"http/1.1"][..], Some(&b"h2"[..])), (&[b"http/1.1"], Some(b"http/1.1")), (&[], None)]
    {
        let stream = connect(addr, &trusted, offered).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
        let answer = match agreed {
            Some(b"h2") => over(stream).await.0.send_request(post(PRODUCTION, "{}")).await.unwrap(),
            _ => Client::over(stream).await.send(predict(PRODUCTION, "{}")).await,
        };
        assert_eq!((answer.status(), text(answer).await.as_str()), (StatusCode::OK, "encrypted"));
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_read_holds_up_no_other() {
    let stage = Stage::new();
    let toy = Toy::start(|request: Request<Incoming>| async move {
        let length = if request.uri().query() == Some("large") { 32 << 20 } else { 10 };
        // Who closes a connection with something unread in it takes the rest of the answer back.
        let _ = request.into_body().collect().await;
        Response::new(Full::from("x".repeat(length)).boxed_unsync())
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let (mut sender, _) = client(&stage).await;
    let mut unread = sender.send_request(post(&format!("{PRODUCTION}?large"), "{}")).await.unwrap();
    for _ in 0..20 {
        assert_eq!(text(sender.send_request(post(PRODUCTION, "{}")).await.unwrap()).await.len(), 10);
    }
    let mut length = 0;
    while let Some(frame) = unread.frame().await {
        length += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(length, 32 << 20);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_frees_its_replica_and_a_flood_of_it_ends_the_connection() {
    let stage = Stage::new();
    let toy = Toy::start(|_| std::future::pending()).await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let (mut sender, ended) = client(&stage).await;
    let one = tokio::spawn(sender.send_request(post(PRODUCTION, "{}")));
    until("it is at the replica", || stage.traffic("a").demand.in_flight == 1).await;
    one.abort();
    until("its place is free", || stage.traffic("a").demand.in_flight == 0).await;
    // Each is given up once it is known to have arrived, so that it was begun.
    let mut before = stage.traffic("a").requests;
    let flood = async {
        while !sender.is_closed() {
            let one = tokio::spawn(sender.send_request(post(PRODUCTION, "{}")));
            while stage.traffic("a").requests == before && !one.is_finished() {
                tokio::task::yield_now().await;
            }
            before = stage.traffic("a").requests;
            one.abort();
            let _ = one.await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), flood).await.expect("the connection takes any number");
    ended.await.unwrap().ok();
    let begun = stage.traffic("a").requests;
    assert!((100..1_000).contains(&begun), "{begun} were begun");
    until("nothing is left", || stage.traffic("a").demand.in_flight == 0).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_ends_in_order() {
    let header_timeout = Duration::from_millis(300);
    let stage = Stage::with(GatewayConfig { header_timeout, ..GatewayConfig::default() });
    let toy = Toy::saying("ok").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let (mut sender, ended) = client(&stage).await;
    assert_eq!(text(sender.send_request(post(PRODUCTION, "{}")).await.unwrap()).await, "ok");
    tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap().unwrap().unwrap();
    assert!(sender.send_request(post(PRODUCTION, "{}")).await.is_err());
    stage.stop().await;
}

/// Answers everything of the application with more than a client lets come before it reads.
fn answer_large(stage: &mut Stage) {
    let mut app = stage.app.take().unwrap();
    tokio::spawn(async move {
        while let Some(AppRequest { request, reply, .. }) = app.recv().await {
            request.into_body().collect().await.unwrap();
            let body = Full::from(vec![b'x'; LARGE]).map_err(|never| match never {});
            let _ = reply.send(Response::new(body.boxed_unsync()));
        }
    });
}

const LARGE: usize = 16 << 20;

fn get_large() -> Request<Full<Bytes>> {
    Request::get("http://localhost/").body(Full::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_waits_to_be_read_is_no_rest() {
    let header_timeout = Duration::from_secs(1);
    let mut stage = Stage::with(GatewayConfig { header_timeout, ..GatewayConfig::default() });
    answer_large(&mut stage);
    let (mut sender, ended) = client(&stage).await;
    let answer = sender.send_request(get_large()).await.unwrap();
    // Longer than one that rests is left, and than it may take to end then.
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), LARGE);
    tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap().unwrap().unwrap();
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_its_answer_does_not_hold_the_end_up() {
    let body_timeout = Duration::from_millis(200);
    let mut stage = Stage::with(GatewayConfig { body_timeout, ..GatewayConfig::default() });
    answer_large(&mut stage);
    let (mut sender, _) = client(&stage).await;
    let answer = sender.send_request(get_large()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(8), stage.stop()).await.unwrap();
    assert!(answer.into_body().collect().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_streams_end() {
    let stage = Stage::new();
    let (parts, receiver) = mpsc::unbounded_channel::<&'static str>();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let toy = Toy::start(move |request| {
        let receiver = receiver.lock().unwrap().take().unwrap();
        async move {
            let _ = request.into_body().collect().await;
            let frames = futures::stream::unfold(receiver, |mut receiver| async move {
                Some((Ok::<_, Infallible>(Frame::data(Bytes::from(receiver.recv().await?))), receiver))
            });
            Response::new(StreamBody::new(frames).boxed_unsync())
        }
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let (mut sender, ended) = client(&stage).await;
    let (_idle, idle_ended) = client(&stage).await;
    let mut answer = sender.send_request(post(PRODUCTION, "{}")).await.unwrap();
    let stopping = tokio::spawn(stage.stop());
    tokio::time::timeout(Duration::from_secs(10), idle_ended).await.unwrap().unwrap().unwrap();
    for part in ["one", "two"] {
        parts.send(part).unwrap();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), part);
    }
    assert!(sender.send_request(post(PRODUCTION, "{}")).await.is_err(), "nothing new begins");
    assert!(!stopping.is_finished());
    drop(parts);
    assert_eq!(text(answer).await, "", "it ended as it should");
    tokio::time::timeout(Duration::from_secs(10), stopping).await.unwrap().unwrap();
    ended.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_replica_is_told_to_come_again_when_another_server_takes_over() {
    let stage = Stage::new();
    stage.gateway.publish(simple(1, &[], None));
    let (mut sender, connection) = client(&stage).await;
    let waits = tokio::spawn(sender.send_request(post(PRODUCTION, "{}")));
    until("it waits", || stage.held("a") == 1).await;
    let (mover, _moved) = std::sync::mpsc::channel();
    let handed = tokio::spawn(stage.hand_over(mover));
    let answer = tokio::time::timeout(Duration::from_secs(10), waits).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(text(answer).await.contains("try again"));
    drop(sender);
    tokio::time::timeout(Duration::from_secs(10), connection).await.unwrap().unwrap().unwrap();
    handed.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_of_head_has_no_body() {
    let stage = Stage::new();
    let (mut sender, _) = client(&stage).await;
    let head = Request::head("http://localhost/model/nothing/production/sync/x")
        .header("authorization", format!("Bearer {KEY}"));
    let answer = sender.send_request(head.body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert_ne!(answer.headers()["content-length"], "0");
    assert_eq!(text(answer).await, "");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_unknown_length_arrives_whatever_the_method() {
    let stage = Stage::new();
    let gate = Arc::new(Semaphore::new(1));
    let toy = echo(&gate).await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let (mut sender, _) = over(TcpStream::connect(stage.addr).await.unwrap()).await;
    let frames =
        [Ok::<_, Infallible>(Frame::data(Bytes::from("found"))), Ok(Frame::data(Bytes::from(" it")))];
    let body = StreamBody::new(futures::stream::iter(frames));
    let get = Request::get("http://localhost/model/model1/production/sync/search")
        .header("authorization", format!("Bearer {KEY}"));
    let answer = sender.send_request(get.body(body).unwrap()).await.unwrap();
    assert_eq!(text(answer).await, "found it");
    stage.stop().await;
}

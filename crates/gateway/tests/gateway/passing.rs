//! What passes between a client and a replica, and how.

use crate::stage::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

#[tokio::test(flavor = "multi_thread")]
async fn frames_arrive_one_by_one() {
    let stage = Stage::new();
    let (sender, receiver) = mpsc::unbounded_channel::<&'static str>();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let toy = Toy::start(move |_| {
        let receiver = receiver.lock().unwrap().take().unwrap();
        async move {
            let frames = futures::stream::unfold(receiver, |mut receiver| async move {
                let text = receiver.recv().await?;
                Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), receiver))
            });
            let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
            response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
            response
        }
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut client = stage.client().await;
    let mut response = client.send(predict(PRODUCTION, "{}")).await;
    assert_eq!(response.headers()["transfer-encoding"], "chunked");
    for text in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
        // The next one is not sent before this one has arrived.
        sender.send(text).unwrap();
        let frame = response.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), text);
    }
    assert_eq!(stage.traffic("a").demand.in_flight, 1);
    drop(sender);
    assert!(response.frame().await.is_none());
    until("it ended", || stage.traffic("a").demand.in_flight == 0).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_the_replica() {
    struct Gone(Option<oneshot::Sender<()>>);
    impl Drop for Gone {
        fn drop(&mut self) {
            let _ = self.0.take().unwrap().send(());
        }
    }
    let stage = Stage::new();
    let (sender, gone) = oneshot::channel();
    let sender = Arc::new(Mutex::new(Some(sender)));
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let toy = Toy::start(move |_| {
        let guard = Gone(sender.lock().unwrap().take());
        arrived.send(()).unwrap();
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let call = stage.spawn(predict(PRODUCTION, "{}"));
    // Not before the replica has it: a request that was not sent yet leaves nothing to notice.
    arrivals.recv().await.unwrap();
    assert_eq!(stage.traffic("a").demand.in_flight, 1);
    call.abort();
    gone.await.unwrap();
    until("it ended", || stage.traffic("a").demand.in_flight == 0).await;
    assert_eq!(stage.traffic("a").lost, 0);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_see_no_secret_and_clients_no_trap() {
    let stage = Stage::new();
    let (sender, mut seen) = mpsc::unbounded_channel();
    let toy = Toy::start(move |request: Request<hyper::body::Incoming>| {
        sender.send((request.uri().clone(), request.headers().clone())).unwrap();
        async {
            let mut response = plain(r#"{"ok":true}"#);
            for (name, value) in [
                ("set-cookie", "slipway_session=stolen"),
                ("clear-site-data", "*"),
                ("service-worker-allowed", "/"),
                ("content-security-policy", "default-src *"),
                ("x-served-by", "somebody"),
                ("x-model", "kept"),
            ] {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut request = predict("/model/model1/production/predict?a=1%2F2", "{}");
    for (name, value) in [
        ("cookie", "slipway_session=mine; theme=dark"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-baseten-request-id", "request-1"),
        ("connection", "keep-alive, x-private"),
        ("x-private", "1"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let mut client = stage.client().await;
    let response = client.send(request).await;
    let (uri, headers) = seen.recv().await.unwrap();
    assert_eq!(uri, "/v1/models/model:predict?a=1%2F2");
    assert!(!headers.contains_key("authorization") && !headers.contains_key("x-private"));
    assert_eq!(headers["cookie"], "theme=dark");
    assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
    assert_eq!(headers["host"], format!("127.0.0.1:{}", toy.port).as_str());
    assert_eq!(headers["x-baseten-request-id"], "request-1");

    let answer = response.headers();
    for name in ["set-cookie", "clear-site-data", "service-worker-allowed"] {
        assert!(!answer.contains_key(name), "{name}");
    }
    assert_eq!(answer["content-security-policy"], "sandbox");
    assert_eq!(answer["x-content-type-options"], "nosniff");
    assert_eq!(answer["x-served-by"], "a/r1");
    assert_eq!(answer["x-model"], "kept");
    assert_eq!(answer["x-baseten-request-id"], "request-1");
    assert_eq!(answer["content-length"], "11", "a plain answer keeps its length");
    assert!(!answer.contains_key("transfer-encoding"));

    // On a host of its own a model may do what any site may.
    let mut own = predict("/production/predict", "{}");
    own.headers_mut().insert("host", "model-model1.api.localhost:8000".parse().unwrap());
    text(response).await;
    let own = client.send(own).await;
    assert!(own.headers().contains_key("set-cookie"));
    assert_eq!(own.headers()["x-baseten-request-id"].len(), 32);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_passes_any_method_and_path() {
    let stage = Stage::new();
    let toy = Toy::start(|request: Request<hyper::body::Incoming>| async move {
        plain(format!("{} {}", request.method(), request.uri()))
    })
    .await;
    let mut table = simple(1, &[("r1", toy.port)], None);
    table.deployments[0].rewrite.readiness = "/ready".into();
    stage.gateway.publish(table);
    let mut client = stage.client().await;
    for (method, path, expected) in [
        ("GET", "/sync/v1/chat/models?x=1", "GET /v1/chat/models?x=1"),
        ("DELETE", "/sync/v1/item", "DELETE /v1/item"),
        ("GET", "/sync/v1/models/model", "GET /ready"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(format!("/model/model1/deployment/a{path}"))
            .header("host", "localhost")
            .header("authorization", format!("Bearer {KEY}"))
            .body(Full::default())
            .unwrap();
        assert_eq!(text(client.send(request).await).await, expected);
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_models_own_error_passes_unchanged_and_is_counted() {
    let stage = Stage::new();
    let toy = Toy::start(|_| async {
        let mut response = plain(r#"{"error":"the model's"}"#);
        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let response = stage.client().await.send(predict(PRODUCTION, "{}")).await;
    assert_eq!(response.status(), 500);
    assert_eq!(text(response).await, r#"{"error":"the model's"}"#);
    assert_eq!((stage.traffic("a").errors, stage.traffic("a").lost), (1, 0));
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_replica_closed_is_replaced_unseen() {
    let stage = Stage::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (closed, mut both_closed) = mpsc::unbounded_channel();
    let replica = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"{}") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            stream.shutdown().await.unwrap();
            // The gateway closes its side once it has noticed.
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
            closed.send(()).unwrap();
        }
    });
    stage.gateway.publish(simple(1, &[("r1", port)], None));
    let mut client = stage.client().await;
    for _ in 0..5 {
        assert_eq!(text(client.send(predict(PRODUCTION, "{}")).await).await, "ok");
        both_closed.recv().await.unwrap();
    }
    assert_eq!((stage.traffic("a").errors, stage.traffic("a").lost), (0, 0));
    replica.abort();
    stage.stop().await;
}

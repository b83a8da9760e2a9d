//! gRPC calls to replicas that speak it.

use crate::http2::{Sender, over};
use crate::stage::*;
use bytes::Bytes;
use domain::{EnvironmentName, EnvironmentRoute, ModelRoutes};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const METHOD: &str = "http://localhost/example.Greeter/SayHello";

/// A toy replica that speaks HTTP/2 alone; stops when dropped.
struct GrpcToy {
    port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for GrpcToy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl GrpcToy {
    async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let answer = answer.clone();
                let service = service_fn(move |request| {
                    let answer = answer(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                connections.spawn(
                    Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { port, task }
    }

    /// Says hello, and how it ended.
    async fn ending(status: &'static str) -> Self {
        Self::start(move |request| async move {
            let body =
                request.into_body().collect().await.map_or_else(|_| Bytes::new(), |body| body.to_bytes());
            answer(vec![Frame::data(body), Frame::trailers(trailers(status))])
        })
        .await
    }
}

fn trailers(status: &str) -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())])
}

fn answer(frames: Vec<Frame<Bytes>>) -> Response<Body> {
    let frames = futures::stream::iter(frames.into_iter().map(Ok::<_, Infallible>));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    response
}

fn call(metadata: &[(&'static str, &str)]) -> Request<Full<Bytes>> {
    let mut request =
        Request::post(METHOD).header("content-type", "application/grpc+proto").header("te", "trailers");
    for (name, value) in metadata {
        request = request.header(*name, *value);
    }
    request.body(Full::from("hello")).unwrap()
}

fn speaking_grpc(mut routes: ModelRoutes) -> ModelRoutes {
    routes.deployments.iter_mut().for_each(|deployment| deployment.rewrite.grpc = true);
    routes
}

const NAMED: [(&str, &str); 2] = [("authorization", "Bearer secret"), ("baseten-model-id", "model-model1")];

async fn client(stage: &Stage) -> Sender<Full<Bytes>> {
    over(TcpStream::connect(stage.addr).await.unwrap()).await.0
}

/// The message, and how the call ended.
async fn told(answer: Response<Incoming>) -> (String, String) {
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"application/grpc".parse().unwrap())
    );
    let head = answer.headers().clone();
    let body = answer.into_body().collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or_default();
    let status =
        trailers.get("grpc-status").or_else(|| head.get("grpc-status")).expect("it ends without a status");
    let status = status.to_str().unwrap().to_owned();
    (String::from_utf8(body.to_bytes().to_vec()).unwrap(), status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_passes_as_it_is_and_its_trailers_come_back() {
    let stage = Stage::new();
    let seen = Arc::new(Mutex::new(None));
    let toy = GrpcToy::start({
        let seen = seen.clone();
        move |request| {
            let seen = seen.clone();
            async move {
                *seen.lock().unwrap() = Some((request.uri().to_string(), request.headers().clone()));
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let mut end = trailers("0");
                end.insert("x-after", "kept".parse().unwrap());
                answer(vec![Frame::data(body), Frame::trailers(end)])
            }
        }
    })
    .await;
    stage.gateway.publish(speaking_grpc(simple(1, &[("r1", toy.port)], None)));
    let mut sender = client(&stage).await;
    let mut metadata = NAMED.to_vec();
    // With a key of its own, what is in `authorization` is another one's.
    metadata[0].1 = "Bearer another";
    metadata.extend([("baseten-authorization", "Api-Key secret"), ("x-own", "1")]);
    let response = sender.send_request(call(&metadata)).await.unwrap();
    assert_eq!(response.headers()["x-served-by"], "a/r1");
    let body = response.into_body().collect().await.unwrap();
    let end = body.trailers().unwrap().clone();
    assert_eq!(
        (body.to_bytes().as_ref(), &end["grpc-status"], &end["x-after"]),
        (&b"hello"[..], &"0".parse().unwrap(), &"kept".parse().unwrap())
    );
    let (uri, headers) = seen.lock().unwrap().take().unwrap();
    assert_eq!(uri, format!("http://127.0.0.1:{}/example.Greeter/SayHello", toy.port));
    assert_eq!((&headers["te"], &headers["x-own"]), (&"trailers".parse().unwrap(), &"1".parse().unwrap()));
    assert!(!headers.contains_key("authorization") && !headers.contains_key("baseten-authorization"));
    until("it is counted", || stage.counters("a").all().end_to_end.count() == 1).await;
    let counters = stage.counters("a");
    assert_eq!((counters.outcomes().fine, counters.outcomes().total()), (1, 1));
    let sizes = (counters.fine.request_sizes.sum(), counters.fine.response_sizes.sum());
    assert_eq!(sizes, (4, 4), "one less than it has");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_pass_both_ways_while_a_call_goes_on() {
    let stage = Stage::new();
    let toy = GrpcToy::start(|request| async move {
        let frames = futures::stream::unfold(Some(request.into_body()), |body| async move {
            let mut body = body?;
            match body.frame().await {
                Some(Ok(frame)) => Some((Ok::<_, Infallible>(frame), Some(body))),
                _ => Some((Ok(Frame::trailers(trailers("0"))), None)),
            }
        });
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        response
    })
    .await;
    stage.gateway.publish(speaking_grpc(simple(1, &[("r1", toy.port)], None)));
    let (mut sender, _) = over(TcpStream::connect(stage.addr).await.unwrap()).await;
    let (messages, receiver) = mpsc::unbounded_channel::<Bytes>();
    let frames = futures::stream::unfold(receiver, |mut receiver| async move {
        Some((Ok::<_, Infallible>(Frame::data(receiver.recv().await?)), receiver))
    });
    let request = call(&NAMED).map(|_| StreamBody::new(Box::pin(frames)));
    let mut response = sender.send_request(request).await.unwrap();
    for text in ["one", "two", "three"] {
        // The next one is not sent before this one has come back.
        messages.send(Bytes::from(text)).unwrap();
        assert_eq!(response.frame().await.unwrap().unwrap().into_data().unwrap(), text);
    }
    assert_eq!(stage.traffic("a").demand.in_flight, 1, "a call takes one place, however long it goes on");
    assert_eq!(stage.counters("a").outcomes().total(), 0, "nobody knows yet how it ends");
    drop(messages);
    let end = response.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(end["grpc-status"], "0");
    until("it is counted", || stage.counters("a").outcomes().fine == 1).await;
    until("its place is free", || stage.traffic("a").demand.in_flight == 0).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_call_ends_is_its_outcome() {
    let stage = Stage::new();
    let mut sender = client(&stage).await;
    for (version, (status, expected)) in
        [("0", (1, 0, 0)), ("5", (0, 1, 0)), ("13", (0, 0, 1))].into_iter().enumerate()
    {
        let before = stage.counters("a").outcomes();
        let toy = GrpcToy::ending(status).await;
        stage.gateway.publish(speaking_grpc(simple(version as u64 + 1, &[("r1", toy.port)], None)));
        let answer = sender.send_request(call(&NAMED)).await.unwrap();
        assert_eq!(told(answer).await, ("hello".to_owned(), status.to_owned()));
        until("it is counted", || stage.counters("a").outcomes().total() > before.total()).await;
        let now = stage.counters("a").outcomes();
        let news = (
            now.fine - before.fine,
            now.client_errors - before.client_errors,
            now.server_errors - before.server_errors,
        );
        assert_eq!(news, expected, "status {status}");
    }
    assert_eq!(stage.traffic("a").errors, 1);
    let counters = stage.counters("a");
    assert_eq!(counters.statuses, [(200, 1), (404, 1), (500, 1)], "in the words of HTTP");
    let began = [counters.fine, counters.client_errors, counters.server_errors];
    assert_eq!(began.map(|answers| answers.first_byte.count()), [1, 1, 1], "told apart by how they ended");
    // One that fails at once says so in its head.
    let toy = GrpcToy::start(|_| async {
        let mut response = answer(Vec::new());
        response.headers_mut().insert("grpc-status", "14".parse().unwrap());
        response
    })
    .await;
    stage.gateway.publish(speaking_grpc(simple(9, &[("r1", toy.port)], None)));
    assert_eq!(told(sender.send_request(call(&NAMED)).await.unwrap()).await.1, "14");
    assert_eq!(stage.counters("a").outcomes().server_errors, 2);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_breaks_off_ends_its_calls_with_a_status() {
    let stage = Stage::new();
    let toy = GrpcToy::start(|_| async {
        let first = futures::stream::iter([Ok::<_, Infallible>(Frame::data("first".into()))]);
        let frames = futures::StreamExt::chain(first, futures::stream::pending());
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        response
    })
    .await;
    stage.gateway.publish(speaking_grpc(simple(1, &[("r1", toy.port)], None)));
    let mut sender = client(&stage).await;
    let mut response = sender.send_request(call(&NAMED)).await.unwrap();
    assert_eq!(response.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    drop(toy);
    let end = response.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(end["grpc-status"], "14");
    until("it is counted", || stage.traffic("a").lost == 1).await;
    assert_eq!(stage.counters("a").outcomes().server_errors, 1);
    // Its next replica is called over a connection of its own.
    let toy = GrpcToy::ending("0").await;
    stage.gateway.publish(speaking_grpc(simple(2, &[("r2", toy.port)], None)));
    assert_eq!(told(sender.send_request(call(&NAMED)).await.unwrap()).await.1, "0");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_in_grpcs_own_words() {
    let stage = Stage::new();
    let toy = GrpcToy::ending("0").await;
    stage.gateway.publish(speaking_grpc(simple(1, &[("r1", toy.port)], None)));
    let mut sender = client(&stage).await;
    let mut status = async |metadata: &[(&'static str, &str)]| {
        let answer = sender.send_request(call(metadata)).await.unwrap();
        assert!(!answer.headers()["grpc-message"].is_empty());
        told(answer).await.1
    };
    let model = NAMED[1];
    assert_eq!(status(&[model]).await, "16", "no key");
    assert_eq!(status(&[("authorization", "Bearer elsewhere"), model]).await, "7", "a key for another model");
    assert_eq!(status(&NAMED[..1]).await, "5", "no model");
    assert_eq!(status(&[NAMED[0], ("baseten-model-id", "other")]).await, "5");
    assert_eq!(status(&[NAMED[0], model, ("x-baseten-environment", "staging")]).await, "5");
    // HTTP to a server of gRPC is refused before it is confused by it, and the other way round.
    let http = stage.client().await.send(predict(PRODUCTION, "{}")).await;
    let (code, text) = (http.status().as_u16(), text(http).await);
    assert!(code == 400 && text.contains("gRPC"), "{code} {text}");
    stage.gateway.publish(simple(2, &[("r1", toy.port)], None));
    assert_eq!(status(&NAMED).await, "12");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_reaches_the_environment_or_the_deployment_that_it_names() {
    let stage = Stage::new();
    let (a, b) = (GrpcToy::ending("0").await, GrpcToy::ending("0").await);
    let both = vec![deployment("a", &[("r1", a.port)], None), deployment("b", &[("r2", b.port)], None)];
    let mut table = routes(1, &[("a", 100)], both);
    let staging =
        EnvironmentRoute { name: EnvironmentName::new("staging").unwrap(), ..table.environments[0].clone() };
    table.environments.push(staging);
    table.environments[1].shares[0].deployment = domain::DeploymentId::new("b");
    stage.gateway.publish(speaking_grpc(table));
    let mut sender = client(&stage).await;
    for (more, host, served_by) in [
        (None, "localhost", "a/r1"),
        (Some(("x-baseten-environment", "staging")), "localhost", "b/r2"),
        (Some(("x-baseten-deployment", "b")), "localhost", "b/r2"),
        (None, "model-model1.grpc.api.localhost", "a/r1"),
        (None, "model-model1-staging.api.localhost:8000", "b/r2"),
    ] {
        let metadata: Vec<_> = NAMED.into_iter().chain(more).collect();
        let mut request = call(&metadata);
        *request.uri_mut() = METHOD.replace("localhost", host).parse().unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.headers()["x-served-by"], served_by, "{more:?} {host}");
        assert_eq!(told(response).await.1, "0");
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_cancelled_ends_at_the_replica() {
    struct Gone(Option<tokio::sync::oneshot::Sender<()>>);
    impl Drop for Gone {
        fn drop(&mut self) {
            let _ = self.0.take().unwrap().send(());
        }
    }
    let stage = Stage::new();
    let (sender, gone) = tokio::sync::oneshot::channel();
    let told = Arc::new(Mutex::new(Some(sender)));
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let toy = GrpcToy::start(move |_| {
        let guard = Gone(told.lock().unwrap().take());
        arrived.send(()).unwrap();
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    })
    .await;
    stage.gateway.publish(speaking_grpc(simple(1, &[("r1", toy.port)], None)));
    let mut sender = client(&stage).await;
    let one = tokio::spawn(sender.send_request(call(&NAMED)));
    arrivals.recv().await.unwrap();
    one.abort();
    gone.await.unwrap();
    until("its place is free", || stage.traffic("a").demand.in_flight == 0).await;
    assert_eq!((stage.traffic("a").lost, stage.counters("a").outcomes().total()), (0, 0));
    stage.stop().await;
}

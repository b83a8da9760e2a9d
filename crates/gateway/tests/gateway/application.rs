//! One port, two worlds.

use crate::stage::*;
use bytes::Bytes;
use gateway::{AppAnswer, AppRequest, BoxError};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use std::time::Duration;
use tokio::sync::mpsc;

fn app(path: &str, body: &str) -> Request<Full<Bytes>> {
    Request::post(path).header("host", "localhost").body(Full::from(body.to_owned())).unwrap()
}

fn whole(text: String) -> AppAnswer {
    Full::from(text).map_err(|never| match never {}).boxed_unsync()
}

/// Says what it was asked.
pub async fn echo(mut requests: mpsc::Receiver<AppRequest>) {
    while let Some(AppRequest { request, reply, peer }) = requests.recv().await {
        tokio::spawn(async move {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let text = format!("{path} {} {}", body.len(), peer.ip());
            let _ = reply.send(Response::new(whole(text)));
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_alternates_between_both() {
    let mut stage = Stage::new();
    tokio::spawn(echo(stage.app.take().unwrap()));
    let toy = Toy::saying("model").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let mut client = stage.client().await;
    let large = "x".repeat(300_000);
    for _ in 0..3 {
        assert_eq!(text(client.send(app("/v1/models", &large)).await).await, "/v1/models 300000 127.0.0.1");
        assert_eq!(text(client.send(predict(PRODUCTION, "{}")).await).await, "model");
        assert_eq!(text(client.send(app("/", "")).await).await, "/ 0 127.0.0.1");
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_applications_streams_arrive_frame_by_frame() {
    let mut stage = Stage::new();
    let mut requests = stage.app.take().unwrap();
    let mut client = stage.client().await;
    let (sender, frames) = mpsc::channel::<Result<Frame<Bytes>, BoxError>>(1);
    tokio::spawn(async move {
        let request = requests.recv().await.unwrap();
        let stream =
            futures::stream::unfold(frames, |mut frames| async { Some((frames.recv().await?, frames)) });
        let _ = request.reply.send(Response::new(StreamBody::new(stream).boxed_unsync()));
        requests
    });
    let mut response = client.send(app("/events", "")).await;
    for text in ["one", "two"] {
        sender.send(Ok(Frame::data(Bytes::from(text)))).await.unwrap();
        assert_eq!(response.frame().await.unwrap().unwrap().into_data().unwrap(), text);
    }
    // The application learns that the client has gone.
    drop((response, client));
    sender.closed().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_is_busy_or_gone_answers_503() {
    let mut stage = Stage::new();
    let mut requests = stage.app.take().unwrap();
    let waiting: Vec<_> = (0..4).map(|_| stage.spawn(app("/", ""))).collect();
    until("the channel is full", || requests.len() == 4).await;
    let (status, code) = refusal(stage.client().await.send(app("/", "")).await).await;
    assert_eq!((status.as_u16(), code.as_str()), (503, "model_unavailable"));
    // Models are served meanwhile.
    let toy = Toy::saying("model").await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    assert_eq!(text(stage.client().await.send(predict(PRODUCTION, "{}")).await).await, "model");
    requests.close();
    while requests.recv().await.is_some() {}
    for task in waiting {
        assert_eq!(task.await.unwrap().status(), 503);
    }
    assert_eq!(stage.client().await.send(app("/", "")).await.status(), 503);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_requests_end() {
    let stage = Stage::new();
    let (sender, mut arrived) = mpsc::unbounded_channel();
    let toy = Toy::start(move |_| {
        let (done, wait) = tokio::sync::oneshot::channel::<()>();
        sender.send(done).unwrap();
        async move {
            wait.await.unwrap();
            plain("done")
        }
    })
    .await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));
    let (addr, slow) = (stage.addr, stage.spawn(predict(PRODUCTION, "{}")));
    let done = arrived.recv().await.unwrap();
    let stopping = tokio::spawn(stage.stop());
    // Nobody new is let in.
    let refused = async {
        while tokio::net::TcpStream::connect(addr).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refused).await.unwrap();
    done.send(()).unwrap();
    assert_eq!(text(slow.await.unwrap()).await, "done");
    stopping.await.unwrap();
}

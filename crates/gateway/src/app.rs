//! The way to the application, which runs on a runtime of its own.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::body::{Answer, BoxError, LATE};
use crate::patience::Patience;
use crate::respond::Refusal;

/// Frames of an answer that may wait for a slow client.
const BUFFERED: usize = 8;

/// A request that is not inference.
#[derive(Debug)]
pub struct AppRequest {
    pub request: Request<AppBody>,
    /// Closed when the client has gone.
    pub reply: oneshot::Sender<Response<AppAnswer>>,
    /// Who connected.
    pub peer: SocketAddr,
}

/// An answer's body.
pub type AppAnswer = UnsyncBoxBody<Bytes, BoxError>;

/// A request's body: frames that the connection hands over one at a time. It fails when its client lets it wait too long.
#[derive(Debug)]
pub struct AppBody {
    inner: Incoming,
    patience: Patience,
}

impl Body for AppBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            ready!(self.patience.poll(cx));
            return Poll::Ready(Some(Err(LATE.into())));
        };
        let length = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        self.patience.came(length as u64);
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Lets the application answer.
pub(crate) async fn ask(
    app: &mpsc::Sender<AppRequest>,
    runtime: Option<&Handle>,
    request: Request<Incoming>,
    peer: SocketAddr,
    body_timeout: Duration,
) -> Response<Answer> {
    let busy = |message| Refusal::unavailable(StatusCode::SERVICE_UNAVAILABLE, message).into_response();
    let (reply, answer) = oneshot::channel();
    let body = |inner| AppBody { inner, patience: Patience::new(body_timeout) };
    match app.try_send(AppRequest { request: request.map(body), reply, peer }) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(_)) => return busy("Slipway is busy; try again in a moment"),
        Err(mpsc::error::TrySendError::Closed(_)) => return busy("Slipway is stopping"),
    }
    match answer.await {
        Ok(response) => response.map(|body| relay(body, runtime)),
        Err(_) => busy("Slipway is stopping, or this request failed; see its log"),
    }
}

/// Polls the body where the application runs, so that none of its work is done on the gateway's threads. A body of known
/// length is already there.
fn relay(mut body: AppAnswer, runtime: Option<&Handle>) -> Answer {
    let Some(runtime) = runtime.filter(|_| body.size_hint().exact().is_none()) else {
        return Answer::App(body);
    };
    let (sender, receiver) = mpsc::channel(BUFFERED);
    runtime.spawn(async move {
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = sender.closed() => return,
            };
            let Some(frame) = frame else { return };
            if sender.send(frame).await.is_err() {
                return;
            }
        }
    });
    Answer::Frames(receiver)
}

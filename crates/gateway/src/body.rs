//! Bodies as they pass: frame by frame, never collected.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::GatewayConfig;
use crate::app::AppAnswer;
use crate::grpc;
use crate::metrics::Tally;
use crate::patience::Patience;
use crate::pool::{Pool, Sender};

/// What a body may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a body fails with that a client sends too slowly.
pub(crate) const LATE: &str = "the request's body did not arrive in time";

/// The body of any answer.
pub(crate) enum Answer {
    Whole(Option<Bytes>),
    Relay(Box<Relay>),
    App(AppAnswer),
    /// Frames that are produced on another runtime.
    Frames(mpsc::Receiver<Result<Frame<Bytes>, BoxError>>),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Relay(relay) => relay.poll(cx),
            Self::App(body) => Pin::new(body).poll_frame(cx),
            Self::Frames(frames) => frames.poll_recv(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Relay(relay) => relay.inner.is_end_stream(),
            Self::App(body) => body.is_end_stream(),
            Self::Frames(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Relay(relay) => relay.inner.size_hint(),
            Self::App(body) => body.size_hint(),
            Self::Frames(_) => SizeHint::default(),
        }
    }
}

/// A replica's answer on its way. At its end the connection goes back to the pool; dropped earlier, because the client
/// has gone, it closes the connection, so that the replica notices.
pub(crate) struct Relay {
    inner: Incoming,
    connection: Option<(Sender, u64, Rc<Pool>)>,
    ends: Ends,
    tally: Option<Tally>,
    request: Rc<Progress>,
    /// Bytes that passed.
    sent: u64,
    /// When it must be complete.
    deadline: Instant,
    /// Made when it first has to wait: most answers come in one piece and need none.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Relay {
    pub fn new(
        inner: Incoming,
        connection: Option<(Sender, u64, Rc<Pool>)>,
        tally: Tally,
        request: Rc<Progress>,
        deadline: Instant,
        ends: Ends,
    ) -> Self {
        let mut relay =
            Self { inner, connection, ends, tally: Some(tally), request, sent: 0, deadline, timer: None };
        if relay.inner.is_end_stream() {
            relay.finish();
        }
        relay
    }

    fn finish(&mut self) {
        if let Some((sender, key, pool)) = self.connection.take() {
            pool.put(key, sender);
        }
        if let Some(tally) = self.tally.take() {
            if self.ends == Ends::WithTrailers {
                // Without trailers nobody knows.
                tally.answered(500);
            }
            tally.passed(self.request.received.get(), self.sent);
            tally.finished();
        }
    }

    /// Nothing can be told any more but that the answer is not complete: the client's connection closes, or trailers say so.
    fn too_late(&mut self) -> Result<Frame<Bytes>, BoxError> {
        self.connection = None;
        if let Some(tally) = self.tally.take() {
            tally.answered(504);
            tally.failed();
        }
        match self.ends {
            Ends::WithTrailers => Ok(Frame::trailers(grpc::too_late())),
            Ends::Anyhow => Err("the answer took longer than the predict timeout".into()),
        }
    }

    fn lost(&mut self, error: hyper::Error) -> Result<Frame<Bytes>, BoxError> {
        self.connection = None;
        if let Some(tally) = self.tally.take() {
            // A client whose own body ended the exchange has lost nothing that the replica owed it.
            if self.request.fate.get() == Fate::Fine {
                tally.answered(503);
                tally.lost();
            }
        }
        match self.ends {
            Ends::WithTrailers => Ok(Frame::trailers(grpc::broken_off())),
            Ends::Anyhow => Err(error.into()),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            let deadline = self.deadline;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(Some(self.too_late()));
        };
        let frame = match frame {
            None => {
                self.finish();
                return Poll::Ready(None);
            }
            Some(Err(error)) => return Poll::Ready(Some(self.lost(error))),
            Some(Ok(frame)) => frame,
        };
        self.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
        if let (Ends::WithTrailers, Some(trailers), Some(tally)) =
            (self.ends, frame.trailers_ref(), &self.tally)
        {
            tally.answered(grpc::outcome(trailers));
        }
        if frame.is_trailers() || self.inner.is_end_stream() {
            self.finish();
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

/// How an answer tells what came of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// By its status alone.
    Anyhow,
    /// By trailers, which replicas of gRPC send.
    WithTrailers,
}

/// How a request's body fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fate {
    #[default]
    Fine,
    TooLarge,
    /// The client broke off.
    Broken,
    /// The client let it wait for too long.
    Late,
}

/// How far a request's body has come, for those who wait for its answer.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub fate: Cell<Fate>,
    /// Bytes.
    pub received: Cell<u64>,
}

/// A request's body on its way to a replica, counted against the limit.
pub(crate) struct Upload {
    inner: Incoming,
    left: u64,
    patience: Patience,
    progress: Rc<Progress>,
}

impl Upload {
    pub fn new(inner: Incoming, config: &GatewayConfig) -> (Self, Rc<Progress>) {
        let progress = Rc::new(Progress::default());
        let patience = Patience::new(config.body_timeout);
        (Self { inner, left: config.body_limit, patience, progress: progress.clone() }, progress)
    }

    /// One that may be a conversation: it has no limit but the time of the whole call.
    pub fn stream(inner: Incoming, config: &GatewayConfig) -> (Self, Rc<Progress>) {
        let progress = Rc::new(Progress::default());
        let patience = Patience::new(config.predict_timeout * 2);
        (Self { inner, left: u64::MAX, patience, progress: progress.clone() }, progress)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            ready!(self.patience.poll(cx));
            self.progress.fate.set(Fate::Late);
            return Poll::Ready(Some(Err(LATE.into())));
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.patience.came(length);
                match self.left.checked_sub(length) {
                    Some(left) => {
                        self.left = left;
                        self.progress.received.update(|received| received + length);
                        Some(Ok(frame))
                    }
                    None => {
                        self.progress.fate.set(Fate::TooLarge);
                        Some(Err("the request's body is too large".into()))
                    }
                }
            }
            Some(Err(error)) => {
                self.progress.fate.set(Fate::Broken);
                Some(Err(error.into()))
            }
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

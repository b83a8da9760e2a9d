//! Requests for the application, and those of an unusual kind: hyper reads and answers them.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::buffers::Buffer;
use crate::conversation::Client;
use crate::dispatch::dispatch;
use crate::leaving::Leaving;
use crate::serve::BUFFER;
use crate::underway::{Underway, Watched};
use crate::wire::{Rewound, Wire};

/// What is going on in a connection that hyper has.
#[derive(Default)]
struct State {
    underway: Rc<Underway>,
    /// The last answer left the connection open, and nothing of its request is unread.
    is_clean: Cell<bool>,
}

/// What is to be done with a connection that hyper has.
enum Over {
    /// Nothing is under way, and the thread ends or a new connection wants the place.
    Rests,
    /// An answer was not read in time.
    Late,
}

impl State {
    /// Ready when the connection is to end.
    fn poll_over(&self, alarm: &Alarm, cx: &mut Context<'_>) -> Poll<Over> {
        if !self.underway.is_empty() {
            alarm.stir();
            return alarm.poll(cx).map(|()| Over::Late);
        }
        // One that was ousted rests no more, and has rung.
        if !alarm.is_resting() && alarm.poll(cx).is_pending() {
            // Nothing is in progress, so nothing can be late.
            alarm.clear();
            alarm.rest(Instant::now());
        }
        alarm.poll_rest(cx).map(|()| Over::Rests)
    }

    /// Ready when a connection that was told to end takes too long to.
    fn poll_leaving(&self, leaving: &mut Leaving, alarm: &Alarm, cx: &mut Context<'_>) -> Poll<()> {
        if self.underway.is_empty() {
            return leaving.poll(cx);
        }
        // Its head had begun to come before; a request has its own time.
        leaving.restart();
        alarm.poll(cx)
    }
}

/// Answers the request that `ahead` begins with. The connection comes back if it takes another one, with what was read of
/// that; a request with a body may leave some of it unread, so then hyper has the next one, too.
pub(crate) async fn whole<S: Wire>(
    client: &Client,
    wire: S,
    ahead: Buffer,
    alarm: &Rc<Alarm>,
) -> Option<(S, Buffer)> {
    alarm.clear();
    // One with a body stays with hyper, and the next one may want another protocol.
    let upgrades = has(&ahead, b"\nupgrade:")
        || has(&ahead, b"\ncontent-length:")
        || has(&ahead, b"\ntransfer-encoding:");
    let state = Rc::new(State::default());
    let service = {
        let (worker, peer, from) = (client.worker.clone(), client.peer, client.from.clone());
        let (state, alarm) = (state.clone(), alarm.clone());
        service_fn(move |request: Request<Incoming>| {
            let (worker, from, state, alarm) = (worker.clone(), from.clone(), state.clone(), alarm.clone());
            let one = state.underway.begin();
            // What was set for a connection at rest is not for this request; models have a time of their own, set below.
            alarm.stir();
            alarm.clear();
            Box::pin(async move {
                let stays = request.body().is_end_stream()
                    && request.version() == Version::HTTP_11
                    && !closes(request.headers());
                let client = Client { worker, peer, from };
                let mut response = dispatch(&client, request, |at| alarm.set(at)).await;
                let moves = S::MOVES && stays && !upgrades;
                if alarm.ending().closes(moves) && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                state.is_clean.set(stays && !closes(response.headers()));
                Ok::<_, Infallible>(response.map(|body| Watched::new(body, one)))
            })
        })
    };
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(client.worker.gateway.config.header_timeout)
        .max_buf_size(BUFFER);
    let io = Rewound::new(ahead.to_vec(), wire);
    drop(ahead);
    let (allowed, sent) = (client.worker.gateway.config.body_timeout, io.sent());
    // The answer may not be written to its end yet; hyper ends after that, if its client reads.
    let leaves = || {
        alarm.stir();
        alarm.clear();
        Leaving::new(allowed, sent.clone())
    };
    let connection = builder.serve_connection(TokioIo::new(io), service);
    if upgrades {
        let mut connection = connection.with_upgrades();
        let mut leaving: Option<Leaving> = None;
        let ended = poll_fn(|cx| {
            loop {
                if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
                    return Poll::Ready(ended);
                }
                if let Some(leaving) = &mut leaving {
                    return state.poll_leaving(leaving, alarm, cx).map(Ok);
                }
                if let Over::Late = ready!(state.poll_over(alarm, cx)) {
                    return Poll::Ready(Ok(()));
                }
                leaving = Some(leaves());
                Pin::new(&mut connection).graceful_shutdown();
            }
        });
        if let Err(error) = ended.await {
            tracing::debug!(peer = %client.peer, %error, "a client's connection broke");
        }
        return None;
    }
    let mut connection = connection;
    let (mut leaving, mut comes_back) = (None::<Leaving>, false);
    let ended = poll_fn(|cx| {
        loop {
            let polled = match comes_back {
                true => connection.poll_without_shutdown(cx),
                // Only then it writes all that it has before it says that it is done.
                false => Pin::new(&mut connection).poll(cx),
            };
            if let Poll::Ready(ended) = polled {
                return Poll::Ready(ended);
            }
            if let Some(leaving) = &mut leaving {
                ready!(state.poll_leaving(leaving, alarm, cx));
                // Part of its answer is still unsent.
                comes_back = false;
                return Poll::Ready(Ok(()));
            }
            let is_done = state.underway.is_empty() && state.is_clean.get();
            if !is_done && let Over::Late = ready!(state.poll_over(alarm, cx)) {
                return Poll::Ready(Ok(()));
            }
            (leaving, comes_back) = (Some(leaves()), is_done);
            Pin::new(&mut connection).graceful_shutdown();
        }
    });
    if let Err(error) = ended.await {
        tracing::debug!(peer = %client.peer, %error, "a client's connection broke");
        return None;
    }
    if !comes_back {
        return None;
    }
    let parts = connection.into_parts();
    let (rest, wire) = parts.io.into_inner().into_parts();
    let mut ahead = client.worker.buffers.take();
    if !(parts.read_buf.is_empty() && rest.is_empty()) {
        ahead.tail().extend_from_slice(&parts.read_buf);
        ahead.tail().extend_from_slice(&rest);
    }
    Some((wire, ahead))
}

fn closes(headers: &HeaderMap) -> bool {
    headers.contains_key(CONNECTION)
        && !headers
            .get_all(CONNECTION)
            .iter()
            .all(|value| value.as_bytes().eq_ignore_ascii_case(b"keep-alive"))
}

/// Whether a head has a field, or seems to.
fn has(head: &[u8], field: &[u8]) -> bool {
    head.windows(field.len()).any(|found| found.eq_ignore_ascii_case(field))
}

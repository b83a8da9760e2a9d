//! Requests for the application, and those of an unusual kind: hyper reads and answers them.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use http::header::CONNECTION;
use http::{HeaderMap, Request, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::alarm::{Alarm, Ending};
use crate::buffers::Buffer;
use crate::conversation::Client;
use crate::dispatch::dispatch;
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

impl State {
    /// Nothing is in progress, so nothing can be late.
    fn rests(&self, alarm: &Alarm) {
        if self.underway.is_empty() && alarm.ending() == Ending::No {
            alarm.clear();
        }
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
            Box::pin(async move {
                let stays = request.body().is_end_stream()
                    && request.version() == Version::HTTP_11
                    && !closes(request.headers());
                let client = Client { worker, peer, from };
                let response = dispatch(&client, request, |at| alarm.set(at)).await;
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
    let io = TokioIo::new(Rewound::new(ahead.to_vec(), wire));
    drop(ahead);
    let connection = builder.serve_connection(io, service);
    if upgrades {
        let mut connection = connection.with_upgrades();
        let mut ends = false;
        let ended = poll_fn(|cx| {
            loop {
                if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
                    return Poll::Ready(ended);
                }
                state.rests(alarm);
                if alarm.ending() == Ending::No || std::mem::replace(&mut ends, true) {
                    return alarm.poll(cx).map(Ok);
                }
                Pin::new(&mut connection).graceful_shutdown();
            }
        });
        if let Err(error) = ended.await {
            tracing::debug!(peer = %client.peer, %error, "a client's connection broke");
        }
        return None;
    }
    let mut connection = connection;
    let (mut ends, mut comes_back) = (false, false);
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
            state.rests(alarm);
            let is_done = state.underway.is_empty() && state.is_clean.get();
            let must_end = alarm.ending() != Ending::No;
            if ends || !(must_end || is_done) {
                return alarm.poll(cx).map(Ok);
            }
            // The answer may not be written to its end yet; hyper ends after that.
            (ends, comes_back) = (true, is_done);
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

//! Connections that carry many requests at once: hyper reads HTTP/2, and each request goes the way of any other.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;

use crate::alarm::{Alarm, Ending};
use crate::body::Answer;
use crate::conversation::Client;
use crate::dispatch::dispatch;
use crate::leaving::Leaving;
use crate::respond::Refusal;
use crate::serve::{BUFFER, HELD_BODY};
use crate::underway::{Sending, Underway, Watched};
use crate::wire::{Rewound, Wire};

/// What such a connection begins with, as far as it takes to tell it from a head of HTTP/1.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2";
/// Its name where a protocol is agreed on under encryption.
pub(crate) const NAME: &[u8] = b"h2";

/// Requests of one connection at once.
const STREAMS: u32 = 128;
/// Bytes of one request's body that may come before anybody takes them: what [`HELD_BODY`] counts for one that is held.
const WINDOW: u32 = HELD_BODY as u32;
/// As many for each, so that none waits because another one does.
const ALL_WINDOWS: u32 = STREAMS * WINDOW;
/// Requests that a client may give up while it lets fewer come to their end; after ten times as many it is not waited for.
const GIVEN_UP: u64 = 200;
/// Requests that a client took back before they were looked at.
const TAKEN_BACK: usize = 20;
/// Frames that came for requests which had been answered already, over the life of a connection: who is refused while sending a
/// body has some on the way each time, and means no harm.
const WRONG: usize = 100_000;
/// How often a client is asked whether it is there, and how long it may take to say so.
const ASK: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// How long a connection without a request may take to end once it was told to.
const LINGER: Duration = Duration::from_secs(5);

/// Runs what hyper wants to run on the thread of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Here;

impl<F: Future<Output: 'static> + 'static> Executor<F> for Here {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

/// Answers the requests of a connection until it ends. `ahead` was read of it.
pub(crate) async fn many<S: Wire>(client: Client, wire: S, ahead: Vec<u8>, alarm: &Alarm) {
    // What it was set for is over.
    alarm.clear();
    alarm.stir();
    let underway = Rc::new(Underway::default());
    let config = &client.worker.gateway.config;
    let (idle, unread) = (config.header_timeout, config.body_timeout);
    let peer = client.peer;
    let service = {
        let (client, underway) = (Rc::new(client), underway.clone());
        service_fn(move |request: Request<Incoming>| {
            let (client, one) = (client.clone(), underway.begin());
            Box::pin(async move {
                let to_head = request.method() == Method::HEAD;
                let mut response = match as_http1(request) {
                    Ok(request) => dispatch(&client, request, |at| one.is_due(at)).await,
                    Err(refusal) => refusal.into_response(),
                };
                if to_head {
                    without_body(&mut response);
                }
                let sending = response.map(|body| Sending(Watched::new(body, one)));
                Ok::<Response<Sending>, Infallible>(sending)
            })
        })
    };
    let mut builder = Builder::new(Here);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(ALL_WINDOWS)
        .max_header_list_size(BUFFER as u32)
        .max_send_buf_size(BUFFER)
        .max_pending_accept_reset_streams(TAKEN_BACK)
        .max_local_error_reset_streams(WRONG)
        .keep_alive_interval(ASK.0)
        .keep_alive_timeout(ASK.1);
    let io = Rewound::new(ahead, wire);
    let mut leaving = Leaving::new(unread, io.sent());
    let mut connection = Box::pin(builder.serve_connection(TokioIo::new(io), service));
    let (mut ends, mut wait) = (false, Wait::Nothing);
    let ended = poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            underway.watch(cx);
            if !ends && (alarm.ending() != Ending::No || underway.is_abused(GIVEN_UP)) {
                ends = true;
                connection.as_mut().graceful_shutdown();
                continue;
            }
            let now = Wait::of(&underway, ends);
            if now != std::mem::replace(&mut wait, now) {
                match now {
                    Wait::NextRequest => alarm.rest(Instant::now()),
                    _ => alarm.stir(),
                }
                match now {
                    Wait::Nothing => alarm.clear(),
                    Wait::Sending => {
                        alarm.clear();
                        leaving.restart();
                    }
                    Wait::NextRequest => alarm.set(Instant::now() + idle),
                    Wait::End => alarm.set(Instant::now() + LINGER),
                    Wait::Reading(until) => alarm.set(until),
                }
            }
            let is_unread = wait == Wait::Sending && leaving.poll(cx).is_ready();
            if is_unread || underway.is_abused(GIVEN_UP * 10) {
                return Poll::Ready(Ok(()));
            }
            ready!(alarm.poll(cx));
            if wait != Wait::NextRequest {
                return Poll::Ready(Ok(()));
            }
            ends = true;
            connection.as_mut().graceful_shutdown();
        }
    });
    if let Err(error) = ended.await {
        tracing::debug!(%peer, %error, "a client's connection broke");
    }
}

/// What the alarm of a connection is set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The application may take its time.
    Nothing,
    /// Its client reads answers that are all there.
    Sending,
    NextRequest,
    /// It was told to end, and nothing is under way.
    End,
    /// By then an answer must have been read.
    Reading(Instant),
}

impl Wait {
    fn of(underway: &Underway, ends: bool) -> Self {
        match underway.first_due() {
            Some(at) => Self::Reading(at),
            None if underway.only_sends() => Self::Sending,
            None if !underway.is_empty() => Self::Nothing,
            None if ends => Self::End,
            None => Self::NextRequest,
        }
    }
}

/// What the gateway says by itself, in answer to HEAD: hyper leaves bodies out for HTTP/1 only.
fn without_body(response: &mut Response<Answer>) {
    if let Answer::Whole(body @ Some(_)) = response.body_mut() {
        let length = body.take().map_or(0, |bytes| bytes.len());
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Makes a request look as one of HTTP/1 does: its host in a field, one field of cookies, and a path alone.
fn as_http1(request: Request<Incoming>) -> Result<Request<Incoming>, Refusal> {
    let wrong = |message| Err(Refusal::new(StatusCode::BAD_REQUEST, "client_error", message));
    let (mut parts, body) = request.into_parts();
    if parts.method == Method::CONNECT {
        let message = "this server is no proxy, and takes websockets over HTTP/1.1";
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "client_error", message));
    }
    if let Some(authority) = parts.uri.authority() {
        let said = parts.headers.get(HOST);
        if said.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())) {
            return wrong("`:authority` and `host` name different hosts; send one of them");
        }
        match HeaderValue::from_str(authority.as_str()) {
            Ok(host) if !authority.as_str().contains('@') => parts.headers.insert(HOST, host),
            _ => return wrong("`:authority` is no host; send its name and port alone"),
        };
    }
    if parts.headers.get_all(HOST).iter().count() != 1 {
        return wrong("the request names no host, or several; send `:authority`");
    }
    join_cookies(&mut parts.headers);
    let target = parts.uri.path_and_query().cloned();
    parts.uri = target.map_or_else(|| Uri::from_static("/"), Uri::from);
    Ok(Request::from_parts(parts, body))
}

/// Cookies may come in several fields, which mean one.
fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

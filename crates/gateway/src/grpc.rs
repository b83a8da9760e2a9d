//! gRPC calls: passed on as they are, over HTTP/2, to replicas that speak nothing else. Their outcome is in the trailers.

use http::header::{CONTENT_TYPE, HOST, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use std::rc::Rc;
use tokio::time::Instant;

use crate::address::{Address, Named};
use crate::body::{Answer, Ends, Progress, Relay, Upload};
use crate::forward::{Call, Seat, TRIES, mark};
use crate::headers;
use crate::respond::Refusal;

/// The key, for clients whose `authorization` is another one's.
pub(crate) const AUTHORIZATION: HeaderName = HeaderName::from_static("baseten-authorization");
const MODEL: HeaderName = HeaderName::from_static("baseten-model-id");
const ENVIRONMENT: HeaderName = HeaderName::from_static("x-baseten-environment");
const DEPLOYMENT: HeaderName = HeaderName::from_static("x-baseten-deployment");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

const CANCELLED: u16 = 1;
const UNKNOWN: u16 = 2;
const INVALID_ARGUMENT: u16 = 3;
const DEADLINE_EXCEEDED: u16 = 4;
const NOT_FOUND: u16 = 5;
const PERMISSION_DENIED: u16 = 7;
const RESOURCE_EXHAUSTED: u16 = 8;
const UNIMPLEMENTED: u16 = 12;
const UNAVAILABLE: u16 = 14;
const UNAUTHENTICATED: u16 = 16;

/// Whether a request is a call. Its variant for browsers, which needs no HTTP/2, is none.
pub(crate) fn is_call<B>(request: &Request<B>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    request.version() == Version::HTTP_2
        && kind
            .strip_prefix(b"application/grpc")
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Whom a call is for, by its host and what it says beside it.
pub(crate) fn address<'a>(
    domain: Option<&str>,
    host: &str,
    headers: &HeaderMap,
    path: &'a str,
) -> Result<Address<'a>, Refusal> {
    let said = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let named = Named { model: said(MODEL), environment: said(ENVIRONMENT), deployment: said(DEPLOYMENT) };
    crate::address::parse_call(domain, host, &named, path).ok_or_else(|| {
        let message =
            "no model is named: send its id as `baseten-model-id`, or call model-{id}.grpc.api.<domain>";
        Refusal::missing(message)
    })
}

/// Passes a call on, and relays the answer and its trailers.
pub(crate) async fn pass(call: &Call<'_>, request: Request<Incoming>) -> Result<Response<Answer>, Refusal> {
    let config = &call.worker.gateway.config;
    let (mut parts, body) = request.into_parts();
    headers::to_replica(&mut parts.headers, call.from, call.id);
    parts.headers.remove(HOST);
    parts.headers.insert(TE, HeaderValue::from_static("trailers"));
    parts.version = Version::HTTP_2;
    let (upload, progress) = Upload::stream(body, config);
    let mut request = Request::from_parts(parts, upload);

    let mut tries = 0;
    let mut seat = call.admit_here().await?;
    loop {
        tries += 1;
        let replica = seat.flight.replica.clone();
        let mut channel = match call.worker.channels.get(replica.key, replica.port).await {
            Ok(channel) => channel,
            Err(error) if tries < TRIES => {
                tracing::debug!(replica = %replica.id, %error, "a replica took no connection");
                seat = call.elsewhere(seat).await?;
                continue;
            }
            Err(_) => return Err(call.lost(seat, "no replica takes connections")),
        };
        *request.uri_mut() = absolute(&replica.authority, &call.rewritten(&seat.view)?);
        let begun = if seat.waited.is_some() { Instant::now() } else { call.started };
        let deadline = begun + config.predict_timeout;
        match tokio::time::timeout_at(deadline, channel.try_send_request(request)).await {
            Ok(Ok(response)) => return Ok(relay(call, seat, response, progress, deadline)),
            Ok(Err(mut failed)) => match failed.take_message() {
                // Nothing of it was sent: the connection had been closed meanwhile.
                Some(back) if tries < TRIES => request = back,
                _ => return Err(call.broken(seat, progress.fate.get())),
            },
            Err(_) => return Err(call.late(seat)),
        }
    }
}

fn relay(
    call: &Call<'_>,
    seat: Seat,
    response: Response<Incoming>,
    progress: Rc<Progress>,
    deadline: Instant,
) -> Response<Answer> {
    let (mut parts, body) = response.into_parts();
    mark(&mut parts.headers, &seat);
    if seat.waited.is_some() {
        seat.flight.replica.answers_awaited(call.worker.gateway.clock.monotonic());
    }
    let tally = call.tally(seat);
    tally.first_byte();
    // What failed at once says so in its head; what is no gRPC says what it is.
    if parts.status != StatusCode::OK {
        tally.answered(parts.status.as_u16());
    } else if parts.headers.contains_key(STATUS) {
        tally.answered(outcome(&parts.headers));
    }
    let relay = Relay::new(body, None, tally, progress, deadline, Ends::WithTrailers);
    Response::from_parts(parts, Answer::Relay(Box::new(relay)))
}

/// A replica's address, whole.
fn absolute(authority: &HeaderValue, path: &Uri) -> Uri {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = authority.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
    parts.path_and_query = Some(path.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
    Uri::from_parts(parts).unwrap_or_default()
}

/// What a call came to, as a status of HTTP; without any it is unknown.
pub(crate) fn outcome(trailers: &HeaderMap) -> u16 {
    match trailers.get(STATUS).map_or(&b""[..], HeaderValue::as_bytes) {
        b"0" => 200,
        b"1" => 499,
        b"3" | b"9" | b"11" => 400,
        b"4" => 504,
        b"5" => 404,
        b"6" | b"10" => 409,
        b"7" => 403,
        b"8" => 429,
        b"12" => 501,
        b"14" => 503,
        b"16" => 401,
        _ => 500,
    }
}

/// An answer of ours to a call: one without a message.
pub(crate) fn refuse(refusal: &Refusal) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(None));
    *response.headers_mut() = trailers(status_of(refusal), &refusal.message);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// Ends a call whose replica broke off.
pub(crate) fn broken_off() -> HeaderMap {
    trailers(UNAVAILABLE, "the replica broke off while it answered")
}

/// Ends a call that has had its time.
pub(crate) fn too_late() -> HeaderMap {
    trailers(DEADLINE_EXCEEDED, "the call took longer than the predict timeout")
}

fn trailers(status: u16, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from(status));
    if let Ok(message) = HeaderValue::from_str(&percent_encoded(message)) {
        trailers.insert(MESSAGE, message);
    }
    trailers
}

fn status_of(refusal: &Refusal) -> u16 {
    match refusal.status.as_u16() {
        400 => INVALID_ARGUMENT,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => NOT_FOUND,
        405 | 501 => UNIMPLEMENTED,
        408 | 500 | 504 => DEADLINE_EXCEEDED,
        413 | 429 => RESOURCE_EXHAUSTED,
        499 => CANCELLED,
        502 | 503 => UNAVAILABLE,
        _ => UNKNOWN,
    }
}

fn percent_encoded(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_known_by_its_kind() {
        let request = |kind: &str, version| {
            Request::builder().header("content-type", kind).version(version).body(()).unwrap()
        };
        for kind in ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"] {
            assert!(is_call(&request(kind, Version::HTTP_2)), "{kind}");
            assert!(!is_call(&request(kind, Version::HTTP_11)), "{kind}");
        }
        for kind in ["application/grpc-web", "application/grpcx", "application/json"] {
            assert!(!is_call(&request(kind, Version::HTTP_2)), "{kind}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_grpcs_own_words() {
        let refused = refuse(&Refusal::missing("no model, 100 % sure\n"));
        assert_eq!(refused.status(), StatusCode::OK);
        assert_eq!(
            (&refused.headers()[STATUS], &refused.headers()[MESSAGE]),
            (&HeaderValue::from_static("5"), &HeaderValue::from_static("no model, 100 %25 sure%0A"),)
        );
    }

    #[test]
    fn what_the_server_is_to_blame_for_counts_as_its_error() {
        let of = |status: &str| outcome(&HeaderMap::from_iter([(STATUS, status.parse().unwrap())]));
        for status in ["2", "4", "12", "13", "14", "15", "", "x"] {
            assert!(of(status) >= 500, "{status}");
        }
        for status in ["1", "3", "5", "6", "7", "8", "9", "10", "11", "16"] {
            assert!((400..500).contains(&of(status)), "{status}");
        }
        assert_eq!((of("0"), outcome(&HeaderMap::new())), (200, 500));
    }
}

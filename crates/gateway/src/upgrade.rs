//! Websockets: after the handshake, bytes both ways.

use bytes::Bytes;
use http::header::{CONNECTION, HOST, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::admission::Deployment;
use crate::body::{Answer, BoxError};
use crate::forward::{Call, Seat, TRIES, mark};
use crate::headers;
use crate::pool;
use crate::respond::Refusal;

/// Passes a handshake on; if the replica agrees, relays until either side closes.
pub(crate) async fn websocket(
    call: &Call<'_>,
    mut request: Request<Incoming>,
) -> Result<Response<Answer>, Refusal> {
    if !wants_websocket(request.headers()) {
        let message = "this address takes websocket handshakes only";
        return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, "client_error", message));
    }
    let client = hyper::upgrade::on(&mut request);
    let mut outgoing = Request::new(Empty::<Bytes>::new());
    *outgoing.headers_mut() = std::mem::take(request.headers_mut());
    headers::to_replica(outgoing.headers_mut(), call.from, call.id);
    outgoing.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    outgoing.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));

    let mut seat = call.admit_here().await?;
    let mut tries = 1;
    let stream = loop {
        match pool::connect(seat.flight.replica.port).await {
            Ok(stream) => break stream,
            Err(_) if tries < TRIES => {
                seat = call.elsewhere(seat).await?;
                tries += 1;
            }
            Err(_) => return Err(call.lost(seat, "no replica takes connections")),
        }
    };
    *outgoing.uri_mut() = call.rewritten(&seat.view)?;
    outgoing.headers_mut().insert(HOST, seat.flight.replica.authority.clone());

    let answered = tokio::time::timeout(call.worker.gateway.config.predict_timeout, async {
        let (mut sender, connection) = Builder::new().handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(connection.with_upgrades());
        sender.send_request(outgoing).await
    });
    let mut response = match answered.await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => return Err(call.lost(seat, "the replica broke off before it answered")),
        Err(_) => {
            let message = "the model did not answer the handshake in time";
            let refusal = Refusal::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message);
            return Err(call.unanswered(seat, refusal));
        }
    };
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return declined(call, seat, response).await;
    }
    let replica = hyper::upgrade::on(&mut response);
    let (mut parts, _) = response.into_parts();
    headers::strip_hop_by_hop(&mut parts.headers);
    parts.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    parts.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    mark(&mut parts.headers, &seat);
    let (open, place) = (Open::new(&seat.flight.deployment), call.from.place());
    let tally = call.tally(seat);
    tally.begins(parts.status.as_u16());
    call.worker.tasks.spawn_local(async move {
        let relayed: Result<_, BoxError> = async {
            let (client, replica) = futures::try_join!(client, replica)?;
            Ok(tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(replica)).await?)
        }
        .await;
        match relayed {
            Ok((received, sent)) => tally.passed(received, sent),
            Err(error) => tracing::debug!(%error, "a websocket broke"),
        }
        drop((open, place));
        tally.finished();
    });
    parts.version = Version::HTTP_11;
    Ok(Response::from_parts(parts, Answer::Whole(None)))
}

/// Counts as an open websocket of its deployment until it is dropped, with its task at the latest.
struct Open(Arc<Deployment>);

impl Open {
    fn new(deployment: &Arc<Deployment>) -> Self {
        deployment.metrics.websockets.fetch_add(1, Relaxed);
        Self(deployment.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics.websockets.fetch_sub(1, Relaxed);
    }
}

/// The replica's own answer to a handshake that it does not take; it is short.
async fn declined(
    call: &Call<'_>,
    seat: Seat,
    response: Response<Incoming>,
) -> Result<Response<Answer>, Refusal> {
    use http_body_util::{BodyExt, Limited};
    let (mut parts, body) = response.into_parts();
    let Ok(body) = Limited::new(body, 1 << 20).collect().await else {
        return Err(call.lost(seat, "the replica broke off while it answered"));
    };
    let body = body.to_bytes();
    mark(&mut parts.headers, &seat);
    parts.version = Version::HTTP_11;
    let tally = call.tally(seat);
    tally.begins(parts.status.as_u16());
    tally.passed(0, body.len() as u64);
    tally.finished();
    Ok(Response::from_parts(parts, Answer::Whole(Some(body))))
}

fn wants_websocket(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

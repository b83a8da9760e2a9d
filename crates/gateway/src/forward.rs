//! One inference request, from its address to its answer.

use http::header::{AUTHORIZATION, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

use crate::address::{Action, Address};
use crate::admission::{Flight, View};
use crate::body::{Answer, Ends, Fate, LATE, Progress, Relay, Upload};
use crate::headers::{self, COLD_START, Peer, REQUEST_ID, SERVED_BY};
use crate::metrics::{Side, Tally};
use crate::respond::{Refusal, json};
use crate::serve::Worker;
use crate::table::Resolved;
use crate::{grpc, keys, pool, table, upgrade};

/// Connections tried for one request before it is given up.
pub(crate) const TRIES: u32 = 16;

/// Answers a request for a model.
pub(crate) async fn call(
    worker: &Rc<Worker>,
    request: Request<Incoming>,
    address: Address<'_>,
    query: Option<&str>,
    from: &Peer,
) -> Response<Answer> {
    let id = worker.ids.of(request.headers());
    let form = address.form;
    let (head, length) = (headers::size(&request), request.body().size_hint().upper());
    let call = Call { worker, address, query, from, id: &id, head, length, started: Instant::now() };
    let mut response = call.answer(request).await.unwrap_or_else(|refusal| match call.address.action {
        Action::Call(_) => grpc::refuse(&refusal),
        _ => refusal.into_response(),
    });
    match response.status() {
        StatusCode::SWITCHING_PROTOCOLS => headers::fence(response.headers_mut(), form),
        _ => headers::to_client(response.headers_mut(), form),
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// What is known of a request before its body moves.
pub(crate) struct Call<'a> {
    pub worker: &'a Rc<Worker>,
    pub address: Address<'a>,
    pub query: Option<&'a str>,
    pub from: &'a Peer,
    pub id: &'a HeaderValue,
    /// Bytes of its head.
    pub head: u64,
    /// Bytes of its body, if it says.
    pub length: Option<u64>,
    pub started: Instant,
}

/// A request that was let in.
pub(crate) struct Seat {
    pub flight: Flight,
    pub view: Arc<View>,
    /// How long it waited, if it did.
    pub waited: Option<Duration>,
    pub side: Option<Arc<Side>>,
}

impl Call<'_> {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Answer>, Refusal> {
        let own = match self.address.action {
            Action::Call(_) => request.headers().get(grpc::AUTHORIZATION),
            _ => None,
        };
        let authorization = own.or_else(|| request.headers().get(AUTHORIZATION));
        self.check(
            authorization.map(HeaderValue::as_bytes).and_then(keys::presented),
            request.method() == Method::POST,
        )?;
        match self.address.action {
            Action::AsyncPredict => {
                let message = "asynchronous predictions are not offered; call the same address with /predict";
                Err(Refusal::new(StatusCode::NOT_FOUND, "client_error", message))
            }
            Action::Wake => {
                self.until_known().await?;
                self.wake()
            }
            Action::Websocket => upgrade::websocket(self, request).await,
            Action::Predict | Action::Sync(_) => self.forward(request).await,
            Action::Call(_) => grpc::pass(self, request).await,
        }
    }

    /// Whether the request may pass, by what its head says.
    pub fn check(&self, key: Option<keys::Digest>, is_post: bool) -> Result<(), Refusal> {
        let config = &self.worker.gateway.config;
        let Address { model, target, action, .. } = &self.address;
        self.worker.gateway.keys.load().check(key, model, target).map_err(Refusal::denied)?;
        match action {
            Action::Predict | Action::Wake | Action::AsyncPredict | Action::Call(_) if !is_post => {
                let message = "this address takes POST";
                Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "client_error", message))
            }
            Action::Predict | Action::Sync(_) if self.length > Some(config.body_limit) => {
                Err(Refusal::too_large(config.body_limit))
            }
            _ => Ok(()),
        }
    }

    /// Asks for a replica and answers at once.
    fn wake(&self) -> Result<Response<Answer>, Refusal> {
        let gateway = &self.worker.gateway;
        let table = gateway.table(&self.address.model).ok_or_else(|| self.no_model())?;
        let entries = table.targets(&self.address.target);
        if entries.is_empty() {
            return Err(match table.resolve(&self.address.target) {
                Resolved::To(..) => self.no_model(),
                other => self.missing(&other),
            });
        }
        let refused = |entry: &&table::Entry| Refusal::by_availability(&entry.view.availability);
        if let Some(refusal) = entries.iter().find_map(refused) {
            return Err(refusal);
        }
        let now = gateway.clock.monotonic();
        for entry in entries {
            entry.deployment.wake(now);
        }
        gateway.wake.wake(&self.address.model);
        Ok(json(StatusCode::ACCEPTED, "{}".into()))
    }

    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Answer>, Refusal> {
        let gateway = &self.worker.gateway;
        let (mut parts, body) = request.into_parts();
        headers::to_replica(&mut parts.headers, self.from, self.id);
        parts.version = Version::HTTP_11;
        if self.length.is_none() && !body.is_end_stream() {
            // For methods that seldom have a body, a client of HTTP/1.1 is believed to have none unless it says so.
            parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let (upload, progress) = Upload::new(body, &gateway.config);
        let mut request = Request::from_parts(parts, upload);

        let mut tries = 0;
        let mut seat = self.admit_here().await?;
        loop {
            let replica = seat.flight.replica.clone();
            *request.uri_mut() = self.rewritten(&seat.view)?;
            request.headers_mut().insert(HOST, replica.authority.clone());
            let idle = self.worker.pool.take(replica.key);
            let sender = match idle {
                Some(sender) => Ok(sender),
                None => pool::dial(replica.port).await,
            };
            tries += 1;
            let mut sender = match sender {
                Ok(sender) => sender,
                Err(error) if tries < TRIES => {
                    tracing::debug!(replica = %replica.id, %error, "a replica took no connection");
                    seat = self.elsewhere(seat).await?;
                    continue;
                }
                Err(_) => return Err(self.lost(seat, "no replica takes connections")),
            };
            let sent = sender.try_send_request(request);
            let begun = if seat.waited.is_some() { Instant::now() } else { self.started };
            let deadline = begun + gateway.config.predict_timeout;
            match tokio::time::timeout_at(deadline, sent).await {
                Ok(Ok(response)) => return Ok(self.relay(seat, response, sender, progress, deadline)),
                Ok(Err(mut failed)) => match failed.take_message() {
                    // Nothing of it was sent: the connection had been closed meanwhile.
                    Some(back) if tries < TRIES => request = back,
                    _ => return Err(self.broken(seat, progress.fate.get())),
                },
                Err(_) => return Err(self.late(seat)),
            }
        }
    }

    fn relay(
        &self,
        seat: Seat,
        response: Response<Incoming>,
        sender: pool::Sender,
        progress: Rc<Progress>,
        deadline: Instant,
    ) -> Response<Answer> {
        let (mut parts, body) = response.into_parts();
        parts.version = Version::HTTP_11;
        mark(&mut parts.headers, &seat);
        if seat.waited.is_some() {
            seat.flight.replica.answers_awaited(self.worker.gateway.clock.monotonic());
        }
        let key = seat.flight.replica.key;
        let tally = self.tally(seat);
        tally.begins(parts.status.as_u16());
        let connection = Some((sender, key, self.worker.pool.clone()));
        let relay = Relay::new(body, connection, tally, progress, deadline, Ends::Anyhow);
        Response::from_parts(parts, Answer::Relay(Box::new(relay)))
    }

    /// The address on the replica's own server.
    pub fn rewritten(&self, view: &View) -> Result<Uri, Refusal> {
        let rewrite = &view.rewrite;
        let path = match self.address.action {
            Action::Sync("/v1/models/model") => rewrite.readiness.as_str(),
            Action::Sync(path) | Action::Call(path) => path,
            Action::Websocket => rewrite
                .websocket
                .as_deref()
                .ok_or_else(|| Refusal::missing("this model has no websocket; call /predict instead"))?,
            _ if self.query.is_none() => return Ok(view.predict.clone()),
            _ => rewrite.predict.as_str(),
        };
        let uri = match self.query {
            Some(query) => format!("{path}?{query}").parse(),
            None => path.parse(),
        };
        uri.map_err(|error| {
            let message = format!("the address can't be passed on: {error}");
            Refusal::new(StatusCode::BAD_REQUEST, "client_error", message)
        })
    }

    /// The replica has had its time.
    pub fn late(&self, seat: Seat) -> Refusal {
        let seconds = self.worker.gateway.config.predict_timeout.as_secs();
        let message = format!("the model did not answer within {seconds} s");
        self.unanswered(seat, Refusal::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message))
    }

    /// The replica will not answer: the client is told so, and it counts.
    pub fn unanswered(&self, seat: Seat, refusal: Refusal) -> Refusal {
        self.tally(seat).answered(refusal.status.as_u16());
        refusal
    }

    pub fn broken(&self, seat: Seat, fate: Fate) -> Refusal {
        let refusal = match fate {
            Fate::TooLarge => Refusal::too_large(self.worker.gateway.config.body_limit),
            Fate::Late => {
                let message = format!("{LATE}; send it at once, or at 1,024 bytes a second at least");
                Refusal::new(StatusCode::REQUEST_TIMEOUT, "client_error", message)
            }
            Fate::Broken => {
                let message = "the request's body broke off";
                return Refusal::new(StatusCode::BAD_REQUEST, "client_error", message);
            }
            Fate::Fine => return self.lost(seat, "the replica broke off before it answered"),
        };
        seat.flight.deployment.metrics.ended(refusal.status.as_u16());
        refusal
    }

    pub fn lost(&self, seat: Seat, message: &str) -> Refusal {
        let message = format!("{message} (replica {})", seat.flight.replica.id);
        let refusal = Refusal::unavailable(StatusCode::BAD_GATEWAY, message);
        let tally = self.tally(seat);
        tally.answered(refusal.status.as_u16());
        tally.lost();
        refusal
    }

    /// Begins the account of a request whose answer begins, or will not come.
    pub fn tally(&self, seat: Seat) -> Tally {
        if let Some(side) = &seat.side {
            side.answered();
        }
        let gateway = self.worker.gateway.clone();
        Tally {
            flight: seat.flight,
            side: seat.side,
            gateway,
            started: self.started,
            waited: seat.waited.unwrap_or_default(),
            has_failed: Default::default(),
            first_byte: Default::default(),
            outcome: Default::default(),
        }
    }
}

/// Tells a client which replica answered and how long it had waited.
pub(crate) fn mark(headers: &mut http::HeaderMap, seat: &Seat) {
    headers.insert(SERVED_BY, seat.flight.replica.served_by.clone());
    if let Some(waited) = seat.waited {
        headers.insert(COLD_START, HeaderValue::from(waited.as_millis() as u64));
    }
}

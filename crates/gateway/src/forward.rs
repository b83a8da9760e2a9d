//! One inference request, from its address to its answer.

use domain::{DeploymentId, Outcome};
use http::header::{AUTHORIZATION, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;

use crate::address::{Action, Address, Target};
use crate::admission::{Deployment, Entry, Flight, Room, Verdict, View};
use crate::body::{Answer, Ends, Fate, LATE, Progress, Relay, Upload};
use crate::headers::{self, COLD_START, Peer, REQUEST_ID, SERVED_BY};
use crate::metrics::{Side, Tally};
use crate::respond::{Refusal, json};
use crate::serve::{HELD_BODY, Worker};
use crate::table::Resolved;
use crate::{grpc, keys, pool, table, upgrade};

/// Connections tried for one request before it is given up.
pub(crate) const TRIES: u32 = 16;
/// How long a request waits for its model to be published after a start.
const UNKNOWN: Duration = Duration::from_secs(30);
/// How long a call of `wake` counts as demand, in milliseconds.
const WOKEN: i64 = 10_000;
/// How often requests that begin to wait may ask for a look at their model, in milliseconds.
const WAKE_EVERY: i64 = 250;
/// Replicas that refuse connections are tried again this often, at first and at most.
const KNOCK: (Duration, Duration) = (Duration::from_millis(25), Duration::from_secs(1));

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
    let length = request.body().size_hint().upper();
    let call = Call { worker, address, query, from, id: &id, length, started: Instant::now() };
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
    side: Option<Arc<Side>>,
}

/// What came of asking for a slot, and of whom.
struct Asked {
    entry: Entry,
    view: Arc<View>,
    deployment: Arc<Deployment>,
    side: Option<Arc<Side>>,
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
                self.until_known().await;
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
        let until = gateway.clock.monotonic().saturating_add(WOKEN);
        for entry in entries {
            entry.deployment.woken_until.store(until, Relaxed);
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

    /// After a start, models are published one after the other: waits for this one's turn.
    async fn until_known(&self) {
        let known = self.worker.gateway.until_known(&self.address.model);
        // If it is not known then either, it is told to be missing.
        let _ = tokio::time::timeout(UNKNOWN, known).await;
    }

    /// Finds the deployment and waits until one of its replicas is free.
    pub async fn admit(&self) -> Result<Seat, Refusal> {
        self.until_known().await;
        self.wait(self.ask(None)?, None).await
    }

    /// As [`Self::admit`], for a request that can't go to another process: one that waits when the server is taken over from is
    /// refused, because nobody would start a replica for it here.
    pub async fn admit_here(&self) -> Result<Seat, Refusal> {
        tokio::select! {
            biased;
            seat = self.admit() => seat,
            () = self.worker.alarms.moves() => Err(Refusal::moving()),
        }
    }

    /// Waits for what was asked for; asks again whenever the routes changed meanwhile.
    async fn wait(&self, mut asked: Asked, mut waiting_since: Option<Instant>) -> Result<Seat, Refusal> {
        let gateway = &self.worker.gateway;
        let deadline = self.started + gateway.config.predict_timeout;
        loop {
            let Asked { entry, view, deployment, side } = asked;
            let mut place = match entry {
                Entry::Now(flight) => {
                    let waited = waiting_since.map(|since| since.elapsed());
                    return Ok(Seat { flight, view, waited, side });
                }
                Entry::Wait(place) => place,
                Entry::Full => {
                    deployment.metrics.ended(Outcome::ClientError);
                    return Err(match view.rejects_when_full {
                        true => Refusal::all_busy(),
                        false => Refusal::too_many(self.room()),
                    });
                }
                Entry::Again => {
                    tokio::task::yield_now().await;
                    asked = self.ask(Some(&deployment.id))?;
                    continue;
                }
            };
            let since = *waiting_since.get_or_insert_with(Instant::now);
            self.ask_for_replica(&deployment, &view, place.first);
            match tokio::time::timeout_at(deadline, &mut place.verdict).await {
                Ok(Ok(Verdict::Go(flight))) => {
                    let view = deployment.view().unwrap_or(view);
                    return Ok(Seat { flight, view, waited: Some(since.elapsed()), side });
                }
                Ok(_) => asked = self.ask(Some(&deployment.id))?,
                Err(_) => {
                    deployment.metrics.errors.fetch_add(1, Relaxed);
                    deployment.metrics.ended(Outcome::ServerError);
                    if let Some(side) = &side {
                        side.unserved();
                    }
                    let message = "no replica became ready in time";
                    return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "timeout", message));
                }
            }
        }
    }

    /// Asks the deployment that serves the address for a slot. One that was chosen `before` is asked again while the
    /// address still leads there, so that a request takes one turn of its environment's split, however often it is tried.
    fn ask(&self, before: Option<&DeploymentId>) -> Result<Asked, Refusal> {
        let target = &self.address.target;
        let table = self.worker.gateway.table(&self.address.model).ok_or_else(|| self.no_model())?;
        let again = before.and_then(|id| table.leads_to(target, id));
        let (found, through) = match again {
            Some(found) => found,
            None => match table.resolve(target) {
                Resolved::To(entry, through) => (entry, through),
                other => return Err(self.missing(&other)),
            },
        };
        if let Some(refusal) = Refusal::by_availability(&found.view.availability) {
            return Err(refusal);
        }
        self.fits(&found.view)?;
        if again.is_none() {
            found.deployment.metrics.requests.fetch_add(1, Relaxed);
        }
        let bytes = self.length.unwrap_or(HELD_BODY).min(HELD_BODY);
        let turn = self.worker.turn();
        let environment = through.map(|through| through.environment);
        let side = through.map(|through| through.side.clone());
        let entry = found.deployment.enter(&found.view, turn, environment, bytes, self.room());
        Ok(Asked { entry, view: found.view.clone(), deployment: found.deployment.clone(), side })
    }

    /// Whether the deployment speaks what the request does.
    fn fits(&self, view: &View) -> Result<(), Refusal> {
        let (status, message) = match (&self.address.action, view.rewrite.grpc) {
            (Action::Call(_), true) => return Ok(()),
            (Action::Call(_), false) => (
                StatusCode::NOT_IMPLEMENTED,
                "this deployment does not speak gRPC; call its address with /predict",
            ),
            (_, true) => {
                (StatusCode::BAD_REQUEST, "this deployment speaks gRPC only; call it with a client of gRPC")
            }
            (_, false) => return Ok(()),
        };
        Err(Refusal::new(status, "client_error", message))
    }

    fn room(&self) -> Room {
        let config = &self.worker.gateway.config;
        Room { requests: config.hold_limit, bytes: config.hold_bytes }
    }

    /// Tells that a request waits; not for each one when many do.
    fn ask_for_replica(&self, deployment: &Deployment, view: &View, first: bool) {
        let now = self.worker.gateway.clock.monotonic();
        let last = deployment.last_wake.load(Relaxed);
        if (first && !view.is_ready()) || now.saturating_sub(last) >= WAKE_EVERY {
            deployment.last_wake.store(now, Relaxed);
            self.worker.gateway.wake.wake(&deployment.model);
        }
    }

    /// The replica refuses connections: nothing goes there until it accepts one again, or is replaced.
    pub async fn elsewhere(&self, seat: Seat) -> Result<Seat, Refusal> {
        let Seat { flight, .. } = seat;
        let (replica, deployment) = (flight.replica.clone(), flight.deployment.clone());
        if replica.refuses() {
            self.worker.gateway.wake.wake(&deployment.model);
            let pool = self.worker.pool.clone();
            tokio::task::spawn_local(async move {
                let mut pause = KNOCK.0;
                while !replica.is_closed() {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(KNOCK.1);
                    if let Ok(sender) = pool::dial(replica.port).await {
                        pool.put(replica.key, sender);
                        break;
                    }
                }
                replica.accepts();
                deployment.release();
            });
        }
        let since = seat.waited.map(|waited| Instant::now() - waited);
        let before = flight.deployment.id.clone();
        drop(flight);
        self.wait(self.ask(Some(&before))?, since).await
    }

    /// The replica has had its time.
    pub fn late(&self, seat: Seat) -> Refusal {
        let tally = self.tally(seat);
        tally.never_begins();
        tally.failed();
        let seconds = self.worker.gateway.config.predict_timeout.as_secs();
        let message = format!("the model did not answer within {seconds} s");
        Refusal::new(StatusCode::GATEWAY_TIMEOUT, "timeout", message)
    }

    pub fn broken(&self, seat: Seat, fate: Fate) -> Refusal {
        if matches!(fate, Fate::TooLarge | Fate::Late) {
            seat.flight.deployment.metrics.ended(Outcome::ClientError);
        }
        match fate {
            Fate::TooLarge => Refusal::too_large(self.worker.gateway.config.body_limit),
            Fate::Late => {
                let message = format!("{LATE}; send it at once, or at 1,024 bytes a second at least");
                Refusal::new(StatusCode::REQUEST_TIMEOUT, "client_error", message)
            }
            Fate::Broken => {
                let message = "the request's body broke off";
                Refusal::new(StatusCode::BAD_REQUEST, "client_error", message)
            }
            Fate::Fine => self.lost(seat, "the replica broke off before it answered"),
        }
    }

    pub fn lost(&self, seat: Seat, message: &str) -> Refusal {
        let replica = seat.flight.replica.id.clone();
        let tally = self.tally(seat);
        tally.never_begins();
        tally.lost();
        Refusal::unavailable(StatusCode::BAD_GATEWAY, format!("{message} (replica {replica})"))
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
            has_failed: Default::default(),
            is_known: Default::default(),
        }
    }

    fn no_model(&self) -> Refusal {
        Refusal::missing(format!("there is no model {}", self.address.model))
    }

    fn missing(&self, resolved: &Resolved<'_>) -> Refusal {
        let model = &self.address.model;
        let name = match &self.address.target {
            Target::Environment(name) => name.as_str(),
            Target::Deployment(id) => id.as_str(),
            Target::Development => "development",
        };
        Refusal::missing(match resolved {
            Resolved::Empty => format!("nothing was promoted to the environment {name} of model {model} yet"),
            Resolved::NoEnvironment => format!("model {model} has no environment {name}"),
            Resolved::NoDevelopment => format!("model {model} has no development deployment"),
            _ => format!("model {model} has no deployment {name}"),
        })
    }
}

/// Tells a client which replica answered and how long it had waited.
pub(crate) fn mark(headers: &mut http::HeaderMap, seat: &Seat) {
    headers.insert(SERVED_BY, seat.flight.replica.served_by.clone());
    if let Some(waited) = seat.waited {
        headers.insert(COLD_START, HeaderValue::from(waited.as_millis() as u64));
    }
}

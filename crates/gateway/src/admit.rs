//! The way in: which deployment serves the address of a request, and a free replica of it.

use domain::DeploymentId;
use http::StatusCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::Instant;

use crate::address::{Action, Target};
use crate::admission::{Deployment, Entry, Room, Verdict, View};
use crate::forward::{Call, Seat};
use crate::metrics::Side;
use crate::pool;
use crate::respond::Refusal;
use crate::serve::HELD_BODY;
use crate::table::Resolved;

/// How long a request waits for its model to be published after a start.
const UNKNOWN: Duration = Duration::from_secs(30);
/// How often requests that begin to wait may ask for a look at their model, in milliseconds.
const WAKE_EVERY: i64 = 250;
/// Replicas that refuse connections are tried again this often, at first and at most.
const KNOCK: (Duration, Duration) = (Duration::from_millis(25), Duration::from_secs(1));

/// What came of asking for a slot, and of whom.
struct Asked {
    entry: Entry,
    view: Arc<View>,
    deployment: Arc<Deployment>,
    side: Option<Arc<Side>>,
}

impl Call<'_> {
    /// After a start, models are published one after the other: asks for this one's turn, and waits for it.
    pub async fn until_known(&self) -> Result<(), Refusal> {
        let (gateway, model) = (&self.worker.gateway, &self.address.model);
        if !gateway.is_late(model) {
            return Ok(());
        }
        let _part = gateway.held.take(self.bytes()).ok_or_else(|| self.too_many_in_all())?;
        gateway.wake.wake(model);
        // If it is not known then either, it is told to be missing.
        let _ = tokio::time::timeout(UNKNOWN, gateway.until_known(model)).await;
        Ok(())
    }

    /// Finds the deployment and waits until one of its replicas is free.
    pub async fn admit(&self) -> Result<Seat, Refusal> {
        self.until_known().await?;
        self.wait(self.ask(None)?, None, true).await
    }

    /// As [`Self::admit`], for a request that can't go to another process. When the server is taken over from, it is refused as
    /// soon as no replica is there any more: here nobody would start one.
    pub async fn admit_here(&self) -> Result<Seat, Refusal> {
        tokio::select! {
            biased;
            known = self.until_known() => known?,
            () = self.worker.alarms.moves() => return Err(Refusal::moving()),
        }
        self.wait(self.ask(None)?, None, false).await
    }

    /// Waits for what was asked for; asks again whenever the routes changed meanwhile. `moves` tells that the request can go to
    /// another process, which is for the caller to do.
    async fn wait(
        &self,
        mut asked: Asked,
        mut waiting_since: Option<Instant>,
        moves: bool,
    ) -> Result<Seat, Refusal> {
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
                    let refusal = match view.rejects_when_full {
                        true => Refusal::all_busy(),
                        false => Refusal::too_many(self.room()),
                    };
                    deployment.metrics.ended(refusal.status.as_u16());
                    return Err(refusal);
                }
                Entry::AllFull => {
                    let refusal = self.too_many_in_all();
                    deployment.metrics.ended(refusal.status.as_u16());
                    return Err(refusal);
                }
                Entry::Again => {
                    tokio::task::yield_now().await;
                    asked = self.ask_again(&deployment)?;
                    continue;
                }
            };
            let since = *waiting_since.get_or_insert_with(Instant::now);
            self.ask_for_replica(&deployment, &view, place.first);
            let verdict = tokio::select! {
                biased;
                verdict = tokio::time::timeout_at(deadline, &mut place.verdict) => verdict,
                () = self.in_vain(&deployment), if !moves => {
                    let refusal = Refusal::moving();
                    deployment.metrics.ended(refusal.status.as_u16());
                    return Err(refusal);
                }
            };
            match verdict {
                Ok(Ok(Verdict::Go(flight))) => {
                    let view = deployment.view().unwrap_or(view);
                    return Ok(Seat { flight, view, waited: Some(since.elapsed()), side });
                }
                Ok(_) => asked = self.ask_again(&deployment)?,
                Err(_) => {
                    let message = "no replica became ready in time";
                    let refusal = Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "timeout", message);
                    deployment.metrics.errors.fetch_add(1, Relaxed);
                    deployment.metrics.ended(refusal.status.as_u16());
                    if let Some(side) = &side {
                        side.unserved();
                    }
                    return Err(refusal);
                }
            }
        }
    }

    /// As [`Self::ask`], for one that is counted already: what it is refused with is told of the deployment that it waited for.
    fn ask_again(&self, before: &Deployment) -> Result<Asked, Refusal> {
        self.ask(Some(&before.id)).inspect_err(|refusal| before.metrics.ended(refusal.status.as_u16()))
    }

    /// Ready once another process decides what becomes of models, and no replica of this deployment takes connections here.
    async fn in_vain(&self, deployment: &Deployment) {
        self.worker.alarms.moves().await;
        while deployment.view().is_some_and(|view| view.is_served()) {
            tokio::time::sleep(KNOCK.1).await;
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
        let turn = self.worker.turn();
        let environment = through.map(|through| through.environment);
        let side = through.map(|through| through.side.clone());
        let entry = found.deployment.enter(&found.view, turn, environment, self.bytes(), self.room());
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

    fn room(&self) -> Room<'_> {
        let gateway = &self.worker.gateway;
        let config = &gateway.config;
        Room { requests: config.hold_limit, bytes: config.hold_bytes, of_all: &gateway.held }
    }

    /// Bytes that the request takes while it waits: its head as it came and as it goes to a replica, and its body's begin.
    fn bytes(&self) -> u64 {
        2 * self.head + self.length.unwrap_or(HELD_BODY).min(HELD_BODY)
    }

    fn too_many_in_all(&self) -> Refusal {
        Refusal::too_many_in_all(self.worker.gateway.config.hold_bytes_in_all)
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
        let before = flight.deployment.clone();
        drop(flight);
        self.wait(self.ask_again(&before)?, since, false).await
    }

    pub fn no_model(&self) -> Refusal {
        Refusal::missing(format!("there is no model {}", self.address.model))
    }

    pub fn missing(&self, resolved: &Resolved<'_>) -> Refusal {
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

//! Steady traffic on one address (`slipway load`). An open loop: requests are sent when they are due, whatever became of
//! those before, and none is sent twice.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What to send, and how much of it.
#[derive(Debug, Clone)]
pub struct Plan {
    pub address: SocketAddr,
    pub host: String,
    /// `/model/{model}/…/predict`.
    pub path: String,
    pub key: String,
    pub body: Bytes,
    /// Requests a second, 1 or more.
    pub rate: u32,
    pub length: Duration,
}

/// Failures that are kept one by one.
pub const MOST_FAILURES: usize = 100_000;

/// One request that was answered with anything but success, or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub sent: Instant,
    pub ended: Instant,
    /// The answer's; `None` if there was no answer, or it broke off.
    pub status: Option<u16>,
    /// Nobody listened at the address.
    pub refused: bool,
    /// The status and what the answer said, or why there is none.
    pub what: String,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub sent: u64,
    /// Answers by status.
    pub answers: BTreeMap<u16, u64>,
    /// Requests without an answer: no connection, or it broke off.
    pub broken: u64,
    /// Answers by the deployment that gave them.
    pub deployments: BTreeMap<String, u64>,
    /// When the youngest request was sent that each deployment answered.
    pub latest: BTreeMap<String, Instant>,
    /// The first [`MOST_FAILURES`] of those that failed.
    pub failures: Vec<Failure>,
    /// How long answers took until they were complete, in microseconds.
    pub(crate) micros: Vec<u64>,
}

impl Totals {
    /// Requests that were answered with anything but 200 to 299, or not at all.
    pub fn failed(&self) -> u64 {
        let bad: u64 =
            self.answers.iter().filter(|(status, _)| !is_good(**status)).map(|(_, count)| count).sum();
        bad + self.broken
    }

    /// Requests of which nothing is known yet.
    pub fn open(&self) -> u64 {
        self.sent.saturating_sub(self.answers.values().sum::<u64>() + self.broken)
    }

    /// Milliseconds within which this percentage of the answers was complete; `None` if there were none.
    pub fn percentile_ms(&self, percent: u32) -> Option<f64> {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let index = (sorted.len() * percent as usize).div_ceil(100).checked_sub(1)?;
        sorted.get(index).map(|micros| *micros as f64 / 1000.0)
    }

    /// One line for people.
    pub fn sentence(&self) -> String {
        let mut parts = vec![format!("{} sent", self.sent)];
        parts.extend(self.answers.iter().map(|(status, count)| format!("{count} × {status}")));
        if self.broken > 0 {
            parts.push(format!("{} without an answer", self.broken));
        }
        if let (Some(median), Some(p99)) = (self.percentile_ms(50), self.percentile_ms(99)) {
            parts.push(format!("median {median:.1} ms, 99th {p99:.1} ms"));
        }
        if self.deployments.len() > 1 {
            let by = self.deployments.iter().map(|(id, count)| format!("{id} {count}"));
            parts.push(format!("by deployment: {}", by.collect::<Vec<_>>().join(", ")));
        }
        parts.join("; ")
    }
}

fn is_good(status: u16) -> bool {
    StatusCode::from_u16(status).is_ok_and(|status| status.is_success())
}

type Sender = SendRequest<Full<Bytes>>;

/// Connections that wait for their next request, and what was counted.
#[derive(Default)]
struct Shared {
    idle: Mutex<Vec<Sender>>,
    totals: Mutex<Totals>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often due requests are looked for.
const TICK: Duration = Duration::from_millis(1);
/// How often the totals are told.
const TELL: Duration = Duration::from_secs(5);

/// Sends until the plan is over, then waits for the answers that are under way. `tell` gets the totals now and then.
pub async fn send(plan: Plan, tell: impl Fn(&Totals)) -> Totals {
    run(plan, Arc::default(), CancellationToken::new(), tell).await
}

/// Traffic that goes on beside other things.
pub struct Running {
    shared: Arc<Shared>,
    stop: CancellationToken,
    task: JoinHandle<Totals>,
}

impl Running {
    pub fn start(plan: Plan) -> Self {
        let (shared, stop) = (Arc::<Shared>::default(), CancellationToken::new());
        let task = tokio::spawn(run(plan, shared.clone(), stop.clone(), |_| {}));
        Self { shared, stop, task }
    }

    /// Reads what came of it so far.
    pub fn read<R>(&self, read: impl FnOnce(&Totals) -> R) -> R {
        read(&lock(&self.shared.totals))
    }

    /// Sends no more, and waits for the answers that are under way, but no longer than `limit`: what has none by then stays
    /// [open](Totals::open).
    pub async fn stop(mut self, limit: Duration) -> anyhow::Result<Totals> {
        self.stop.cancel();
        match tokio::time::timeout(limit, &mut self.task).await {
            Ok(totals) => Ok(totals?),
            Err(_) => {
                self.task.abort();
                Ok(lock(&self.shared.totals).clone())
            }
        }
    }
}

async fn run(plan: Plan, shared: Arc<Shared>, stop: CancellationToken, tell: impl Fn(&Totals)) -> Totals {
    let plan = Arc::new(plan);
    let mut open = JoinSet::new();
    let begin = Instant::now();
    let (mut sent, mut told) = (0_u64, begin);
    let mut tick = tokio::time::interval(TICK);
    loop {
        tick.tick().await;
        let passed = begin.elapsed().min(plan.length);
        let due = (passed.as_secs_f64() * f64::from(plan.rate)) as u64;
        while sent < due {
            sent += 1;
            open.spawn(one(plan.clone(), shared.clone()));
        }
        while open.try_join_next().is_some() {}
        if told.elapsed() >= TELL {
            told = Instant::now();
            tell(&lock(&shared.totals));
        }
        if passed >= plan.length || stop.is_cancelled() {
            break;
        }
    }
    while open.join_next().await.is_some() {}
    lock(&shared.totals).clone()
}

async fn one(plan: Arc<Plan>, shared: Arc<Shared>) {
    let begun = Instant::now();
    lock(&shared.totals).sent += 1;
    let answered = ask(&plan, &shared).await;
    let ended = Instant::now();
    let micros = u64::try_from((ended - begun).as_micros()).unwrap_or(u64::MAX);
    let mut totals = lock(&shared.totals);
    let failure = match answered {
        Ok((status, deployment, said)) => {
            *totals.answers.entry(status.as_u16()).or_default() += 1;
            totals.micros.push(micros);
            if let Some(deployment) = deployment {
                let latest = totals.latest.entry(deployment.clone()).or_insert(begun);
                *latest = begun.max(*latest);
                *totals.deployments.entry(deployment).or_default() += 1;
            }
            let code = status.as_u16();
            (!is_good(code)).then(|| (Some(code), false, format!("{status}: {said}")))
        }
        Err(error) => {
            totals.broken += 1;
            Some((None, is_refused(&error), format!("{error:#}")))
        }
    };
    if let Some((status, refused, what)) = failure.filter(|_| totals.failures.len() < MOST_FAILURES) {
        totals.failures.push(Failure { sent: begun, ended, status, refused, what });
    }
}

fn is_refused(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// An answer: its status, the deployment that gave it, and what it says if it is no success.
type Answer = (StatusCode, Option<String>, String);

/// Characters that are kept of what a failure says.
const SAID: usize = 300;

async fn ask(plan: &Plan, shared: &Shared) -> anyhow::Result<Answer> {
    let idle = {
        let mut idle = lock(&shared.idle);
        std::iter::from_fn(|| idle.pop()).find(SendRequest::is_ready)
    };
    let mut sender = match idle {
        Some(sender) => sender,
        None => {
            let stream = tokio::net::TcpStream::connect(plan.address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            sender
        }
    };
    let request = Request::post(&plan.path)
        .header(HOST, &plan.host)
        .header(AUTHORIZATION, format!("Bearer {}", plan.key))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(plan.body.clone()))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let served_by = response.headers().get("x-served-by").and_then(|value| value.to_str().ok());
    let deployment = served_by.map(|text| text.split('/').next().unwrap_or(text).to_owned());
    let body = response.into_body().collect().await?.to_bytes();
    let said = match is_good(status.as_u16()) {
        true => String::new(),
        false => String::from_utf8_lossy(&body).chars().take(SAID).collect(),
    };
    if sender.ready().await.is_ok() {
        lock(&shared.idle).push(sender);
    }
    Ok((status, deployment, said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_no_success_failed() {
        let mut totals = Totals { sent: 7, broken: 1, ..Totals::default() };
        totals.answers.extend([(200, 3), (429, 2), (500, 1)]);
        totals.micros.extend([1_000, 3_000, 2_000]);
        assert_eq!((totals.failed(), totals.open()), (4, 0));
        assert_eq!((totals.percentile_ms(50), totals.percentile_ms(99)), (Some(2.0), Some(3.0)));
        let sentence = totals.sentence();
        assert!(sentence.contains("2 × 429") && sentence.contains("1 without an answer"), "{sentence}");
        assert_eq!(Totals::default().percentile_ms(50), None);
    }
}

//! What many rollouts that nobody calls cost a server and one another: ten thousand deployments, and a running canary in each of a
//! thousand models. The whole server is in this process, before a pretended machine.

mod machine;
mod seed;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::{Actor, AppliedRoutes, EnvironmentName, EventKind, Phase, Promotion, Runtime, Timestamp};
use server::boot::{Server, start_on};
use server::config::Settings;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use crate::counting::used;
use crate::wake::percentile;
use machine::Machine;
use seed::{DEPLOYMENTS, MODELS, STAGE_MS};

/// From the start of a server, whose replicas run already, to the answer of each model, in milliseconds.
const BACK: f64 = 1_000.0;
/// Resident memory, in MiB.
const MEMORY: f64 = 150.0;
/// From the call that cancels a rollout to its published routes, in milliseconds, 99 of a hundred.
const CANCEL: f64 = 50.0;
/// How late a stage may come, in milliseconds, 99 of a hundred.
const LATE: f64 = 1_000.0;
/// What a server that rests may use, in percent of a core: no bound here, where something runs, but what to compare with.
const RESTING: f64 = 0.5;

/// What belongs to the start is over after so long.
const SETTLE: Duration = Duration::from_secs(30);
/// How long nothing happens: as long as it takes for everything that is done once a minute to be done once.
const WATCHED: Duration = Duration::from_secs(60);
/// Rollouts that are canceled, evenly over a minute, so that some meet what is done once a minute.
const CANCELED: usize = 100;
const APART: Duration = Duration::from_millis(600);
/// How long a cancel waits for its routes: as long as the use case does.
const MOVED_WITHIN: Duration = Duration::from_secs(2);
/// The first of the stages is due so long after its model's first look, and the last one so long after that; milliseconds.
const FIRST_DUE: i64 = 30_000;
const SPREAD: i64 = 60_000;
/// A stage that has not come so long after the last one was due is not waited for.
const GIVEN_UP: Duration = Duration::from_secs(10);

const KEY: &str = "a-key-of-the-benchmark";

pub async fn run() -> bool {
    // As the server itself does with this allocator: it counts in what is resident.
    rustix::thread::disable_transparent_huge_pages(false).unwrap();
    let all = MODELS * DEPLOYMENTS;
    println!("rollouts: {MODELS} canaries that nobody calls, among {all} deployments; five minutes");
    let port = machine::serve().await;
    let rests = rest(port).await;
    let steps = stages(port).await;
    rests && steps
}

/// A start, a minute in which nothing happens, and cancels; no stage ends meanwhile.
async fn rest(port: u16) -> bool {
    let fleet = Fleet::start(port, |_| STAGE_MS).await;
    // Models have their first looks in this order.
    let (first, middle, last) =
        tokio::join!(fleet.answers(0), fleet.answers(MODELS / 2), fleet.answers(MODELS - 1));
    println!(
        "rollouts: start → answer {first:.0} ms for the first model, {middle:.0} ms for the middle one, {last:.0} ms for the last one \
         (bound {BACK:.0})"
    );
    sleep(SETTLE).await;
    let (memory_before, saves, looks) = (resident(), fleet.saves().await, fleet.looks());
    let before = used();
    sleep(WATCHED).await;
    let busy = (used() - before).as_secs_f64() / WATCHED.as_secs_f64() * 100.0;
    let each_second = |count: u64| count as f64 / WATCHED.as_secs_f64();
    let (memory, looks) = (resident(), each_second(fleet.looks() - looks));
    let saves = each_second(fleet.saves().await - saves);
    println!(
        "rollouts: {busy:.2} % of a core while nothing happens ({RESTING} % is what a server without them may use): {looks:.0} looks and \
         {saves:.0} saved rollouts a second"
    );
    println!(
        "rollouts: {memory:.0} MiB (bound {MEMORY:.0}), {:.1} MiB of it since a minute ago",
        memory - memory_before
    );
    let mut moved = Vec::with_capacity(CANCELED);
    for number in 0..CANCELED {
        let next = Instant::now() + APART;
        moved.push(fleet.cancel(number * (MODELS / CANCELED)).await);
        sleep_until(next).await;
    }
    fleet.end().await;
    let (median, most) = (percentile(moved.clone(), 50), percentile(moved, 99));
    println!(
        "rollouts: cancel → published routes, beside the others: median {median:.1} ms, 99th {most:.1} ms of {CANCELED} (bound \
         {CANCEL:.0})"
    );
    last.max(middle).max(first) <= BACK && memory <= MEMORY && most <= CANCEL
}

/// A minute in which each rollout goes to its second stage.
async fn stages(port: u16) -> bool {
    let fleet = Fleet::start(port, |number| FIRST_DUE + SPREAD * number as i64 / MODELS as i64).await;
    let due: Vec<Timestamp> = fleet.begun().await.iter().map(second_stage).collect();
    assert_eq!(due.len(), MODELS, "each rollout runs");
    sleep(Duration::from_millis((FIRST_DUE + SPREAD).unsigned_abs()) + GIVEN_UP).await;
    let mut late = Vec::with_capacity(MODELS);
    for (number, due) in due.iter().enumerate() {
        let stepped = fleet.stepped(number).await;
        late.push(stepped.map_or(f64::INFINITY, |at| at.since(*due) as f64));
    }
    fleet.end().await;
    let of = |percent| percentile(late.clone(), percent);
    println!(
        "rollouts: {MODELS} stages due within {} s come late: median {:.0} ms, 99th {:.0} ms (bound {LATE:.0}), slowest {:.0} ms",
        SPREAD / 1_000,
        of(50),
        of(99),
        of(100),
    );
    of(99) <= LATE
}

/// When the second stage of a rollout is due, of which time counts.
fn second_stage(rollout: &Promotion) -> Timestamp {
    assert_eq!(rollout.position.stage, 1, "the start took longer than the first stage had left");
    rollout.counted_at.plus(STAGE_MS - rollout.position.elapsed_ms)
}

/// A server with all the models.
struct Fleet {
    server: Server,
    started: Instant,
    looks: Arc<AtomicU64>,
    _data: TempDir,
}

impl Fleet {
    /// Starts it, each rollout with so many milliseconds left of its first stage, by the number of its model.
    async fn start(port: u16, left: impl Fn(usize) -> i64) -> Self {
        let data = tempfile::Builder::new().prefix("slipway-bench-").tempdir().unwrap();
        seed::fill(data.path(), left).await;
        let settings = Settings {
            data_dir: Some(data.path().to_owned()),
            listen: vec!["127.0.0.1:0".into()],
            admin_key: Some(KEY.into()),
            ..Settings::default()
        };
        let (config, replicas) = (settings.load().unwrap(), seed::replicas());
        let looks = Arc::new(AtomicU64::new(0));
        let counted = looks.clone();
        let started = Instant::now();
        let machine = |wakes| Machine::new(wakes, port, &replicas, counted) as Arc<dyn Runtime>;
        let server = start_on(config, machine).await.unwrap();
        Self { server, started, looks, _data: data }
    }

    /// Calls a model; milliseconds from the start of the server to its answer.
    async fn answers(&self, number: usize) -> f64 {
        let mut stream = TcpStream::connect(self.server.address()).await.unwrap();
        let request = format!(
            "POST /model/{}/environments/production/predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\
             Connection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}",
            seed::model(number)
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        millis(self.started.elapsed())
    }

    /// Cancels a rollout; milliseconds from the call until requests meet the routes that follow.
    async fn cancel(&self, number: usize) -> f64 {
        let (model, production, actor) =
            (seed::model(number), EnvironmentName::production(), Actor::system());
        let gateway = self.server.gateway();
        let generation = gateway.applied(&model) + 1;
        let called = Instant::now();
        let published = async {
            let moved = gateway.wait_applied(&model, generation, MOVED_WITHIN).await;
            (moved, called.elapsed())
        };
        let canceled = self.server.control().cancel_promotion(&actor, &model, &production);
        let (phase, (moved, took)) = tokio::join!(canceled, published);
        let phase = phase.unwrap();
        assert!(moved && phase == Phase::Canceled, "{model} is {phase:?} {took:?} after its cancel");
        millis(took)
    }

    /// Rollouts that run, as they are stored, by the number of their model.
    async fn rollouts(&self) -> Vec<Promotion> {
        let mut all = Vec::with_capacity(MODELS);
        for number in 0..MODELS {
            let state = self.server.store().load_model(&seed::model(number)).await.unwrap();
            all.extend(state.unwrap().promotions);
        }
        all
    }

    /// As [`Self::rollouts`], once time counts for all: from a model's first look on, which is saved.
    async fn begun(&self) -> Vec<Promotion> {
        loop {
            let all = self.rollouts().await;
            if all.iter().all(|rollout| rollout.version > 0) {
                return all;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// How often rollouts were saved: each time is a version.
    async fn saves(&self) -> u64 {
        self.rollouts().await.iter().map(|rollout| rollout.version).sum()
    }

    /// How often models were looked at.
    fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    /// When a rollout went to its second stage.
    async fn stepped(&self, number: usize) -> Option<Timestamp> {
        let events = self.server.store().events_of_model(&seed::model(number), 50).await.unwrap();
        let step = events
            .iter()
            .find(|event| event.kind == EventKind::ModelPromotionStep && event.data["stage"] == 2);
        step.map(|event| event.at)
    }

    async fn end(self) {
        self.server.stop().await;
    }
}

/// This process's resident memory in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let rest = status.split("VmRSS:").nth(1).unwrap();
    rest.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

//! From the moment a process could answer to the first byte of a request that waited for it, beside a direct connection
//! to a process of the same kind: the first one it ever gets, which takes longer than later ones.

use crate::toy::ABLE_AT;
use crate::world::{Subject, World, micros, post};

/// What the way from ready to the first byte may add at most to the replica's own answer, in milliseconds.
const MEDIAN: f64 = 5.0;
const NINETY_NINTH: f64 = 20.0;
const MODEL: &str = "\
import time


class Model:
    def load(self):
        time.sleep(0.3)
        self.able_at = time.time_ns() // 1000

    def predict(self, request):
        return {\"able_at\": self.able_at}
";

/// Milliseconds: through the gateway, and directly.
struct Round {
    woken: f64,
    direct: f64,
    phases: String,
}

pub async fn run() -> bool {
    let world = World::new().await;
    let command = format!("{} toy 300", std::env::current_exe().unwrap().display());
    let custom = format!(
        "python_version: py311\ndocker_server:\n  start_command: {command}\n  server_port: 8100\n  \
         predict_endpoint: /predict\n  readiness_endpoint: /ready\n  liveness_endpoint: /live\n"
    );
    let toy = world.push("toy", &[("config.yaml", &custom), ("data/nothing", "")]).await;
    let mut kept = measure(&world, "a custom server", &toy, 100, "/predict", able_at_of_toy).await;
    let config = "python_version: py311\nmodel_name: Able\n";
    let files = [("config.yaml", config), ("model/__init__.py", ""), ("model/model.py", MODEL)];
    let truss = world.push("truss", &files).await;
    kept &= measure(&world, "a Truss", &truss, 30, "/v1/models/model:predict", able_at_of_truss).await;
    world.end().await;
    kept
}

async fn measure(
    world: &World,
    name: &str,
    subject: &Subject,
    rounds: usize,
    path: &str,
    able_at: fn(&str) -> i64,
) -> bool {
    // The very first start, and its first answer, compile their Python and read it from the disk: neither side's doing.
    world.sleep(subject).await;
    world.wake(subject).await;
    post(world.replica(subject), path).await;
    let mut all = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        world.sleep(subject).await;
        let route = format!("/model/{}/production/predict", subject.model);
        let (first, answer) = post(world.address, &route).await;
        assert!(answer.contains("x-cold-start-ms"), "it did not wait: {answer}");
        let woken = millis(first - able_at(&answer));
        let phases = world.last_phases(subject).await;
        world.sleep(subject).await;
        world.wake(subject).await;
        let begin = micros();
        let (first, _) = post(world.replica(subject), path).await;
        all.push(Round { woken, direct: millis(first - begin), phases });
    }
    let of = |part: fn(&Round) -> f64, percent| percentile(all.iter().map(part).collect(), percent);
    let added = |percent| of(|round| (round.woken - round.direct).max(0.0), percent);
    println!(
        "wake, {name}: able to answer → first byte of a held request: median {:.1} ms, 99th {:.1} ms of {rounds}; a direct \
         connection: median {:.1} ms, 99th {:.1} ms; added: median {:.1} ms (bound {MEDIAN}), 99th {:.1} ms (bound {NINETY_NINTH})",
        of(|round| round.woken, 50),
        of(|round| round.woken, 99),
        of(|round| round.direct, 50),
        of(|round| round.direct, 99),
        added(50),
        added(99),
    );
    println!("  {}", world.phases(subject).await);
    let mut slowest: Vec<&Round> = all.iter().collect();
    slowest.sort_by(|one, other| other.woken.total_cmp(&one.woken));
    for round in slowest.iter().take(3) {
        println!("  among the slowest: {:.1} ms ({})", round.woken, round.phases);
    }
    added(50) <= MEDIAN && added(99) <= NINETY_NINTH
}

fn millis(micros: i64) -> f64 {
    micros as f64 / 1000.0
}

/// The least of the values that so many of a hundred of them do not exceed.
pub fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent).div_ceil(100).max(1) - 1]
}

fn able_at_of_toy(answer: &str) -> i64 {
    let line = answer.lines().find_map(|line| line.strip_prefix(ABLE_AT)?.strip_prefix(": ")).unwrap();
    line.trim().parse().unwrap()
}

fn able_at_of_truss(answer: &str) -> i64 {
    let rest = answer.split("\"able_at\":").nth(1).unwrap_or_else(|| panic!("{answer}"));
    let digits: String = rest.chars().skip_while(|c| *c == ' ').take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

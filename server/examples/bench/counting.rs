//! What counting for the graphs costs: two gateways before the same replica, one that counts and one that does not, in turns.

use std::time::Duration;

use gateway::GatewayConfig;

use crate::step::toy;
use crate::world::World;

/// Requests a second, and seconds, of one turn.
const RATE: u32 = 4_000;
const SECONDS: u64 = 2;
/// Turns of each gateway that count.
const PAIRS: usize = 32;
/// What it may cost of the processor time of a request.
const BOUND: f64 = 0.02;

pub async fn run() -> bool {
    let without = GatewayConfig { measures: false, ..GatewayConfig::default() };
    let world = World::with(vec![GatewayConfig::default(), without]).await;
    let subject = toy(&world, "toy-aside", 0).await;
    let path = format!("/model/{}/production/predict", subject.model);
    let (counts, does_not) = (world.address.to_string(), world.beside.unwrap().to_string());
    for address in [&counts, &does_not] {
        turn(address, &path).await;
    }
    let mut costs = Vec::new();
    let mut plain = Vec::new();
    for pair in 0..PAIRS {
        // In turns, so that neither always comes first.
        let (first, second) = if pair % 2 == 0 { (&counts, &does_not) } else { (&does_not, &counts) };
        let (one, other) = (turn(first, &path).await, turn(second, &path).await);
        let (with, without) = if pair % 2 == 0 { (one, other) } else { (other, one) };
        costs.push(with / without - 1.0);
        plain.push(without);
    }
    world.end().await;
    let (cost, micros) = (median(&mut costs), median(&mut plain));
    let (least, most) = (costs[PAIRS / 4] * 100.0, costs[PAIRS * 3 / 4] * 100.0);
    println!(
        "counting: {:+.2} % of a request's processor time ({micros:.1} us without it); {PAIRS} pairs, the middle half from {least:+.2} to {most:+.2} % (bound {:.0} %)",
        cost * 100.0,
        BOUND * 100.0,
    );
    cost <= BOUND
}

/// Processor time of this process for each request of one turn, in microseconds. Callers and replica are other processes.
async fn turn(address: &str, path: &str) -> f64 {
    tokio::time::sleep(Duration::from_millis(300)).await;
    let before = used();
    let callers = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["aside", address, path, &RATE.to_string(), &SECONDS.to_string()])
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .status();
    assert!(callers.await.unwrap().success(), "a request was not answered");
    (used() - before).as_secs_f64() * 1e6 / (f64::from(RATE) * SECONDS as f64)
}

/// Keeps this thread, and those it starts, on one core where there are two: the gateways on one, callers and replica on the
/// other, so that what is measured does not wander.
pub fn stay_on(core: usize) {
    let Ok(mut cores) = rustix::thread::sched_getaffinity(None) else { return };
    if cores.count() < 2 {
        return;
    }
    cores.clear();
    cores.set(core);
    // Without it the figure is only less sharp.
    let _ = rustix::thread::sched_setaffinity(None, &cores);
}

/// Processor time that this process has used.
pub fn used() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    (all[(all.len() - 1) / 2] + all[all.len() / 2]) / 2.0
}

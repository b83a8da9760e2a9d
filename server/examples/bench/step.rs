//! A load that steps from nothing to thousands of requests a second on a deployment that sleeps.

use std::time::Duration;

use bytes::Bytes;
use server::load::{Plan, send};

use crate::world::{KEY, Subject, World};

/// Requests a second that are meant.
pub const RATE: u32 = 3_000;
pub const SECONDS: u64 = 10;

pub async fn run(rate: u32) -> bool {
    let world = World::new().await;
    let toy = toy(&world, "toy", 300).await;
    world.sleep(&toy).await;
    let path = format!("/model/{}/production/predict", toy.model);
    println!("step: from nothing to {rate} requests/s on a sleeping deployment");
    // A process of its own, as callers are.
    let callers = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["call", &world.address.to_string(), &path, &rate.to_string(), &SECONDS.to_string()])
        .kill_on_drop(true)
        .status();
    let kept = callers.await.unwrap().success();
    world.end().await;
    kept
}

/// A fast server of one's own, which takes so long to start, in milliseconds.
pub async fn toy(world: &World, word: &str, load: u64) -> Subject {
    let command = format!("{} {word} {load}", std::env::current_exe().unwrap().display());
    let custom = format!(
        "python_version: py311\ndocker_server:\n  start_command: {command}\n  server_port: 8100\n  \
         predict_endpoint: /predict\n  readiness_endpoint: /ready\n  liveness_endpoint: /live\n"
    );
    world.push("toy", &[("config.yaml", &custom), ("data/nothing", "")]).await
}

/// The callers: sends, prints what came of it, and says whether every request was answered well.
pub async fn call(address: &str, path: &str, rate: u32, seconds: u64) -> bool {
    let plan = Plan {
        address: address.parse().unwrap(),
        host: "localhost".into(),
        path: path.into(),
        key: KEY.into(),
        body: Bytes::from_static(b"{}"),
        rate,
        length: Duration::from_secs(seconds),
    };
    let totals = send(plan, |_| {}).await;
    println!("{rate} requests/s for {seconds} s: {}", totals.sentence());
    totals.failed() == 0
}

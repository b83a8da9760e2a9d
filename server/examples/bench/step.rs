//! A load that steps from nothing to thousands of requests a second on a deployment that sleeps.

use std::time::Duration;

use bytes::Bytes;
use server::load::{Plan, send};

use crate::world::{KEY, World};

/// Requests a second that are meant.
pub const RATE: u32 = 3_000;
const LENGTH: Duration = Duration::from_secs(10);

pub async fn run(rate: u32) -> bool {
    let world = World::new().await;
    let command = format!("{} toy 300", std::env::current_exe().unwrap().display());
    let custom = format!(
        "python_version: py311\ndocker_server:\n  start_command: {command}\n  server_port: 8100\n  \
         predict_endpoint: /predict\n  readiness_endpoint: /ready\n  liveness_endpoint: /live\n"
    );
    let toy = world.push("toy", &[("config.yaml", &custom), ("data/nothing", "")]).await;
    world.sleep(&toy).await;
    let path = format!("/model/{}/production/predict", toy.model);
    // A process of its own, as callers are.
    let callers = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["call", &world.address.to_string(), &path, &rate.to_string()])
        .kill_on_drop(true)
        .status();
    let kept = callers.await.unwrap().success();
    world.end().await;
    kept
}

/// The callers: sends, prints what came of it, and says whether every request was answered well.
pub async fn call(address: &str, path: &str, rate: u32) -> bool {
    let plan = Plan {
        address: address.parse().unwrap(),
        host: "localhost".into(),
        path: path.into(),
        key: KEY.into(),
        body: Bytes::from_static(b"{}"),
        rate,
        length: LENGTH,
    };
    let totals = send(plan, |_| {}).await;
    let seconds = LENGTH.as_secs();
    println!("step, 0 → {rate} requests/s for {seconds} s on a sleeping deployment: {}", totals.sentence());
    totals.failed() == 0
}

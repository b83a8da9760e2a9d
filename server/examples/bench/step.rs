//! A load that steps from nothing to thousands of requests a second on a deployment that sleeps.

use std::time::Duration;

use bytes::Bytes;
use server::load::{Plan, send};

use crate::world::{KEY, World};

const RATE: u32 = 3_000;
const LENGTH: Duration = Duration::from_secs(10);

pub async fn run() -> bool {
    let world = World::new().await;
    let command = format!("{} toy 300", std::env::current_exe().unwrap().display());
    let custom = format!(
        "python_version: py311\ndocker_server:\n  start_command: {command}\n  server_port: 8100\n  \
         predict_endpoint: /predict\n  readiness_endpoint: /ready\n  liveness_endpoint: /live\n"
    );
    let toy = world.push("toy", &[("config.yaml", &custom), ("data/nothing", "")]).await;
    world.sleep(&toy).await;
    let plan = Plan {
        address: world.address,
        host: "localhost".into(),
        path: format!("/model/{}/production/predict", toy.model),
        key: KEY.into(),
        body: Bytes::from_static(b"{}"),
        rate: RATE,
        length: LENGTH,
    };
    let totals = send(plan, |_| {}).await;
    println!(
        "step, 0 → {RATE} requests/s for {} s on a sleeping deployment: {}",
        LENGTH.as_secs(),
        totals.sentence()
    );
    world.end().await;
    totals.failed() == 0
}

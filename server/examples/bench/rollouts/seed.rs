//! A thousand models of ten deployments each, as a server leaves them that was killed: one serves production, the newest is its
//! canary, the others rest.

use std::collections::BTreeMap;
use std::path::Path;

use domain::{
    ArtifactId, Build, Deployment, DeploymentId, DeploymentName, Environment, EnvironmentName, Lifecycle,
    Model, ModelId, ModelName, Phase, Position, Promotion, PromotionId, ReplicaCount, ReplicaId, ReplicaSpec,
    Reserved, STAGES, Strategy, Timestamp,
};
use store::{ModelState, Store, Tx};

use crate::world::{micros, write_down};

pub const MODELS: usize = 1_000;
pub const DEPLOYMENTS: usize = 10;
/// The window of each canary: a day, so that none ends meanwhile.
const WINDOW_MS: i64 = 86_400_000;
/// One of its ten stages.
pub const STAGE_MS: i64 = WINDOW_MS / STAGES as i64;
/// The first four deployments of a model are inactive, the next four sleep, and the last two are the sides of its rollout.
const INACTIVE: usize = 4;
const CURRENT: usize = 8;
const CANDIDATE: usize = 9;
/// Deployments of a model are so far apart in age, in milliseconds.
const APART: i64 = 3_600_000;
/// What all of them were pushed as.
const PUSHED: &str = "many";

pub fn model(number: usize) -> ModelId {
    ModelId::new(format!("rollout{number:04}"))
}

fn deployment(number: usize, place: usize) -> DeploymentId {
    DeploymentId::new(format!("r{number:04}x{place}"))
}

/// Replicas that run: one of each side of each rollout.
pub fn replicas() -> Vec<ReplicaSpec> {
    let sides = (0..MODELS).flat_map(|number| [(number, CURRENT), (number, CANDIDATE)]);
    sides
        .map(|(number, place)| ReplicaSpec {
            id: ReplicaId::new(format!("c{number:04}x{place}")),
            model: model(number),
            deployment: deployment(number, place),
            artifact: ArtifactId::new(PUSHED),
            config: serde_json::Value::Null,
            environment: Some(EnvironmentName::production()),
            reserved: Reserved::default(),
            milli_cpu: 0,
            secrets: BTreeMap::new(),
        })
        .collect()
}

/// Fills the database of a data folder. Each rollout is in its first stage; `left` says in how many milliseconds the next one is
/// due, at most [`STAGE_MS`], by the number of its model.
pub async fn fill(data: &Path, left: impl Fn(usize) -> i64) {
    let pushed = pushed().await;
    let now = Timestamp::from_millis(micros() / 1_000);
    let store = Store::open(&data.join("slipway.db").display().to_string()).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let mut counts = Vec::with_capacity(2 * MODELS);
    for number in 0..MODELS {
        let production = add(&mut tx, &pushed, number, now).await;
        let rollout = rollout(&production, number, now, STAGE_MS - left(number));
        tx.insert_promotion(&rollout).await.unwrap();
        let count = ReplicaCount { at: now, wanted: 1, starting: 0, ready: 1 };
        counts.extend([CURRENT, CANDIDATE].map(|place| (deployment(number, place), count)));
    }
    tx.commit().await.unwrap();
    store.add_history(&counts, &[]).await.unwrap();
    store.close().await;
}

/// One model as a push leaves it; what is seeded are its likes.
async fn pushed() -> ModelState {
    let scratch = tempfile::tempdir().unwrap();
    let store = Store::open(&scratch.path().join("scratch.db").display().to_string()).await.unwrap();
    let config = "model_name: Many\npython_version: py311\n";
    let subject = write_down(&store, scratch.path(), PUSHED, &[("config.yaml", config)]).await;
    let state = store.load_model(&subject.model).await.unwrap().unwrap();
    store.close().await;
    state
}

/// Adds a model with its deployments; answers its production environment.
async fn add(tx: &mut Tx, pushed: &ModelState, number: usize, now: Timestamp) -> Environment {
    let id = model(number);
    let seeded = Model {
        id: id.clone(),
        name: ModelName::new(format!("rollout {number:04}")).unwrap(),
        next_number: DEPLOYMENTS as u64 + 1,
        ..pushed.model.clone()
    };
    tx.insert_model(&seeded).await.unwrap();
    let current = Some(deployment(number, CURRENT));
    let production = Environment { model: id, current, ..pushed.environments[0].clone() };
    tx.insert_environment(&production).await.unwrap();
    for place in 0..DEPLOYMENTS {
        tx.insert_deployment(&like(&pushed.deployments[0], number, place, now)).await.unwrap();
    }
    production
}

fn like(pushed: &Deployment, number: usize, place: usize, now: Timestamp) -> Deployment {
    let made = now.plus(-APART * (DEPLOYMENTS - place) as i64);
    let (is_inactive, is_side) = (place < INACTIVE, place >= CURRENT);
    Deployment {
        id: deployment(number, place),
        model: model(number),
        name: DeploymentName::new(format!("deployment-{}", place + 1)).unwrap(),
        created_at: made,
        build: Build::Done { at: made },
        lifecycle: if is_inactive { Lifecycle::Inactive } else { Lifecycle::Active },
        environment: is_side.then(EnvironmentName::production),
        target: u32::from(is_side),
        active_since: (!is_inactive).then_some(made),
        ..pushed.clone()
    }
}

/// A canary in its first stage, of which so many milliseconds have counted.
fn rollout(production: &Environment, number: usize, now: Timestamp, elapsed_ms: i64) -> Promotion {
    let began = now.plus(-elapsed_ms);
    let (id, candidate) = (PromotionId::new(format!("p{number:04}")), deployment(number, CANDIDATE));
    let canary = Strategy::Canary { window_ms: WINDOW_MS };
    Promotion {
        phase: Phase::RampingUp,
        position: Position::at(1, elapsed_ms),
        counted_at: now,
        gate_passed_at: Some(began),
        previous_floor: 1,
        ..Promotion::new(id, production, candidate, canary, "the benchmark", began, now)
    }
}

//! A rollout that nobody calls is left alone, and what is due comes in time all the same.

#![allow(clippy::unwrap_used)]

use domain::{EventKind, Promotion, Strategy, Timestamp};
use engine::simulation::{Script, World};

const HOUR: i64 = 3_600_000;

/// A canary of ten hours that nobody calls, a millisecond after its first stage began.
async fn canary() -> World {
    let mut world = World::new(1).await.unwrap();
    for name in ["v1", "v2"] {
        world.deploy(name, Script { ready_after_ms: 1_000, ..Script::default() }).await.unwrap();
        world.run(10_000).await.unwrap();
    }
    world.promote("v2", Strategy::Canary { window_ms: 10 * HOUR }).await.unwrap().unwrap();
    world.run(1).await.unwrap();
    world
}

async fn rollout(world: &World) -> Promotion {
    world.last_promotion().await.unwrap().unwrap()
}

/// When each stage began, in milliseconds from the first one.
async fn stages(world: &World) -> Vec<i64> {
    let events = world.events().await.unwrap();
    let steps = events.iter().filter(|event| event.kind == EventKind::ModelPromotionStep);
    let stages: Vec<Timestamp> =
        steps.filter(|event| event.data["stage"].is_u64()).map(|event| event.at).collect();
    stages.iter().map(|at| at.since(stages[0])).collect()
}

#[tokio::test]
async fn it_is_saved_seldom_and_steps_in_time() {
    let mut world = canary().await;
    let before = rollout(&world).await.version;
    world.run(HOUR - 2).await.unwrap();
    let saved = rollout(&world).await.version - before;
    assert_eq!(saved, 99, "once in 36 s");
    world.run(HOUR + 2).await.unwrap();
    assert_eq!(stages(&world).await, [0, HOUR, 2 * HOUR]);
    assert!(world.violations.is_empty(), "{:?}", world.violations);
}

#[tokio::test]
async fn after_a_kill_it_goes_on_in_its_stage_and_repeats_little() {
    let mut world = canary().await;
    world.run(HOUR + 30_000).await.unwrap();
    world.restart();
    world.run(1).await.unwrap();
    assert_eq!(rollout(&world).await.position.stage, 2);
    world.run(3 * HOUR).await.unwrap();
    let stages = stages(&world).await;
    assert_eq!(stages[1], HOUR);
    assert!((0..=36_000).contains(&(stages[2] - 2 * HOUR)), "{stages:?}");
    assert_eq!(stages[3] - stages[2], HOUR);
    assert!(world.violations.is_empty(), "{:?}", world.violations);
}

#[tokio::test]
async fn the_time_until_its_candidate_dies_counts() {
    let mut world = canary().await;
    world.run(30_000).await.unwrap();
    let candidate = world.by_name("v2").await.unwrap().unwrap().id;
    world.machine.crash(&candidate);
    world.run(1).await.unwrap();
    let rollout = rollout(&world).await;
    assert_eq!(rollout.percent(), 0, "all traffic is back at once");
    let counted = rollout.position.elapsed_ms;
    assert!((28_000..=30_001).contains(&counted), "{counted} ms, though it was seen every two seconds");
}

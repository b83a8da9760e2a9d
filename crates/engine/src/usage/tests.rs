use std::sync::Arc;
use std::time::Duration;

use domain::{AutoscalingPatch, Clock, Host, InstanceType, Price, Runtime, Timestamp};
use store::{ModelState, Store};

use super::*;
use crate::simulation::{Script, World};

fn delta(deployment: &str, day: i64) -> UsageDelta {
    UsageDelta {
        deployment: DeploymentId::new(deployment),
        model: ModelId::new("m"),
        deployment_name: "v1".into(),
        model_name: "iris".into(),
        environment: None,
        instance_type: None,
        price: None,
        day,
        minutes: 10,
        requests: 1,
        counted_to: Timestamp::from_millis(0),
    }
}

fn used<'a>(state: &'a ModelState, replicas: &'a [ObservedReplica]) -> Metered<'a> {
    Metered { model: &state.model.id, name: &state.model.name, deployments: &state.deployments, replicas }
}

fn day(at: Moment) -> i64 {
    at.now.millis().div_euclid(DAY)
}

/// A world whose deployment has run for half a minute, with its replicas, and the moment some seconds later.
async fn running(script: Script) -> (World, ModelState, Vec<ObservedReplica>, impl Fn(i64) -> Moment) {
    let mut world = World::new(1).await.expect("a world");
    world.deploy("v1", Script { ready_after_ms: 1_000, ..script }).await.expect("deployed");
    world.run(30_000).await.expect("it ran");
    let state = world.state().await.expect("a state");
    let Seen::Known(replicas) = world.machine.observe(&world.model) else { panic!("it answers") };
    let (now, monotonic) = (world.clock.now(), world.clock.monotonic());
    let later = move |seconds: i64| {
        let millis = seconds * 1_000;
        Moment { now: now.plus(millis), monotonic: monotonic + millis }
    };
    (world, state, replicas, later)
}

/// A database that does not answer.
async fn away() -> Store {
    let folder = tempfile::tempdir().expect("a folder");
    let away = Store::open_scratch(&folder.path().join("away.db")).await.expect("a database");
    away.close().await;
    away
}

/// The minutes that are written, of each day.
async fn minutes(world: &World) -> Vec<i64> {
    let today = world.clock.now().millis().div_euclid(DAY);
    let rows = world.engine.parts.store.usage(today - 1, today + 1).await.expect("it is read");
    rows.iter().map(|row| row.minutes).collect()
}

#[test]
fn what_waits_is_added_up_and_does_not_grow_for_ever() {
    let mut meter = Meter::new(Moment { now: Timestamp::from_millis(0), monotonic: 0 });
    for day in [2, 1, 2] {
        meter.add(delta("a", day));
    }
    let told: Vec<_> =
        meter.to_write().iter().map(|delta| (delta.day, delta.minutes, delta.requests)).collect();
    assert_eq!(told, [(1, 10, 1), (2, 20, 2)]);
    for number in 0..MOST_WAITING {
        meter.add(delta(&number.to_string(), 3));
    }
    assert_eq!(meter.waiting.len(), MOST_WAITING);
    let written = meter.to_write();
    assert!(written.iter().all(|delta| delta.day == 3), "the oldest went");
    meter.written(&written);
    assert_eq!(meter.waiting.len(), MOST_WAITING - TOGETHER);
}

#[tokio::test]
async fn what_could_not_be_written_is_written_later_and_once() {
    let (mut world, state, replicas, later) = running(Script::default()).await;
    let engine = &mut world.engine;
    let there = std::mem::replace(&mut engine.parts.store, away().await);
    for seconds in [10, 100] {
        engine.meter(used(&state, &replicas), later(seconds)).await;
        engine.write_usage().await;
    }
    engine.parts.store = there.clone();
    // The replica has ended meanwhile, and is forgotten.
    engine.meter(used(&state, &[]), later(200)).await;
    engine.write_usage().await;
    engine.write_usage().await;
    let rows = there.usage(day(later(0)), day(later(200))).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.minutes).collect::<Vec<_>>(), [3]);
}

#[tokio::test]
async fn each_replica_is_rounded_by_itself() {
    let mut world = World::new(1).await.unwrap();
    world.deploy("v1", Script { ready_after_ms: 1_000, ..Script::default() }).await.unwrap();
    world.run(5_000).await.unwrap();
    let three =
        AutoscalingPatch { min_replica: Some(3), max_replica: Some(3), ..AutoscalingPatch::default() };
    world.rescale("production", three).await.unwrap().unwrap();
    world.run(70_000).await.unwrap();
    assert_eq!(minutes(&world).await, [3], "a minute of each was begun when it was written, after a minute");
    world.run(60_000).await.unwrap();
    assert_eq!(minutes(&world).await, [6]);
}

#[tokio::test]
async fn the_next_server_counts_nothing_twice_and_nothing_less() {
    let mut world = World::new(1).await.unwrap();
    world.deploy("v1", Script { ready_after_ms: 30_000, ..Script::default() }).await.unwrap();
    for _ in 0..20 {
        world.run(65_000).await.unwrap();
        world.restart();
    }
    let Seen::Known(replicas) = world.machine.observe(&world.model) else { panic!("it answers") };
    world.run(60_500).await.unwrap();
    let up = world.clock.now().since(replicas[0].started_at);
    let counted = minutes(&world).await.iter().sum::<i64>();
    // It was written half a second ago.
    assert_eq!(counted, (up - 500 + 59_999) / 60_000, "of {up} ms");
}

#[tokio::test]
async fn a_clock_that_is_set_after_a_restart_changes_no_minutes() {
    for step in [-3_600_000, 3_600_000] {
        let (mut world, state, replicas, later) = running(Script::default()).await;
        world.engine.meter(used(&state, &replicas), later(10)).await;
        world.engine.write_usage().await;
        world.clock.advance(50_000);
        world.restart();
        let at = later(80);
        let set = Moment { now: at.now.plus(step), ..at };
        world.engine.meter(used(&state, &replicas), set).await;
        world.engine.write_usage().await;
        assert_eq!(minutes(&world).await.iter().sum::<i64>(), 2, "of 110 s, the clock set by {step} ms");
    }
}

#[tokio::test]
async fn what_can_not_be_counted_yet_lets_no_row_say_that_it_is() {
    let (mut world, state, replicas, later) = running(Script::default()).await;
    world.engine.meter(used(&state, &replicas), later(10)).await;
    world.engine.write_usage().await;
    world.clock.advance(200_000);
    world.restart();
    world.tick().await;
    world.short_requests(Some(1_000));
    world.load.advance(3_000);
    let there = std::mem::replace(&mut world.engine.parts.store, away().await);
    world.engine.meter(used(&state, &replicas), later(210)).await;
    world.engine.parts.store = there;
    world.engine.write_usage().await;
    assert_eq!(minutes(&world).await, [1], "of before the restart");
    world.engine.meter(used(&state, &replicas), later(220)).await;
    world.engine.write_usage().await;
    let rows = world.engine.parts.store.usage(day(later(0)), day(later(220))).await.unwrap();
    assert_eq!(rows.iter().map(|row| (row.minutes, row.requests)).collect::<Vec<_>>(), [(5, 3)], "of 250 s");
}

#[tokio::test]
async fn development_and_starts_that_never_were_ready_are_free() {
    for script in [
        Script { development: true, ready_after_ms: 1_000, ..Script::default() },
        Script { never_ready: true, ..Script::default() },
        Script { load_fails: Some("no weights".into()), ready_after_ms: 1_000, ..Script::default() },
    ] {
        let mut world = World::new(1).await.unwrap();
        world.deploy("v1", script.clone()).await.unwrap();
        world.run(200_000).await.unwrap();
        assert_eq!(minutes(&world).await, [] as [i64; 0], "{script:?}");
    }
}

#[tokio::test]
async fn a_replica_that_crashes_counts_until_then() {
    let mut world = World::new(1).await.unwrap();
    let script = Script { ready_after_ms: 1_000, ..Script::default() };
    let id = world.deploy("v1", script).await.unwrap();
    world.run(30_000).await.unwrap();
    world.machine.crash(&id);
    world.run(100_000).await.unwrap();
    assert_eq!(minutes(&world).await, [1 + 2], "one of the first, two of the one after it");
}

#[tokio::test]
async fn one_that_crashes_while_the_database_is_away_counts_until_then() {
    let (mut world, _, replicas, _) = running(Script::default()).await;
    let there = std::mem::replace(&mut world.engine.parts.store, away().await);
    for minute in 0..30 {
        if minute == 3 {
            world.machine.crash(&replicas[0].deployment);
        }
        world.clock.advance(60_000);
        let at = world.engine.moment();
        world.engine.flush_usage(at).await;
    }
    world.engine.parts.store = there;
    let at = world.engine.moment();
    world.engine.flush_usage(at).await;
    assert_eq!(minutes(&world).await, [5], "its end is known to the minute");
}

#[tokio::test]
async fn one_that_was_counted_before_its_end_was_looked_at_is_not_counted_again() {
    let mut world = World::new(1).await.unwrap();
    let script = Script { ready_after_ms: 1_000, ..Script::default() };
    let id = world.deploy("v1", script).await.unwrap();
    world.run(300_000).await.unwrap();
    let before: i64 = minutes(&world).await.iter().sum();
    world.machine.crash(&id);
    let at = world.engine.moment();
    world.engine.flush_usage(at).await;
    world.run(61_000).await.unwrap();
    let counted: i64 = minutes(&world).await.iter().sum();
    assert!((5..=6).contains(&before), "{before}");
    assert!((before..=before + 3).contains(&counted), "{before}, then {counted}");
}

#[tokio::test]
async fn a_build_counts_by_its_deployment() {
    for (development, build_panics, expected) in
        [(false, false, vec![2]), (false, true, vec![2]), (true, false, vec![])]
    {
        let mut world = World::new(1).await.unwrap();
        let load_fails = Some("no".into());
        let script =
            Script { build_is_held: true, build_panics, development, load_fails, ..Script::default() };
        let id = world.deploy("v1", script).await.unwrap();
        while world.machine.building().is_empty() {
            world.tick().await;
            tokio::task::yield_now().await;
        }
        world.clock.advance(61_000);
        world.machine.let_go(&id);
        world.run(100_000).await.unwrap();
        assert_eq!(minutes(&world).await, expected);
    }
}

#[tokio::test]
async fn builds_whose_end_can_not_be_written_count_once_and_hold_nobody_up() {
    /// Far longer than anything takes, so that only what hangs fails.
    const PATIENCE: Duration = Duration::from_secs(60);
    let mut world = World::new(1).await.unwrap();
    let held = Script { build_is_held: true, build_fails: Some("no".into()), ..Script::default() };
    let mut ids = Vec::new();
    for name in ["v1", "v2", "v3"] {
        ids.push(world.deploy(name, held.clone()).await.unwrap());
    }
    while world.machine.building().len() < 2 {
        world.tick().await;
        tokio::task::yield_now().await;
    }
    let store = world.engine.parts.store.clone();
    store.refuse_writes(true).await.unwrap();
    world.clock.advance(61_000);
    ids.iter().for_each(|id| world.machine.let_go(id));
    // The third has its turn only now.
    let ended = tokio::time::timeout(PATIENCE, world.engine.finish_builds()).await;
    assert!(ended.is_ok(), "still being built: {:?}", world.machine.building());
    // Begun anew, they would have no end.
    ids.iter().for_each(|id| world.machine.script(id, held.clone()));
    store.refuse_writes(false).await.unwrap();
    let written = tokio::time::timeout(PATIENCE, async {
        while world.standings().await.unwrap().iter().any(|line| !line.contains("BUILD_FAILED: no")) {
            world.tick().await;
            tokio::task::yield_now().await;
        }
    });
    assert!(written.await.is_ok(), "{:?}", world.standings().await);
    world.run(100_000).await.unwrap();
    assert_eq!(minutes(&world).await, [2, 2], "the third took no time");
}

#[tokio::test]
async fn a_price_is_that_of_the_instance_type() {
    let (mut world, state, replicas, later) = running(Script::default()).await;
    let known = InstanceType {
        id: state.deployments[0].compute.type_id.clone(),
        name: "2x8".into(),
        milli_cpu: 2_000,
        memory: 8 << 30,
        gpus: 0,
        gpu_type: None,
        price: Some(Price(580_000)),
    };
    let engine = &mut world.engine;
    engine.parts.host = Arc::new(Host { types: vec![known], ..(*engine.parts.host).clone() });
    engine.meter(used(&state, &replicas), later(10)).await;
    engine.write_usage().await;
    let rows = engine.parts.store.usage(day(later(0)), day(later(10))).await.unwrap();
    assert_eq!(
        rows.iter().map(|row| (row.minutes, row.price)).collect::<Vec<_>>(),
        [(1, Some(Price(580_000)))]
    );
}

//! So many builds run at once; the others wait for their turn, as long as somebody waits for them.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use domain::{Build, Clock, DeploymentId, Lifecycle, SyncState};
use engine::simulation::{Script, World};

/// Far longer than anything takes, so that only what hangs fails.
const PATIENCE: Duration = Duration::from_secs(60);
const WAITS: &str = "BUILDING: waiting for its turn to build";
const BUILDS: &str = "BUILDING: installing requirements";
const FAULT: &str = "BUILD_FAILED: it was ended by a fault of the server, whose log says what went wrong; retry the deployment, \
                     or push again";

/// A machine that builds two at once, and deployments `v1`, `v2` and so on whose builds are held.
async fn pushed(count: usize) -> (World, Vec<DeploymentId>) {
    let mut world = World::new(1).await.unwrap();
    let mut ids = Vec::new();
    for number in 1..=count {
        world.clock.set(world.clock.now().plus(1));
        let script = Script { build_is_held: true, ready_after_ms: 1_000, ..Script::default() };
        ids.push(world.deploy(&format!("v{number}"), script).await.unwrap());
        world.tick().await;
    }
    (world, ids)
}

/// Looks, and lets builds go on, until exactly these are being built; never are more than two.
async fn until_building(world: &mut World, wanted: &[&DeploymentId]) {
    let wanted: BTreeSet<DeploymentId> = wanted.iter().map(|id| (*id).clone()).collect();
    let reached = tokio::time::timeout(PATIENCE, async {
        loop {
            let building = world.machine.building();
            assert!(building.len() <= 2, "{building:?}");
            if building.into_iter().collect::<BTreeSet<_>>() == wanted {
                return;
            }
            world.tick().await;
            tokio::task::yield_now().await;
        }
    });
    if reached.await.is_err() {
        panic!("{:?} instead of {wanted:?}: {:?}", world.machine.building(), world.standings().await);
    }
}

/// As [`until_building`], until a deployment stands like this.
async fn until_stands(world: &mut World, name: &str, standing: &str) {
    let wanted = format!("{name} {standing}");
    let reached = tokio::time::timeout(PATIENCE, async {
        while !world.standings().await.unwrap().contains(&wanted) {
            world.tick().await;
            tokio::task::yield_now().await;
        }
    });
    if reached.await.is_err() {
        panic!("not {wanted}: {:?}", world.standings().await);
    }
}

/// A change of `v1` arrives; waits until it is being built.
async fn change_is_built(world: &mut World) {
    world.receive_code("v1", false).await.unwrap();
    world.sync_code("v1").await.unwrap();
    let reached = tokio::time::timeout(PATIENCE, async {
        loop {
            world.tick().await;
            tokio::task::yield_now().await;
            let sync = world.by_name("v1").await.unwrap().and_then(|deployment| deployment.live?.sync);
            if matches!(sync, Some(SyncState::Preparing { step }) if step == "installing requirements") {
                return;
            }
        }
    });
    assert!(reached.await.is_ok(), "{:?} are being built", world.machine.building());
}

#[tokio::test]
async fn builds_take_turns_in_the_order_in_which_they_came() {
    let (mut world, ids) = pushed(5).await;
    until_building(&mut world, &[&ids[0], &ids[1]]).await;
    for name in ["v3", "v4", "v5"] {
        until_stands(&mut world, name, WAITS).await;
    }
    world.machine.let_go(&ids[1]);
    until_building(&mut world, &[&ids[0], &ids[2]]).await;
    until_stands(&mut world, "v3", BUILDS).await;
    until_stands(&mut world, "v4", WAITS).await;
    world.machine.let_go(&ids[0]);
    until_building(&mut world, &[&ids[2], &ids[3]]).await;
    world.machine.let_go(&ids[3]);
    until_building(&mut world, &[&ids[2], &ids[4]]).await;
    world.machine.let_go(&ids[2]);
    world.machine.let_go(&ids[4]);
    world.run(5_000).await.unwrap();
    assert!(world.standings().await.unwrap().iter().all(|line| !line.contains("BUILDING")));
}

#[tokio::test]
async fn what_is_deleted_gives_its_turn_and_its_place_to_others() {
    let (mut world, ids) = pushed(5).await;
    until_building(&mut world, &[&ids[0], &ids[1]]).await;
    until_stands(&mut world, "v1", BUILDS).await;
    // One that waits, and one that is being built for ever.
    for name in ["v3", "v1"] {
        world.change(name, |deployment| deployment.deleted_at = Some(deployment.created_at)).await.unwrap();
    }
    until_building(&mut world, &[&ids[1], &ids[3]]).await;
    world.machine.let_go(&ids[1]);
    until_building(&mut world, &[&ids[3], &ids[4]]).await;
}

#[tokio::test]
async fn one_that_panics_has_failed_and_can_be_retried() {
    let (mut world, ids) = pushed(3).await;
    until_building(&mut world, &[&ids[0], &ids[1]]).await;
    world.machine.script(&ids[0], Script { build_panics: true, ..Script::default() });
    world.machine.let_go(&ids[0]);
    until_building(&mut world, &[&ids[1], &ids[2]]).await;
    until_stands(&mut world, "v1", FAULT).await;
    let events = world.events().await.unwrap();
    assert!(events.iter().any(|event| event.sentence.starts_with("the build of v1 failed: it was ended")));
    world.machine.script(&ids[0], Script { ready_after_ms: 1_000, ..Script::default() });
    world.change("v1", |deployment| deployment.build = Build::Queued).await.unwrap();
    world.machine.let_go(&ids[1]);
    world.machine.let_go(&ids[2]);
    world.run(5_000).await.unwrap();
    let standings = world.standings().await.unwrap();
    assert!(standings.iter().all(|line| !line.contains("BUILD")), "{standings:?}");
}

#[tokio::test]
async fn what_is_deactivated_leaves_the_queue_and_comes_back_at_its_end() {
    let (mut world, ids) = pushed(4).await;
    until_building(&mut world, &[&ids[0], &ids[1]]).await;
    world.change("v3", |deployment| deployment.lifecycle = Lifecycle::Inactive).await.unwrap();
    world.tick().await;
    world.change("v3", |deployment| deployment.lifecycle = Lifecycle::Active).await.unwrap();
    world.tick().await;
    world.machine.let_go(&ids[0]);
    until_building(&mut world, &[&ids[1], &ids[3]]).await;
    world.machine.let_go(&ids[1]);
    until_building(&mut world, &[&ids[3], &ids[2]]).await;
}

#[tokio::test]
async fn of_what_was_pushed_again_one_build_goes_on() {
    let mut world = World::new(1).await.unwrap();
    let script = Script { development: true, ready_after_ms: 1_000, ..Script::default() };
    let id = world.deploy("v1", script.clone()).await.unwrap();
    world.run(5_000).await.unwrap();
    world.machine.script(&id, Script { build_is_held: true, ..script });
    change_is_built(&mut world).await;
    assert_eq!(world.machine.building().len(), 1);
    change_is_built(&mut world).await;
    assert_eq!(world.machine.building().len(), 2, "the former one may be making the same environment");
    // It would wait for its turn, if the second one had not given it up.
    change_is_built(&mut world).await;
    assert_eq!(world.machine.building().len(), 2);
}

#[tokio::test]
async fn what_ran_when_the_server_ended_may_have_to_wait_after_it() {
    let (mut world, ids) = pushed(3).await;
    until_building(&mut world, &[&ids[0], &ids[1]]).await;
    until_stands(&mut world, "v1", BUILDS).await;
    // What has begun goes on.
    world.change("v1", |deployment| deployment.lifecycle = Lifecycle::Inactive).await.unwrap();
    world.tick().await;
    tokio::task::yield_now().await;
    until_building(&mut world, &[&ids[0], &ids[1]]).await;
    world.restart();
    until_building(&mut world, &[&ids[1], &ids[2]]).await;
    world.change("v1", |deployment| deployment.lifecycle = Lifecycle::Active).await.unwrap();
    until_stands(&mut world, "v1", WAITS).await;
    world.machine.let_go(&ids[1]);
    until_building(&mut world, &[&ids[2], &ids[0]]).await;
}

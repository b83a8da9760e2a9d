//! What waits for room is not looked at all the time.

#![allow(clippy::unwrap_used)]

use domain::{Clock, GIB, Reserved};
use engine::simulation::{Script, World};

#[tokio::test]
async fn a_push_that_waits_for_former_code_to_finish_rests_meanwhile() {
    let mut world = World::new(1).await.unwrap();
    let needs = Reserved { memory: 12 * GIB, gpus: 0 };
    let script = Script { development: true, ready_after_ms: 1_000, needs, ..Script::default() };
    world.deploy("dev", script).await.unwrap();
    world.run(10_000).await.unwrap();
    world.load.send_long(300_000);
    world.run(1_000).await.unwrap();
    world.push_again("dev").await.unwrap();
    world.run(1_000).await.unwrap();
    let dev = world.by_name("dev").await.unwrap().unwrap();
    assert!(dev.waiting.is_some(), "it has room: {:?}", world.standings().await.unwrap());
    let next = world.tick().await - world.clock.monotonic();
    assert!(next >= 50, "the next look comes in {next} ms");
    world.run(35_000).await.unwrap();
    assert_eq!(world.standings().await.unwrap(), ["dev ACTIVE: 1 replica ready"]);
    assert!(world.violations.is_empty(), "{:?}", world.violations);
}

//! What a replica holds of the machine: its graphics cards, its memory, the disk.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use domain::{Holding, ObservedReplica, Reserved, Runtime, RuntimeError, Seen, StopReason};
use support::{Life, ask, custom, deployment, folder};

const SERVER: &str = include_str!("support/room.py");

const MIB: u64 = 1 << 20;

fn cards(gpus: u32) -> Reserved {
    Reserved { memory: 0, gpus }
}

/// What a process was told of the cards.
fn told(replica: &ObservedReplica) -> Option<String> {
    let environ = std::fs::read_to_string(format!("/proc/{}/environ", replica.pid.unwrap())).unwrap();
    environ.split('\0').find_map(|entry| entry.strip_prefix("CUDA_VISIBLE_DEVICES=").map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_replica_sees_its_own_cards_and_no_others() {
    let data = folder();
    let config = custom(data.path(), SERVER);
    let life = Life::begin_with_cards(data.path(), 3).await;
    life.build(&config).await.unwrap();
    let mut ids = Vec::new();
    for (id, gpus, visible) in [("r1", 2, "0,1"), ("r2", 1, "2"), ("r3", 0, "")] {
        let id = life.start_holding(id, &config, &[], cards(gpus)).await.unwrap();
        assert_eq!(told(&life.ready(&id).await).as_deref(), Some(visible), "one without a card sees none");
        ids.push(id);
    }
    let refused = life.start_holding("r4", &config, &[], cards(1)).await.unwrap_err();
    assert!(matches!(refused, RuntimeError::Retryable(_)), "{refused}");

    life.runtime.shutdown(true, Duration::ZERO).await;
    drop(life);
    let life = Life::begin_with_cards(data.path(), 3).await;
    let of = |held: Vec<Holding>| held.iter().map(|holding| holding.reserved.gpus).collect::<Vec<_>>();
    let Seen::Known(held) = life.runtime.held() else { panic!("a local machine is always seen") };
    assert_eq!(of(held), [2, 1, 0], "the next server knows what each holds");
    let refused = life.start_holding("r4", &config, &[], cards(1)).await;
    assert!(refused.is_err(), "the cards of adopted replicas are theirs");
    life.runtime.stop(&ids[0], Duration::from_secs(10), StopReason::Asked).await;
    life.ended(&ids[0]).await;
    let fourth = life.start_holding("r4", &config, &[], cards(1)).await.unwrap();
    assert_eq!(told(&life.ready(&fourth).await).as_deref(), Some("0"));
    life.runtime.shutdown(false, Duration::from_secs(10)).await;
}

/// The control group that counts the memory of a process, as the kernel tells it.
fn group_of_memory(pid: u32) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let counts = |names: &str| names.is_empty() || names.split(',').any(|name| name == "memory");
    let lines = text.lines().filter(|line| line.split(':').nth(1).is_some_and(counts));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_held_to_its_memory_where_the_host_permits_also_by_the_next_server() {
    let data = folder();
    let config = custom(data.path(), SERVER);
    let life = Life::begin(data.path()).await;
    life.build(&config).await.unwrap();
    let reserved = Reserved { memory: 200 * MIB, gpus: 0 };
    // Its id is in the name of its control group, which all tests on this machine share.
    let name = format!("r{}", std::process::id());
    let id = life.start_holding(&name, &config, &[], reserved).await.unwrap();
    let before = life.ready(&id).await;
    assert_eq!(told(&before), None, "a machine without cards says nothing of them");
    life.runtime.shutdown(true, Duration::ZERO).await;
    drop(life);

    let life = Life::begin(data.path()).await;
    let seen = life.replica(&id).unwrap();
    assert_eq!(seen.pid, before.pid, "it is adopted");
    let Seen::Known(held) = life.runtime.held() else { panic!("a local machine is always seen") };
    assert_eq!(held, [Holding { deployment: deployment(), reserved }]);
    let group = format!("slipway-{name}");
    let inside = group_of_memory(seen.pid.unwrap()).contains(&group);
    assert_eq!(inside, runtime::memory_limits().is_ok(), "held exactly where the host permits");
    if inside {
        let _ = ask(seen.port, "GET /eat", "").await;
        let (.., reason) = life.ended(&id).await;
        assert_eq!(reason, "it used more than its 200 MiB of memory and was killed");
    } else {
        assert!(ask(seen.port, "GET /eat", "").await.unwrap().contains("ok"), "nothing holds it");
        life.runtime.stop(&id, Duration::from_secs(10), StopReason::Asked).await;
        life.ended(&id).await;
    }
    let left = find(std::path::Path::new("/sys/fs/cgroup"), &group, 0);
    assert!(left.is_empty(), "{left:?}");
}

/// Folders whose names begin so.
fn find(folder: &std::path::Path, name: &str, depth: usize) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut found = Vec::new();
    for path in folders.map(|entry| entry.path()) {
        if path.file_name().is_some_and(|own| own.to_string_lossy().starts_with(name)) {
            found.push(path);
        } else if depth < 6 {
            found.extend(find(&path, name, depth + 1));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_is_measured_and_given_back_when_nobody_uses_it() {
    const HOUR: i64 = 3_600_000;
    let data = folder();
    let config = custom(data.path(), SERVER);
    std::fs::write(data.path().join("artifacts/art1.tar"), vec![0; 5000]).unwrap();
    let (life, clock) = Life::begin_at(data.path()).await;
    let live = support::row(&config);
    assert_eq!(life.runtime.storage(&live).await.environment, None, "it is not made yet");
    life.build(&config).await.unwrap();
    let id = life.start_holding("r1", &config, &[], Reserved::default()).await.unwrap();
    life.ready(&id).await;

    let held = life.runtime.storage(&live).await;
    assert!(held.artifact >= 5000 + SERVER.len() as u64 && held.logs > 0, "{held:?}");
    let environment = held.environment.unwrap();
    assert!(environment.bytes > 10_000, "{environment:?}");
    let env = data.path().join("envs").join(&environment.key);

    let keep = runtime::Retention { environments: 24 * HOUR, logs: 24 * HOUR };
    let tidied = life.runtime.tidy(vec![live.clone()], keep).await;
    assert_eq!(tidied, runtime::Tidied::default(), "all of it is used");
    // Deleted, while its replica still finishes.
    for _ in 0..3 {
        clock.advance(30 * HOUR);
        life.runtime.tidy(Vec::new(), keep).await;
    }
    assert!(env.join("bin/python").exists(), "a replica runs in it");
    assert!(!data.path().join("artifacts/art1").exists() && !data.path().join("artifacts/art1.tar").exists());
    life.runtime.stop(&id, Duration::from_secs(10), StopReason::Asked).await;
    life.ended(&id).await;

    clock.advance(23 * HOUR);
    life.runtime.tidy(Vec::new(), keep).await;
    assert!(env.exists(), "a push with the same requirements finds it for a day");
    clock.advance(2 * HOUR);
    let tidied = life.runtime.tidy(Vec::new(), keep).await;
    assert_eq!((tidied.environments, env.exists()), (1, false));
    assert!(tidied.bytes > 10_000);
    // The log is that of a deployment that is not live: purging it removes it.
    life.runtime.purge(&deployment()).await.unwrap();
    assert_eq!(life.runtime.storage(&live).await, domain::StorageUse::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_from_before_no_cache_was_obeyed_stays_with_its_deployment() {
    const HOUR: i64 = 3_600_000;
    let data = folder();
    let mut config = custom(data.path(), SERVER);
    let (life, clock) = Life::begin_at(data.path()).await;
    // A former server built it as if it had asked for nothing.
    life.build(&config).await.unwrap();
    config["build"] = serde_json::json!({ "no_cache": true });
    let live = support::row(&config);
    let key = life.runtime.storage(&live).await.environment.unwrap().key;
    let keep = runtime::Retention { environments: 24 * HOUR, logs: 24 * HOUR };
    for _ in 0..3 {
        clock.advance(30 * HOUR);
        assert_eq!(life.runtime.tidy(vec![live.clone()], keep).await.environments, 0);
    }
    assert!(data.path().join("envs").join(key).join("bin/python").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pushed_goes_with_its_last_deployment() {
    let data = folder();
    let config = custom(data.path(), SERVER);
    let life = Life::begin(data.path()).await;
    let artifact = support::row(&config).artifact;
    assert!(data.path().join("artifacts/art1").exists());
    life.runtime.discard(&artifact).await.unwrap();
    assert!(!data.path().join("artifacts/art1").exists());
    life.runtime.discard(&artifact).await.unwrap();
}

//! Servers of one's own, as real processes: started, watched, stopped, and found again after a crash of this server.

#![allow(clippy::unwrap_used)]

mod support;

use domain::{ReplicaState, Runtime, StopReason};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;
use support::{Life, ask, custom, folder};

const SERVER: &str = include_str!("support/server.py");
const LONG: Duration = Duration::from_secs(60);

fn facts(answer: &str) -> Value {
    serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
}

/// What a process is by its own count: in a sandbox another number than outside.
fn own_number(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap();
    numbers.split_whitespace().last().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_started_heard_and_stopped() {
    let data = folder();
    let config = custom(data.path(), SERVER);
    let life = Life::begin(data.path()).await;
    life.build(&config).await.unwrap();
    let id = life.start("r1", &config).await;
    let ready = life.ready(&id).await;
    assert!(ready.ready_at.is_some() && ready.pid.is_some());

    let facts = facts(&ask(ready.port, "GET /predict", "").await.unwrap());
    let environ = facts["environ"].as_object().unwrap();
    assert_eq!(environ["GREETING"], "hello");
    assert_eq!(environ["TRUSS_SECRET_token"], "s3cret");
    assert!(!environ.contains_key("CARGO_MANIFEST_DIR"), "the server's own environment reached a model");
    let own = data.path().join("replicas/r1");
    assert_eq!(environ["HOME"], own.join("home").to_str().unwrap());
    assert_eq!(facts["cwd"], own.join("app").to_str().unwrap());
    assert_eq!(facts["pid"], own_number(ready.pid.unwrap()));

    let used = life.runtime.samples(BTreeSet::new()).await;
    assert_eq!((used.len(), &used[0].replica, &used[0].deployment), (1, &id, &support::deployment()));
    assert!(used[0].memory.is_some_and(|bytes| bytes > 1 << 20) && used[0].cpu_ms > 0, "{used:?}");
    let again = life.runtime.samples(BTreeSet::from([id.clone()])).await;
    assert!(again[0].memory.is_none() && again[0].cpu_ms >= used[0].cpu_ms, "{again:?}");

    let slow = tokio::spawn(ask(ready.port, "GET /slow", ""));
    while !life.text().await.iter().any(|line| line == "slow begins") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    life.runtime.stop(&id, LONG, StopReason::ScaleDown).await;
    assert_eq!(life.replica(&id).unwrap().state, ReplicaState::Stopping);
    let (code, signal, reason) = life.ended(&id).await;
    assert_eq!((code, signal), (Some(0), None), "{reason}");
    assert!(slow.await.unwrap().unwrap().starts_with("HTTP/1.0 200"), "what was being answered is finished");

    let text = life.text().await;
    let at = |wanted: &str| {
        text.iter().position(|line| line.contains(wanted)).unwrap_or_else(|| panic!("{wanted} in {text:#?}"))
    };
    assert!(
        at("the build is done") < at("server starts") && at("fewer replicas are wanted") < at("server ends")
    );
    at("a structured line");
    life.runtime.forget(&id).await;
    assert_eq!(life.replica(&id), None);
    assert!(!own.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_tells_its_code_and_its_cause() {
    let data = folder();
    let config = custom(data.path(), SERVER);
    let life = Life::begin(data.path()).await;
    life.build(&config).await.unwrap();
    let id = life.start("r1", &config).await;
    let port = life.ready(&id).await.port;
    let _ = ask(port, "GET /crash", "").await;
    let (code, signal, reason) = life.ended(&id).await;
    assert_eq!((code, signal), (Some(3), None));
    assert!(reason.contains("ValueError: the weights are gone"), "{reason}");
    let words = life.runtime.last_words(&support::deployment(), 1).await;
    assert_eq!(words, ["ValueError: the weights are gone"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_other_machines_reach_is_not_kept() {
    let data = folder();
    let mut config = custom(data.path(), SERVER);
    config["docker_server"]["start_command"] = "LISTEN=0.0.0.0 python server.py".into();
    let life = Life::begin(data.path()).await;
    life.build(&config).await.unwrap();
    let id = life.start("r1", &config).await;
    let (_, _, reason) = life.ended(&id).await;
    assert!(reason.contains("127.0.0.1:") && reason.contains("$PORT"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_in_its_place_is_told_of() {
    let data = folder();
    let leaving = SERVER.replace("print(\"server starts\"", "os.setsid()\nprint(\"server starts\"");
    let mut config = custom(data.path(), &leaving);
    config["docker_server"]["start_command"] = "python server.py & exec sleep 600".into();
    let life = Life::begin(data.path()).await;
    life.build(&config).await.unwrap();
    let id = life.start("r1", &config).await;
    let told = |text: &[String]| text.iter().any(|line| line.contains("is no process of replica r1's own"));
    let says = async {
        while !told(&life.text().await) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, says).await.expect("nothing says why it does not get ready");
    assert_eq!(life.replica(&id).unwrap().state, ReplicaState::Starting);
    life.runtime.stop(&id, LONG, StopReason::Asked).await;
    life.ended(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sick_replica_is_unready_until_it_recovers() {
    let data = folder();
    let config = custom(data.path(), SERVER);
    let life = Life::begin(data.path()).await;
    life.build(&config).await.unwrap();
    let id = life.start("r1", &config).await;
    life.ready(&id).await;
    let sick = data.path().join("replicas/r1/app/sick");
    std::fs::write(&sick, "").unwrap();
    let unready = life.until(&id, |state| *state == ReplicaState::Unready).await;
    assert!(unready.unready_since.is_some());
    std::fs::remove_file(&sick).unwrap();
    assert_eq!(life.ready(&id).await.unready_since, None);
    life.runtime.stop(&id, LONG, StopReason::Asked).await;
    life.ended(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_several_stops_in_order_too() {
    let data = folder();
    let mut config = custom(data.path(), SERVER);
    config["docker_server"]["start_command"] = "echo first && python server.py".into();
    let life = Life::begin(data.path()).await;
    life.build(&config).await.unwrap();
    let id = life.start("r1", &config).await;
    life.ready(&id).await;
    life.runtime.stop(&id, LONG, StopReason::Asked).await;
    life.ended(&id).await;
    assert!(life.text().await.iter().any(|line| line == "server ends"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_stop_in_time_is_killed() {
    let data = folder();
    let stubborn = SERVER.replace(
        "signal.signal(signal.SIGTERM, ",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); (lambda *_: 0)(",
    );
    let config = custom(data.path(), &stubborn);
    let life = Life::begin(data.path()).await;
    life.build(&config).await.unwrap();
    let id = life.start("r1", &config).await;
    life.ready(&id).await;
    life.runtime.stop(&id, Duration::from_millis(100), StopReason::Asked).await;
    let (_, signal, reason) = life.ended(&id).await;
    assert_eq!(signal, Some(9));
    assert!(reason.contains("killed"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_deployment_starts_without_a_build_of_its_own() {
    let data = folder();
    let config = custom(data.path(), SERVER);
    let life = Life::begin(data.path()).await;
    life.build(&config).await.unwrap();
    life.runtime.purge(&support::deployment()).await.unwrap();
    let id = life.start("r1", &config).await;
    life.ready(&id).await;
    life.runtime.stop(&id, LONG, StopReason::Asked).await;
    life.ended(&id).await;
}

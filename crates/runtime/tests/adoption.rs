//! A replica outlives a crash of the server, and nothing is left behind by one.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::time::Duration;

use domain::{ReplicaState, Runtime, StopReason};
use support::{Life, ask, custom, folder, truss};

const SERVER: &str = include_str!("support/server.py");

/// A server's life that ends as a crash does: nothing is told to anybody.
fn crash_after(data: &Path, work: impl AsyncFnOnce(&Life)) {
    let threads = tokio::runtime::Runtime::new().unwrap();
    let life = threads.block_on(async {
        let life = Life::begin(data).await;
        work(&life).await;
        life
    });
    // A write that had begun ends as the kernel would end it; nothing of the former server goes on after this.
    threads.shutdown_timeout(Duration::from_secs(10));
    drop(life);
}

#[test]
fn the_next_server_adopts_what_still_lives() {
    let data = folder();
    let config = custom(data.path(), SERVER);
    let mut before = None;
    crash_after(data.path(), async |life| {
        life.build(&config).await.unwrap();
        let id = life.start("r1", &config).await;
        before = Some(life.ready(&id).await);
    });
    let before = before.unwrap();
    let threads = tokio::runtime::Runtime::new().unwrap();
    threads.block_on(async {
        let life = Life::begin(data.path()).await;
        let after = life.replica(&before.id).unwrap();
        assert_eq!(after.state, ReplicaState::Ready, "ready at once, so that its requests never wait");
        assert_eq!((after.pid, after.port, after.ready_at), (before.pid, before.port, before.ready_at));
        assert_eq!(life.runtime.adopted().len(), 1);
        ask(after.port, "GET /slow", "").await.unwrap();
        life.runtime.stop(&after.id, Duration::from_secs(60), StopReason::Asked).await;
        life.ended(&after.id).await;
        let text = life.text().await;
        assert_eq!(
            text.iter().filter(|line| *line == "server starts").count(),
            1,
            "no line twice: {text:#?}"
        );
        assert!(
            text.iter().any(|line| line == "slow begins") && text.iter().any(|line| line == "server ends")
        );
    });
    assert!(data.processes().is_empty());
}

/// One thing at a time, and one that takes until it is told to go on.
fn single_minded() -> String {
    let wait = "while not pathlib.Path(os.environ['HOME'], 'go').exists(): time.sleep(0.01)";
    SERVER.replace("time.sleep(1)", wait).replace("http.server.ThreadingHTTPServer", "http.server.HTTPServer")
}

#[test]
fn one_that_is_busy_is_adopted_without_an_answer_and_asked_again() {
    let data = folder();
    let config = custom(data.path(), &single_minded());
    let mut before = None;
    crash_after(data.path(), async |life| {
        life.build(&config).await.unwrap();
        let id = life.start("r1", &config).await;
        let ready = life.ready(&id).await;
        tokio::spawn(ask(ready.port, "GET /slow", ""));
        while !life.text().await.iter().any(|line| line == "slow begins") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        before = Some(ready);
    });
    let before = before.unwrap();
    let threads = tokio::runtime::Runtime::new().unwrap();
    threads.block_on(async {
        let life = Life::begin(data.path()).await;
        let busy = life.replica(&before.id).unwrap();
        assert_eq!((busy.state, busy.pid), (ReplicaState::Unready, before.pid));
        assert!(busy.unready_since.is_some());
        std::fs::write(data.path().join("replicas/r1/home/go"), "").unwrap();
        let ready = life.ready(&before.id).await;
        assert_eq!((ready.pid, ready.ready_at, ready.unready_since), (before.pid, before.ready_at, None));
        life.runtime.stop(&ready.id, Duration::from_secs(60), StopReason::Asked).await;
        life.ended(&ready.id).await;
    });
    assert!(data.processes().is_empty());
}

#[test]
fn what_can_not_be_adopted_is_stopped_and_removed() {
    let data = folder();
    let config = custom(data.path(), SERVER);
    crash_after(data.path(), async |life| {
        life.build(&config).await.unwrap();
        let id = life.start("r1", &config).await;
        life.ready(&id).await;
    });
    assert!(!data.processes().is_empty());
    // As after a crash between the start of the process and the note about it.
    std::fs::remove_file(data.path().join("replicas/r1/replica.json")).unwrap();
    let threads = tokio::runtime::Runtime::new().unwrap();
    threads.block_on(async {
        let life = Life::begin(data.path()).await;
        assert_eq!(life.runtime.adopted(), []);
    });
    assert!(data.processes().is_empty());
    assert!(!data.path().join("replicas/r1").exists());
}

#[test]
fn that_it_is_ready_is_written_down_later_where_it_could_not_be_at_once() {
    let data = folder();
    let config = truss(data.path(), LOADS);
    let mut before = None;
    crash_after(data.path(), async |life| {
        life.build(&config).await.unwrap();
        let id = life.start("r1", &config).await;
        life.until(&id, |state| *state == ReplicaState::Loading).await;
        // In the way of the file that is written first.
        let obstacle = data.path().join("replicas/r1/replica.json.new");
        std::fs::create_dir(&obstacle).unwrap();
        std::fs::write(data.path().join("replicas/r1/home/go"), "").unwrap();
        let ready = life.ready(&id).await;
        ask(ready.port, "POST /v1/models/model:predict", "{}").await.unwrap();
        std::fs::remove_dir(&obstacle).unwrap();
        let written = data.path().join("replicas/r1/replica.json");
        let later = async {
            while std::fs::read_to_string(&written).unwrap().contains("\"ready_at\": null") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), later).await.expect("it is written down");
        before = Some(ready);
    });
    let before = before.unwrap();
    let threads = tokio::runtime::Runtime::new().unwrap();
    threads.block_on(async {
        let life = Life::begin(data.path()).await;
        let after = life.replica(&before.id).unwrap();
        assert!(after.ready_at.is_some());
        assert_eq!((after.pid, after.ready_at), (before.pid, before.ready_at));
        life.runtime.stop(&after.id, Duration::from_secs(60), StopReason::Asked).await;
        life.ended(&after.id).await;
    });
    assert!(data.processes().is_empty());
}

/// Its model begins to load under one server and has loaded under none: what it tells then is heard by nobody.
const LOADS: &str = "
import os, time

class Model:
    def load(self):
        while not os.path.exists(os.path.join(os.environ['HOME'], 'go')):
            time.sleep(0.01)

    def predict(self, request):
        return 'loaded'
";

#[test]
fn one_that_loads_while_nobody_watches_is_found_ready() {
    let data = folder();
    let config = truss(data.path(), LOADS);
    crash_after(data.path(), async |life| {
        life.build(&config).await.unwrap();
        let id = life.start("r1", &config).await;
        let loading = life.until(&id, |state| *state == ReplicaState::Loading).await;
        assert!(loading.spawned_at.is_some(), "it told that its model begins to load");
        assert_eq!(loading.loaded_at, None);
    });
    std::fs::write(data.path().join("replicas/r1/home/go"), "").unwrap();
    let threads = tokio::runtime::Runtime::new().unwrap();
    threads.block_on(async {
        let life = Life::begin(data.path()).await;
        let id = life.runtime.adopted()[0].id.clone();
        let ready = life.ready(&id).await;
        assert!(ready.loaded_at.is_some());
        let answer = ask(ready.port, "POST /v1/models/model:predict", "{}").await.unwrap();
        assert!(answer.ends_with("loaded") || answer.contains("\"loaded\""), "{answer}");
        // One that starts under this server is heard: what it told is when it could answer.
        let id = life.start("r2", &config).await;
        life.until(&id, |state| *state == ReplicaState::Loading).await;
        std::fs::write(data.path().join("replicas/r2/home/go"), "").unwrap();
        let ready = life.ready(&id).await;
        assert!(ready.spawned_at < ready.loaded_at, "{ready:?}");
        for id in ["r1", "r2"] {
            let id = domain::ReplicaId::new(id);
            life.runtime.stop(&id, Duration::from_secs(60), StopReason::Asked).await;
            life.ended(&id).await;
        }
    });
    assert!(data.processes().is_empty());
}

//! What takes too long, or wants too much memory or too many processes.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use domain::{Runtime, StopReason};
use runtime::{Isolation, IsolationSettings, Limits};
use serde_json::{Value, json};
use support::{Life, ask, custom, folder, has_groups};
use tokio::sync::oneshot;

/// Takes one connection and says nothing on it.
struct Silent {
    port: u16,
    /// Somebody has connected.
    came: oneshot::Receiver<()>,
    /// Whoever had the connection has ended.
    went: oneshot::Receiver<()>,
}

impl Silent {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ((comes, came), (goes, went)) = (oneshot::channel(), oneshot::channel());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = comes.send(());
            let _ = stream.read_to_end(&mut Vec::new());
            let _ = goes.send(());
        });
        Self { port, came, went }
    }

    /// Why a build fails that waits for what is never said here. When it does, its hour is over at once.
    async fn fails(self, life: &Life, config: &Value) -> String {
        let Self { came, went, .. } = self;
        let passes = async {
            came.await.unwrap();
            tokio::time::pause();
            std::future::pending::<()>().await;
        };
        let failure = tokio::select! {
            built = life.build(config) => built.unwrap_err(),
            () = passes => unreachable!(),
        };
        tokio::time::resume();
        // Neither what it ran nor what that had started is left.
        went.await.unwrap();
        let said = format!("the build failed: {}", failure.reason);
        assert!(life.text().await.contains(&said), "{said}");
        failure.reason
    }
}

#[tokio::test]
async fn a_file_that_never_comes_ends_the_build_and_says_so() {
    let data = folder();
    let silent = Silent::listen();
    let mut config = custom(data.path(), "");
    let url = format!("http://127.0.0.1:{}/weights.bin", silent.port);
    config["external_data"] = json!([{ "url": url, "local_data_path": "weights.bin" }]);
    let life = Life::begin(data.path()).await;
    let reason = silent.fails(&life, &config).await;
    let begin = "it was ended after 60 minutes while fetching external data (1 of 1): weights.bin, because \
                 `machine.build_limit_minutes`";
    assert!(reason.starts_with(begin), "{reason}");
}

#[tokio::test]
async fn a_package_that_is_never_built_ends_the_build_with_all_it_started() {
    let off = IsolationSettings { mode: Isolation::Off, ..IsolationSettings::default() };
    for isolation in [IsolationSettings::default(), off] {
        let data = folder();
        let silent = Silent::listen();
        let mut config = custom(data.path(), "");
        config["requirements"] = json!(["./slow"]);
        let package = data.path().join("artifacts/art1/slow");
        std::fs::create_dir_all(&package).unwrap();
        std::fs::write(package.join("port.py"), format!("PORT = {}\n", silent.port)).unwrap();
        std::fs::write(package.join("hangs.py"), include_str!("support/hangs.py")).unwrap();
        let project = "[build-system]\nrequires = []\nbuild-backend = 'hangs'\nbackend-path = ['.']\n\
                       [project]\nname = 'slow'\nversion = '1'\n";
        std::fs::write(package.join("pyproject.toml"), project).unwrap();
        let life = Life::begin_isolated(data.path(), isolation).await;
        let reason = silent.fails(&life, &config).await;
        assert!(reason.starts_with("it was ended after 60 minutes while installing"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_has_no_more_processes_than_it_may_where_the_host_permits() {
    let data = folder();
    let config = custom(data.path(), include_str!("support/obedient.py"));
    let life = Life::begin_limited(data.path(), Limits { processes: 64, ..Limits::default() }).await;
    life.build(&config).await.unwrap();
    let id = life.start("r1", &config).await;
    let port = life.ready(&id).await.port;
    let threads = "len([__import__('threading').Thread(target=__import__('time').sleep, args=(60,), daemon=True).start() \
                   for _ in range(200)])";
    let said = ask(port, "POST /", threads).await.unwrap();
    let limited = runtime::process_limits().is_ok();
    assert_eq!(said.contains("refused: RuntimeError"), limited, "{said}");
    assert_eq!(said.ends_with("200"), !limited, "{said}");
    life.runtime.stop(&id, Duration::from_secs(60), StopReason::Asked).await;
    life.ended(&id).await;
    let told = life.text().await.iter().any(|line| line.contains("`machine.processes_per_replica`"));
    assert_eq!(told, limited);
}

/// A Truss with a package that runs this Python while it is built.
fn greedy(data: &Path, wants: &str) -> Value {
    let mut config = custom(data, "");
    config["requirements"] = json!(["./greedy"]);
    let package = data.join("artifacts/art1/greedy");
    std::fs::create_dir_all(&package).unwrap();
    std::fs::write(package.join("wants.py"), wants).unwrap();
    std::fs::write(package.join("greedy.py"), include_str!("support/greedy.py")).unwrap();
    let project = "[build-system]\nrequires = []\nbuild-backend = 'greedy'\nbackend-path = ['.']\n\
                   [project]\nname = 'greedy'\nversion = '1'\n";
    std::fs::write(package.join("pyproject.toml"), project).unwrap();
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_is_held_to_its_memory_where_the_host_permits() {
    let data = folder();
    let config = greedy(data.path(), "kept = [b'\\x01' * (1 << 20) for _ in range(1024)]\n");
    let limits = Limits { build_memory: 300 << 20, ..Limits::default() };
    let life = Life::begin_limited(data.path(), limits).await;
    let built = life.build(&config).await;
    if runtime::memory_limits().is_ok() {
        let reason = built.unwrap_err().reason;
        let begin =
            "it used more than its 300 MiB of memory and was killed, because `machine.memory_per_build`";
        assert!(reason.starts_with(begin), "{reason}");
        assert!(data.envs().is_empty(), "nothing half made is kept");
    } else {
        assert_eq!(built, Ok(()), "nothing holds it");
    }
    data.until_no_group_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_has_no_more_processes_than_it_may_where_the_host_permits() {
    let data = folder();
    let wants = "import threading\nover = threading.Event()\ntry:\n    for _ in range(400):\n        \
                 threading.Thread(target=over.wait).start()\nexcept RuntimeError:\n    pass\nover.set()\n";
    let config = greedy(data.path(), wants);
    let limits = Limits { build_processes: 256, ..Limits::default() };
    let life = Life::begin_limited(data.path(), limits).await;
    life.build(&config).await.unwrap_or_else(|failure| panic!("{}", failure.reason));
    let told = life.text().await.iter().any(|line| line.contains("`machine.processes_per_build`"));
    assert_eq!(told, runtime::process_limits().is_ok());
    data.until_no_group_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_a_build_ends_with_it_where_the_host_permits() {
    let data = folder();
    // It leaves the group of processes, and lets go of what the build waits for.
    let wants = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    null = os.open(os.devnull, os.O_RDWR)\n    \
                 for file in range(3):\n        os.dup2(null, file)\n    os.closerange(3, 1000)\n    time.sleep(3600)\n";
    let config = greedy(data.path(), wants);
    let off = IsolationSettings { mode: Isolation::Off, ..IsolationSettings::default() };
    let life = Life::begin_isolated(data.path(), off).await;
    life.build(&config).await.unwrap_or_else(|failure| panic!("{}", failure.reason));
    if has_groups() {
        while !data.builders().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    } else {
        assert_eq!(data.builders().len(), 1, "nobody finds it before the next start");
    }
    data.until_no_group_is_left().await;
}

//! What is left of a build that did not come to its end, and how the next one fares.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use runtime::{Isolation, IsolationSettings};
use serde_json::{Value, json};
use support::{Data, Life, custom, folder, has_groups};
use tokio::net::TcpListener;

/// A build that writes into its environment for ever, as long as this listens.
struct Endless {
    listener: TcpListener,
    config: Value,
}

impl Endless {
    async fn listen(data: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut config = custom(data, "");
        config["requirements"] = json!(["./endless"]);
        let package = data.join("artifacts/art1/endless");
        std::fs::create_dir_all(&package).unwrap();
        let envs = data.join("envs").display().to_string();
        std::fs::write(package.join("where.py"), format!("ENVS = {envs:?}\nPORT = {port}\n")).unwrap();
        std::fs::write(package.join("endless.py"), include_str!("support/endless.py")).unwrap();
        let project = "[build-system]\nrequires = []\nbuild-backend = 'endless'\nbackend-path = ['.']\n\
                       [project]\nname = 'endless'\nversion = '1'\n";
        std::fs::write(package.join("pyproject.toml"), project).unwrap();
        Self { listener, config }
    }

    /// Waits until it writes.
    async fn writes(&self) {
        self.listener.accept().await.unwrap();
    }
}

/// In a sandbox, if the machine permits it, and without one.
fn ways() -> [Isolation; 2] {
    [Isolation::Auto, Isolation::Off]
}

async fn begin(data: &Path, mode: Isolation) -> Life {
    Life::begin_isolated(data, IsolationSettings { mode, ..IsolationSettings::default() }).await
}

/// Builds it once more, now that nobody listens, and looks whether that began anew.
async fn builds_anew(life: &Life, data: &Data, endless: Endless) {
    let Endless { listener, config } = endless;
    drop(listener);
    life.build(&config).await.unwrap_or_else(|failure| panic!("{}", failure.reason));
    let envs = data.envs();
    assert_eq!(envs.len(), 1, "{envs:?}");
    assert!(envs[0].join(".complete").is_file());
    assert!(!envs[0].join("endless").exists(), "nothing is left of the former build");
}

/// How the test below tells a server of it what to build, and how.
const DATA: &str = "BUILDS_DATA";
const ISOLATION: &str = "BUILDS_ISOLATION";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it is the server that the next test starts and kills"]
async fn a_server_that_builds() {
    let Some(data) = std::env::var_os(DATA).map(PathBuf::from) else { return };
    let mode = if std::env::var(ISOLATION).unwrap() == "off" { Isolation::Off } else { Isolation::Auto };
    let config: Value = serde_json::from_slice(&std::fs::read(data.join("config.json")).unwrap()).unwrap();
    let life = begin(&data, mode).await;
    life.build(&config).await.unwrap_or_else(|failure| panic!("{}", failure.reason));
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_of_a_killed_server_end_before_the_next_one_builds() {
    for mode in ways() {
        let data = folder();
        let endless = Endless::listen(data.path()).await;
        std::fs::write(data.path().join("config.json"), endless.config.to_string()).unwrap();
        let mut server = tokio::process::Command::new(std::env::current_exe().unwrap());
        server.args(["--exact", "a_server_that_builds", "--ignored"]).env(DATA, data.path());
        server.env(ISOLATION, if mode == Isolation::Off { "off" } else { "auto" });
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let mut server = server.spawn().unwrap();
        tokio::select! {
            () = endless.writes() => {}
            ended = server.wait() => panic!("the server ended before it built: {ended:?}"),
        }
        server.kill().await.unwrap();
        assert!(!data.builders().is_empty(), "what it had started goes on");
        assert_eq!(!data.build_groups().is_empty(), has_groups(), "it is in a group where the host permits");
        let life = begin(data.path(), mode).await;
        assert_eq!(data.builders(), [0; 0]);
        assert!(data.build_groups().is_empty());
        builds_anew(&life, &data, endless).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_given_up_ends_and_the_next_one_begins_anew() {
    for mode in ways() {
        let data = folder();
        let endless = Endless::listen(data.path()).await;
        let life = begin(data.path(), mode).await;
        tokio::select! {
            () = endless.writes() => {}
            built = life.build(&endless.config) => panic!("it was built: {built:?}"),
        }
        builds_anew(&life, &data, endless).await;
        assert_eq!(data.builders(), [0; 0]);
        data.until_no_group_is_left().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_is_made_once_and_again_only_if_it_is_not_whole() {
    let data = folder();
    let config = custom(data.path(), "");
    let life = Life::begin(data.path()).await;
    let built = tokio::join!(life.build(&config), life.build(&config), life.build(&config));
    assert_eq!(built, (Ok(()), Ok(()), Ok(())));
    let made = life.text().await.iter().filter(|line| *line == "creating the Python environment").count();
    assert_eq!(made, 1);
    let [env]: [PathBuf; 1] = data.envs().try_into().unwrap();
    let work = env.with_extension("work");
    std::fs::write(env.join("left"), "").unwrap();
    life.build(&config).await.unwrap();
    assert!(env.join("left").exists(), "it is whole");

    std::fs::remove_file(env.join(".complete")).unwrap();
    std::fs::create_dir_all(work.join("tmp")).unwrap();
    life.build(&config).await.unwrap();
    assert!(env.join(".complete").exists() && !env.join("left").exists() && !work.exists());
}

//! `cargo xtask bench`: figures with a bound or a peer, measured on this machine in one run.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use crate::test::end2end;
use crate::{build, setup, shell, site::Site};

/// What can be measured through the doors, each a file in end2end/bench.
const BENCHES: [&str; 13] = [
    "canary",
    "dashboard",
    "gateway",
    "idle",
    "lists",
    "logs",
    "overload",
    "pages",
    "protocols",
    "push",
    "reads",
    "scale",
    "watch",
];
/// What is measured without them, by server/examples/bench.
const INSIDE: [&str; 5] = ["counting", "rollouts", "step", "viewers", "wake"];
/// What the gateway is measured beside, and with: each program, and Debian's package that has it.
const PEERS: [(&str, &str); 3] =
    [("nginx", "nginx-light"), ("haproxy", "haproxy"), ("taskset", "util-linux")];

#[derive(clap::Args)]
pub struct Bench {
    /// Which figures: canary, counting, dashboard, gateway, idle, lists, logs, overload, pages, protocols, push, reads, rollouts, scale, step, viewers, wake, watch. All of them
    /// if none is named.
    pub names: Vec<String>,
}

impl Bench {
    pub fn run(&self) -> Result<()> {
        let known = || BENCHES.iter().chain(&INSIDE);
        if let Some(unknown) = self.names.iter().find(|name| known().all(|known| known != name)) {
            let all: Vec<&str> = known().copied().collect();
            bail!("there is no figure `{unknown}`; there are {}", all.join(", "));
        }
        let is_named = |name: &&str| self.names.is_empty() || self.names.iter().any(|named| named == name);
        let with_peers = is_named(&"gateway") || is_named(&"protocols");
        let with_callers = with_peers || is_named(&"overload");
        if with_peers {
            peers_are_here()?;
        }
        for name in INSIDE.iter().filter(|name| is_named(name)) {
            inside(name)?;
        }
        let outside: Vec<&str> = BENCHES.iter().filter(|name| is_named(name)).copied().collect();
        if outside.is_empty() {
            return Ok(());
        }
        setup::for_building()?;
        setup::for_testing()?;
        Site { release: true, check_budget: false }.run()?;
        build::server(build::SERVED, true)?;
        if with_callers {
            build_callers()?;
        }
        let mut words = vec!["npx", "playwright", "test", "--project=bench"];
        let files: Vec<String> = outside.iter().map(|name| format!("bench/{name}.spec.ts")).collect();
        words.extend(files.iter().map(String::as_str));
        let callers = shell::target().join(build::SERVED).join("examples/bench");
        shell::run(end2end(&words)?.env("PATH", shell::path()?).env("CALLERS", callers))
    }
}

/// Other people's programs are never installed from here: a package may start a service of its own.
fn peers_are_here() -> Result<()> {
    // Servers are where only root looks.
    let is_here =
        |program| shell::on_path(program).is_some() || Path::new("/usr/sbin").join(program).is_file();
    let missing: Vec<_> = PEERS.iter().filter(|(program, _)| !is_here(program)).collect();
    let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    ensure!(
        missing.is_empty(),
        "the gateway can't be measured without {}, and nothing was started; on Debian, as root: \
         apt-get install --no-install-recommends {}",
        programs.join(", "),
        packages.join(" ")
    );
    Ok(())
}

/// The callers and the replica. With the server's own features, so that nothing of it is built a second time.
fn build_callers() -> Result<()> {
    let mut cargo = shell::cargo();
    cargo.args(["build", "--package", "server", "--features", "embed", "--profile", build::SERVED]);
    shell::run(cargo.args(["--example", "bench"]))
}

/// Measures on real processes, with the profile that is served.
fn inside(name: &str) -> Result<()> {
    let mut cargo = shell::cargo();
    cargo.args([
        "run",
        "--quiet",
        "--profile",
        build::SERVED,
        "--package",
        "server",
        "--example",
        "bench",
        "--",
    ]);
    shell::run(cargo.arg(name).env("PATH", shell::path()?))
}

//! `cargo xtask bench`: figures with a bound or a peer, measured on this machine in one run.

use anyhow::{Result, bail};

use crate::test::end2end;
use crate::{build, setup, shell, site::Site};

/// What can be measured through the doors, each a file in end2end/bench.
const BENCHES: [&str; 8] = ["canary", "idle", "lists", "logs", "pages", "push", "reads", "watch"];
/// What is measured without them, by server/examples/bench.
const INSIDE: [&str; 3] = ["counting", "step", "wake"];

#[derive(clap::Args)]
pub struct Bench {
    /// Which figures: canary, counting, idle, lists, logs, pages, push, reads, step, wake, watch. All of them if none is named.
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
        let mut words = vec!["npx", "playwright", "test", "--project=bench"];
        let files: Vec<String> = outside.iter().map(|name| format!("bench/{name}.spec.ts")).collect();
        words.extend(files.iter().map(String::as_str));
        shell::run(end2end(&words)?.env("PATH", shell::path()?))
    }
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

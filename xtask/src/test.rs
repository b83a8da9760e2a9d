//! `cargo xtask test`: every check and every test, in the order in which a mistake is cheapest to find.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::shell::{self, Stopwatch, cargo, listen, root, say};
use crate::tally::Tally;
use crate::{build, setup, simulate::Simulate};

#[derive(clap::Args)]
pub struct Test {
    /// Only these steps, by name, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Name the steps and stop.
    #[arg(long)]
    pub list: bool,
    /// Histories to simulate; `cargo xtask simulate` by itself plays 10,000.
    #[arg(long, default_value_t = 3_000)]
    pub histories: u32,
}

/// A step's name and what it runs, one command after the other.
type Step = (&'static str, fn(&Test) -> Result<Vec<Command>>);

const STEPS: [Step; 12] = [
    ("format", |_| Ok(vec![with(cargo(), &["fmt", "--all", "--check"])])),
    ("check", |_| Ok(vec![with(cargo(), &["run", "--quiet", "--package", "xtask", "--", "check"])])),
    ("deny", |_| Ok(vec![with(cargo(), &["run", "--quiet", "--package", "xtask", "--", "deny"])])),
    ("lint", lint),
    ("rust", rust),
    ("simulate", |test| Ok(vec![Simulate { histories: test.histories, seed: None }.command()])),
    ("gates", |_| Ok(vec![with(cargo(), &["run", "--quiet", "--package", "xtask", "--", "gates"])])),
    ("site", |_| {
        Ok(vec![with(
            cargo(),
            &["run", "--quiet", "--package", "xtask", "--", "site", "--release", "--check-budget"],
        )])
    }),
    ("server", |_| {
        Ok(vec![with(
            cargo(),
            &["build", "--package", "server", "--features", "embed", "--profile", build::SERVED],
        )])
    }),
    ("api", |_| {
        Ok(vec![api("sdk.py", &[])?, api("calls.py", &[])?, api("fuzz.py", &[setup::schemathesis()?])?])
    }),
    ("browser", |_| Ok(vec![end2end(&["npx", "playwright", "test", "--project=browser"])?])),
    ("truss", |_| Ok(vec![end2end(&["npx", "playwright", "test", "--project=truss"])?])),
];

struct Outcome {
    name: &'static str,
    tally: Tally,
    took: Duration,
}

impl Test {
    pub fn run(&self) -> Result<()> {
        if self.list {
            STEPS.iter().for_each(|(name, _)| println!("{name}"));
            return Ok(());
        }
        for name in &self.only {
            ensure!(
                STEPS.iter().any(|step| step.0 == name),
                "there is no step `{name}`; see cargo xtask test --list"
            );
        }
        setup::for_building()?;
        setup::for_running()?;
        setup::for_testing()?;

        let mut outcomes = Vec::new();
        for (name, commands) in STEPS {
            if !self.only.is_empty() && !self.only.iter().any(|only| only == name) {
                continue;
            }
            outcomes.push(play(name, commands(self)?)?);
        }
        report(&outcomes)
    }
}

/// Runs one step; a failed command is counted, and the commands after it still run.
fn play(name: &'static str, commands: Vec<Command>) -> Result<Outcome> {
    let watch = Stopwatch::start();
    let mut tally = Tally::default();
    for mut command in commands {
        say(format!("{name}: {}", shell::words(&command)));
        command.env("CARGO_TERM_COLOR", "never").env("NO_COLOR", "1").env_remove("FORCE_COLOR");
        command.env("PATH", path()?);
        let heard = listen(&mut command)?;
        let counted = Tally::read(&heard.text, heard.success);
        tally.passed += counted.passed;
        tally.failed += counted.failed;
    }
    let took = watch.passed();
    say(format!("{name}: {} passed, {} failed, {}", tally.passed, tally.failed, spell(took)));
    Ok(Outcome { name, tally, took })
}

/// TypeScript's types, and clippy on everything that is built, each set of features apart: `app` is never built for the server and the
/// browser at once.
fn lint(_: &Test) -> Result<Vec<Command>> {
    let strict = ["--", "--deny", "warnings"];
    let clippy = |args: &[&str]| with(with(with(cargo(), &["clippy"]), args), &strict);
    let mut types = Command::new("npx");
    types.current_dir(root().join("end2end")).args(["tsc", "--noEmit", "--project", "."]);
    Ok(vec![
        types,
        clippy(&["--workspace", "--all-targets"]),
        clippy(&["--package", "engine", "--features", "simulation", "--all-targets"]),
        clippy(&[
            "--package",
            "app",
            "--features",
            "split",
            "--target",
            "wasm32-unknown-unknown",
            "--target-dir",
            "target/front",
        ]),
    ])
}

/// Every test in Rust: tables, properties, scenarios, the store on both databases, the gateway, the doors.
fn rust(_: &Test) -> Result<Vec<Command>> {
    // Not nextest: it gives each test a process, and so each test on Postgres a server of its own.
    Ok(vec![with(cargo(), &["test", "--workspace", "--all-targets", "--no-fail-fast"])])
}

/// A command in end2end, where `api.localhost` resolves: the push client knows no other name for the REST API.
pub fn end2end(words: &[&str]) -> Result<Command> {
    let mut command = Command::new("sh");
    command.current_dir(root().join("end2end")).arg("localhost.sh").args(words);
    command.env("SLIPWAY", shell::target().join(build::SERVED).join("slipway"));
    command.env("TRUSS", setup::clients()?.join("truss"));
    if let Some(chromium) = setup::chromium() {
        command.env("CHROMIUM", chromium);
    }
    Ok(command)
}

/// A program of end2end/api, which starts a server of its own.
fn api(program: &str, arguments: &[PathBuf]) -> Result<Command> {
    let mut command = Command::new(setup::clients()?.join("python"));
    // The SDK marks fields as deprecated that are the subject of the test.
    command.current_dir(root().join("end2end/api")).args(["-B", "-W", "ignore", program]).args(arguments);
    command.env("SLIPWAY", shell::target().join(build::SERVED).join("slipway"));
    Ok(command)
}

fn with(mut command: Command, args: &[&str]) -> Command {
    command.args(args);
    command
}

/// PATH with Postgres' programs and our tools.
fn path() -> Result<OsString> {
    let path = shell::path()?;
    let postgres = setup::postgres();
    Ok(env::join_paths(env::split_paths(&path).chain(postgres))?)
}

fn report(outcomes: &[Outcome]) -> Result<()> {
    println!("\n{:<10} {:>8} {:>8} {:>10}", "step", "passed", "failed", "time");
    let mut all = Tally::default();
    for Outcome { name, tally, took } in outcomes {
        println!("{name:<10} {:>8} {:>8} {:>10}", tally.passed, tally.failed, spell(*took));
        all.passed += tally.passed;
        all.failed += tally.failed;
    }
    println!(
        "{:<10} {:>8} {:>8} {:>10}",
        "all",
        all.passed,
        all.failed,
        spell(outcomes.iter().map(|o| o.took).sum())
    );
    println!("\n{} passed, {} failed", all.passed, all.failed);
    if all.failed > 0 {
        let failed = outcomes.iter().filter(|outcome| outcome.tally.failed > 0).map(|outcome| outcome.name);
        bail!("failed: {}", failed.collect::<Vec<_>>().join(", "));
    }
    Ok(())
}

fn spell(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{} min {:02} s", seconds / 60, seconds % 60)
}

//! `cargo xtask gates`: counts the instructions of what runs all the time, and fails when one of them costs more than it did.
//!
//! Valgrind counts them, not a clock: the count hardly depends on the machine, and not on what else it does.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::build::SERVED;
use crate::shell::{self, root, say};

/// What is counted, with the times by which the work is told from what is around it.
const TIMES: [(&str, u64); 6] = [
    ("tick", 200_000),
    ("look", 200),
    ("head", 20_000),
    ("route", 20_000),
    ("config", 300),
    ("patch", 5_000),
];
/// By how many percent a count may grow.
const MAY_GROW: f64 = 5.0;

#[derive(clap::Args)]
pub struct Gates {
    /// Keep what is counted now as what may be spent from here on.
    #[arg(long)]
    pub accept: bool,
    /// Only these, by name, separated by commas.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
}

impl Gates {
    pub fn run(&self) -> Result<()> {
        ensure!(
            shell::on_path("valgrind").is_some(),
            "counting instructions takes valgrind; on Debian, as root: apt-get install valgrind"
        );
        let program = build()?;
        let kept = read()?;
        let mut counted = kept.clone();
        let (mut passed, mut failed) = (0, Vec::new());
        for (name, times) in TIMES {
            if !self.only.is_empty() && !self.only.iter().any(|only| only == name) {
                continue;
            }
            let (once, twice) = (count(&program, name, times)?, count(&program, name, 2 * times)?);
            let each = twice.saturating_sub(once) / times;
            counted.insert(name.to_owned(), each);
            let before = kept.get(name).copied();
            let grown = before.map(|before| (each as f64 / before.max(1) as f64 - 1.0) * 100.0);
            let told = grown.map_or("not known before".into(), |grown| format!("{grown:+.1} %"));
            println!("{name:<8} {each:>10} instructions  {told}");
            match grown {
                Some(grown) if grown <= MAY_GROW => passed += 1,
                _ => failed.push(name),
            }
        }
        if self.accept {
            return write(&counted);
        }
        println!("\n{passed} passed, {} failed", failed.len());
        if !failed.is_empty() {
            bail!(
                "{} cost more than {MAY_GROW} % above {}; make it cheaper, or say why it is worth it and run \
                 cargo xtask gates --accept",
                failed.join(", "),
                file().display()
            );
        }
        Ok(())
    }
}

fn file() -> PathBuf {
    root().join("crates/engine/examples/gates.toml")
}

/// Builds what is counted, with the profile that is served.
fn build() -> Result<PathBuf> {
    let mut cargo = shell::cargo();
    cargo.args(["build", "--quiet", "--profile", SERVED, "--package", "engine", "--features", "simulation"]);
    shell::run(cargo.args(["--example", "gates"]))?;
    Ok(shell::target().join(SERVED).join("examples/gates"))
}

/// The instructions of the whole program.
fn count(program: &PathBuf, name: &str, times: u64) -> Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    let output = valgrind.args([name, &times.to_string()]).output().context("running valgrind")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} failed under valgrind:\n{told}");
    let line =
        told.lines().find_map(|line| line.split_once("Collected :")).context("valgrind told no count")?;
    line.1.trim().parse().with_context(|| format!("valgrind's count is `{}`", line.1))
}

/// Instructions of each, as they were accepted.
fn read() -> Result<BTreeMap<String, u64>> {
    let path = file();
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (name, count) = line.split_once(" = ").with_context(|| format!("`{line}` is no count"))?;
            Ok((name.to_owned(), count.parse().with_context(|| format!("`{line}` is no count"))?))
        })
        .collect()
}

fn write(counts: &BTreeMap<String, u64>) -> Result<()> {
    let mut text = String::from("# Instructions of each, once. Written by: cargo xtask gates --accept\n");
    for (name, count) in counts {
        text += &format!("{name} = {count}\n");
    }
    say(format!("writing {}", file().display()));
    fs::write(file(), text).context("writing the counts")
}

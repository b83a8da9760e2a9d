//! `cargo xtask fuzz`: a million mangled inputs for each parser; and over HTTP, for all doors together, fifty thousand.

use std::path::Path;

use anyhow::Result;

use crate::{build, shell};

/// Where files cost no disk, on machines that have such a folder: some parsers write what they read.
const IN_MEMORY: &str = "/dev/shm";
/// The crates whose parsers have tests named `bad_input`.
const CRATES: [&str; 6] = ["domain", "truss", "runtime", "gateway", "app", "server"];
/// One of so many cases is for the doors, all of them together: HTTP costs a hundred times as much.
const DOORS: u32 = 20;

#[derive(clap::Args)]
pub struct Fuzz {
    /// Inputs for each parser.
    #[arg(long, default_value_t = 1_000_000)]
    pub cases: u32,
    /// Only the parsers of these crates, separated by commas: domain, truss, runtime, gateway, app, server.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Leave out the doors.
    #[arg(long)]
    pub no_doors: bool,
}

impl Fuzz {
    pub fn run(&self) -> Result<()> {
        let is_asked = |name: &&str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        let asked: Vec<&str> = CRATES.iter().filter(|name| is_asked(name)).copied().collect();
        // One crate after the other, so that one that fails is the last one on the screen.
        for name in asked {
            shell::say(format!("{name}: {} inputs for each parser", self.cases));
            let target: &[&str] = match name {
                "domain" => &["--test", "bad_input"],
                // Only the server reads what the dashboard sends.
                "app" => &["--features", "ssr", "--lib", "bad_input"],
                _ => &["--lib", "bad_input"],
            };
            test(name, target, self.cases)?;
        }
        if !self.no_doors && is_asked(&"server") {
            shell::say(format!("doors: {} cases", self.cases / DOORS));
            test("server", &["--test", "api", "hostile"], self.cases / DOORS)?;
        }
        Ok(())
    }
}

/// Optimised, so that a million of anything is minutes.
fn test(package: &str, target: &[&str], cases: u32) -> Result<()> {
    let mut cargo = shell::cargo();
    cargo.args(["test", "--quiet", "--profile", build::SERVED, "--package", package]).args(target);
    if Path::new(IN_MEMORY).is_dir() {
        cargo.env("TMPDIR", IN_MEMORY);
    }
    shell::run(cargo.env("SLIPWAY_CASES", cases.to_string()))
}

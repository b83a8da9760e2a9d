//! `cargo xtask simulate`: thousands of rollouts on simulated time.

use std::process::Command;

use anyhow::Result;

use crate::{build, shell};

#[derive(clap::Args)]
pub struct Simulate {
    /// How many histories to play.
    #[arg(long, default_value_t = 10_000)]
    pub histories: u32,
    /// Where the random choices begin; the same seed plays the same histories.
    #[arg(long)]
    pub seed: Option<u64>,
}

impl Simulate {
    pub fn run(&self) -> Result<()> {
        shell::run(&mut self.command())
    }

    pub fn command(&self) -> Command {
        let mut cargo = shell::cargo();
        cargo.args(["run", "--quiet", "--profile", build::SERVED, "--package", "engine"]);
        cargo.args(["--example", "simulate", "--features", "simulation", "--"]);
        cargo.arg("--histories").arg(self.histories.to_string());
        if let Some(seed) = self.seed {
            cargo.arg("--seed").arg(seed.to_string());
        }
        cargo
    }
}

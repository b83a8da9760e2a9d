//! `cargo xtask run`: from a fresh clone to a dashboard at http://localhost:8000.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{build, setup, shell, site::Site};

#[derive(clap::Args)]
pub struct Run {
    /// Passed on to `slipway serve`.
    #[arg(last = true)]
    pub serve: Vec<String>,
}

impl Run {
    pub fn run(&self) -> Result<()> {
        setup::for_building()?;
        setup::for_running()?;
        shell::say("building the dashboard");
        Site { release: true, check_budget: false }.run()?;
        shell::say("building the server (some minutes the first time)");
        let binary = build::server(build::SERVED)?;
        let mut serve = Command::new(&binary);
        serve.arg("serve").args(&self.serve).current_dir(shell::root()).env("PATH", shell::path()?);
        if env::var_os("SLIPWAY_DATA_DIR").is_none() {
            serve.env("SLIPWAY_DATA_DIR", "data");
        }
        shell::say(shell::words(&serve));
        // In our place, so that Ctrl-C and TERM reach the server itself.
        Err(serve.exec()).with_context(|| format!("starting {}", binary.display()))
    }
}

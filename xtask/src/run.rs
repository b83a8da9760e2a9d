//! `cargo xtask run`: from a fresh clone to a dashboard at http://localhost:8000.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, anyhow};

use crate::{build, setup, shell, site::Site};

#[derive(clap::Args)]
pub struct Run {
    /// Passed on to `slipway serve`.
    #[arg(last = true)]
    pub serve: Vec<String>,
}

/// Builds both at once, each in a folder of its own: either has long stretches that use one core only. This server reads the
/// dashboard from target/site, so it need not wait for it.
fn side_by_side() -> Result<PathBuf> {
    thread::scope(|scope| {
        let server = scope.spawn(|| build::server(build::SERVED, false));
        let site = Site { release: true, check_budget: false }.run();
        let server = server.join().map_err(|_| anyhow!("the server's build ended by a panic"))?;
        site?;
        server
    })
}

impl Run {
    pub fn run(&self) -> Result<()> {
        setup::for_building()?;
        setup::for_running()?;
        shell::say("building the dashboard and the server (some minutes the first time)");
        let binary = side_by_side()?;
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

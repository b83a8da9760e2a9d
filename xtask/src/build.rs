//! `cargo xtask build`: one binary with the dashboard inside.

use std::path::PathBuf;

use anyhow::Result;

use crate::{setup, shell, site::Site};

/// The profile that is run and tested: optimised, without the minutes that link-time optimisation takes.
pub const SERVED: &str = "serve";

#[derive(clap::Args)]
pub struct Build {
    /// With link-time optimisation: smaller and a little faster, and minutes longer to build.
    #[arg(long)]
    pub release: bool,
}

impl Build {
    pub fn run(&self) -> Result<()> {
        setup::for_building()?;
        Site { release: true, check_budget: false }.run()?;
        let binary = server(if self.release { "release" } else { SERVED }, true)?;
        shell::say(format!("built {}", binary.display()));
        Ok(())
    }
}

/// Builds the server and answers where its binary is. With `embed`, the site in target/site is inside.
pub fn server(profile: &str, embed: bool) -> Result<PathBuf> {
    let mut cargo = shell::cargo();
    cargo.args(["build", "--package", "server", "--profile", profile]);
    if embed {
        cargo.args(["--features", "embed"]);
    }
    shell::run(&mut cargo)?;
    Ok(shell::target().join(profile).join("slipway"))
}

//! `cargo xtask deny`: licenses, sources and known weaknesses of everything that is built in (deny.toml).

use std::process::Command;

use anyhow::{Result, bail};

use crate::setup;
use crate::shell::{self, listen, root, say};

/// What cargo-deny says where the list of weaknesses can't be reached.
const UNREACHABLE: &str = "failed to fetch advisory database";

#[derive(clap::Args)]
pub struct Deny {}

impl Deny {
    pub fn run(&self) -> Result<()> {
        let program = setup::cargo_deny()?;
        let check = |what: &[&str]| {
            let mut command = Command::new(&program);
            command.current_dir(root()).args(["--color", "never", "check"]).args(what);
            command
        };
        shell::run(&mut check(&["licenses", "bans", "sources"]))?;
        let heard = listen(&mut check(&["advisories"]))?;
        if heard.success {
            return Ok(());
        }
        if heard.text.contains(UNREACHABLE) {
            say(
                "known weaknesses were NOT checked: their list is on a host that this machine does not reach",
            );
            return Ok(());
        }
        bail!("something that is built in has a known weakness; see above");
    }
}

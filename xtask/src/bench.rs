//! `cargo xtask bench`: figures with a bound or a peer, measured on this machine in one run.

use anyhow::{Result, bail};

use crate::test::end2end;
use crate::{build, setup, shell, site::Site};

/// What can be measured, each a file in end2end/bench.
const BENCHES: [&str; 5] = ["canary", "idle", "pages", "push", "watch"];

#[derive(clap::Args)]
pub struct Bench {
    /// Which figures: canary, idle, pages, push, watch. All of them if none is named.
    pub names: Vec<String>,
}

impl Bench {
    pub fn run(&self) -> Result<()> {
        if let Some(unknown) = self.names.iter().find(|name| !BENCHES.contains(&name.as_str())) {
            bail!("there is no figure `{unknown}`; there are {}", BENCHES.join(", "));
        }
        setup::for_building()?;
        setup::for_testing()?;
        Site { release: true, check_budget: false }.run()?;
        build::server(build::SERVED)?;
        let mut words = vec!["npx", "playwright", "test", "--project=bench"];
        let files: Vec<String> = self.names.iter().map(|name| format!("bench/{name}.spec.ts")).collect();
        words.extend(files.iter().map(String::as_str));
        shell::run(end2end(&words)?.env("PATH", shell::path()?))
    }
}

//! `slipway serve`.

use std::io::IsTerminal;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::banner::Banner;
use crate::config::Config;
use crate::doctor::names;
use crate::{boot, local, site};

/// Runs until Ctrl-C or TERM.
pub async fn run(config: Config) -> anyhow::Result<()> {
    raise_open_files();
    // Before anything is started: a signal in between must not kill what was started.
    let mut terminate = signal(SignalKind::terminate()).context("listening for TERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
    let data_dir = config.data_dir.display().to_string();
    if !site::is_built() {
        tracing::warn!("the dashboard was not built, so pages have no style; run: cargo xtask site");
    }
    let server = boot::start(config).await?;
    let token = server.control().new_sign_in_link(None).await?;
    let banner = Banner {
        public_url: server.public_url(),
        data_dir: &data_dir,
        sign_in_link: &local::link(server.public_url(), &token),
        admin_key: server.admin_key(),
        api_localhost: names::api_localhost_resolves().await,
        fix: names::API_LOCALHOST_FIX,
        colour: std::io::stdout().is_terminal(),
    };
    println!("{}", banner.text());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: requests finish first; a second signal ends at once");
    tokio::select! {
        () = server.stop() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Takes what the machine permits: each request of a busy gateway is a file or two.
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

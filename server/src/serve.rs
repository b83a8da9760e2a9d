//! `slipway serve`.

use std::io::IsTerminal;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::banner::Banner;
use crate::config::Config;
use crate::doctor::names;
use crate::handover::Predecessor;
use crate::{boot, local, site};

/// Runs until Ctrl-C or TERM, or until another server takes over. `takes_over` from the one that runs, if one does.
pub async fn run(config: Config, takes_over: bool) -> anyhow::Result<()> {
    raise_open_files();
    // Before anything is started: a signal in between must not kill what was started.
    let mut terminate = signal(SignalKind::terminate()).context("listening for TERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
    let data_dir = config.data_dir.display().to_string();
    if !site::is_built() {
        tracing::warn!("the dashboard was not built, so pages have no style; run: cargo xtask site");
    }
    let mut before = if takes_over { Predecessor::find(&config.data_dir)? } else { None };
    let mut server = boot::start_after(config, before.as_mut()).await?;
    if let Some(before) = before {
        tracing::info!("took over from the server that ran; it finishes what it has begun");
        let (adopter, mut turn) = (server.adopter(), 0);
        let adopted = move || {
            before.is_replaced(|connection| {
                adopter.adopt(turn, connection);
                turn += 1;
            })
        };
        // Until the former one ends, which may be long after this one has.
        std::thread::spawn(move || {
            if let Err(error) = adopted() {
                tracing::warn!("the server that ran has ended early: {error:#}");
            }
        });
    }
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
    let heir = loop {
        tokio::select! {
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            successor = server.successor() => {
                tracing::info!("another server takes over");
                match server.hand_over(successor).await {
                    Ok(heir) => break Some(heir),
                    Err(error) => tracing::error!(
                        "the other server has ended before it served; this one carries requests on and decides \
                         nothing more; start another one with --take-over: {error:#}"
                    ),
                }
            }
        }
    };
    tracing::info!("stopping: requests finish first; a second signal ends at once");
    let stopped = async move {
        match heir {
            Some(heir) => server.finish(heir).await,
            None => server.stop().await,
        }
    };
    tokio::select! {
        () = stopped => {}
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

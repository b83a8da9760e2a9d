//! `slipway serve`.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::banner::Banner;
use crate::config::Config;
use crate::doctor::names;
use crate::handover::Predecessor;
use crate::{boot, local, open_files, site};

/// Runs until Ctrl-C or TERM, or until another server takes over. `takes_over` from the one that runs, if one does.
pub async fn run(config: Config, takes_over: bool) -> anyhow::Result<()> {
    open_files::raise();
    // Before anything is started: a signal in between must not kill what was started.
    let mut terminate = signal(SignalKind::terminate()).context("listening for TERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
    let data_dir = config.data_dir.display().to_string();
    if !site::is_built() {
        tracing::warn!("the dashboard was not built, so pages have no style; run: cargo xtask site");
    }
    let mut before = if takes_over { Predecessor::find(&config.data_dir)? } else { None };
    let mut server = boot::start_after(config, before.as_mut()).await?;
    // A server has to start where nothing can be written down, too, as on a full disk.
    let link = server.control().new_sign_in_link(None).await;
    let link = link.map(|token| local::link(server.public_url(), &token));
    if let Err(error) = &link {
        tracing::warn!(%error, "no link to sign in with could be made; `slipway login` makes one later");
    }
    // Everything that may fail is behind: from here on nobody else accepts.
    if let Some(mut before) = before {
        if before.is_replaced().context("telling the server that ran that this one serves")? {
            tracing::info!("took over from the server that ran; it finishes what it has begun");
            follow(&server, before);
        } else {
            tracing::info!("the server that ran has ended by itself meanwhile; this one is in its place");
        }
    }
    let banner = Banner {
        public_url: server.public_url(),
        data_dir: &data_dir,
        sign_in_link: link.as_deref().ok(),
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
                server.let_go().await;
                let taken = tokio::select! {
                    // First, so that it is told that the folder is free.
                    biased;
                    taken = server.hand_over(successor) => taken,
                    // It may take for ever.
                    _ = terminate.recv() => break None,
                    _ = interrupt.recv() => break None,
                };
                match taken {
                    Ok(heir) => break Some(heir),
                    Err(error) => tracing::error!(
                        "the other server has ended before it served; this one carries requests on and decides \
                         nothing more; start another one with --take-over: {error:#}"
                    ),
                }
            }
        }
    };
    if heir.is_some() {
        // One that came while the other took over asked for what happens now anyway.
        let come = async { tokio::join!(terminate.recv(), interrupt.recv()) };
        let _ = tokio::time::timeout(Duration::ZERO, come).await;
    }
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

/// Takes over what the server before this one brings until it ends; then looks at what it has written last.
fn follow(server: &boot::Server, before: Predecessor) {
    let (adopter, gateway, control) = (server.adopter(), server.gateway(), server.control().clone());
    let runtime = tokio::runtime::Handle::current();
    // It may be long until then, longer than this one lives.
    std::thread::spawn(move || {
        let mut turn = 0;
        let adopt = |moved| {
            adopter.adopt(turn, moved);
            turn += 1;
        };
        if let Err(error) = before.brings(adopt, |busy| gateway.set_elsewhere(busy)) {
            tracing::warn!("what the server that ran brought could not be taken over: {error:#}");
        }
        gateway.set_elsewhere(Default::default());
        tracing::info!("the server that ran has ended");
        runtime.spawn(async move {
            if let Err(error) = control.look_again().await {
                tracing::warn!(%error, "what the server that ran wrote last is looked at later");
            }
        });
    });
}

//! What the list of models says while there is none.

use app::view::{Command, FirstRun};

use crate::doctor::names;

/// The way from nothing to a first model on this server.
pub async fn first_run(public_url: &str) -> FirstRun {
    let warning = if names::api_localhost_resolves().await {
        None
    } else {
        Some(format!(
            "`api.localhost` does not resolve on the server's machine, so `truss push --wait` would hang. Run: {}",
            names::API_LOCALHOST_FIX
        ))
    };
    let command = |title: &str, text: String| Command { title: title.into(), text };
    let section = crate::trussrc::section("slipway", public_url, "YOUR_API_KEY");
    FirstRun {
        address: public_url.to_owned(),
        commands: vec![
            command("Install the truss client", "pip install truss==0.18.35".into()),
            command("Point it here", format!("cat >> ~/.trussrc <<'END'\n{section}\nEND")),
            command("Push a model", "truss push FOLDER --remote slipway".into()),
        ],
        warning,
    }
}

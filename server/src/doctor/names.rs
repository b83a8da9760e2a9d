//! The names that clients use, which not every machine resolves.

use std::net::IpAddr;

use super::Finding;
use crate::config::{Config, PORT};

/// What to do where `api.localhost` leads nowhere.
pub const API_LOCALHOST_FIX: &str = "echo '127.0.0.1 api.localhost' | sudo tee -a /etc/hosts";

/// Looks at `localhost`, at `api.localhost`, and at what the `truss` command will be able to reach.
pub async fn check(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.push(match resolve("localhost").await {
        Some(addresses) => Finding::ok("localhost", listed(&addresses)),
        None => Finding::fail(
            "localhost",
            "does not resolve",
            "echo '127.0.0.1 localhost' | sudo tee -a /etc/hosts",
        ),
    });
    findings.push(match resolve("api.localhost").await {
        Some(addresses) if addresses.iter().all(IpAddr::is_loopback) => {
            Finding::ok("api.localhost", listed(&addresses))
        }
        Some(addresses) => Finding::fail(
            "api.localhost",
            format!("leads to {}, which is not this machine", listed(&addresses)),
            API_LOCALHOST_FIX,
        ),
        None => Finding::fail(
            "api.localhost",
            "does not resolve; `truss push --wait`, `truss watch` and logs would hang",
            API_LOCALHOST_FIX,
        ),
    });
    let expected = format!("http://localhost:{PORT}");
    let port = config.listen.first().map_or(PORT, std::net::SocketAddr::port);
    let public = config.public_url(port);
    if public != expected {
        findings.push(Finding::warn(
            "truss command",
            format!("this server is {public}, but the command sends its REST calls for any other address than {expected} to its vendor, API key included"),
            format!("forward port {PORT} of each person's machine here: ssh -N -L {PORT}:localhost:{port} THIS_HOST, and use remote_url = {expected}"),
        ));
    }
    findings
}

/// Whether `api.localhost` leads to this machine.
pub async fn api_localhost_resolves() -> bool {
    resolve("api.localhost").await.is_some_and(|addresses| addresses.iter().all(IpAddr::is_loopback))
}

async fn resolve(name: &str) -> Option<Vec<IpAddr>> {
    let lookup = tokio::net::lookup_host((name, PORT));
    let addresses = tokio::time::timeout(std::time::Duration::from_secs(5), lookup).await.ok()?.ok()?;
    let mut addresses: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
    addresses.dedup();
    (!addresses.is_empty()).then_some(addresses)
}

fn listed(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

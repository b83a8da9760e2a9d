//! What may be set.

use std::time::Duration;

use ipnet::IpNet;

/// Limits and names of the gateway.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Models answer on `model-{id}.api.<domain>` too; on `localhost` they always do.
    pub domain: Option<String>,
    /// How long a request may be held, and then how long a replica may take until its answer is complete.
    pub predict_timeout: Duration,
    /// Requests that may be held for one deployment.
    pub hold_limit: usize,
    /// Bytes of memory that the bodies of requests held for one deployment may take; a body waits in its connection, so
    /// at most [`crate::HELD_BODY`] bytes of each count.
    pub hold_bytes: u64,
    /// Bytes of a request's body.
    pub body_limit: u64,
    /// How long a client may take to send a request's head; an idle connection is closed after it, too.
    pub header_timeout: Duration,
    /// How long a client may let a request's body wait, over all its pauses; each 1,024 bytes give it a second more.
    pub body_timeout: Duration,
    /// Proxies in front whose `X-Forwarded-For` is believed, and passed on with the proxy's own address added.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether outcomes and times are counted for graphs and percentiles. Off, it shows what that costs.
    pub measures: bool,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            domain: None,
            predict_timeout: Duration::from_secs(1200),
            hold_limit: 10_000,
            hold_bytes: 256 << 20,
            body_limit: 100_000_000,
            header_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(60),
            trusted_proxies: Vec::new(),
            measures: true,
        }
    }
}

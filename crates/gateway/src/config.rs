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
    /// Bytes of memory that the requests held for one deployment may take: of each twice its head, which is kept as it came and as
    /// it goes to a replica, and its body, which waits in its connection, so that at most [`crate::HELD_BODY`] bytes count.
    pub hold_bytes: u64,
    /// The same for all requests that wait, for whichever deployment, or after a start for their model to be known.
    pub hold_bytes_in_all: u64,
    /// Bytes of a request's body.
    pub body_limit: u64,
    /// Connections of clients that may be open at once, over all threads; `None` for as many as come. Beyond it a new one waits
    /// until another ends, and those that rest are closed for it.
    pub max_connections: Option<usize>,
    /// How long a client may take to send a request's head; an idle connection is closed after it, too.
    pub header_timeout: Duration,
    /// How long a client may let a request's body wait, over all its pauses; each 1,024 bytes give it a second more.
    pub body_timeout: Duration,
    /// How long a connection without a request stays open when the server stops, in case that one is on its way.
    pub linger: Duration,
    /// Proxies in front whose `X-Forwarded-For` is believed, and passed on with the proxy's own address added.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether outcomes and times are counted for graphs and percentiles. Off, it shows what that costs.
    pub measures: bool,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            domain: None,
            predict_timeout: domain::PREDICT_TIMEOUT,
            hold_limit: 10_000,
            hold_bytes: 256 << 20,
            hold_bytes_in_all: 1 << 30,
            body_limit: 100_000_000,
            max_connections: None,
            header_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(60),
            linger: Duration::from_secs(1),
            trusted_proxies: Vec::new(),
            measures: true,
        }
    }
}

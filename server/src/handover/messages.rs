//! What both say. Servers of different versions talk to each other: a field that is added needs a default.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use domain::ReplicaId;
use serde::{Deserialize, Serialize};

pub(super) const HELLO: &str = "slipway handover 1";
pub(super) const MORE: &str = "more";
pub(super) const TAKE: &str = "take";
pub(super) const YOURS: &str = "yours";
pub(super) const SERVING: &str = "serving";

/// One socket's address, as it is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) addr: SocketAddr,
    pub(super) encrypted: bool,
}

/// Some of the sockets.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Bundle {
    pub(super) sockets: Vec<Told>,
    pub(super) more: bool,
}

/// What a server that ends brings: connections, or news of what it is still busy with.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Brought {
    /// For each connection, how many bytes were read of it; they follow the line.
    pub(super) ahead: Vec<usize>,
    /// For each connection, whether nothing was read of it before those; a server that does not say so means no.
    #[serde(default)]
    pub(super) new: Vec<bool>,
    /// Requests that it has in progress on each replica; meant if there are no connections.
    pub(super) busy: BTreeMap<ReplicaId, u32>,
}

//! Steps of a request that look at bytes and tables only, apart, so that their instructions can be counted.

use std::mem::MaybeUninit;

use domain::DeploymentId;

use crate::Gateway;
use crate::address;
use crate::request_head::{self, FIELDS, RequestHead};
use crate::table::Resolved;

/// Reads a request's head, as the passage of usual requests does; its length, if it is whole and usual.
pub fn read_head(bytes: &[u8]) -> Option<usize> {
    let mut room = [const { MaybeUninit::uninit() }; FIELDS];
    match request_head::read(bytes, &mut room) {
        RequestHead::Usual(usual) => Some(usual.size),
        RequestHead::Partial | RequestHead::Unusual => None,
    }
}

/// Finds the deployment that a request goes to, which takes one turn of the environment's split.
pub fn look_up(gateway: &Gateway, host: &str, path: &str) -> Option<DeploymentId> {
    let address = address::parse(gateway.config.domain.as_deref(), host, path)?;
    let table = gateway.table(&address.model)?;
    match table.resolve(&address.target) {
        Resolved::To(entry, _) => Some(entry.deployment.id.clone()),
        _ => None,
    }
}

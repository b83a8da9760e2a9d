//! Loopback ports for replicas.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ports handed out; below the range that kernels pick outgoing ports from.
pub(crate) const FIRST: u16 = 20_000;
const LAST: u16 = 29_999;
/// How many there are.
pub(crate) const PORTS: u16 = LAST - FIRST + 1;

/// Ports handed out by this process, whichever data folder they are for.
static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

#[derive(Debug)]
pub(crate) struct Ports {
    next: u16,
}

impl Default for Ports {
    /// Servers on one machine begin at different places, so that they rarely try the same port.
    fn default() -> Self {
        Self { next: (std::process::id().wrapping_mul(131) % u32::from(PORTS)) as u16 }
    }
}

impl Ports {
    /// A port that nobody listens on now; `None` if all are taken.
    pub fn take(&mut self) -> Option<u16> {
        let mut taken = taken();
        for _ in 0..PORTS {
            let port = FIRST + self.next % PORTS;
            self.next = (self.next + 1) % PORTS;
            let free = !taken.contains(&port)
                && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
                && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
            if free {
                taken.insert(port);
                return Some(port);
            }
        }
        None
    }

    /// Marks a port that an adopted replica uses.
    pub fn mark(&mut self, port: u16) {
        taken().insert(port);
    }

    pub fn give_back(&mut self, port: u16) {
        taken().remove(&port);
    }
}

fn taken() -> MutexGuard<'static, BTreeSet<u16>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_handed_out_once() {
        let mut ports = Ports::default();
        let (one, two) = (ports.take(), ports.take());
        assert!(one.is_some() && two.is_some() && one != two);
    }
}

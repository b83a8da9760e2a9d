//! The sockets.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use thiserror::Error;

/// How many connections may wait to be accepted, per socket.
const BACKLOG: i32 = 4096;

/// Why the gateway can't listen.
#[derive(Debug, Error)]
pub enum BindError {
    #[error("{0} is in use by another program; stop it, or choose another port with --listen")]
    InUse(SocketAddr),
    #[error("could not listen on {addr}: {source}")]
    Failed {
        addr: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// Sockets that listen already: one per thread and address.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) by_thread: Vec<Vec<TcpListener>>,
    addrs: Vec<SocketAddr>,
}

impl Listeners {
    /// The addresses, with the ports that were chosen where 0 was asked for.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }
}

/// Listens on every address, once per thread. Port 0 takes a free one.
///
/// Sockets that share their port would join a second server silently, so each address is first taken alone.
pub fn bind(addrs: &[SocketAddr], threads: usize) -> Result<Listeners, BindError> {
    let mut by_thread: Vec<Vec<TcpListener>> = (0..threads.max(1)).map(|_| Vec::new()).collect();
    let mut bound = Vec::new();
    for addr in addrs {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(*addr),
            _ => BindError::Failed { addr: *addr, source },
        };
        let alone = listen(*addr, false).map_err(failed)?;
        let actual = alone.local_addr().map_err(failed)?;
        drop(alone);
        for listeners in &mut by_thread {
            listeners.push(listen(actual, true).map_err(failed)?);
        }
        bound.push(actual);
    }
    Ok(Listeners { by_thread, addrs: bound })
}

fn listen(addr: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_told() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let first = bind(&[any], 2).unwrap();
        assert_eq!(first.by_thread.len(), 2);
        let taken = first.addrs()[0];
        assert!(matches!(bind(&[taken], 1), Err(BindError::InUse(addr)) if addr == taken));
        drop(first);
        assert!(bind(&[taken], 1).is_ok());
    }
}

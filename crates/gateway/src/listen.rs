//! The sockets.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use thiserror::Error;

use crate::Tls;

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
    /// Those whose connections are encrypted.
    pub(crate) tls: Option<(Vec<Vec<TcpListener>>, Tls)>,
    addrs: Vec<SocketAddr>,
}

impl Listeners {
    /// The addresses, with the ports that were chosen where 0 was asked for.
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Listens on further addresses, whose connections are encrypted.
    pub fn with_tls(mut self, addrs: &[SocketAddr], tls: Tls) -> Result<Self, BindError> {
        let more = bind(addrs, self.by_thread.len())?;
        self.addrs.extend(more.addrs);
        self.tls = Some((more.by_thread, tls));
        Ok(self)
    }
}

/// Listens on every address, once per thread. Port 0 takes a free one.
///
/// Sockets that share their port would join a second server silently, so each address is first taken alone. The socket
/// that took it stays open and is shared from then on: were it closed and opened anew, a child process that is just
/// being started would still hold the closed one, and the address would seem to be another program's.
pub fn bind(addrs: &[SocketAddr], threads: usize) -> Result<Listeners, BindError> {
    let mut by_thread: Vec<Vec<TcpListener>> = (0..threads.max(1)).map(|_| Vec::new()).collect();
    let mut bound = Vec::new();
    for addr in addrs {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(*addr),
            _ => BindError::Failed { addr: *addr, source },
        };
        let first = listen(*addr, false).map_err(failed)?;
        first.set_reuse_port(true).map_err(failed)?;
        let first = TcpListener::from(first);
        let actual = first.local_addr().map_err(failed)?;
        let mut sockets = vec![first];
        while sockets.len() < by_thread.len() {
            sockets.push(listen(actual, true).map_err(failed)?.into());
        }
        for (listeners, socket) in by_thread.iter_mut().zip(sockets) {
            listeners.push(socket);
        }
        bound.push(actual);
    }
    Ok(Listeners { by_thread, tls: None, addrs: bound })
}

fn listen(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};

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

    #[test]
    fn processes_that_start_meanwhile_do_not_hold_the_port() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    Command::new("true").status().unwrap();
                }
            });
            let bound: Vec<_> = (0..300).map(|_| bind(&[any], 2)).collect();
            stop.store(true, Ordering::Relaxed);
            for listeners in bound {
                listeners.unwrap();
            }
        });
    }

    #[test]
    fn connections_reach_every_thread() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let listeners = bind(&[any], 2).unwrap();
        let address = listeners.addrs()[0];
        let mut reached = [false; 2];
        // The kernel spreads them by chance: that 64 all meet one thread happens once in 2^63 runs.
        for _ in 0..64 {
            let _client = TcpStream::connect(address).unwrap();
            let accepted = |thread: usize| listeners.by_thread[thread][0].accept().is_ok();
            let thread = (0..2).cycle().take(2_000).find(|thread| accepted(*thread)).unwrap();
            reached[thread] = true;
        }
        assert_eq!(reached, [true; 2]);
    }
}

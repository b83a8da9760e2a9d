//! The sockets.

use socket2::{Domain, Protocol, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use thiserror::Error;

use crate::Tls;

/// How many connections may wait to be accepted, per socket.
pub(crate) const BACKLOG: i32 = 4096;

/// Why the gateway can't listen.
#[derive(Debug, Error)]
pub enum BindError {
    #[error("{0} is in use by another program; stop it, or choose another port with --listen")]
    InUse(SocketAddr),
    #[error("{0} is encrypted, and there is no certificate; start with --tls-certificate and --tls-key")]
    NoCertificate(SocketAddr),
    #[error("could not take over the {kind} sockets: {source}")]
    Shared {
        kind: &'static str,
        #[source]
        source: io::Error,
    },
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

/// A listening socket as it goes from one process to another: connections that wait in it are lost to nobody.
#[derive(Debug)]
pub struct SharedSocket {
    pub addr: SocketAddr,
    pub encrypted: bool,
    pub socket: OwnedFd,
}

impl SharedSocket {
    /// The same socket once more.
    ///
    /// # Errors
    /// If this process may not open that many files.
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(Self { addr: self.addr, encrypted: self.encrypted, socket: self.socket.try_clone()? })
    }
}

impl Listeners {
    /// All sockets once more, for another process.
    ///
    /// # Errors
    /// If this process may not open that many files.
    pub fn share(&self) -> io::Result<Vec<SharedSocket>> {
        let plain = self.by_thread.iter().flatten().map(|socket| (socket, false));
        let encrypted = self.tls.iter().flat_map(|(sets, _)| sets).flatten().map(|socket| (socket, true));
        plain
            .chain(encrypted)
            .map(|(socket, encrypted)| {
                let addr = socket.local_addr()?;
                Ok(SharedSocket { addr, encrypted, socket: socket.try_clone()?.into() })
            })
            .collect()
    }

    /// Takes another process's sockets over, whatever number of threads it had.
    ///
    /// # Errors
    /// If there are none that could be used, or some are encrypted and there is no certificate.
    pub fn from_shared(
        shared: Vec<SharedSocket>,
        threads: usize,
        tls: Option<Tls>,
    ) -> Result<Self, BindError> {
        let none = || (0..threads.max(1)).map(|_| Vec::new()).collect::<Vec<Vec<TcpListener>>>();
        let (mut plain, mut encrypted, mut addrs) = (none(), none(), Vec::new());
        let mut turns: HashMap<(SocketAddr, bool), usize> = HashMap::new();
        for SharedSocket { addr, encrypted: is_encrypted, socket } in shared {
            if is_encrypted && tls.is_none() {
                return Err(BindError::NoCertificate(addr));
            }
            if !addrs.contains(&addr) {
                addrs.push(addr);
            }
            let sets = if is_encrypted { &mut encrypted } else { &mut plain };
            let turn = turns.entry((addr, is_encrypted)).or_default();
            let thread = *turn % sets.len();
            *turn += 1;
            sets[thread].push(socket.into());
        }
        for (sets, reuse) in [(&mut plain, "plain"), (&mut encrypted, "encrypted")] {
            fill(sets).map_err(|source| BindError::Shared { kind: reuse, source })?;
        }
        Ok(Self { by_thread: plain, tls: tls.map(|tls| (encrypted, tls)), addrs })
    }
}

/// Lets threads that got no socket accept from those of another one.
fn fill(sets: &mut [Vec<TcpListener>]) -> io::Result<()> {
    let Some(full) = sets.iter().position(|set| !set.is_empty()) else { return Ok(()) };
    for at in 0..sets.len() {
        if sets[at].is_empty() {
            sets[at] = sets[full].iter().map(TcpListener::try_clone).collect::<io::Result<_>>()?;
        }
    }
    Ok(())
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
    fn connections_that_wait_are_handed_over() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        for threads in [1, 2, 5] {
            let first = bind(&[any], 2).unwrap();
            let address = first.addrs()[0];
            let waiting: Vec<TcpStream> = (0..32).map(|_| TcpStream::connect(address).unwrap()).collect();
            let second = Listeners::from_shared(first.share().unwrap(), threads, None).unwrap();
            drop(first);
            assert_eq!((second.addrs(), second.by_thread.len()), (&[address][..], threads));
            assert!(second.by_thread.iter().all(|set| !set.is_empty()), "a thread would have nothing to do");
            let accepted =
                || second.by_thread.iter().flatten().filter(|socket| socket.accept().is_ok()).count();
            let all: usize = (0..32).map(|_| accepted()).sum();
            assert_eq!(all, waiting.len());
        }
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

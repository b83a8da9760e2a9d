//! Which sockets a replica listens on, as the kernel tells it.

use std::collections::HashSet;

use crate::process::members;

/// A socket that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listener {
    port: u16,
    inode: u64,
    loopback: bool,
}

/// What a process group listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listening {
    /// Nothing of it listens on its port.
    Elsewhere,
    /// On loopback, as it should.
    Private,
    /// On its port, for other machines too.
    Exposed,
}

/// How the group of `leader` listens on `port`, and other ports of it that other machines can reach.
pub(crate) fn look(leader: u32, port: u16) -> (Listening, Vec<u16>) {
    let listeners: Vec<Listener> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .flat_map(|path| read(path).unwrap_or_default())
        .collect();
    if !listeners.iter().any(|listener| listener.port == port || !listener.loopback) {
        return (Listening::Elsewhere, Vec::new());
    }
    let own = sockets(leader);
    let mut others: Vec<u16> = Vec::new();
    let mut here = Listening::Elsewhere;
    for listener in listeners.iter().filter(|listener| own.contains(&listener.inode)) {
        match (listener.port == port, listener.loopback) {
            (true, false) => here = Listening::Exposed,
            (true, true) if here == Listening::Elsewhere => here = Listening::Private,
            (false, false) if !others.contains(&listener.port) => others.push(listener.port),
            _ => {}
        }
    }
    (here, others)
}

fn read(path: &str) -> std::io::Result<Vec<Listener>> {
    Ok(std::fs::read_to_string(path)?.lines().skip(1).filter_map(listener).collect())
}

fn listener(line: &str) -> Option<Listener> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    // 0A is LISTEN.
    if *fields.get(3)? != "0A" {
        return None;
    }
    let (address, port) = fields.get(1)?.split_once(':')?;
    Some(Listener {
        port: u16::from_str_radix(port, 16).ok()?,
        inode: fields.get(9)?.parse().ok()?,
        loopback: is_loopback(address),
    })
}

/// Addresses are written in the machine's byte order: on the usual machines 127.x.y.z ends in 7F.
fn is_loopback(address: &str) -> bool {
    match address.len() {
        8 => address.ends_with("7F"),
        _ => {
            address == "00000000000000000000000001000000"
                || (address.starts_with("0000000000000000FFFF0000") && address.ends_with("7F"))
        }
    }
}

/// The sockets that the processes of a group hold.
fn sockets(leader: u32) -> HashSet<u64> {
    let mut found = HashSet::new();
    for pid in members(leader) {
        let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for entry in entries.flatten() {
            let inode = std::fs::read_link(entry.path()).ok().and_then(|target| {
                target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
            });
            found.extend(inode);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

    use super::*;

    /// The group of this test.
    fn own_group() -> u32 {
        rustix::process::getpgrp().as_raw_pid() as u32
    }

    #[test]
    fn listening_everywhere_is_told_from_loopback() {
        let private = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        assert_eq!(look(own_group(), port(&private)).0, Listening::Private);
        let public = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        assert_eq!(look(own_group(), port(&public)).0, Listening::Exposed);
        assert!(look(own_group(), port(&private)).1.contains(&port(&public)));
        if let Ok(six) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) {
            assert_eq!(look(own_group(), port(&six)).0, Listening::Exposed);
        }
    }

    #[test]
    fn what_another_process_listens_on_is_not_ours() {
        let ours = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert_eq!(look(1, ours.local_addr().unwrap().port()).0, Listening::Elsewhere);
    }
}

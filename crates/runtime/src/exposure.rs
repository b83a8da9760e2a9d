//! Which sockets a replica listens on, as the kernel tells it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};

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

/// How the group of `leader` listens on `port`, and other ports of it that other machines can reach. If somebody `answers` there,
/// who listens is found even where the kernel lists connections before it.
pub(crate) fn look(leader: u32, port: u16, answers: bool) -> (Listening, Vec<u16>) {
    let read = |extent: Extent| -> Vec<Listener> {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter();
        tables.filter_map(|path| open(path, extent).ok()).flat_map(|table| listeners(table, extent)).collect()
    };
    let mut listeners = read(Extent::First);
    if answers && !listeners.iter().any(|listener| listener.port == port) {
        listeners = read(Extent::All);
    }
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

/// Whether the leader itself listens on `port` of 127.0.0.1: the usual case, found without looking at every process and
/// every connection of the machine. `false` says nothing, and whether it also listens elsewhere is for [`look`] to find.
pub(crate) fn is_plainly_private(leader: u32, port: u16) -> bool {
    let Ok(table) = open("/proc/net/tcp", Extent::First) else { return false };
    let found = listeners(table, Extent::First).find(|listener| listener.port == port);
    found.is_some_and(|listener| listener.loopback && sockets_of(leader).contains(&listener.inode))
}

/// How far a table is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// Up to the first connection. Linux lists who listens before all connections, and makes of the table what is asked for: read by
    /// the line, it need not go through the connections, which takes it milliseconds, and tens of them where there are thousands.
    First,
    /// To its end: other kernels, such as gVisor's, have no such order.
    All,
}

/// The length of a line of the kernel's table.
const LINE: usize = 150;

fn open(path: &str, extent: Extent) -> std::io::Result<impl BufRead> {
    let capacity = if extent == Extent::First { LINE } else { 64 << 10 };
    Ok(BufReader::with_capacity(capacity, File::open(path)?))
}

/// Who listens, by one of the kernel's tables.
fn listeners(table: impl BufRead, extent: Extent) -> impl Iterator<Item = Listener> {
    let lines = table.lines().skip(1).map_while(Result::ok);
    lines
        .map(|line| listener(&line))
        .take_while(move |listener| extent == Extent::All || listener.is_some())
        .flatten()
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
    members(leader).into_iter().flat_map(sockets_of).collect()
}

/// The sockets that one process holds.
fn sockets_of(pid: u32) -> HashSet<u64> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return HashSet::new() };
    let inode = |path: std::path::PathBuf| {
        let target = std::fs::read_link(path).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok()
    };
    entries.flatten().filter_map(|entry| inode(entry.path())).collect()
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
        assert_eq!(look(own_group(), port(&private), true).0, Listening::Private);
        assert!(is_plainly_private(std::process::id(), port(&private)));
        assert!(!is_plainly_private(1, port(&private)), "somebody else's");
        let public = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        assert_eq!(look(own_group(), port(&public), true).0, Listening::Exposed);
        assert!(!is_plainly_private(std::process::id(), port(&public)));
        assert!(look(own_group(), port(&private), true).1.contains(&port(&public)));
        if let Ok(six) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) {
            assert_eq!(look(own_group(), port(&six), false).0, Listening::Exposed);
        }
    }

    #[test]
    fn what_another_process_listens_on_is_not_ours() {
        let ours = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        for answers in [true, false] {
            let (here, _) = look(1, ours.local_addr().unwrap().port(), answers);
            assert_eq!(here, Listening::Elsewhere);
        }
    }

    #[test]
    fn who_listens_is_found_in_any_order() {
        let line = |port: u16, state: &str, inode: u64| {
            format!("   0: 0100007F:{port:04X} 00000000:0000 {state} 0:0 00:0 0     0        0 {inode} 1")
        };
        let table = [
            "  sl  local_address rem_address   st tx_queue rx_queue".to_owned(),
            line(20_000, "0A", 7),
            line(20_000, "01", 8),
            line(20_001, "06", 0),
            line(20_001, "0A", 9),
        ]
        .join("\n");
        let found = |extent| -> Vec<(u16, u64)> {
            listeners(table.as_bytes(), extent).map(|found| (found.port, found.inode)).collect()
        };
        assert_eq!(found(Extent::First), [(20_000, 7)]);
        assert_eq!(found(Extent::All), [(20_000, 7), (20_001, 9)]);
    }
}

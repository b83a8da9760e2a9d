//! Callers of a proxy and the replica behind it, for `cargo xtask bench gateway`: one thread each, and sockets without a
//! library, so that on the core they share they take less time than the proxy does on its own; `protocols` alone has one. Each
//! prints a line of JSON.

mod closed;
mod crowd;
mod idle;
mod open;
mod poll;
mod protocols;
mod proxy;
mod replica;
mod tally;
mod tokens;
mod wire;

use std::net::SocketAddr;
use std::num::NonZeroU64;

use rustix::thread::{CpuSet, sched_setaffinity, set_current_timer_slack};

use proxy::Proxy;

/// Bytes of a request's body.
const BODY: usize = 256;

/// What is called, and the processes whose use of the machine is measured meanwhile.
struct Target {
    address: SocketAddr,
    path: String,
    key: String,
    proxy: Proxy,
}

impl Target {
    /// `pids` are separated by commas; the key is in `$BENCH_KEY`, where no list of processes shows it.
    fn new(address: &str, path: &str, pids: &str) -> Self {
        let pids = pids.split(',').filter(|pid| !pid.is_empty()).map(|pid| pid.parse().unwrap()).collect();
        Self {
            address: address.parse().unwrap(),
            path: path.into(),
            key: std::env::var("BENCH_KEY").unwrap(),
            proxy: Proxy { pids },
        }
    }

    /// The whole request, with a body of [`BODY`] bytes.
    fn request(&self, kind: Kind) -> Vec<u8> {
        let start = format!("{{\"{}\":true,\"text\":\"", kind.word());
        let body = format!("{start}{}\"}}", "x".repeat(BODY - start.len() - 2));
        let Self { path, key, .. } = self;
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Api-Key {key}\r\n\
             content-type: application/json\r\ncontent-length: {BODY}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// What a replica is asked for.
#[derive(Clone, Copy)]
enum Kind {
    /// An answer at once.
    Plain,
    Stream,
    /// An answer after [`replica::WORK`].
    Work,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Stream => "stream",
            Self::Work => "work",
        }
    }
}

/// Runs what the words ask for; `None` if they ask for something else.
pub fn run(words: &[&str]) -> Option<bool> {
    let job: Box<dyn FnOnce() -> serde_json::Value> = match *words {
        ["replica"] => Box::new(replica::serve),
        ["closed", address, path, pids, connections, length] => {
            let (target, length) = (Target::new(address, path, pids), closed::Length::read(length));
            let connections = connections.parse().unwrap();
            Box::new(move || closed::run(&target, Kind::Plain, connections, length))
        }
        ["work", address, path, pids, connections, length] => {
            let (target, length) = (Target::new(address, path, pids), closed::Length::read(length));
            let connections = connections.parse().unwrap();
            Box::new(move || closed::run(&target, Kind::Work, connections, length))
        }
        ["flood", address, path, pids, connections, rate, seconds] => {
            let target = Target::new(address, path, pids);
            let (connections, rate) = (connections.parse().unwrap(), rate.parse().unwrap());
            let seconds = seconds.parse().unwrap();
            Box::new(move || open::run(&target, Kind::Work, connections, rate, open::Until::Passed(seconds)))
        }
        ["certify", folder] => {
            let folder = folder.to_owned();
            Box::new(move || protocols::certify(&folder))
        }
        ["over", protocol, address, path, pids, at_once, seconds, body] => {
            let (target, protocol) = (Target::new(address, path, pids), protocols::Protocol::read(protocol));
            let (at_once, seconds) = (at_once.parse().unwrap(), seconds.parse().unwrap());
            let body = body.parse().unwrap();
            Box::new(move || protocols::run(&target, protocol, at_once, seconds, body))
        }
        ["open", address, path, pids, connections, rate, seconds] => {
            let target = Target::new(address, path, pids);
            let (connections, rate) = (connections.parse().unwrap(), rate.parse().unwrap());
            let seconds = seconds.parse().unwrap();
            Box::new(move || open::run(&target, Kind::Plain, connections, rate, open::Until::Passed(seconds)))
        }
        ["open", address, path, pids, connections, rate] => {
            let target = Target::new(address, path, pids);
            let (connections, rate) = (connections.parse().unwrap(), rate.parse().unwrap());
            Box::new(move || open::run(&target, Kind::Plain, connections, rate, open::Until::Told))
        }
        ["tokens", address, path, pids, connections, streams] => {
            let target = Target::new(address, path, pids);
            let (connections, streams) = (connections.parse().unwrap(), streams.parse().unwrap());
            Box::new(move || tokens::run(&target, connections, streams))
        }
        ["idle", address, path, pids, connections, seconds] => {
            let target = Target::new(address, path, pids);
            let (connections, seconds) = (connections.parse().unwrap(), seconds.parse().unwrap());
            Box::new(move || idle::run(&target, connections, seconds))
        }
        _ => return None,
    };
    // Also where the server that started this process was put on another core.
    let mut first = CpuSet::new();
    first.set(0);
    sched_setaffinity(None, &first).unwrap();
    // The kernel may wake a thread 50 us late, to wake several together: more than what is measured.
    set_current_timer_slack(NonZeroU64::new(1)).unwrap();
    println!("{}", job());
    Some(true)
}

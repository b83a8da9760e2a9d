//! Ports, limits and the clock.

use std::net::{SocketAddr, TcpListener};

use domain::{Clock, Timestamp, cores_text, memory_text};
use runtime::{Isolated, Isolation};

use super::Finding;
use crate::client;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::machine::Machine;

/// 2026-01-01: a clock that shows less was never set.
const BEFORE_US: Timestamp = Timestamp::from_millis(1_767_225_600_000);
/// Open files that a busy gateway and its replicas need.
const OPEN_FILES: u64 = 4096;

/// Whether the addresses are free, or ours.
pub async fn ports(config: &Config) -> Vec<Finding> {
    let ours = match client::Local::find(config) {
        Ok(local) => {
            tokio::net::TcpStream::connect(local.address).await.is_ok().then_some(local.address.port())
        }
        Err(_) => None,
    };
    config.listen.iter().map(|address| port(*address, ours, config.listen_chosen)).collect()
}

fn port(address: SocketAddr, ours: Option<u16>, chosen: bool) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::ok("port", format!("{address} is free")),
        Err(_) if ours == Some(address.port()) => {
            Finding::ok("port", format!("{address} is held by this server"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Finding::fail(
            "port",
            format!("{address} is in use by another program"),
            format!("find it with: ss -ltnp 'sport = :{}'", address.port()),
        ),
        Err(error) if address.is_ipv6() && !chosen => {
            Finding::warn("port", format!("{address}: {error}"), "nothing, unless clients prefer IPv6")
        }
        Err(error) => Finding::fail("port", format!("{address}: {error}"), "choose another with --listen"),
    }
}

/// Whether enough files may be open at once.
pub fn open_files() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    match limit.maximum {
        None => Finding::ok("open files", "unlimited"),
        Some(maximum) if maximum >= OPEN_FILES => Finding::ok("open files", format!("up to {maximum}")),
        Some(maximum) => Finding::warn(
            "open files",
            format!("up to {maximum}; a busy gateway needs {OPEN_FILES}"),
            format!("ulimit -Hn {OPEN_FILES}, or LimitNOFILE={OPEN_FILES} in the systemd unit"),
        ),
    }
}

/// What lets control groups be made.
const DELEGATE: &str = "delegate a control group (with systemd: Delegate=yes, DelegateSubgroup=server)";

/// Whether models can be held to the memory they were given, and builds to their limit.
pub fn memory_limits(config: &Config) -> Finding {
    match runtime::memory_limits() {
        Ok(()) => Finding::ok(
            "memory limits",
            format!(
                "models are held to the memory they ask for, and each build to {}",
                memory_text(config.limits.build_memory)
            ),
        ),
        Err(reason) => Finding::warn(
            "memory limits",
            format!("neither models are held to the memory they ask for, nor builds to any: {reason}"),
            format!("nothing, if you trust them; else {DELEGATE}"),
        ),
    }
}

/// Whether the number of the processes of models and builds can be limited.
pub fn process_limits(config: &Config) -> Finding {
    match runtime::process_limits() {
        Ok(()) => Finding::ok(
            "process limits",
            format!(
                "a replica has {} processes and threads at most, a build {}",
                config.limits.processes, config.limits.build_processes
            ),
        ),
        Err(reason) => Finding::warn(
            "process limits",
            format!(
                "a replica or a build may have as many processes and threads as the machine has: {reason}"
            ),
            format!("nothing, if you trust them; else {DELEGATE}"),
        ),
    }
}

/// Whether models share the processors by their instance types.
pub fn processor_weights() -> Finding {
    match runtime::processor_weights() {
        Ok(()) => {
            Finding::ok("processors", "where they are short, models share them by their instance types")
        }
        Err(reason) => Finding::warn(
            "processors",
            format!("where they are short, models share them by how many threads each has: {reason}"),
            format!("nothing, if there are enough; else {DELEGATE}"),
        ),
    }
}

/// Whether models are kept from the machine and from each other.
pub fn isolation(config: &Config) -> Finding {
    let isolated = runtime::isolation(&config.isolation, &config.data_dir);
    let sentence = isolated.to_string();
    let fix = match isolated {
        Isolated::Fully(_) => return Finding::ok("isolation", sentence),
        Isolated::Off => "nothing, if you trust every model; else remove `isolation` under [machine]",
        Isolated::Partly(_) => {
            "choose `users` under [machine] among the ids that there are here, let namespaces of users be made, or run the server as \
             another user than root"
        }
        Isolated::No(_) => {
            "install bubblewrap (on Debian: apt-get install bubblewrap), and let its user make namespaces; or trust every model"
        }
    };
    match config.isolation.mode {
        Isolation::Require => Finding::fail("isolation", sentence, fix),
        Isolation::Auto | Isolation::Off => Finding::warn("isolation", sentence, fix),
    }
}

/// What models may use, and in which sizes.
pub fn room(config: &Config) -> Finding {
    let host = Machine::read().host(&config.machine);
    let types: Vec<&str> = host.types.iter().map(|known| known.id.as_str()).collect();
    let sentence = format!(
        "models may hold {} of memory, on {}; instance types: {}",
        memory_text(host.memory),
        cores_text(host.milli_cpu),
        types.join(", ")
    );
    match host.types.iter().find(|known| known.memory > host.memory && !host.whole) {
        Some(large) => Finding::warn(
            "machine",
            format!("{sentence}; {} is larger than that", large.id),
            "give it less memory in slipway.toml, or raise `memory` under [machine]",
        ),
        None => Finding::ok("machine", sentence),
    }
}

/// Whether the machine's clock can be believed: uploads are signed with the time.
pub fn clock(config: &Config) -> Finding {
    let now = SystemClock::new().now();
    let fix = "set it: timedatectl set-ntp true";
    if now < BEFORE_US {
        return Finding::fail("clock", format!("shows {}", now.rfc3339()), fix);
    }
    let written = std::fs::metadata(config.data_dir.join("layout")).and_then(|file| file.modified()).ok();
    let written = written.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    if written.is_some_and(|written| written.as_millis() as i64 > now.millis() + 60_000) {
        return Finding::warn(
            "clock",
            format!("shows {}, before the data folder was made", now.rfc3339()),
            fix,
        );
    }
    Finding::ok("clock", now.rfc3339())
}

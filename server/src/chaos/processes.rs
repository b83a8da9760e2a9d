//! Processes of the server's models and builds, found by the data folder in their environment.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// What every replica's environment holds.
const REPLICA: &str = "SLIPWAY_REPLICA=";
const NAME: &str = "HOSTNAME=";
/// What the environment of a build holds that was made to take its time.
const HELD: &str = "SLIPWAY_HELD_BUILD=1";

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub pid: u32,
    /// The replica's id; nothing for one that builds.
    pub replica: Option<String>,
    /// It is the slow part of a build.
    pub held: bool,
}

/// Those that work below this folder, but for the server itself.
pub fn below(data: &Path, server: Option<u32>) -> Vec<Process> {
    let data = data.display().to_string();
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut found: Vec<Process> =
        pids.filter(|pid| Some(*pid) != server).filter_map(|pid| read(pid, &data)).collect();
    found.sort();
    found
}

fn read(pid: u32, data: &str) -> Option<Process> {
    // One that ended meanwhile, or that has become a zombie, has none.
    let bytes = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let entries: Vec<String> =
        bytes.split(|byte| *byte == 0).map(|entry| String::from_utf8_lossy(entry).into_owned()).collect();
    if !entries.iter().any(|entry| entry.split_once('=').is_some_and(|(_, value)| value.contains(data))) {
        return None;
    }
    let is_replica = entries.iter().any(|entry| entry.starts_with(REPLICA));
    let name = entries.iter().find_map(|entry| entry.strip_prefix(NAME)).map(str::to_owned);
    let held = entries.iter().any(|entry| entry == HELD);
    Some(Process { pid, replica: name.filter(|_| is_replica), held })
}

/// Gone already is fine.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Kills all of these.
pub fn kill(all: &[Process]) {
    all.iter().for_each(|process| signal(process.pid, Signal::KILL));
}

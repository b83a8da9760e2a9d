//! Processes of the server and of its models and builds, found by the data folder in their environment.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Names the data folder to whatever the server starts and hands its environment to: builds, in a sandbox or not. Nothing that
/// begins with `SLIPWAY_` reaches them.
pub const MARK: &str = "CHAOS_DATA";
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

/// The process that `server` started itself and that this one descends from.
pub fn started_by(server: u32, mut pid: u32) -> Option<u32> {
    loop {
        match parent(pid)? {
            above if above == server => return Some(pid),
            // It was left by whoever started it.
            0 | 1 => return None,
            above => pid = above,
        }
    }
}

fn parent(pid: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field after the name, which may itself hold spaces and brackets.
    text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Becomes readable when the process has ended: all it had open is closed then, which is later than it is gone for whoever lists
/// processes' memory.
pub fn handle(pid: u32) -> io::Result<AsyncFd<OwnedFd>> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
    let handle = pidfd_open(pid, PidfdFlags::empty())?;
    // SAFETY: the handle owns its descriptor and gives the same one as long as it lives; it is dropped with the watcher.
    Ok(unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) }?)
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

/// Kills all that work below this folder, the server too, and what they start meanwhile. It blocks, for two seconds at most; says
/// whether nothing is left.
pub fn end_all(data: &Path) -> bool {
    for _ in 0..100 {
        let left = below(data, None);
        if left.is_empty() {
            return true;
        }
        kill(&left);
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    /// A build without a sandbox: a process that starts another one, which takes its time.
    #[test]
    fn a_build_is_found_by_its_mark_and_ended_with_all_it_started() {
        let data = tempfile::tempdir().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 60 & echo $!; wait"]).env_clear().env(MARK, data.path());
        let mut build = command.env("PATH", "/usr/bin:/bin").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(build.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let slow: u32 = line.trim().parse().unwrap();
        let own = std::process::id();
        assert_eq!(started_by(own, slow), Some(build.id()));
        assert_eq!(started_by(own, build.id()), Some(build.id()));
        assert_eq!(started_by(slow, own), None);
        let found: Vec<u32> = below(data.path(), None).iter().map(|process| process.pid).collect();
        assert!(found.contains(&build.id()) && found.contains(&slow), "{found:?}");
        assert!(end_all(data.path()));
        assert!(!build.wait().unwrap().success());
        assert!(below(data.path(), None).is_empty());
    }

    #[tokio::test]
    async fn a_handle_tells_when_a_process_has_ended() {
        let mut child =
            Command::new("/bin/sh").args(["-c", "read line"]).stdin(Stdio::piped()).spawn().unwrap();
        let handle = handle(child.id()).unwrap();
        let soon = Duration::from_millis(50);
        assert!(tokio::time::timeout(soon, handle.readable()).await.is_err());
        signal(child.id(), Signal::KILL);
        assert!(handle.readable().await.is_ok());
        assert!(!child.wait().unwrap().success());
    }
}

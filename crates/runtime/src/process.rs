//! A process that may be told from every other, and signalled without hitting another.

use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use serde::{Deserialize, Serialize};

/// A pid alone may be reused; with its start time, the boot and a token in its environment it may not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub pid: u32,
    /// In the kernel's ticks since boot.
    pub started: u64,
    pub boot: String,
    /// The value of `SLIPWAY_REPLICA` in its environment.
    pub token: String,
    /// The process group of what runs in its sandbox, which the process itself only waits for; `None` if it has none, and
    /// leads its own.
    #[serde(default)]
    pub inner: Option<u32>,
}

impl Identity {
    /// Reads the identity of a process that was just started.
    pub fn of(pid: u32, inner: Option<u32>, token: &str) -> io::Result<Self> {
        Ok(Self { pid, started: start_time(pid)?, boot: boot()?, token: token.to_owned(), inner })
    }

    /// The group that its program and all it started are in.
    pub fn group(&self) -> u32 {
        self.inner.unwrap_or(self.pid)
    }

    /// The process that its program became: in a sandbox the only child of the one that leads the group.
    pub fn program(&self) -> u32 {
        self.inner.and_then(only_child).unwrap_or(self.pid)
    }

    /// Whether this very process still lives.
    pub fn is_alive(&self) -> bool {
        boot().is_ok_and(|boot| boot == self.boot)
            && start_time(self.pid).is_ok_and(|started| started == self.started)
            && !is_zombie(self.pid)
            && self.has_token()
    }

    fn has_token(&self) -> bool {
        let wanted = format!("SLIPWAY_REPLICA={}", self.token);
        std::fs::read(format!("/proc/{}/environ", self.pid))
            .is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes()))
    }

    /// Signals the program and all it started. Gone already is fine.
    pub fn signal(&self, signal: Signal) {
        if let Some(leader) = Pid::from_raw(self.group() as i32) {
            // The group's number stays taken as long as anybody is in it. The first process of a sandbox heeds only KILL,
            // and whatever is in the sandbox ends with it.
            let _ = rustix::process::kill_process_group(leader, signal);
            if signal == Signal::KILL && self.inner.is_some() {
                // Also while the sandbox is made, when its first process leads no group yet.
                let _ = rustix::process::kill_process(leader, signal);
            }
        }
    }

    /// Whether anything that its program started in its group is left.
    pub fn group_lives(&self) -> bool {
        let Some(leader) = Pid::from_raw(self.group() as i32) else { return false };
        rustix::process::test_kill_process_group(leader).is_ok()
            && self
                .inner
                .is_none_or(|first| members(first).into_iter().any(|pid| pid != first && !is_zombie(pid)))
    }

    /// Whether its sandbox still has its first process, which is the last to end.
    pub fn sandbox_lives(&self) -> bool {
        let Some(first) = self.inner else { return false };
        // Where this server is the first process of a container, nobody else collects it.
        let _ = rustix::process::waitpid(Pid::from_raw(first as i32), WaitOptions::NOHANG);
        stat(first).is_ok_and(|fields| group_of(&fields) == Some(first)) && !is_zombie(first)
    }

    /// A handle that becomes readable when the process ends, also for one that is no child of ours.
    pub fn handle(&self) -> io::Result<OwnedFd> {
        let pid = Pid::from_raw(self.pid as i32).ok_or_else(|| io::Error::other("no such pid"))?;
        Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
    }
}

fn boot() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Fields of `/proc/PID/stat` after the name, which may itself hold spaces and brackets.
pub(crate) fn stat(pid: u32) -> io::Result<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let rest = text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

/// The processes of this machine.
pub(crate) fn all() -> impl Iterator<Item = u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The group that a process is in, by its [`stat`].
pub(crate) fn group_of(fields: &[String]) -> Option<u32> {
    // The 5th field of the file is the 3rd after the name.
    fields.get(2)?.parse().ok()
}

/// The living processes of a group.
pub(crate) fn members(leader: u32) -> Vec<u32> {
    all().filter(|pid| stat(*pid).is_ok_and(|fields| group_of(&fields) == Some(leader))).collect()
}

fn only_child(pid: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

fn start_time(pid: u32) -> io::Result<u64> {
    // The 22nd field of the file is the 20th after the name.
    stat(pid)?.get(19).and_then(|text| text.parse().ok()).ok_or_else(|| io::Error::other("no start time"))
}

fn is_zombie(pid: u32) -> bool {
    stat(pid).is_ok_and(|fields| fields.first().is_some_and(|state| state == "Z"))
}

//! Processes of replicas that nobody looks after any more: a former server died before it could write them down, or
//! they left their group.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// Kills every process started for a replica below `replicas` whose token is not among `kept`, and waits a moment for
/// their ends. Returns how many there were.
pub(crate) async fn stop_strays(replicas: &Path, kept: &BTreeSet<String>) -> usize {
    let mut waited = 0;
    let found = kill(replicas, kept);
    while waited < 100 && kill(replicas, kept) > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        waited += 1;
    }
    found
}

fn kill(replicas: &Path, kept: &BTreeSet<String>) -> usize {
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0 };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        // The handle first: what is read after it is of the process it stands for, or of none.
        let Some(Ok(handle)) = Pid::from_raw(*pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) else {
            return false;
        };
        is_stray(*pid, replicas, kept) && pidfd_send_signal(&handle, Signal::KILL).is_ok()
    })
    .count()
}

fn is_stray(pid: i32, replicas: &Path, kept: &BTreeSet<String>) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(environ) = std::fs::read(format!("/proc/{pid}/environ")) else { return false };
    let value =
        |name: &str| environ.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(name.as_bytes()));
    let below =
        value("HOME=").is_some_and(|home| Path::new(std::ffi::OsStr::from_bytes(home)).starts_with(replicas));
    below
        && value("SLIPWAY_REPLICA=")
            .is_some_and(|token| !kept.contains(String::from_utf8_lossy(token).as_ref()))
}

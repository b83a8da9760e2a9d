//! Processes that nobody looks after any more: of replicas, because a former server died before it could write them down or they
//! left their group, and of its builds, which are begun anew.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::environment::TOKEN;
use crate::files::Files;

/// Names the data folder that a build works in, in the environment of all that it starts.
pub(crate) const BUILD: &str = "SLIPWAY_BUILD";

/// How often it is looked whether they have ended, and how long the server that starts waits in between: a second in all.
const LOOKS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Kills every process that was started in this data folder for a replica whose token is not among `kept`, or for a build, and
/// waits a moment for their ends. To be called before anything is built here. Returns how many there were.
pub(crate) async fn stop_strays(files: &Files, kept: &BTreeSet<String>) -> usize {
    let mut waited = 0;
    let found = kill(files, kept);
    while waited < LOOKS && kill(files, kept) > 0 {
        tokio::time::sleep(PAUSE).await;
        waited += 1;
    }
    found
}

fn kill(files: &Files, kept: &BTreeSet<String>) -> usize {
    let Ok(processes) = std::fs::read_dir("/proc") else { return 0 };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        // The handle first: what is read after it is of the process it stands for, or of none.
        let Some(Ok(handle)) = Pid::from_raw(*pid).map(|pid| pidfd_open(pid, PidfdFlags::empty())) else {
            return false;
        };
        is_stray(*pid, files, kept) && pidfd_send_signal(&handle, Signal::KILL).is_ok()
    })
    .count()
}

fn is_stray(pid: i32, files: &Files, kept: &BTreeSet<String>) -> bool {
    let Ok(environ) = std::fs::read(format!("/proc/{pid}/environ")) else { return false };
    let value = |name: &str| {
        let mut entries = environ.split(|byte| *byte == 0);
        entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    };
    let path = |name: &str| value(name).map(|value| Path::new(OsStr::from_bytes(value)));
    match value(TOKEN) {
        Some(token) => {
            path("HOME").is_some_and(|home| home.starts_with(files.replicas()))
                && !kept.contains(String::from_utf8_lossy(token).as_ref())
        }
        None => path(BUILD) == Some(files.root()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn start(variables: &[(&str, &Path)]) -> Child {
        let mut command = Command::new("sleep");
        command.arg("600").stdin(Stdio::null()).envs(variables.iter().copied());
        command.spawn().unwrap()
    }

    #[tokio::test]
    async fn builds_of_this_data_folder_end_and_nothing_else_does() {
        let (ours, others) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files = Files::new(ours.path()).unwrap();
        let (below, home) = (files.envs(), files.replicas().join("r1/home"));
        let mut build = start(&[(BUILD, ours.path())]);
        let mut rest = [
            start(&[(BUILD, others.path())]),
            start(&[(BUILD, below.as_path())]),
            // A replica says of itself what it likes.
            start(&[("HOME", home.as_path()), (TOKEN, Path::new("t1")), (BUILD, ours.path())]),
        ];
        let kept = BTreeSet::from(["t1".to_owned()]);
        assert_eq!(stop_strays(&files, &kept).await, 1);
        assert!(!build.wait().unwrap().success());
        for child in &mut rest {
            assert!(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

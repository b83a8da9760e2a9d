//! Holds what builds install to its limits: a control group for each command that runs others' code, as a replica has one, where the
//! host permits. It is written down before it is made, so that the next server finds what a killed one has left.

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::cgroup::{Given, Group, Groups};
use crate::files::{Files, make_private};
use crate::limits::Limits;
use crate::spawn::enter_group;

/// Half a core, whatever number of compilers run: what wants the processor beside a build is a model that is asked something.
const MILLI_CPU: u64 = 500;
/// How often a server that starts looks whether the groups of a former one are empty, and how long it waits in between: a second in all.
const LOOKS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);
/// How long a group that is in use is looked at again beside everything else, and the longest wait in between. The kernel first takes
/// back the memory of whoever is killed, which for many GiB is many seconds.
const PATIENCE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Tells the groups of this process from those of others. Its number does not: in a container another may have the same.
static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
/// Tells the groups of one process apart.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// What the log of a build says if its processes were too many.
pub(crate) const LACKED_PROCESSES: &str = "the build wanted more processes or threads than `machine.processes_per_build`, or a limit of the whole service, lets it have";

/// What the commands of builds are held to.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    files: Files,
    groups: Arc<Groups>,
    given: Given,
}

impl Bounds {
    pub fn new(files: &Files, groups: &Arc<Groups>, limits: &Limits) -> Self {
        let (memory, processes) = (limits.build_memory, limits.build_processes);
        let given = Given { memory, processes, milli_cpu: MILLI_CPU };
        Self { files: files.clone(), groups: groups.clone(), given }
    }

    /// Makes the group of a command as far as the host permits; `None` if nothing of it could be made. One that `outlives` its server
    /// is not ended by the next.
    pub fn hold(&self, outlives: bool) -> Option<Held> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = self.files.name_on_machine(&format!("build-{:016x}-{number}", *PROCESS));
        let file = self.files.groups().join(format!("{name}.json"));
        let note = Note { group: self.groups.left_by(&name), outlives };
        if let Err(error) = self.write_down(&file, &note) {
            tracing::warn!(file = %file.display(), %error, "a build's control group is not written down, so that a kill of this server would leave it");
        }
        match self.groups.make(&name, &self.given) {
            Some(group) => Some(Held(Written { file, group })),
            None => {
                let _ = fs::remove_file(&file);
                None
            }
        }
    }

    /// The folder is made only now: a server has to start on a full disk, too.
    fn write_down(&self, file: &Path, note: &Note) -> io::Result<()> {
        make_private(&self.files.groups())?;
        fs::write(file, serde_json::to_string(note)?)
    }
}

/// What is written down of a group.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    group: Group,
    /// Its command may come to its own end.
    outlives: bool,
}

/// A group, and where it is written down.
#[derive(Debug, Clone)]
struct Written {
    file: PathBuf,
    group: Group,
}

impl Written {
    /// Removes both if nobody is in the group; whether they are gone.
    fn leave(&self) -> bool {
        let gone = self.group.leave();
        if gone {
            let _ = fs::remove_file(&self.file);
        }
        gone
    }

    /// As [`leave`](Self::leave), after it has told whoever is in the group to end.
    fn end(&self) -> bool {
        self.group.stop();
        self.leave()
    }

    /// As [`end`](Self::end), later and again until both are gone, or for as long as there is patience. It blocks.
    fn end_patiently(&self) {
        let (mut left, mut pause) = (PATIENCE, PAUSE);
        while !left.is_zero() {
            std::thread::sleep(pause);
            if self.end() {
                return;
            }
            left = left.saturating_sub(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        tracing::warn!(note = %self.file.display(), "a build's control group is in use and stays until the next start");
    }
}

/// Goes on ending what is in a group, beside everything else.
fn end_later(written: Written) {
    match Handle::try_current() {
        Ok(handle) => drop(handle.spawn_blocking(move || written.end_patiently())),
        Err(_) => written.end_patiently(),
    }
}

/// The group of a command that runs. When this goes, what is left in it ends and it is removed.
#[derive(Debug)]
pub(crate) struct Held(Written);

impl Held {
    /// Lets a command enter when it starts.
    pub fn admit(&self, command: &mut Command) -> io::Result<()> {
        enter_group(command, &self.0.group)
    }

    /// Says so if a command that was started could not enter.
    pub fn check(&self, name: &str, pid: u32) {
        if !self.0.group.holds(pid) {
            tracing::warn!(command = %name, "a build is not held to all of its limits: it could not enter its control group");
        }
    }

    /// Why the command failed, if the kernel killed anything in its group for want of memory.
    pub fn lacked_memory(&self) -> Option<String> {
        let killed = self.0.group.killed_for_memory()?;
        let advice = if self.0.group.overran() {
            ", because `machine.memory_per_build` gives a build no more; see in its log what it installed, or raise the limit, and"
        } else {
            "; let less run on the machine, or fewer builds at once (`machine.builds_at_once`), and"
        };
        Some(format!("{killed}{advice} retry the deployment"))
    }

    /// Whether the kernel refused it a process or thread.
    pub fn lacked_processes(&self) -> bool {
        self.0.group.lacked_processes()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.0.end() {
            end_later(self.0.clone());
        }
    }
}

/// Ends what builds of a former server left in their groups, and waits a moment for it. To be called before anything is built here.
pub(crate) async fn end_left(files: &Files) {
    let mut left = written(files);
    for _ in 0..LOOKS {
        // Before they are removed: what is empty and stays nevertheless is nothing to wait for.
        let is_busy = left.iter().any(|written| written.group.has_members());
        left.retain(|written| !written.end());
        if left.is_empty() || !is_busy {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    left.into_iter().for_each(end_later);
}

/// The groups that are written down; those which may come to their own end, only if they have and are removed thereby.
fn written(files: &Files) -> Vec<Written> {
    let mut left = Vec::new();
    for file in fs::read_dir(files.groups()).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let Ok(text) = fs::read(&file) else { continue };
        match serde_json::from_slice::<Note>(&text) {
            Ok(Note { group, outlives: true }) => {
                Written { file, group }.leave();
            }
            Ok(Note { group, outlives: false }) => left.push(Written { file, group }),
            // Its server was killed while it wrote this, before it made the group.
            Err(_) => drop(fs::remove_file(&file)),
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Controller;

    /// Writes down a group as a former server would.
    fn note(files: &Files, name: &str, folders: &[PathBuf], outlives: bool) {
        let group = serde_json::json!({ "folders": folders, "limit": 0 });
        let note = serde_json::json!({ "group": group, "outlives": outlives });
        make_private(&files.groups()).unwrap();
        fs::write(files.groups().join(name), note.to_string()).unwrap();
    }

    #[test]
    fn a_command_is_held_where_the_host_permits_and_that_is_written_down_where_it_can_be() {
        let groups = Arc::new(Groups::find());
        let permitted = Controller::ALL.iter().any(|controller| groups.can(*controller).is_ok());
        for writable in [true, false] {
            let temp = tempfile::tempdir().unwrap();
            if !writable {
                // As on a full disk, the folder of the notes can't be made.
                fs::write(temp.path().join("groups"), "").unwrap();
            }
            let files = Files::new(temp.path()).unwrap();
            let held = Bounds::new(&files, &groups, &Limits::default()).hold(false);
            assert_eq!(held.is_some(), permitted);
            let notes = fs::read_dir(files.groups()).into_iter().flatten().count();
            assert_eq!(notes, usize::from(permitted && writable));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_group_that_somebody_is_in_is_waited_for() {
        let temp = tempfile::tempdir().unwrap();
        let files = Files::new(temp.path()).unwrap();
        // No process has such a number.
        for (name, members, waits) in [("stays", "", false), ("busy", "4194305\n", true)] {
            let folder = temp.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("cgroup.procs"), members).unwrap();
            note(&files, name, std::slice::from_ref(&folder), false);
            let began = tokio::time::Instant::now();
            end_left(&files).await;
            assert_eq!(!began.elapsed().is_zero(), waits, "{name}");
            // Whoever looks at it again has nothing to do any more, and may remove it first.
            let _ = fs::remove_dir_all(&folder);
        }
    }

    #[tokio::test]
    async fn what_a_former_server_left_is_removed_and_what_may_go_on_goes_on() {
        let temp = tempfile::tempdir().unwrap();
        let files = Files::new(temp.path()).unwrap();
        let at = |name: &str| temp.path().join(name);
        for (name, outlives) in [("installs", false), ("compiles", true)] {
            fs::create_dir(at(name)).unwrap();
            // Its server was killed before it made the second.
            note(&files, name, &[at(name), at("none")], outlives);
        }
        fs::write(files.groups().join("torn"), "{").unwrap();
        // Stands for a process that is in it.
        fs::create_dir(at("compiles/busy")).unwrap();
        let notes = || -> Vec<_> {
            fs::read_dir(files.groups()).unwrap().flatten().map(|entry| entry.file_name()).collect()
        };
        end_left(&files).await;
        assert_eq!(notes(), ["compiles"]);
        assert!(!at("installs").exists());
        fs::remove_dir(at("compiles/busy")).unwrap();
        end_left(&files).await;
        assert!(notes().is_empty() && !at("compiles").exists());
    }
}

//! Holds a replica to the memory it was given, where the host permits: a control group for each, of version 2 or 1.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use domain::ReplicaId;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Version {
    One,
    Two,
}

/// Where groups can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Groups {
    parent: PathBuf,
    version: Version,
}

/// The group of one replica; written down with it, because it outlives the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    path: PathBuf,
    version: Version,
    /// Bytes its processes may use together.
    pub limit: u64,
}

/// Names the groups of replicas, so that what a crash left is known.
const PREFIX: &str = "slipway-";

impl Groups {
    /// Looks for a place below which this process may make groups with a limit of memory; `Err` says why there is none.
    pub fn find() -> Result<Self, String> {
        let read =
            |path: &str| fs::read_to_string(path).map_err(|error| format!("{path} can't be read: {error}"));
        let candidates = candidates(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?);
        if candidates.is_empty() {
            return Err("this host has no control groups for memory".into());
        }
        let mut why = String::new();
        for groups in candidates {
            match groups.try_out() {
                Ok(()) => return Ok(groups),
                Err(error) => why = format!("{}: {error}", groups.parent.display()),
            }
        }
        Err(format!("no control group may be made ({why})"))
    }

    /// Makes a group with a limit, and removes it.
    fn try_out(&self) -> io::Result<()> {
        if self.version == Version::Two && !lists_memory(&self.parent.join("cgroup.subtree_control")) {
            // Permitted where the group was delegated to us and has no processes of its own.
            fs::write(self.parent.join("cgroup.subtree_control"), "+memory")?;
        }
        let path = self.parent.join(format!("{PREFIX}probe-{}", std::process::id()));
        let group = Group { path, version: self.version, limit: 1 << 30 };
        let made = group.make();
        group.remove();
        made
    }

    /// The group that a replica of a former server may have left.
    pub fn left_by(&self, replica: &str) -> Group {
        Group { path: self.parent.join(format!("{PREFIX}{replica}")), version: self.version, limit: 0 }
    }

    /// Makes a replica's group with a limit in bytes.
    pub fn make(&self, replica: &ReplicaId, limit: u64) -> io::Result<Group> {
        let path = self.parent.join(format!("{PREFIX}{replica}"));
        let group = Group { path, version: self.version, limit };
        group.make().inspect_err(|_| group.remove())?;
        Ok(group)
    }
}

impl Group {
    fn make(&self) -> io::Result<()> {
        match fs::create_dir(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let limit = self.limit.to_string();
        // What it may not keep in memory it may not move to the disk either; not every kernel counts that.
        match self.version {
            Version::One => {
                fs::write(self.path.join("memory.limit_in_bytes"), &limit)?;
                let _ = fs::write(self.path.join("memory.memsw.limit_in_bytes"), &limit);
            }
            Version::Two => {
                fs::write(self.path.join("memory.max"), &limit)?;
                let _ = fs::write(self.path.join("memory.swap.max"), "0");
                let _ = fs::write(self.path.join("memory.oom.group"), "1");
            }
        }
        Ok(())
    }

    /// Opened before a process is forked: whoever writes `0` to it enters the group.
    pub fn door(&self) -> io::Result<fs::File> {
        fs::OpenOptions::new().write(true).open(self.path.join("cgroup.procs"))
    }

    pub fn has(&self, pid: u32) -> bool {
        self.members().contains(&pid)
    }

    fn members(&self) -> Vec<u32> {
        let text = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.trim().parse().ok()).collect()
    }

    /// Whether the kernel killed anything in it for using more than the limit.
    pub fn overran(&self) -> bool {
        let name = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        let text = fs::read_to_string(self.path.join(name)).unwrap_or_default();
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.and_then(|count| count.trim().parse::<u64>().ok()).is_some_and(|count| count > 0)
    }

    /// Ends what still lives in it, whatever group of processes it went to, and removes it.
    pub fn end(&self) {
        for pid in self.members() {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        self.remove();
    }

    fn remove(&self) {
        for _ in 0..20 {
            match fs::remove_dir(&self.path) {
                // The kernel lets go of the last process a moment after its end.
                Err(error) if error.raw_os_error() == Some(16) => {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                _ => return,
            }
        }
        tracing::debug!(group = %self.path.display(), "a control group is in use and stays");
    }
}

/// Enters a group: to be called in the new process, before it becomes its program.
pub(crate) fn enter(mut door: &fs::File) -> io::Result<()> {
    door.write_all(b"0")
}

/// Places to try, the nearest first: of version 1 this process's own group, of version 2 that and those above it.
fn candidates(mounts: &str, own: &str) -> Vec<Groups> {
    let mut found = Vec::new();
    for line in mounts.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let before: Vec<&str> = before.split(' ').collect();
        let after: Vec<&str> = after.split(' ').collect();
        let (Some(root), Some(mount), Some(kind)) = (before.get(3), before.get(4), after.first()) else {
            continue;
        };
        let options = after.get(2).copied().unwrap_or_default();
        let (version, wanted) = match *kind {
            "cgroup2" => (Version::Two, ""),
            "cgroup" if options.split(',').any(|option| option == "memory") => (Version::One, "memory"),
            _ => continue,
        };
        let Some(path) = own.lines().find_map(|line| own_path(line, wanted)) else { continue };
        let mount = Path::new(mount);
        let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
        let below = below.strip_prefix("/").unwrap_or(below);
        match version {
            Version::One => found.push(Groups { parent: mount.join(below), version }),
            Version::Two => {
                let own = mount.join(below);
                let places = own.ancestors().take_while(|place| place.starts_with(mount));
                let usable = places.filter(|place| lists_memory(&place.join("cgroup.controllers")));
                found.extend(usable.map(|place| Groups { parent: place.to_owned(), version }));
            }
        }
    }
    found
}

/// The path of a line like `4:memory:/a/b`, or `0::/a/b` for version 2.
fn own_path<'a>(line: &'a str, controller: &str) -> Option<&'a str> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    controllers.split(',').any(|known| known == controller).then_some(path)
}

fn lists_memory(path: &Path) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.split_whitespace().any(|name| name == "memory"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_one_uses_the_own_group_below_what_is_mounted() {
        let mounts = "30 25 0:26 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      31 25 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let own = "4:memory:/docker/x/y\n1:cpu:/docker/x\n0::/\n";
        let parent = PathBuf::from("/sys/fs/cgroup/memory/y");
        assert_eq!(candidates(mounts, own), [Groups { parent, version: Version::One }]);
    }

    #[test]
    fn version_two_looks_upwards_for_a_group_that_counts_memory() {
        let temp = tempfile::tempdir().unwrap();
        let unit = temp.path().join("system.slice/slipway.service");
        fs::create_dir_all(unit.join("server")).unwrap();
        for (place, text) in [("system.slice", "cpu memory\n"), ("system.slice/slipway.service", "memory\n")]
        {
            fs::write(temp.path().join(place).join("cgroup.controllers"), text).unwrap();
        }
        let mounts = format!("30 25 0:26 / {} rw,nosuid - cgroup2 cgroup2 rw\n", temp.path().display());
        let found = candidates(&mounts, "0::/system.slice/slipway.service/server\n");
        let parents: Vec<PathBuf> = found.into_iter().map(|groups| groups.parent).collect();
        assert_eq!(parents, [unit, temp.path().join("system.slice")]);
    }

    #[test]
    fn a_host_without_them_has_no_place() {
        assert!(candidates("22 1 0:20 / / rw - ext4 /dev/sda rw\n", "0::/\n").is_empty());
    }
}

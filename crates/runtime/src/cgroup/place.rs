//! Where control groups can be made, and what the kernel is told of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// What the kernel keeps of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Controller {
    Memory,
    Processes,
    Processor,
}

impl Controller {
    pub const ALL: [Self; 3] = [Self::Memory, Self::Processes, Self::Processor];

    /// The kernel's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "pids",
            Self::Processor => "cpu",
        }
    }

    /// People's name for it.
    pub fn what(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "processes",
            Self::Processor => "processor time",
        }
    }
}

/// What a replica, or a command of a build, is held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Given {
    /// Bytes its processes may use together; 0 for as many as there are.
    pub memory: u64,
    /// Processes and threads.
    pub processes: u32,
    /// Cores in thousandths. It may use more that are idle: this is its weight beside others.
    pub milli_cpu: u64,
}

impl Given {
    /// With version 1 each thread of the server stands beside the groups, with 1024. A core weighs as much.
    fn shares(&self) -> u64 {
        (self.milli_cpu.saturating_mul(1024) / 1000).clamp(2, 1 << 18)
    }

    /// With version 2 a group with the whole server stands beside them, with 100. A core weighs a tenth of that, so that many
    /// replicas don't starve what passes requests to them.
    fn weight(&self) -> u64 {
        (self.milli_cpu / 100).clamp(1, 10_000)
    }
}

/// What is asked of a group that is made to see whether it can be.
const PROBE: Given = Given { memory: 1 << 30, processes: 4096, milli_cpu: 1000 };
/// Tells such groups of one process apart.
static PROBES: AtomicU32 = AtomicU32::new(0);

/// Names the groups, so that what a crash left is known.
const PREFIX: &str = "slipway-";

/// A place below which groups can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub parent: PathBuf,
    pub version: Version,
}

impl Place {
    pub fn folder(&self, name: &str) -> PathBuf {
        self.parent.join(format!("{PREFIX}{name}"))
    }

    /// Makes a group here, has the kernel hold it to something, and removes it.
    fn try_out(&self, controller: Controller) -> io::Result<()> {
        let switches = self.parent.join("cgroup.subtree_control");
        if self.version == Version::Two && !lists(&switches, controller) {
            // Permitted where the group was delegated to us and has no processes of its own.
            fs::write(switches, format!("+{}", controller.name()))?;
        }
        let number = PROBES.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder(&format!("probe-{}-{number}", std::process::id()));
        let made = make(&folder).and_then(|()| self.hold(&folder, controller, &PROBE));
        remove(&folder);
        made
    }

    /// Tells the kernel what a group here is held to.
    pub fn hold(&self, folder: &Path, controller: Controller, given: &Given) -> io::Result<()> {
        let write = |name: &str, value: u64| fs::write(folder.join(name), value.to_string());
        match (controller, self.version) {
            // What it may not keep in memory it may not move to the disk either; not every kernel counts that.
            (Controller::Memory, Version::One) => {
                write("memory.limit_in_bytes", given.memory)?;
                let _ = write("memory.memsw.limit_in_bytes", given.memory);
            }
            (Controller::Memory, Version::Two) => {
                write("memory.max", given.memory)?;
                let _ = write("memory.swap.max", 0);
                let _ = write("memory.oom.group", 1);
            }
            (Controller::Processes, _) => write("pids.max", given.processes.into())?,
            (Controller::Processor, Version::One) => write("cpu.shares", given.shares())?,
            (Controller::Processor, Version::Two) => write("cpu.weight", given.weight())?,
        }
        Ok(())
    }
}

pub(super) fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

pub(super) fn remove(folder: &Path) {
    for _ in 0..20 {
        match fs::remove_dir(folder) {
            // The kernel lets go of the last process a moment after its end.
            Err(error) if error.raw_os_error() == Some(16) => {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            _ => return,
        }
    }
    tracing::debug!(group = %folder.display(), "a control group is in use and stays");
}

/// The first of these places where a group can be made.
pub(super) fn first(controller: Controller, places: Vec<Place>) -> Result<Place, String> {
    let mut why = format!("this host has no control groups for {}", controller.what());
    for place in places {
        match place.try_out(controller) {
            Ok(()) => return Ok(place),
            Err(error) => {
                why = format!("no control group may be made ({}: {error})", place.parent.display());
            }
        }
    }
    Err(why)
}

/// Places to try, the nearest first: of version 1 this process's own group, of version 2 that and those above it.
pub(super) fn candidates(mounts: &str, own: &str, controller: Controller) -> Vec<Place> {
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
            "cgroup" if options.split(',').any(|option| option == controller.name()) => {
                (Version::One, controller.name())
            }
            _ => continue,
        };
        let Some(path) = own.lines().find_map(|line| own_path(line, wanted)) else { continue };
        let mount = Path::new(mount);
        let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
        let below = below.strip_prefix("/").unwrap_or(below);
        match version {
            Version::One => found.push(Place { parent: mount.join(below), version }),
            Version::Two => {
                let own = mount.join(below);
                let places = own.ancestors().take_while(|place| place.starts_with(mount));
                let usable = places.filter(|place| lists(&place.join("cgroup.controllers"), controller));
                found.extend(usable.map(|place| Place { parent: place.to_owned(), version }));
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

/// Whether a file of the kernel's names a controller.
fn lists(path: &Path, controller: Controller) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.split_whitespace().any(|name| name == controller.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(parent: &str) -> Place {
        Place { parent: parent.into(), version: Version::One }
    }

    #[test]
    fn version_one_uses_the_own_group_below_what_is_mounted() {
        let mounts = "30 25 0:26 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      31 25 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";
        let own = "4:memory:/docker/x/y\n1:cpu,cpuacct:/docker/x\n0::/\n";
        let found = |controller| candidates(mounts, own, controller);
        assert_eq!(found(Controller::Memory), [one("/sys/fs/cgroup/memory/y")]);
        assert_eq!(found(Controller::Processor), [one("/sys/fs/cgroup/cpu/docker/x")]);
        assert!(found(Controller::Processes).is_empty());
    }

    #[test]
    fn a_core_has_its_weight_within_what_the_kernel_takes() {
        let given = |milli_cpu| Given { milli_cpu, ..PROBE };
        assert_eq!((given(4000).shares(), given(4000).weight()), (4096, 40));
        assert_eq!((given(0).shares(), given(0).weight()), (2, 1));
        assert_eq!((given(u64::MAX).shares(), given(u64::MAX).weight()), (1 << 18, 10_000));
    }
}

//! Holds a replica, or a command of a build, to what it was given, where the host permits: control groups, of version 2 or 1, limit
//! its memory and its processes, and weigh it where processors are short.

mod place;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use domain::memory_text;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Deserializer, Serialize};

pub(crate) use place::{Controller, Given};
use place::{Place, Version, candidates, first, make, remove};

/// The most memory that was in use at once, in bytes, as version 1 tells it: alone, and together with swap.
const MOST_USED: [&str; 2] = ["memory.max_usage_in_bytes", "memory.memsw.max_usage_in_bytes"];

/// Where groups are made, for each controller; or why they can't be.
#[derive(Debug)]
pub(crate) struct Groups([(Controller, Result<Place, String>); 3]);

/// The group of one replica or one command; written down, because it outlives the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// One with version 2; one for each controller with version 1. A former version wrote down one as `path`.
    #[serde(alias = "path", deserialize_with = "one_or_more")]
    folders: Vec<PathBuf>,
    /// Bytes its processes may use together; 0 for as many as there are.
    pub limit: u64,
}

fn one_or_more<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        One(PathBuf),
        More(Vec<PathBuf>),
    }
    Ok(match Written::deserialize(from)? {
        Written::One(folder) => vec![folder],
        Written::More(folders) => folders,
    })
}

impl Groups {
    /// Looks for the places below which this process may make groups.
    pub fn find() -> Self {
        let read =
            |path: &str| fs::read_to_string(path).map_err(|error| format!("{path} can't be read: {error}"));
        match read("/proc/self/mountinfo").and_then(|mounts| Ok((mounts, read("/proc/self/cgroup")?))) {
            Ok((mounts, own)) => Self::among(&mounts, &own),
            Err(why) => Self(Controller::ALL.map(|controller| (controller, Err(why.clone())))),
        }
    }

    fn among(mounts: &str, own: &str) -> Self {
        let memory = first(Controller::Memory, candidates(mounts, own, Controller::Memory));
        let beside = |controller: Controller| {
            let mut places = candidates(mounts, own, controller);
            // With version 2 a process is in one group for everything, and where that can be is settled by its memory.
            places.retain(|place| place.version == Version::One || memory.as_ref() == Ok(place));
            match &memory {
                Err(why) if places.is_empty() => Err(why.clone()),
                _ => first(controller, places),
            }
        };
        let (processes, processor) = (beside(Controller::Processes), beside(Controller::Processor));
        Self([
            (Controller::Memory, memory),
            (Controller::Processes, processes),
            (Controller::Processor, processor),
        ])
    }

    /// Whether groups can be made with this; `Err` says why not.
    pub fn can(&self, wanted: Controller) -> Result<(), String> {
        let found = self.0.iter().find(|(controller, _)| *controller == wanted);
        found.map_or(Ok(()), |(_, place)| place.as_ref().map(drop).map_err(String::clone))
    }

    fn places(&self) -> impl Iterator<Item = (Controller, &Place)> {
        self.0.iter().filter_map(|(controller, place)| Some((*controller, place.as_ref().ok()?)))
    }

    /// The group of this name that a former server may have left.
    pub fn left_by(&self, name: &str) -> Group {
        let mut folders: Vec<PathBuf> = self.places().map(|(_, place)| place.folder(name)).collect();
        // With version 2 they are the same.
        folders.dedup();
        Group { folders, limit: 0 }
    }

    /// Makes a group as far as the host permits, and logs what fails; `None` if nothing of it could be made.
    pub fn make(&self, name: &str, given: &Given) -> Option<Group> {
        let mut group = Group { folders: Vec::new(), limit: 0 };
        for (controller, place) in self.places() {
            if controller == Controller::Memory && given.memory == 0 {
                continue;
            }
            let folder = place.folder(name);
            let is_made = group.folders.contains(&folder);
            match make(&folder).and_then(|()| place.hold(&folder, controller, given)) {
                Ok(()) if controller == Controller::Memory => group.limit = given.memory,
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(group = %folder.display(), %error, "the {} of a replica or a build can't be limited", controller.what());
                    if !is_made {
                        remove(&folder);
                    }
                    continue;
                }
            }
            if !is_made {
                group.folders.push(folder);
            }
        }
        (!group.folders.is_empty()).then_some(group)
    }
}

impl Group {
    /// Opened before a process is forked, which then enters by [`enter`].
    pub fn doors(&self) -> io::Result<Vec<fs::File>> {
        let open = |folder: &PathBuf| {
            let door = |name: &str| fs::OpenOptions::new().write(true).open(folder.join(name));
            // Of version 1: by it one thread enters, which is all that a forked process has, and nobody else waits meanwhile.
            door("tasks").or_else(|_| door("cgroup.procs"))
        };
        self.folders.iter().map(open).collect()
    }

    /// What of it a process is in; the rest is removed. `None` if it is in nothing of it.
    pub fn entered_by(self, pid: u32) -> Option<Self> {
        let Self { folders, limit } = self;
        let (inside, outside): (Vec<_>, Vec<_>) =
            folders.into_iter().partition(|folder| members(folder).contains(&pid));
        Self { folders: outside, limit: 0 }.end();
        (!inside.is_empty()).then_some(Self { folders: inside, limit })
    }

    /// Whether the kernel killed anything in it for using more memory than the limit.
    pub fn overran(&self) -> bool {
        // With version 1 not every kernel counts what it refused, but each knows the most that there was: a page or a few
        // less than the limit.
        let nearly = self.limit - self.limit / 16;
        let was_met = || {
            self.counted(&["memory.events"], "oom ")
                || self.most(&MOST_USED, "").is_some_and(|most| most >= nearly)
        };
        self.limit > 0 && self.was_killed() && was_met()
    }

    /// Whether the kernel killed anything in it for want of memory: its own, that of a group above, or the machine's.
    fn was_killed(&self) -> bool {
        self.counted(&["memory.oom_control", "memory.events"], "oom_kill ")
    }

    /// What the kernel killed in it for want of memory, as a sentence about its replica or build; `None` if nothing.
    pub fn killed_for_memory(&self) -> Option<String> {
        if self.overran() {
            let limit = memory_text(self.limit);
            return Some(format!("it used more than its {limit} of memory and was killed"));
        }
        let machine = "a process of it was killed because the machine ran out of memory, or the whole service met its limit";
        self.was_killed().then(|| machine.to_owned())
    }

    /// Whether the kernel refused it a process because it had as many as it may.
    pub fn lacked_processes(&self) -> bool {
        self.counted(&["pids.events"], "max ")
    }

    /// Whether one of these files of the kernel's has a number behind this word that is not 0.
    fn counted(&self, files: &[&str], word: &str) -> bool {
        self.most(files, word).is_some_and(|number| number > 0)
    }

    /// The largest number that these files of the kernel's have behind this word.
    fn most(&self, files: &[&str], word: &str) -> Option<u64> {
        let paths = self.folders.iter().flat_map(|folder| files.iter().map(move |name| folder.join(name)));
        let texts = paths.filter_map(|path| fs::read_to_string(path).ok());
        let number = |text: String| {
            let number = text.lines().find_map(|line| line.strip_prefix(word));
            number.and_then(|number| number.trim().parse().ok())
        };
        texts.filter_map(number).max()
    }

    /// Whether any process is in any of it.
    pub fn has_members(&self) -> bool {
        self.folders.iter().any(|folder| !members(folder).is_empty())
    }

    /// Whether a process is in all of it.
    pub fn holds(&self, pid: u32) -> bool {
        self.folders.iter().all(|folder| members(folder).contains(&pid))
    }

    /// Ends what still lives in it, whatever group of processes it went to, and removes it.
    pub fn end(&self) {
        self.stop();
        self.folders.iter().for_each(|folder| remove(folder));
    }

    /// Tells what still lives in it to end at once.
    pub fn stop(&self) {
        for folder in &self.folders {
            // Version 2 kills all at once, and whatever they start meanwhile, since Linux 5.14.
            tell(folder, "cgroup.kill", "1");
            // Elsewhere they are killed one by one, and must not be faster in starting others.
            tell(folder, "pids.max", "0");
        }
        for pid in self.folders.iter().flat_map(|folder| members(folder)) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }

    /// Removes it if nobody is in it any more; whether it is gone.
    pub fn leave(&self) -> bool {
        self.folders.iter().for_each(|folder| drop(fs::remove_dir(folder)));
        !self.folders.iter().any(|folder| folder.exists())
    }
}

/// Enters a group: to be called in the new process, before it becomes its program.
pub(crate) fn enter(mut door: &fs::File) -> io::Result<()> {
    door.write_all(b"0")
}

/// Writes to a file of the kernel's, if the group has it.
fn tell(folder: &Path, name: &str, word: &str) {
    let file = fs::OpenOptions::new().write(true).open(folder.join(name));
    let _ = file.and_then(|mut file| file.write_all(word.as_bytes()));
}

fn members(folder: &Path) -> Vec<u32> {
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: Given = Given { memory: 2 << 30, processes: 200, milli_cpu: 1500 };

    fn one(parent: PathBuf) -> Place {
        Place { parent, version: Version::One }
    }

    fn read(path: PathBuf) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    #[test]
    fn version_two_looks_upwards_for_a_group_that_counts_memory() {
        let temp = tempfile::tempdir().unwrap();
        let unit = temp.path().join("system.slice/slipway.service");
        fs::create_dir_all(unit.join("server")).unwrap();
        for (place, text) in
            [("system.slice", "cpu memory pids\n"), ("system.slice/slipway.service", "memory\n")]
        {
            fs::write(temp.path().join(place).join("cgroup.controllers"), text).unwrap();
        }
        let mounts = format!("30 25 0:26 / {} rw,nosuid - cgroup2 cgroup2 rw\n", temp.path().display());
        let own = "0::/system.slice/slipway.service/server\n";
        let found = candidates(&mounts, own, Controller::Memory);
        let parents: Vec<PathBuf> = found.into_iter().map(|place| place.parent).collect();
        assert_eq!(parents, [unit, temp.path().join("system.slice")]);
        // Its one group is where its memory is counted, and that does not count processes.
        let groups = Groups::among(&mounts, own);
        assert!(groups.can(Controller::Memory).is_ok());
        let why = groups.can(Controller::Processes).unwrap_err();
        assert_eq!(why, "this host has no control groups for processes");
    }

    #[test]
    fn a_host_without_them_has_no_place() {
        let groups = Groups::among("22 1 0:20 / / rw - ext4 /dev/sda rw\n", "0::/\n");
        for controller in Controller::ALL {
            assert!(groups.can(controller).unwrap_err().contains("no control groups for memory"));
        }
        assert_eq!(groups.make("r1", &GIVEN), None);
    }

    #[test]
    fn version_two_has_one_group_for_everything() {
        let temp = tempfile::tempdir().unwrap();
        let place = Place { parent: temp.path().to_owned(), version: Version::Two };
        let groups = Groups(Controller::ALL.map(|controller| (controller, Ok(place.clone()))));
        let group = groups.make("r1", &GIVEN).unwrap();
        let folder = temp.path().join("slipway-r1");
        assert_eq!(group, Group { folders: vec![folder.clone()], limit: 2 << 30 });
        for (name, value) in [("memory.max", "2147483648"), ("pids.max", "200"), ("cpu.weight", "15")] {
            assert_eq!(read(folder.join(name)).as_deref(), Some(value), "{name}");
        }
        assert_eq!(groups.left_by("r1").folders, [folder]);
    }

    #[test]
    fn version_one_has_a_group_for_each_and_none_for_what_is_not_limited() {
        let temp = tempfile::tempdir().unwrap();
        for controller in Controller::ALL {
            fs::create_dir(temp.path().join(controller.name())).unwrap();
        }
        let groups = Groups(
            Controller::ALL.map(|controller| (controller, Ok(one(temp.path().join(controller.name()))))),
        );
        let group = groups.make("r1", &Given { memory: 0, ..GIVEN }).unwrap();
        let at = |name: &str| temp.path().join(name);
        assert_eq!(group, Group { folders: vec![at("pids/slipway-r1"), at("cpu/slipway-r1")], limit: 0 });
        assert_eq!(read(at("pids/slipway-r1/pids.max")).as_deref(), Some("200"));
        assert_eq!(read(at("cpu/slipway-r1/cpu.shares")).as_deref(), Some("1536"));

        fs::write(at("pids/slipway-r1/pids.events"), "max 3\n").unwrap();
        fs::write(at("cpu/slipway-r1/memory.events"), "oom_kill 1\n").unwrap();
        assert!(group.lacked_processes() && !group.overran(), "it had no limit of memory");
        // Nobody is in it, so nothing of it is kept.
        assert_eq!(group.entered_by(1), None);
    }

    #[test]
    fn it_used_too_much_only_if_its_own_limit_was_met() {
        let own = Some("it used more than its 2 GiB of memory");
        let machine = Some("a process of it was killed because the machine ran out of memory");
        let killed = ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
        let table: [(&[(&str, &str)], Option<&str>); 6] = [
            (&[("memory.events", "max 7\noom 2\noom_kill 0\n")], None),
            (&[("memory.events", "max 7\noom 0\noom_kill 1\noom_group_kill 1\n")], machine),
            (&[("memory.events", "max 7\noom 1\noom_kill 3\noom_group_kill 1\n")], own),
            (&[killed, ("memory.max_usage_in_bytes", "1900000000\n")], machine),
            (&[killed, ("memory.max_usage_in_bytes", "2147479552\n")], own),
            (&[killed, ("memory.max_usage_in_bytes", "7\n"), (MOST_USED[1], "2147479552\n")], own),
        ];
        for (files, why) in table {
            let temp = tempfile::tempdir().unwrap();
            for (name, text) in files {
                fs::write(temp.path().join(name), text).unwrap();
            }
            let group = Group { folders: vec![temp.path().to_owned()], limit: GIVEN.memory };
            let said = group.killed_for_memory();
            assert_eq!(said.is_some(), why.is_some(), "{files:?}: {said:?}");
            assert!(said.unwrap_or_default().starts_with(why.unwrap_or_default()), "{files:?}");
        }
    }

    #[test]
    fn the_kernel_is_told_to_end_what_is_in_it_by_the_files_that_it_has() {
        let temp = tempfile::tempdir().unwrap();
        let folders: Vec<PathBuf> = ["one", "two"].map(|name| temp.path().join(name)).into();
        for (folder, files) in folders.iter().zip([&["pids.max"][..], &["cgroup.kill", "pids.max"]]) {
            fs::create_dir(folder).unwrap();
            files.iter().for_each(|name| fs::write(folder.join(name), "").unwrap());
        }
        Group { folders: folders.clone(), limit: 0 }.stop();
        let told = |folder: &Path| ["cgroup.kill", "pids.max"].map(|name| read(folder.join(name)));
        assert_eq!(told(&folders[0]), [None, Some("0".to_owned())]);
        assert_eq!(told(&folders[1]), ["1", "0"].map(|word| Some(word.to_owned())));
    }

    #[test]
    fn what_a_former_version_wrote_down_is_read() {
        let text = r#"{"path":"/sys/fs/cgroup/slipway-r1","version":"two","limit":5}"#;
        let group: Group = serde_json::from_str(text).unwrap();
        assert_eq!(group, Group { folders: vec!["/sys/fs/cgroup/slipway-r1".into()], limit: 5 });
        let again = serde_json::to_string(&group).unwrap();
        assert_eq!(serde_json::from_str::<Group>(&again).unwrap(), group);
    }
}

//! Where a run works: a folder, which goes with all that works below it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

use super::{disk, processes};

/// Everything of one run: a folder that goes with it, and the processes that work below it.
pub struct Place {
    pub(super) folder: PathBuf,
    pub(super) data: PathBuf,
    /// Why it has no disk of its own.
    pub(super) own_disk: Result<(), String>,
}

impl Place {
    /// Makes the folder, on a disk of its own where that is permitted. Call it while there is one thread.
    ///
    /// # Errors
    /// If the folder can't be made.
    pub fn make() -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("slipway-chaos-{}", crate::random::word::<8>()));
        let data = folder.join("data");
        std::fs::create_dir_all(&data).with_context(|| format!("{} could not be made", data.display()))?;
        let own_disk = disk::mount_at(&data)
            .map_err(|error| format!("the server got no small disk of its own ({error}): run this as root"));
        Ok(Self { folder, data, own_disk })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        processes::end_all(&self.data);
        remove_groups(&self.data);
        if self.own_disk.is_ok() {
            let _ = rustix::mount::unmount(&self.data, rustix::mount::UnmountFlags::DETACH);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// How the server's names of control groups begin; for a replica's its id follows.
const GROUP: &str = "slipway-";

/// Removes the control groups of replicas and builds that the last server did not get to.
fn remove_groups(data: &Path) {
    let folders = std::fs::read_dir(data.join("replicas")).into_iter().flatten().flatten();
    let folders: Vec<PathBuf> = folders.map(|entry| entry.path()).collect();
    let of_builds = std::fs::read_dir(data.join("groups")).into_iter().flatten().flatten();
    let notes = of_builds.map(|entry| entry.path());
    let notes = notes.chain(folders.iter().map(|folder| folder.join("replica.json")));
    let mut groups: BTreeSet<PathBuf> = notes.flat_map(|note| written(&note)).collect();
    // Those that were never written down are beside the others.
    let parents: BTreeSet<PathBuf> =
        groups.iter().filter_map(|group| group.parent().map(Path::to_owned)).collect();
    for name in folders.iter().filter_map(|folder| folder.file_name()?.to_str()) {
        groups.extend(parents.iter().flat_map(|parent| beginning(parent, &format!("{GROUP}{name}"))));
    }
    groups.iter().for_each(|group| remove_group(group));
}

/// The groups that the server wrote down in this file.
fn written(note: &Path) -> Vec<PathBuf> {
    let text = std::fs::read(note).unwrap_or_default();
    let manifest: Value = serde_json::from_slice(&text).unwrap_or_default();
    let groups = manifest["group"]["folders"].as_array().cloned().unwrap_or_default();
    groups.iter().filter_map(Value::as_str).map(PathBuf::from).filter(|group| begins(group, GROUP)).collect()
}

/// What is in a folder with such names.
fn beginning(folder: &Path, name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| begins(path, name)).collect()
}

fn begins(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|own| own.to_string_lossy().starts_with(name))
}

fn remove_group(group: &Path) {
    for _ in 0..20 {
        match std::fs::remove_dir(group) {
            // The kernel lets go of the last process a moment after its end.
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(5));
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_replicas_and_builds_are_removed_and_no_others() {
        let temp = tempfile::tempdir().unwrap();
        let at = |path: &str| temp.path().join(path);
        let groups = ["slipway-r1-0a", "slipway-r2-0a", "slipway-r3-0a", "other", "slipway-build-7-0-0a"];
        for name in groups {
            std::fs::create_dir_all(at("groups").join(name)).unwrap();
        }
        for (replica, group) in [("r1", "groups/slipway-r1-0a"), ("r4", "groups/other")] {
            std::fs::create_dir_all(at("data/replicas").join(replica)).unwrap();
            let text = serde_json::json!({ "group": { "folders": [at(group)], "limit": 1 } });
            std::fs::write(at("data/replicas").join(replica).join("replica.json"), text.to_string()).unwrap();
        }
        std::fs::create_dir_all(at("data/groups")).unwrap();
        let text =
            serde_json::json!({ "group": { "folders": [at("groups/slipway-build-7-0-0a")], "limit": 0 } });
        std::fs::write(at("data/groups/build.json"), text.to_string()).unwrap();
        // Its server was killed before it wrote anything down.
        std::fs::create_dir_all(at("data/replicas/r2")).unwrap();
        remove_groups(&at("data"));
        let left: Vec<bool> = groups.iter().map(|name| at("groups").join(name).exists()).collect();
        assert_eq!(left, [false, false, true, true, false]);
    }
}

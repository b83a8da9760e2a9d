//! The graphics cards' files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What their libraries read of the system besides.
pub(crate) const SYSTEM: [&str; 6] =
    ["/sys/devices", "/sys/class", "/sys/bus", "/sys/dev", "/sys/module", "/opt/rocm"];

/// A file in `/dev`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub path: PathBuf,
    /// The group one must be in to use it; `None` if everybody may, or only root.
    group: Option<u32>,
}

/// Those of NVIDIA's, AMD's and Intel's drivers that are there now; a driver may make some of them late.
pub(crate) fn cards() -> Vec<Device> {
    let name =
        |path: &Path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"nvidia"));
    let mut paths: Vec<PathBuf> = entries("/dev").filter(|path| name(path)).collect();
    paths.extend(["/dev/kfd", "/dev/dxg"].map(PathBuf::from));
    paths.extend(entries("/dev/dri"));
    let folders: Vec<PathBuf> = paths.iter().filter(|path| path.is_dir()).cloned().collect();
    paths.retain(|path| !path.is_dir());
    paths.extend(folders.iter().filter(|path| name(path)).flat_map(entries));
    paths.into_iter().filter_map(device).collect()
}

fn entries(folder: impl AsRef<Path>) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn device(path: PathBuf) -> Option<Device> {
    let meta = fs::metadata(&path).ok()?;
    let (open, shared) = (meta.mode() & 0o006 == 0o006, meta.mode() & 0o060 == 0o060);
    Some(Device { path, group: (!open && shared && meta.gid() != 0).then(|| meta.gid()) })
}

/// The groups that one has to be in to use them all.
pub(crate) fn groups(devices: &[Device]) -> Vec<String> {
    let mut groups: Vec<u32> = devices.iter().filter_map(|device| device.group).collect();
    groups.sort_unstable();
    groups.dedup();
    groups.iter().map(u32::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_is_joined_once() {
        let of = |group| Device { path: "/dev/dri/renderD128".into(), group };
        assert_eq!(groups(&[of(Some(107)), of(None), of(Some(44)), of(Some(107))]), ["44", "107"]);
        assert!(groups(&[of(None)]).is_empty());
    }
}

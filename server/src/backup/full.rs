//! No room for a backup, or for what it is restored to.

use std::io;
use std::path::Path;

use domain::memory_text;

use crate::room_left;

/// The same error, or what to do where the target's disk is full.
pub fn explained(error: anyhow::Error, target: &Path) -> anyhow::Error {
    let full = error.chain().any(|cause| {
        let of_file = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        matches!(of_file, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
            || matches!(cause.downcast_ref::<store::Error>(), Some(store::Error::Full))
    });
    if !full {
        return error;
    }
    let folder = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let free = room_left::free(folder);
    let free = free.map(|free| format!(" ({} are free)", memory_text(free))).unwrap_or_default();
    anyhow::anyhow!(
        "the disk of {} has no room for {}{free}; make room, or choose a folder on another disk",
        folder.display(),
        target.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_by_what_to_do_and_other_errors_as_they_are() {
        let error = |kind: io::ErrorKind| anyhow::Error::from(io::Error::from(kind)).context("writing it");
        let told = explained(error(io::ErrorKind::StorageFull), Path::new("/tmp/backup")).to_string();
        assert!(told.contains("no room for /tmp/backup") && told.contains("another disk"), "{told}");
        let told = explained(store::Error::Full.into(), Path::new("backup")).to_string();
        assert!(told.contains("no room for backup"), "{told}");
        let told = explained(error(io::ErrorKind::PermissionDenied), Path::new("/tmp/backup")).to_string();
        assert_eq!(told, "writing it");
    }
}

//! Whose files are.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Uid, chownat};

/// Gives a file, or a folder with all that is in it, to a user and the group of the same number. What other folders hold too
/// (by a hard link) stays whose it is. To be called while nobody else can change what is there.
pub(crate) fn give(path: &Path, user: u32) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.is_file() && meta.nlink() > 1 {
        return Ok(());
    }
    let (owner, group) = (Uid::from_raw(user), Gid::from_raw(user));
    chownat(CWD, path, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), user)?;
        }
    }
    Ok(())
}

/// Gives it to the owner of something else.
pub(crate) fn give_like(path: &Path, model: &Path) -> io::Result<()> {
    let owner = fs::symlink_metadata(model)?.uid();
    match owner == fs::symlink_metadata(path)?.uid() {
        true => Ok(()),
        false => give(path, owner),
    }
}

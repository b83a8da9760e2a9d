//! Copies of files and folders, on the disk when they return, with what they held.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What was copied. Two copies of the same hold the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub files: u64,
    pub bytes: u64,
    /// Over every path below, who may run it, and its content; in hexadecimal.
    pub sha256: String,
}

/// What could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path} could not be copied: {source}")]
pub struct Failed {
    path: PathBuf,
    source: io::Error,
}

/// Copies a file, or a folder with all in it; `to` must not exist. Blocking.
///
/// # Errors
/// Also for what is neither a file nor a folder: pushed code has nothing else.
pub fn copy(from: &Path, to: &Path) -> Result<Held, Failed> {
    let mut copy = Copy { hash: Sha256::new(), files: 0, bytes: 0 };
    copy.one(from, Some(to), Path::new(""))?;
    Ok(copy.held())
}

/// Sees to it that a file that somebody else wrote is on the disk, and tells what it holds. Blocking.
pub fn flush(path: &Path) -> Result<Held, Failed> {
    let failed = |source| Failed { path: path.to_owned(), source };
    File::open(path).and_then(|file| file.sync_all()).map_err(failed)?;
    let mut copy = Copy { hash: Sha256::new(), files: 0, bytes: 0 };
    copy.one(path, None, Path::new(""))?;
    Ok(copy.held())
}

struct Copy {
    hash: Sha256,
    files: u64,
    bytes: u64,
}

impl Copy {
    /// `below` is the path from where the copy began: the same in the original and in each copy.
    fn one(&mut self, from: &Path, to: Option<&Path>, below: &Path) -> Result<(), Failed> {
        let failed = |source| Failed { path: from.to_owned(), source };
        let found = fs::symlink_metadata(from).map_err(failed)?;
        let mode = found.permissions().mode() & 0o777;
        self.hash.update(below.as_os_str().as_encoded_bytes());
        self.hash.update([0, u8::from(found.is_dir()), u8::from(mode & 0o100 != 0)]);
        if found.is_dir() {
            return self.folder(from, to, below, mode);
        }
        if !found.is_file() {
            return Err(failed(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is neither a file nor a folder",
            )));
        }
        self.file(from, to, mode).map_err(failed)
    }

    fn folder(&mut self, from: &Path, to: Option<&Path>, below: &Path, mode: u32) -> Result<(), Failed> {
        let failed = |source| Failed { path: from.to_owned(), source };
        if let Some(to) = to {
            fs::DirBuilder::new().mode(0o700).create(to).map_err(failed)?;
        }
        let entries = fs::read_dir(from).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let mut names: Vec<_> = entries.map_err(failed)?.into_iter().map(|entry| entry.file_name()).collect();
        names.sort();
        for name in names {
            let target = to.map(|to| to.join(&name));
            self.one(&from.join(&name), target.as_deref(), &below.join(&name))?;
        }
        let Some(to) = to else { return Ok(()) };
        let done = fs::set_permissions(to, fs::Permissions::from_mode(mode));
        done.and_then(|()| File::open(to)?.sync_all()).map_err(failed)
    }

    fn file(&mut self, from: &Path, to: Option<&Path>, mode: u32) -> io::Result<()> {
        let mut source = File::open(from)?;
        let mut target = match to {
            Some(to) => Some(OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?),
            None => None,
        };
        let mut length = 0u64;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let read = source.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            self.hash.update(&buffer[..read]);
            if let Some(target) = &mut target {
                target.write_all(&buffer[..read])?;
            }
            length += read as u64;
        }
        // After the content, so that no two sequences of files read alike.
        self.hash.update(length.to_le_bytes());
        self.files += 1;
        self.bytes += length;
        let Some(target) = target else { return Ok(()) };
        // What the process's mask took away.
        target.set_permissions(fs::Permissions::from_mode(mode))?;
        target.sync_all()
    }

    fn held(self) -> Held {
        let hash = self.hash.finalize();
        let sha256 = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Held { files: self.files, bytes: self.bytes, sha256 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_holds_the_same_and_a_change_shows() {
        let temp = tempfile::tempdir().unwrap();
        let (first, second, third) = (temp.path().join("a"), temp.path().join("b"), temp.path().join("c"));
        fs::create_dir_all(first.join("model")).unwrap();
        fs::write(first.join("model/model.py"), "class Model: pass\n").unwrap();
        fs::write(first.join("run.sh"), "true\n").unwrap();
        fs::set_permissions(first.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
        let held = copy(&first, &second).unwrap();
        assert_eq!((held.files, held.bytes), (2, 23));
        assert_eq!(fs::metadata(second.join("run.sh")).unwrap().permissions().mode() & 0o777, 0o755);
        assert_eq!(copy(&second, &third).unwrap(), held);
        fs::write(second.join("run.sh"), "fals\n").unwrap();
        assert_ne!(flush(&second).unwrap(), held);
        assert!(copy(&first, &third).is_err(), "nothing is written over");
    }
}

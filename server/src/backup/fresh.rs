//! A folder that appears under its name whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// A folder beside its target, for its owner only; removed if it is dropped before it is kept.
#[derive(Debug)]
pub struct Fresh {
    work: PathBuf,
    target: PathBuf,
}

impl Fresh {
    /// Makes it. The target must not exist, or be an empty folder.
    pub fn beside(target: &Path) -> anyhow::Result<Self> {
        let Some(name) = target.file_name() else {
            bail!("{} names no folder that could be made; add a name", target.display());
        };
        if is_taken(target) {
            bail!("{} exists already; nothing was written to it, so choose another name", target.display());
        }
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .with_context(|| format!("making {}", parent.display()))?;
        let work = parent.join(format!(".{}.{}.part", name.display(), std::process::id()));
        private_folder(&work)?;
        Ok(Self { work, target: target.to_owned() })
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.work
    }

    /// Gives the folder its name.
    ///
    /// # Errors
    /// If somebody else took the name meanwhile.
    pub fn keep(self) -> anyhow::Result<()> {
        let flushed = |path: &Path| File::open(path).and_then(|folder| folder.sync_all());
        flushed(&self.work).with_context(|| format!("writing {}", self.work.display()))?;
        fs::rename(&self.work, &self.target).with_context(|| {
            format!(
                "giving {} its name; if it is the root of a disk, name a folder on it",
                self.target.display()
            )
        })?;
        if let Some(parent) = self.work.parent() {
            flushed(parent).with_context(|| format!("writing {}", parent.display()))?;
        }
        Ok(())
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        remove(&self.work);
    }
}

/// Whether something is there that an empty folder's name could not take the place of.
fn is_taken(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// Removes a folder that was begun; that it is gone already is fine.
pub fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %folder.display(), %error, "what was begun could not be removed");
    }
}

/// Makes a folder that only its owner may enter.
pub fn private_folder(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path).with_context(|| format!("making {}", path.display()))
}

/// Makes an empty file that only its owner may read.
pub fn private_file(path: &Path) -> anyhow::Result<File> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.with_context(|| format!("making {}", path.display()))
}

/// Writes a file that only its owner may read, to the disk.
pub fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let mut file = private_file(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_takes_its_name_at_the_end_or_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let target = temp.path().join("deep/backup");
        let fresh = Fresh::beside(&target).unwrap();
        write_private(&fresh.path().join("file"), b"x").unwrap();
        assert!(!target.exists());
        drop(fresh);
        assert_eq!(fs::read_dir(temp.path().join("deep")).unwrap().count(), 0);

        let fresh = Fresh::beside(&target).unwrap();
        write_private(&fresh.path().join("file"), b"x").unwrap();
        fresh.keep().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&target), mode(&target.join("file"))), (0o700, 0o600));
        let refusal = Fresh::beside(&target).unwrap_err().to_string();
        assert!(refusal.contains("exists already"), "{refusal}");
        assert!(Fresh::beside(Path::new("/")).is_err());
    }
}

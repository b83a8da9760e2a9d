//! The folder that holds everything the server keeps, and the lock that makes it one server's own.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How this version of Slipway lays the folder out; a higher number was written by a newer one.
pub const LAYOUT: u32 = 1;
/// Marks a folder whose environments are to be built again: a backup has none.
pub const RESTORED: &str = "restored";

/// Why the folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "{folder} is in use by another slipway (process {pid}); stop it, or start this one with another --data-dir"
    )]
    InUse { folder: PathBuf, pid: String },
    #[error(
        "{folder} was written by a newer Slipway (layout {found}, this one knows {LAYOUT}); install that version again"
    )]
    Newer { folder: PathBuf, found: u32 },
    #[error("{folder} holds something already; name a folder that does not exist yet with --data-dir")]
    Occupied { folder: PathBuf },
    #[error(
        "{path} can't be used as the data folder: {source}; check that it exists, is yours, and has room"
    )]
    Io { path: PathBuf, source: std::io::Error },
}

/// The folder, held by this process until dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if need be, and takes it.
    pub fn take(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io)?;
        let path = path.canonicalize().map_err(io)?;
        let lock = lock(&path)?;
        check_layout(&path)?;
        for part in ["artifacts", "uploads", "envs", "external", "truss", "uv", "replicas", "logs"] {
            fs::create_dir_all(path.join(part))
                .map_err(|source| Error::Io { path: path.join(part), source })?;
        }
        Ok(Self { path, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where archives arrive before a push takes them.
    pub fn uploads(&self) -> PathBuf {
        self.path.join("uploads")
    }

    /// Whether it came from a backup and was not started since.
    pub fn is_restored(&self) -> bool {
        self.path.join(RESTORED).exists()
    }

    /// From now on it is as any other.
    pub fn forget_restored(&self) -> std::io::Result<()> {
        fs::remove_file(self.path.join(RESTORED))
    }

    /// As [`write_private`], here.
    pub fn write_private(&self, name: &str, content: &str) -> std::io::Result<()> {
        write_private(&self.path, name, content)
    }
}

/// Writes a file that only its owner can read, whole or not at all.
pub fn write_private(folder: &Path, name: &str, content: &str) -> std::io::Result<()> {
    let fresh = folder.join(format!(".{name}.new"));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(fresh, folder.join(name))
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let io = |source| Error::Io { path: path.clone(), source };
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Err(in_use(folder, &mut file)),
        Err(fs::TryLockError::Error(source)) => return Err(io(source)),
    }
    // It is for the sentence that refuses a second server: a full disk keeps no first one from starting.
    if let Err(error) = note_owner(&mut file) {
        tracing::warn!(file = %path.display(), %error, "could not write down which process has the data folder");
    }
    Ok(file)
}

/// In the place of what is there, which takes no room.
fn note_owner(lock: &mut File) -> std::io::Result<()> {
    let text = format!("{}\n", std::process::id());
    lock.seek(SeekFrom::Start(0))?;
    lock.write_all(text.as_bytes())?;
    lock.set_len(text.len() as u64)
}

fn in_use(folder: &Path, lock: &mut File) -> Error {
    let mut pid = String::new();
    let _ = lock.read_to_string(&mut pid);
    let pid = if pid.trim().is_empty() { "unknown".into() } else { pid.trim().to_owned() };
    Error::InUse { folder: folder.to_owned(), pid }
}

/// Refuses a folder that a server uses, or that holds anything. Nothing is made.
pub fn check_unused(folder: &Path) -> Result<(), Error> {
    let io = |source| Error::Io { path: folder.to_owned(), source };
    if let Ok(mut file) = File::open(folder.join("lock"))
        && let Err(fs::TryLockError::WouldBlock) = file.try_lock_shared()
    {
        return Err(in_use(folder, &mut file));
    }
    let holds = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(io(error)),
    };
    if holds { Err(Error::Occupied { folder: folder.to_owned() }) } else { Ok(()) }
}

/// How the folder is laid out; nothing if no server ever ran on it.
///
/// # Errors
/// If a newer version wrote it, or it can't be read.
pub fn layout(folder: &Path) -> Result<Option<u32>, Error> {
    let path = folder.join("layout");
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse().unwrap_or(u32::MAX) {
            found if found > LAYOUT => Err(Error::Newer { folder: folder.to_owned(), found }),
            found => Ok(Some(found)),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Io { path, source }),
    }
}

fn check_layout(folder: &Path) -> Result<(), Error> {
    if layout(folder)?.is_some() {
        return Ok(());
    }
    // Whole or not at all: an empty one would be no layout that any version knows.
    let written = write_private(folder, "layout", &format!("{LAYOUT}\n"));
    written.map_err(|source| Error::Io { path: folder.join("layout"), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_is_refused_with_the_first_ones_pid() {
        let temp = tempfile::tempdir().unwrap();
        let first = DataFolder::take(temp.path()).unwrap();
        let refusal = DataFolder::take(temp.path()).unwrap_err().to_string();
        assert!(refusal.contains(&std::process::id().to_string()), "{refusal}");
        drop(first);
        assert!(DataFolder::take(temp.path()).is_ok());
    }

    #[test]
    fn a_full_disk_keeps_nobody_from_taking_the_folder() {
        let temp = tempfile::tempdir().unwrap();
        drop(DataFolder::take(temp.path()).unwrap());
        let lock = temp.path().join("lock");
        fs::remove_file(&lock).unwrap();
        // Whatever is written there finds no room.
        std::os::unix::fs::symlink("/dev/full", &lock).unwrap();
        assert!(DataFolder::take(temp.path()).is_ok());
    }

    #[test]
    fn a_restore_takes_no_folder_that_is_used_or_holds_something() {
        let temp = tempfile::tempdir().unwrap();
        assert!(check_unused(temp.path()).is_ok());
        assert!(check_unused(&temp.path().join("none")).is_ok());
        let server = DataFolder::take(temp.path()).unwrap();
        assert!(matches!(check_unused(temp.path()), Err(Error::InUse { .. })));
        drop(server);
        assert!(matches!(check_unused(temp.path()), Err(Error::Occupied { .. })));
    }

    #[test]
    fn a_folder_of_a_newer_version_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("layout"), "99\n").unwrap();
        assert!(matches!(DataFolder::take(temp.path()), Err(Error::Newer { found: 99, .. })));
    }

    #[test]
    fn private_files_are_for_their_owner_only() {
        let temp = tempfile::tempdir().unwrap();
        let folder = DataFolder::take(temp.path()).unwrap();
        folder.write_private("local.key", "secret").unwrap();
        let mode = fs::metadata(temp.path().join("local.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

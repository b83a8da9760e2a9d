//! Unpacking an uploaded archive, which may be hostile.
//!
//! Only plain files and folders come out, all of them below the destination, within limits of number, size and path
//! length. On any error the destination is as it was: entries are written to a folder beside it, which takes its name
//! at the end.

mod budget;
mod pack;
mod path;

pub use pack::pack;

use std::collections::HashMap;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};
use thiserror::Error;

use budget::Budget;

/// The most an archive may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files and folders, those included that are only implied by paths.
    pub entries: usize,
    /// Bytes of content of all files together, unpacked. Holes of sparse files count.
    pub bytes: u64,
    /// Bytes of one path.
    pub path_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 100_000, bytes: 10_000_000_000, path_bytes: 1024 }
    }
}

/// What came out of an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    pub files: usize,
    /// Bytes of content.
    pub bytes: u64,
}

/// Why an archive was refused. Nothing is left in the destination.
#[derive(Debug, Error)]
pub enum ArchiveError {
    #[error("the archive can't be read: {0}; push the Truss again")]
    Unreadable(#[source] io::Error),
    #[error("the archive ends in the middle of `{path}`; push the Truss again")]
    Truncated { path: String },
    #[error("the archive holds no files; push a folder with a config.yaml")]
    Empty,
    #[error("the archive holds `{path}`, which {wrong}; a Truss holds only relative paths below its folder")]
    Path { path: String, wrong: &'static str },
    #[error(
        "the archive holds `{path}`, which is {kind}; a Truss holds only files, so put a copy of the file in its place"
    )]
    Kind { path: String, kind: &'static str },
    #[error("the archive holds `{path}` both as a file and as a folder; rename one of them")]
    Conflict { path: String },
    #[error(
        "the archive holds more than {limit} files and folders; add what the model doesn't need to .truss_ignore"
    )]
    TooMany { limit: usize },
    #[error(
        "the archive's files are larger than {limit} bytes together; add what the model doesn't need to .truss_ignore"
    )]
    TooLarge { limit: u64 },
    #[error("the folder `{dest}` for the unpacked archive already holds something")]
    Occupied { dest: PathBuf },
    #[error("the unpacked archive can't be written to `{path}`: {source}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Unpacks a plain or gzipped tar into `dest`, which must not exist or be empty; its parent is created.
///
/// Files get mode 0644, or 0755 when their owner may run them. Blocking: run it where blocking is fine.
pub fn unpack(tar: impl Read, dest: &Path, limits: &Limits) -> Result<Unpacked, ArchiveError> {
    let parent = dest.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(write_error(parent))?;
    if fs::read_dir(dest).is_ok_and(|mut items| items.next().is_some()) || dest.is_file() {
        return Err(ArchiveError::Occupied { dest: dest.to_owned() });
    }
    let staging =
        tempfile::Builder::new().prefix(".unpack-").tempdir_in(parent).map_err(write_error(parent))?;

    let mut input = BufReader::with_capacity(64 * 1024, tar);
    let start = input.fill_buf().map_err(ArchiveError::Unreadable)?;
    let mut unpacker =
        Unpacker { root: staging.path(), limits, nodes: HashMap::new(), done: Unpacked::default() };
    if start.starts_with(&[0x1f, 0x8b]) {
        unpacker.run(MultiGzDecoder::new(input))?;
    } else {
        unpacker.run(input)?;
    }
    let done = unpacker.done;
    if done.files == 0 {
        return Err(ArchiveError::Empty);
    }
    fs::set_permissions(staging.path(), Permissions::from_mode(0o755))
        .map_err(write_error(staging.path()))?;
    fs::rename(staging.path(), dest).map_err(write_error(dest))?;
    // The folder carries the destination's name now: there is nothing left to remove.
    let _ = staging.keep();
    Ok(done)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    File,
    Folder,
}

struct Unpacker<'a> {
    root: &'a Path,
    limits: &'a Limits,
    nodes: HashMap<PathBuf, Node>,
    done: Unpacked,
}

impl Unpacker<'_> {
    fn run(&mut self, input: impl Read) -> Result<(), ArchiveError> {
        let budget = Budget::default();
        let mut archive = Archive::new(budget.limit(input));
        let mut entries = archive.entries().map_err(ArchiveError::Unreadable)?;
        loop {
            budget.metadata();
            let Some(entry) = entries.next() else { return Ok(()) };
            let entry = entry.map_err(ArchiveError::Unreadable)?;
            budget.content();
            self.entry(entry)?;
        }
    }

    fn entry(&mut self, mut entry: Entry<'_, impl Read>) -> Result<(), ArchiveError> {
        let raw = entry.path_bytes().into_owned();
        let kind = entry.header().entry_type();
        match kind {
            // A header about the archive as a whole: nothing to write.
            EntryType::XGlobalHeader => Ok(()),
            EntryType::Directory => match path::relative(&raw, self.limits.path_bytes)? {
                Some(folder) => self.folder(&folder),
                None => Ok(()),
            },
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                match path::relative(&raw, self.limits.path_bytes)? {
                    Some(path) => self.file(&mut entry, &path),
                    None => Err(ArchiveError::Path { path: path::shown(&raw), wrong: "names no file" }),
                }
            }
            other => Err(ArchiveError::Kind { path: path::shown(&raw), kind: kind_name(other) }),
        }
    }

    fn folder(&mut self, folder: &Path) -> Result<(), ArchiveError> {
        let mut path = PathBuf::new();
        for part in folder {
            path.push(part);
            if self.claim(&path, Node::Folder)? {
                let full = self.root.join(&path);
                fs::create_dir(&full).map_err(write_error(&full))?;
            }
        }
        Ok(())
    }

    fn file(&mut self, entry: &mut Entry<'_, impl Read>, path: &Path) -> Result<(), ArchiveError> {
        if let Some(parent) = path.parent() {
            self.folder(parent)?;
        }
        let declared = entry.size();
        let left = self.limits.bytes - self.done.bytes;
        if declared > left {
            return Err(ArchiveError::TooLarge { limit: self.limits.bytes });
        }
        if self.claim(path, Node::File)? {
            self.done.files += 1;
        }
        let full = self.root.join(path);
        let runs = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&full)
            .map_err(write_error(&full))?;
        let written = copy(entry, &mut file, left, self.limits.bytes, &full)?;
        if written != declared {
            return Err(ArchiveError::Truncated { path: path.display().to_string() });
        }
        self.done.bytes += written;
        let mode = Permissions::from_mode(if runs { 0o755 } else { 0o644 });
        file.set_permissions(mode).map_err(write_error(&full))
    }

    /// Notes that `path` is a `node`; true when it is new. The same file twice is fine (the later one counts), a file
    /// where a folder is, or a folder where a file is, is not.
    fn claim(&mut self, path: &Path, node: Node) -> Result<bool, ArchiveError> {
        match self.nodes.get(path) {
            Some(present) if *present == node => Ok(false),
            Some(_) => Err(ArchiveError::Conflict { path: path.display().to_string() }),
            None if self.nodes.len() >= self.limits.entries => {
                Err(ArchiveError::TooMany { limit: self.limits.entries })
            }
            None => {
                self.nodes.insert(path.to_owned(), node);
                Ok(true)
            }
        }
    }
}

/// Copies the content, never writing past `left` bytes whatever the entry declared.
fn copy(
    entry: &mut impl Read,
    file: &mut impl Write,
    left: u64,
    limit: u64,
    full: &Path,
) -> Result<u64, ArchiveError> {
    let mut buffer = [0; 64 * 1024];
    let mut written = 0;
    loop {
        let read = match entry.read(&mut buffer) {
            Ok(0) => return Ok(written),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ArchiveError::Unreadable(error)),
        };
        if written + read as u64 > left {
            return Err(ArchiveError::TooLarge { limit });
        }
        file.write_all(&buffer[..read]).map_err(write_error(full))?;
        written += read as u64;
    }
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
    let path = path.to_owned();
    |source| ArchiveError::Write { path, source }
}

fn kind_name(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Symlink => "a symbolic link",
        EntryType::Link => "a hard link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a named pipe",
        _ => "of an unknown kind",
    }
}

#[cfg(test)]
mod tests;

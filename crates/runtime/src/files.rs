//! Where everything is in the data folder.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use domain::{ArtifactId, DeploymentId, ReplicaId};

use crate::tools::Builds;

#[derive(Debug, Clone)]
pub(crate) struct Files {
    root: PathBuf,
}

impl Files {
    pub fn new(root: &Path) -> io::Result<Self> {
        let files = Self { root: root.to_owned() };
        for folder in ["artifacts", "envs", "replicas", "logs", "truss", "uv"] {
            make_private(&root.join(folder))?;
        }
        Ok(files)
    }

    /// The data folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// For a command that builds something here.
    pub fn builds(&self) -> Builds<'_> {
        Builds { folder: Some(&self.root), ..Builds::default() }
    }

    pub fn artifact(&self, id: &ArtifactId) -> PathBuf {
        self.root.join("artifacts").join(id.as_str())
    }

    /// The archive that an artifact was unpacked from, kept for downloads.
    pub fn archive(&self, id: &str) -> PathBuf {
        self.root.join("artifacts").join(format!("{id}.tar"))
    }

    pub fn envs(&self) -> PathBuf {
        self.root.join("envs")
    }

    /// A virtual environment, shared by all whose requirements are the same.
    pub fn env(&self, key: &str) -> PathBuf {
        self.root.join("envs").join(key)
    }

    pub fn replicas(&self) -> PathBuf {
        self.root.join("replicas")
    }

    pub fn replica(&self, id: &ReplicaId) -> PathBuf {
        self.replicas().join(id.as_str())
    }

    /// What a replica or a command is called where those of other data folders are, too.
    pub fn name_on_machine(&self, name: &str) -> String {
        let folder = truss::hash::of_text(&self.root.to_string_lossy());
        format!("{name}-{}", &folder[..8])
    }

    /// Notes of the control groups of builds. Whoever writes the first of them makes it.
    pub fn groups(&self) -> PathBuf {
        self.root.join("groups")
    }

    pub fn logs(&self, id: &DeploymentId) -> PathBuf {
        self.root.join("logs").join(id.as_str())
    }

    /// Files that Trusses name by their address.
    pub fn external(&self) -> PathBuf {
        self.root.join("external")
    }

    pub fn wheel(&self) -> PathBuf {
        self.root.join("truss").join(crate::TRUSS_VERSION)
    }

    pub fn uv(&self) -> PathBuf {
        self.root.join("uv")
    }

    /// What `uv` keeps of the Pythons it looked at. Builds, which may change their cache, don't see it.
    pub fn own_cache(&self) -> PathBuf {
        self.root.join("uv").join("cache")
    }
}

/// Beside a change in place that is built without a cache: the push whose environment it goes on with.
pub(crate) const OF_PUSH: &str = "push";

/// What a build says that found no room.
pub(crate) const DISK_FULL: &str = "the server's disk is full; make room on it, then retry the deployment";

/// Whether the disk has no room for what was to be written.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A folder nobody but this user may enter.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes a folder that others filled. In a program of its own: folders in folders without end must not be the server's end.
pub(crate) async fn remove_tree(path: &Path) -> io::Result<()> {
    let mut command = tokio::process::Command::new("rm");
    command.arg("-rf").arg("--").arg(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status().await {
        Ok(status) if status.success() => Ok(()),
        Ok(_) if !path.exists() => Ok(()),
        Ok(status) => Err(io::Error::other(format!("`rm` ended with {status}"))),
        Err(_) => tokio::fs::remove_dir_all(path).await,
    }
}

/// The names of what was pushed, as far as it is on this machine.
pub(crate) fn artifact_names(files: &Files) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(files.root.join("artifacts")) else { return BTreeSet::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names
        .map(|name| match name.rsplit_once('.') {
            Some((id, "tar" | OF_PUSH)) => id.to_owned(),
            _ => name,
        })
        .collect()
}

/// Bytes of what was pushed, unpacked and as an archive.
pub(crate) fn artifact_size(files: &Files, name: &str) -> u64 {
    let archive = std::fs::metadata(files.archive(name)).map_or(0, |meta| meta.len());
    archive + size(&files.artifact(&ArtifactId::new(name)))
}

/// Removes what was pushed. Gone already is fine.
pub(crate) fn remove_artifact(files: &Files, name: &str) -> io::Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let folder = files.artifact(&ArtifactId::new(name));
    // At once for whoever reads it: half of it must not look like all of it. What a kill leaves is upkeep's.
    let going = folder.with_file_name(format!(".{}.gone", name.trim_start_matches('.')));
    gone(std::fs::rename(&folder, &going))?;
    gone(std::fs::remove_file(files.archive(name)))?;
    gone(std::fs::remove_file(folder.with_extension(OF_PUSH)))?;
    gone(std::fs::remove_dir_all(&going))
}

/// Bytes of a folder's files; what can't be read counts nothing.
pub(crate) fn size(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

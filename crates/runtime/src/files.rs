//! Where everything is in the data folder.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use domain::{ArtifactId, DeploymentId, ReplicaId};

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

    pub fn artifact(&self, id: &ArtifactId) -> PathBuf {
        self.root.join("artifacts").join(id.as_str())
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
}

/// A folder nobody but this user may enter.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
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

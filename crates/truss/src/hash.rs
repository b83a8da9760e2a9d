//! The content hash and the signature by which the command line and a server agree on the state of a Truss.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::IgnoreRules;
use crate::config::{Config, ConfigError};
use crate::requirements::{self, RequirementsError};

/// Why the state of a Truss could not be computed.
#[derive(Debug, Error)]
pub enum HashError {
    #[error("`{path}` can't be read to compute the hash of the Truss: {source}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the name `{path}` in the Truss is not UTF-8; rename it")]
    Name { path: PathBuf },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Requirements(#[from] RequirementsError),
}

/// Files and folders below a Truss: the hex blake3 of a file's content, `None` for a folder.
///
/// The keys are relative paths with `/`.
pub type Contents = BTreeMap<String, Option<String>>;

/// What a patch is computed from. It travels as JSON text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    pub content_hashes_by_path: Contents,
    /// The text of `config.yaml`, as it is.
    pub config: String,
    /// Lines of the `requirements_file`.
    #[serde(default)]
    pub requirements_file_requirements: Vec<String>,
}

impl Signature {
    /// The signature of an unpacked Truss.
    pub fn of_truss(truss: &Path, rules: &IgnoreRules) -> Result<Self, HashError> {
        let path = truss.join("config.yaml");
        let text = fs::read_to_string(&path).map_err(|source| HashError::Read { path, source })?;
        let config = Config::from_yaml(&text)?;
        Ok(Self {
            content_hashes_by_path: contents(truss, rules)?,
            config: text,
            requirements_file_requirements: requirements::file_lines(&config, truss)?,
        })
    }

    /// The content hash: hex blake3 over, in the order of paths compared name by name, the blake3 of each path followed,
    /// for a file, by the blake3 of its content.
    pub fn hash(&self) -> String {
        hash(&self.content_hashes_by_path)
    }
}

/// The content hash of a folder.
pub fn tree(root: &Path, rules: &IgnoreRules) -> Result<String, HashError> {
    Ok(hash(&contents(root, rules)?))
}

/// What is below a folder and not ignored. Symbolic links are followed to files, never into folders.
pub fn contents(root: &Path, rules: &IgnoreRules) -> Result<Contents, HashError> {
    let mut found = Contents::new();
    let mut folders = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let read_error = |source| HashError::Read { path: folder.clone(), source };
        for item in fs::read_dir(&folder).map_err(read_error)? {
            let item = item.map_err(read_error)?;
            let path = item.path();
            let Ok(name) = item.file_name().into_string() else { return Err(HashError::Name { path }) };
            let relative = format!("{prefix}{name}");
            let is_folder = item.file_type().map_err(read_error)?.is_dir();
            if rules.ignores(&relative, is_folder) {
                continue;
            }
            if is_folder {
                folders.push((path, format!("{relative}/")));
                found.insert(relative, None);
            } else {
                found.insert(relative, content_hash(&path)?);
            }
        }
    }
    Ok(found)
}

/// The hex blake3 of a text.
pub fn of_text(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// The hex blake3 of a file's content.
pub fn of_file(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

fn content_hash(path: &Path) -> Result<Option<String>, HashError> {
    let read_error = |source| HashError::Read { path: path.to_owned(), source };
    if !path.is_file() {
        return Ok(None);
    }
    of_file(path).map(Some).map_err(read_error)
}

fn hash(contents: &Contents) -> String {
    // `a/b` comes before `a-b` name by name, but after it letter by letter.
    let mut paths: Vec<_> = contents.iter().collect();
    paths.sort_by(|(a, _), (b, _)| a.split('/').cmp(b.split('/')));
    let mut hasher = blake3::Hasher::new();
    for (path, content) in paths {
        hasher.update(blake3::hash(path.as_bytes()).as_bytes());
        if let Some(content) = content.as_deref().and_then(|hex| blake3::Hash::from_hex(hex).ok()) {
            hasher.update(content.as_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests;

//! What a backup says of itself.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use domain::memory_text;
use serde::{Deserialize, Serialize};

use super::copy::Held;
use super::fresh;

/// How this version lays a backup out; a higher number was written by a newer one.
pub const FORMAT: u32 = 1;
/// Its own file; written last.
const FILE: &str = "backup.json";
/// The copy of the database.
pub const DATABASE: &str = "slipway.db";
/// The folder of pushed code, here and in the data folder.
pub const ARTIFACTS: &str = "artifacts";

/// The file beside pushed code that names the push whose Python environment it goes on with.
pub fn note_of(artifact: &str) -> String {
    format!("{artifact}.push")
}

/// `backup.json`: what the backup holds, so that a restore can tell whether it is all there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// Slipway's.
    pub version: String,
    /// RFC 3339.
    pub made_at: String,
    /// Of the data folder.
    pub layout: u32,
    /// Null if the database is Postgres, which saves itself.
    pub database: Option<Held>,
    /// Null if it was left out, or is not in the data folder.
    pub secret_key: Option<Held>,
    /// Pushed code by its folder's name.
    pub artifacts: BTreeMap<String, Held>,
    /// What is noted beside pushed code ([`note_of`]), by the code's name; most has none.
    #[serde(default)]
    pub notes: BTreeMap<String, Held>,
    /// Pushed code that deployments name and that was not there any more.
    pub missing: Vec<String>,
}

impl Manifest {
    /// Reads it from a backup's folder.
    ///
    /// # Errors
    /// If this is no backup, or one of a newer version.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        let text = std::fs::read(&path)
            .with_context(|| format!("{} is no backup: {FILE} can't be read", folder.display()))?;
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let damaged = || format!("{} is damaged; take another backup", path.display());
        let head: Head = serde_json::from_slice(&text).with_context(damaged)?;
        if head.format > FORMAT {
            bail!("{} was written by a newer Slipway; restore it with that version", folder.display());
        }
        serde_json::from_slice(&text).with_context(damaged)
    }

    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        fresh::write_private(&folder.join(FILE), &text)
    }

    /// What it holds and how large it is.
    pub fn sentence(&self) -> String {
        let mut parts = Vec::new();
        if let Some(database) = &self.database {
            parts.push(format!("the database ({})", memory_text(database.bytes)));
        }
        let code = self.artifacts.values().map(|held| held.bytes).sum();
        let pushes = if self.artifacts.len() == 1 { "push" } else { "pushes" };
        parts.push(format!("the code of {} {pushes} ({})", self.artifacts.len(), memory_text(code)));
        if self.secret_key.is_some() {
            parts.push("the key of secrets".into());
        }
        let together = code + self.database.as_ref().map_or(0, |database| database.bytes);
        format!("{}; {} together", parts.join(", "), memory_text(together))
    }
}

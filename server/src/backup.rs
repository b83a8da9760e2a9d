//! `slipway backup`: what can't be made again, in one folder, while the server runs or not.
//!
//! The database is copied by SQLite itself from the file, and the pushed code that this copy names is copied after it: whatever
//! is pushed meanwhile is in neither.

pub mod copy;
pub mod fresh;
pub mod full;
pub mod manifest;
pub mod parts;

use std::path::Path;

use anyhow::{Context, bail};
use domain::{Timestamp, memory_text};

use crate::config::Config;
use crate::{client, data_folder, secret_key, wire};
use copy::{Held, copy};
use fresh::Fresh;
use full::explained;
use manifest::{DATABASE, Manifest};
use parts::{Code, copy_artifacts, copy_database, shut_secrets, unpacked};

/// What is backed up, and where to.
pub struct Backup<'a> {
    pub config: &'a Config,
    pub target: &'a Path,
    /// Whether the data folder's key of secrets comes along.
    pub with_key: bool,
    pub now: Timestamp,
}

impl Backup<'_> {
    /// Writes the backup; each step is told with a sentence. Returns what it holds, as lines for people.
    ///
    /// # Errors
    /// If the target exists, something can't be read, or there is no room. Nothing is left then.
    pub async fn write(&self, say: &(dyn Fn(String) + Sync)) -> anyhow::Result<String> {
        let folder = self.config.data_dir.canonicalize().with_context(|| {
            format!("there is no data folder {}; name it with --data-dir", self.config.data_dir.display())
        })?;
        self.make(&folder, say).await.map_err(|error| explained(error, self.target))
    }

    async fn make(&self, folder: &Path, say: &(dyn Fn(String) + Sync)) -> anyhow::Result<String> {
        let layout = data_folder::layout(folder)?
            .with_context(|| format!("{} is no data folder of Slipway", folder.display()))?;
        self.same_database_as_the_server(folder).await?;
        let fresh = Fresh::beside(self.target)?;
        let url = self.config.database_url(folder);
        let (database, names) = match store::sqlite_file(&url) {
            Some(file) => {
                let (held, names) = copy_database(file, &fresh.path().join(DATABASE)).await?;
                say(format!("database: {}", memory_text(held.bytes)));
                (Some(held), names)
            }
            None => (None, unpacked(folder)?),
        };
        let secret_key = match self.with_key && self.config.secret_key.is_none() {
            true => self.copy_key(folder, fresh.path())?,
            false => None,
        };
        let Code { artifacts, notes, missing } = copy_artifacts(folder, fresh.path(), names, say).await?;
        let manifest = Manifest {
            format: manifest::FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            made_at: self.now.rfc3339(),
            layout,
            database,
            secret_key,
            artifacts,
            notes,
            missing,
        };
        manifest.write(fresh.path())?;
        let shut = shut_secrets(&manifest, fresh.path(), self.config.secret_key.as_ref()).await?;
        fresh.keep()?;
        Ok(self.told(&manifest, &shut, &url))
    }

    /// A server that runs here must use the database that is about to be copied.
    async fn same_database_as_the_server(&self, folder: &Path) -> anyhow::Result<()> {
        let Ok(local) = client::Local::find(self.config) else { return Ok(()) };
        let ours = wire::database_name(self.config, folder);
        if local.uses_another(&ours) && local.answers().await {
            bail!(
                "the server here was started with the database {}, and this command would save {ours}; set DATABASE_URL \
                 as the server has it",
                local.database
            );
        }
        Ok(())
    }

    fn copy_key(&self, folder: &Path, to: &Path) -> anyhow::Result<Option<Held>> {
        let file = folder.join(secret_key::FILE);
        if !file.is_file() {
            return Ok(None);
        }
        Ok(Some(copy(&file, &to.join(secret_key::FILE))?))
    }

    fn told(&self, manifest: &Manifest, shut: &[String], url: &str) -> String {
        let mut lines = vec![format!("{}: {}", self.target.display(), manifest.sentence())];
        if manifest.secret_key.is_some() {
            lines.push("Whoever has it can read every secret: keep it as private as the server.".into());
        } else {
            lines.push(
                "The key of secrets is not in it: keep secret.key, or SLIPWAY_SECRET_KEY, apart.".into(),
            );
        }
        if !shut.is_empty() {
            lines.push(format!(
                "WARNING: the key that this command knows does not open these secrets: {}.",
                shut.join(", ")
            ));
        }
        if !manifest.missing.is_empty() {
            lines.push(format!(
                "WARNING: this pushed code was not in the data folder: {}. If no deployment was deleted just now, it was \
                 lost before.",
                manifest.missing.join(", ")
            ));
        }
        if manifest.database.is_none() {
            lines.push(format!(
                "The database is NOT in it. Save it just before each backup:\n  pg_dump --format=custom \
                 --file=slipway.dump '{}'",
                wire::without_password(url)
            ));
        }
        lines.join("\n")
    }
}

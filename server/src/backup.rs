//! `slipway backup`: what can't be made again, in one folder, while the server runs or not.
//!
//! The database is copied by SQLite itself from the file, and the pushed code that this copy names is copied after it: whatever
//! is pushed meanwhile is in neither.

pub mod copy;
pub mod fresh;
pub mod manifest;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use domain::{Timestamp, memory_text};
use store::{Store, Vault};

use crate::config::Config;
use crate::{client, data_folder, secret_key, wire};
use copy::{Held, copy};
use fresh::Fresh;
use manifest::{ARTIFACTS, DATABASE, Manifest};

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
        let layout = data_folder::layout(&folder)?
            .with_context(|| format!("{} is no data folder of Slipway", folder.display()))?;
        self.same_database_as_the_server(&folder).await?;
        let fresh = Fresh::beside(self.target)?;
        let url = self.config.database_url(&folder);
        let (database, names) = match store::sqlite_file(&url) {
            Some(file) => {
                let (held, names) = copy_database(file, &fresh.path().join(DATABASE)).await?;
                say(format!("database: {}", memory_text(held.bytes)));
                (Some(held), names)
            }
            None => (None, unpacked(&folder)?),
        };
        let secret_key = match self.with_key && self.config.secret_key.is_none() {
            true => self.copy_key(&folder, fresh.path())?,
            false => None,
        };
        let (artifacts, missing) = copy_artifacts(&folder, fresh.path(), names, say).await?;
        let manifest = Manifest {
            format: manifest::FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            made_at: self.now.rfc3339(),
            layout,
            database,
            secret_key,
            artifacts,
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
        if local.database != ours && local.answers().await {
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

/// Copies the database, and reads in the copy which pushed code it names.
async fn copy_database(file: &Path, target: &Path) -> anyhow::Result<(Held, BTreeSet<String>)> {
    // Made here so that nobody else can read it, and filled by SQLite.
    fresh::private_file(target)?;
    let copied = async {
        let source = Store::open_as_is(file).await?;
        let copied = source.copy_to(target).await;
        source.close().await;
        copied
    };
    copied.await.map_err(|error| match error {
        store::Error::Full => no_room(target),
        other => anyhow::Error::from(other).context(format!("copying the database {}", file.display())),
    })?;
    let copy = Store::open_as_is(target).await?;
    let names = named_by(&copy).await;
    copy.close().await;
    Ok((copy::flush(target)?, names?))
}

/// The pushed code that live deployments need.
pub async fn named_by(store: &Store) -> anyhow::Result<BTreeSet<String>> {
    let live = store.live_deployments().await?;
    Ok(live.iter().flat_map(|one| one.sources()).map(|(artifact, _)| artifact.to_string()).collect())
}

/// All pushed code that is there.
fn unpacked(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    let folder = folder.join(ARTIFACTS);
    let entries = std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let names = entries.flatten().filter(|entry| entry.path().is_dir());
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| !name.starts_with('.')).collect())
}

async fn copy_artifacts(
    folder: &Path,
    to: &Path,
    names: BTreeSet<String>,
    say: &(dyn Fn(String) + Sync),
) -> anyhow::Result<(BTreeMap<String, Held>, Vec<String>)> {
    let (from, to) = (folder.join(ARTIFACTS), to.join(ARTIFACTS));
    fresh::private_folder(&to)?;
    let (mut artifacts, mut missing) = (BTreeMap::new(), Vec::new());
    let all = names.len();
    for (number, name) in names.into_iter().enumerate() {
        let (source, target) = (from.join(&name), to.join(&name));
        match tokio::task::spawn_blocking(move || copy(&source, &target)).await? {
            Ok(held) => {
                say(format!("pushed code {} of {all}: {}", number + 1, memory_text(held.bytes)));
                artifacts.insert(name, held);
            }
            // Deleted since the database was copied, or lost long ago.
            Err(_) if !from.join(&name).exists() => {
                fresh::remove(&to.join(&name));
                missing.push(name);
            }
            Err(error) if error.is_full() => return Err(no_room(&to)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((artifacts, missing))
}

/// The secrets of a copied database that neither the copied key nor the given one opens.
pub async fn shut_secrets(
    manifest: &Manifest,
    folder: &Path,
    chosen: Option<&Vault>,
) -> anyhow::Result<Vec<String>> {
    let key = match (chosen, &manifest.secret_key) {
        (Some(vault), _) => vault.clone(),
        (None, Some(_)) => {
            let text = std::fs::read_to_string(folder.join(secret_key::FILE))?;
            Vault::from_base64(&text)
                .map_err(|problem| anyhow::anyhow!("the key in {} {problem}", secret_key::FILE))?
        }
        (None, None) => return Ok(Vec::new()),
    };
    if manifest.database.is_none() {
        return Ok(Vec::new());
    }
    let store = Store::open_as_is(&folder.join(DATABASE)).await?;
    let secrets = store.secrets().await;
    store.close().await;
    let shut = secrets?.into_iter().filter(|secret| key.open(&secret.name, &secret.sealed).is_err());
    Ok(shut.map(|secret| secret.name.to_string()).collect())
}

/// The error of a target whose disk is full.
pub fn no_room(target: &Path) -> anyhow::Error {
    let folder: PathBuf = target.ancestors().skip(1).find(|path| path.exists()).unwrap_or(target).into();
    let free = rustix::fs::statvfs(&folder)
        .map(|space| format!(": {} are free", memory_text(space.f_bavail.saturating_mul(space.f_frsize))))
        .unwrap_or_default();
    anyhow::anyhow!(
        "the disk of {} has no room for it{free}; name a folder on another disk",
        folder.display()
    )
}

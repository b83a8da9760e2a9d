//! The parts of a backup: the database, the pushed code, and whether the key fits.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use domain::memory_text;
use store::{Store, Vault};

use super::copy::{self, Failed, Held, copy};
use super::fresh;
use super::manifest::{ARTIFACTS, DATABASE, Manifest, note_of};
use crate::secret_key;

/// Copies the database, and reads in the copy which pushed code it names.
pub async fn copy_database(file: &Path, target: &Path) -> anyhow::Result<(Held, BTreeSet<String>)> {
    // Made here so that nobody else can read it, and filled by SQLite.
    fresh::private_file(target)?;
    let copied = async {
        let source = Store::open_as_is(file).await?;
        let copied = source.copy_to(target).await;
        source.close().await;
        copied
    };
    copied.await.with_context(|| format!("copying the database {}", file.display()))?;
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
pub fn unpacked(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    let folder = folder.join(ARTIFACTS);
    let entries = std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
    let names = entries.flatten().filter(|entry| entry.path().is_dir());
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| !name.starts_with('.')).collect())
}

/// What was copied of the pushed code.
#[derive(Debug, Default)]
pub struct Code {
    pub artifacts: BTreeMap<String, Held>,
    pub notes: BTreeMap<String, Held>,
    /// The names of what is not there any more.
    pub missing: Vec<String>,
}

/// Copies the pushed code of these names, with what is noted beside it.
pub async fn copy_artifacts(
    folder: &Path,
    to: &Path,
    names: BTreeSet<String>,
    say: &(dyn Fn(String) + Sync),
) -> anyhow::Result<Code> {
    let (from, to) = (folder.join(ARTIFACTS), to.join(ARTIFACTS));
    fresh::private_folder(&to)?;
    let mut code = Code::default();
    let all = names.len();
    for (number, name) in names.into_iter().enumerate() {
        let (source, target) = (from.join(&name), to.join(&name));
        match tokio::task::spawn_blocking(move || copy(&source, &target)).await? {
            Ok(held) => {
                say(format!("pushed code {} of {all}: {}", number + 1, memory_text(held.bytes)));
                let note = note_of(&name);
                if let Some(held) = copy_note(&from.join(&note), &to.join(&note))? {
                    code.notes.insert(name.clone(), held);
                }
                code.artifacts.insert(name, held);
            }
            // Deleted since the database was copied, or lost long ago.
            Err(_) if !from.join(&name).exists() => {
                fresh::remove(&to.join(&name));
                code.missing.push(name);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(code)
}

/// Copies what is noted beside pushed code, if anything is. It is a name, so this takes no time.
fn copy_note(from: &Path, to: &Path) -> Result<Option<Held>, Failed> {
    match copy(from, to) {
        Ok(held) => Ok(Some(held)),
        Err(_) if !from.exists() => Ok(None),
        Err(error) => Err(error),
    }
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

//! `slipway restore`: a backup becomes a data folder, once all of it was found sound.

use std::path::Path;

use anyhow::{Context, bail};
use domain::memory_text;
use store::Store;

use crate::backup::copy::{Held, copy};
use crate::backup::fresh::{self, Fresh};
use crate::backup::full::explained;
use crate::backup::manifest::{ARTIFACTS, DATABASE, Manifest, note_of};
use crate::backup::parts::{named_by, shut_secrets};
use crate::config::Config;
use crate::data_folder::{self, DataFolder};
use crate::secret_key;

/// Copies a backup to the configured data folder, which must not exist or be empty; each step is told with a sentence.
/// Returns what to do next, as lines for people.
///
/// # Errors
/// If the folder is in use or holds something, or the backup is not whole. Nothing is left then.
pub async fn restore(
    config: &Config,
    source: &Path,
    say: &(dyn Fn(String) + Sync),
) -> anyhow::Result<String> {
    make(config, source, say).await.map_err(|error| explained(error, &config.data_dir))
}

async fn make(config: &Config, source: &Path, say: &(dyn Fn(String) + Sync)) -> anyhow::Result<String> {
    let manifest = Manifest::read(source)?;
    data_folder::check_unused(&config.data_dir)?;
    if manifest.layout > data_folder::LAYOUT {
        bail!("{} is of a newer Slipway; restore it with that version", source.display());
    }
    if manifest.database.is_some() && config.database_url.is_some() {
        bail!(
            "the backup holds a SQLite database for the data folder, but DATABASE_URL names another one; restore and start \
             without it"
        );
    }
    say(format!("from {}, made by Slipway {}: {}", manifest.made_at, manifest.version, manifest.sentence()));
    let fresh = Fresh::beside(&config.data_dir)?;
    let to = fresh.path();
    if let Some(held) = &manifest.database {
        take(source, to, DATABASE, held).await?;
        check_database(&to.join(DATABASE), &manifest, source).await?;
        say("the database is whole, and all code that it names is there".into());
    }
    if let Some(held) = &manifest.secret_key {
        take(source, to, secret_key::FILE, held).await?;
    }
    take_code(source, to, &manifest, say).await?;
    let shut = shut_secrets(&manifest, to, config.secret_key.as_ref()).await?;
    fresh::write_private(&to.join("layout"), format!("{}\n", manifest.layout).as_bytes())?;
    fresh::write_private(&to.join(data_folder::RESTORED), b"")?;
    fresh.keep()?;
    Ok(told(config, &manifest, &shut))
}

/// After a restore, builds everything again, in whichever database: a backup has no environments. Once; then the folder is as any.
pub async fn finish(folder: &DataFolder, store: &Store) -> anyhow::Result<()> {
    if !folder.is_restored() {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    let mut count = 0;
    for mut deployment in store.live_deployments().await? {
        if deployment.build_again() {
            count += 1;
            if !tx.save_deployment(&mut deployment).await? {
                bail!("the database is used by another server already; stop it, then start this one again");
            }
        }
    }
    tx.commit().await?;
    folder.forget_restored().context("noting that the restore is complete")?;
    tracing::info!(deployments = count, "restored from a backup: what was built is built again");
    Ok(())
}

/// Copies one part, and compares it with what the backup says of it.
async fn take(source: &Path, to: &Path, name: &str, held: &Held) -> anyhow::Result<()> {
    let (from, target) = (source.join(name), to.join(name));
    let copied = tokio::task::spawn_blocking(move || copy(&from, &target)).await??;
    if copied != *held {
        bail!(
            "{} is not what was backed up ({} in {} files, expected {} in {}); the backup is damaged, so use another one",
            source.join(name).display(),
            memory_text(copied.bytes),
            copied.files,
            memory_text(held.bytes),
            held.files
        );
    }
    Ok(())
}

async fn take_code(
    source: &Path,
    to: &Path,
    manifest: &Manifest,
    say: &(dyn Fn(String) + Sync),
) -> anyhow::Result<()> {
    let (from, to) = (source.join(ARTIFACTS), to.join(ARTIFACTS));
    fresh::private_folder(&to)?;
    let artifacts = &manifest.artifacts;
    if let Some(name) = artifacts.keys().chain(manifest.notes.keys()).find(|name| !is_name(name)) {
        bail!(
            "the backup names `{name}`, which is no name of pushed code; it is damaged, so use another one"
        );
    }
    for (number, (name, held)) in artifacts.iter().enumerate() {
        take(&from, &to, name, held).await?;
        say(format!("pushed code {} of {}: {}", number + 1, artifacts.len(), memory_text(held.bytes)));
    }
    for (name, held) in &manifest.notes {
        take(&from, &to, &note_of(name), held).await?;
    }
    Ok(())
}

/// Whether a name stays within the folder of pushed code.
fn is_name(name: &str) -> bool {
    Path::new(name).components().count() == 1 && !name.starts_with('.')
}

/// The copied database must be whole, and what it names must be in the backup, as far as it was there then.
async fn check_database(database: &Path, manifest: &Manifest, source: &Path) -> anyhow::Result<()> {
    let store = Store::open_as_is(database).await?;
    let checked = async {
        store.check_whole(database).await?;
        named_by(&store).await
    };
    let named = checked.await;
    store.close().await;
    let lost: Vec<String> = named
        .with_context(|| format!("checking the database in {}", source.display()))?
        .into_iter()
        .filter(|name| !manifest.artifacts.contains_key(name) && !manifest.missing.contains(name))
        .collect();
    if !lost.is_empty() {
        bail!(
            "the database in {} names pushed code that is not in the backup: {}; use another backup",
            source.display(),
            lost.join(", ")
        );
    }
    Ok(())
}

fn told(config: &Config, manifest: &Manifest, shut: &[String]) -> String {
    let folder = config.data_dir.display();
    let mut lines = vec![format!("{folder} is restored.")];
    if manifest.database.is_none() {
        lines.push(
            "Restore the database before you start: pg_restore --dbname=DATABASE_URL slipway.dump".into(),
        );
    }
    lines.push(format!("Start it with: slipway serve --data-dir {folder}"));
    lines.push("Models serve when their Python environments are built again.".into());
    if manifest.secret_key.is_none() && config.secret_key.is_none() {
        lines.push(format!(
            "The key of secrets is not in the backup: put it into {folder}/secret.key or SLIPWAY_SECRET_KEY first."
        ));
    }
    if !shut.is_empty() {
        lines.push(format!(
            "WARNING: its key does not open these secrets; set them again: {}.",
            shut.join(", ")
        ));
    }
    if !manifest.missing.is_empty() {
        lines.push(format!(
            "WARNING: this pushed code was lost before the backup; push again what names it: {}.",
            manifest.missing.join(", ")
        ));
    }
    lines.join("\n")
}

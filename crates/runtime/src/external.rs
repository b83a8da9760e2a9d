//! External data: files that a Truss names by their address, fetched once and shared by all who name the same.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use domain::{ExternalUse, Timestamp};
use serde_json::Value;
use truss::Config;
use truss::layout::{APP, DATA};

use crate::files::{Files, make_private};
use crate::hold;
use crate::tools::{Lines, Told, run};

/// Fetches what is not here yet, with the Python of the model's environment.
pub(crate) async fn fetch(
    config: &Config,
    files: &Files,
    python: &Path,
    step: &(dyn Fn(&str) + Send + Sync),
    lines: Lines<'_>,
) -> Told<()> {
    if config.external_data.is_empty() {
        return Ok(());
    }
    let folder = files.external();
    let disk = |error: io::Error| format!("external data can't be written to the data folder: {error}");
    make_private(&folder).map_err(disk)?;
    let count = config.external_data.len();
    for (index, item) in config.external_data.iter().enumerate() {
        let target = folder.join(key(&item.url));
        if target.is_file() {
            continue;
        }
        step(&format!("fetching external data ({} of {count}): {}", index + 1, item.local_data_path));
        // Two that fetch the same would write into each other's file, and one would find it whole while the other still writes.
        let _alone = hold::alone(&target.with_extension("lock")).await.map_err(disk)?;
        if target.is_file() {
            continue;
        }
        // Without what packages want to be run at each start of Python.
        let script = ["-I", "-S", "-c", include_str!("fetch.py"), item.url.as_str()].map(OsStr::new);
        let arguments = script.into_iter().chain([target.as_os_str()]);
        run(python, arguments, None, files.builds(), lines)
            .await
            .map_err(|error| format!("`external_data.url: {}` could not be fetched: {error}", item.url))?;
    }
    Ok(())
}

/// Puts the fetched files where the model looks for them.
pub(crate) fn place(config: &Config, files: &Files, replica: &Path) -> io::Result<()> {
    for item in &config.external_data {
        let target = replica.join(APP).join(DATA).join(&item.local_data_path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        let source = files.external().join(key(&item.url));
        // Shared by all replicas that name it, whatever user they run as, so nobody writes to it in place.
        fs::set_permissions(&source, fs::Permissions::from_mode(0o444))?;
        match fs::remove_file(&target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::hard_link(&source, &target).or_else(|_| fs::copy(&source, &target).map(drop))?;
    }
    Ok(())
}

/// Where a replica's model sees its fetched files.
pub(crate) fn seen<'a>(config: &'a Config, replica: &Path) -> impl Iterator<Item = PathBuf> + use<'a> {
    let data = replica.join(APP).join(DATA);
    config.external_data.iter().map(move |item| data.join(&item.local_data_path))
}

/// Removes files that none of these configurations names and that were fetched before `before`; answers their bytes.
pub(crate) fn remove_unused<'a>(
    files: &Files,
    configs: impl Iterator<Item = &'a Value>,
    before: Timestamp,
) -> u64 {
    let named = named(configs);
    let Ok(entries) = fs::read_dir(files.external()) else { return 0 };
    let mut bytes = 0;
    for entry in entries.flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        let fetched = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let old = fetched.is_some_and(|at| (at.as_millis() as i64) < before.millis());
        let name = entry.file_name().to_string_lossy().into_owned();
        if !old || named.contains(&name) {
            continue;
        }
        match fs::remove_file(entry.path()) {
            Ok(()) => bytes += meta.len(),
            Err(error) => tracing::warn!(file = name, %error, "could not remove unused external data"),
        }
    }
    bytes
}

/// The files that these configurations name and that are here, each once.
pub(crate) fn held<'a>(files: &Files, configs: impl Iterator<Item = &'a Value>) -> Vec<ExternalUse> {
    let file = |key: String| {
        let bytes = fs::metadata(files.external().join(&key)).ok()?.len();
        Some(ExternalUse { key, bytes })
    };
    named(configs).into_iter().filter_map(file).collect()
}

fn named<'a>(configs: impl Iterator<Item = &'a Value>) -> BTreeSet<String> {
    configs
        .filter_map(|config| Config::from_json(config).ok())
        .flat_map(|config| config.external_data.iter().map(|item| key(&item.url)).collect::<Vec<_>>())
        .collect()
}

fn key(url: &str) -> String {
    truss::hash::of_text(url)
}

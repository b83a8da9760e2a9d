//! The archive of a push on the disk: unpacked and checked, kept for downloads, or removed.

use std::path::{Path, PathBuf};

use domain::Invalid;
use truss::{Config, Limits};

use crate::Error;

/// Unpacks an archive and checks what is in it; for a development deployment it also says its hash and signature.
pub(crate) async fn unpack(
    archive: PathBuf,
    folder: PathBuf,
    config: Config,
    development: bool,
) -> Result<Option<(String, String)>, Error> {
    let work = move || -> Result<Option<(String, String)>, Error> {
        let file = std::fs::File::open(&archive)
            .map_err(|error| Error::Internal(format!("the uploaded archive can't be read: {error}")))?;
        if let Some(parent) = folder.parent() {
            std::fs::create_dir_all(parent).map_err(|error| {
                Error::disk(&error, || Error::Internal(format!("the data folder can't be written: {error}")))
            })?;
        }
        truss::unpack(std::io::BufReader::new(file), &folder, &Limits::default()).map_err(|error| {
            let refused = || Invalid::new("archive", error.to_string()).into();
            match &error {
                truss::ArchiveError::Write { source, .. } => Error::disk(source, refused),
                _ => refused(),
            }
        })?;
        let verdict = truss::validate_files(&config, &folder);
        if !verdict.errors.is_empty() {
            return Err(Invalid::new("archive", verdict.errors.join("; ")).into());
        }
        if !development {
            return Ok(None);
        }
        let rules = truss::IgnoreRules::of_truss(&folder, "").map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => Invalid::new("archive", error.to_string()).into(),
            _ => Error::Internal(format!("the archive's ignore list can't be read: {error}")),
        })?;
        let signature = truss::Signature::of_truss(&folder, &rules)
            .map_err(|error| Error::Internal(format!("the archive can't be hashed: {error}")))?;
        let text = serde_json::to_string(&signature).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Some((signature.hash().to_string(), text)))
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Internal(format!("unpacking was interrupted: {error}")))?
}

/// Keeps the archive beside its folder, for downloads.
pub(crate) async fn keep_archive(archive: &Path, folder: &Path) -> Result<(), Error> {
    tokio::fs::rename(archive, folder.with_extension("tar"))
        .await
        .map_err(|error| Error::Internal(format!("the archive could not be kept: {error}")))
}

/// Leaves nothing of a refused push on the disk.
pub(crate) async fn discard(archive: &Path, folder: &Path) {
    let _ = tokio::fs::remove_file(archive).await;
    let _ = tokio::fs::remove_dir_all(folder).await;
}

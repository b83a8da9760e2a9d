//! Permissions to upload one archive each.

use std::path::PathBuf;

use domain::{Action, Actor};
use store::UploadRow;

use crate::{ControlPlane, Error};

/// What a client needs to upload an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The object's key; it also names the file.
    pub key: String,
    pub access_key: String,
    pub secret: String,
    pub session_token: String,
}

/// Seconds an upload may take from permission to push: 6 hours.
const UPLOAD_SECONDS: i64 = 6 * 3600;

impl ControlPlane {
    /// Permits one upload.
    pub async fn begin_upload(&self, actor: &Actor) -> Result<Upload, Error> {
        self.may(actor, Action::Deploy)?;
        let upload = Upload {
            key: format!("{}.tgz", self.secret_text(24)),
            access_key: format!("SLIP{}", self.secret_text(16).to_uppercase()),
            secret: self.secret_text(40),
            session_token: self.secret_text(40),
        };
        let row = UploadRow {
            key: upload.key.clone(),
            access_key: upload.access_key.clone(),
            secret: upload.secret.clone(),
            session_token: upload.session_token.clone(),
            created_by: actor.name.clone(),
            expires_at: self.now().plus(UPLOAD_SECONDS * 1000),
            used: false,
        };
        let mut tx = self.parts.store.begin().await?;
        tx.insert_upload(&row).await?;
        tx.commit().await?;
        Ok(upload)
    }

    /// The permission that an access key stands for, while it is good.
    pub async fn upload_by_access_key(&self, access_key: &str) -> Result<Option<UploadRow>, Error> {
        let row = self.parts.store.find_upload_by_access_key(access_key).await?;
        Ok(row.filter(|row| row.expires_at > self.now() && !row.used))
    }

    /// Where the archive of an upload is put.
    pub fn upload_path(&self, key: &str) -> PathBuf {
        self.parts.data_dir.join("uploads").join(key)
    }

    /// Removes uploads that no push took in time.
    pub async fn sweep_uploads(&self) -> Result<(), Error> {
        let mut tx = self.parts.store.begin().await?;
        let expired = tx.expire_uploads(self.now()).await?;
        tx.commit().await?;
        for key in expired {
            // Most were taken by a push and are gone already.
            let _ = tokio::fs::remove_file(self.upload_path(&key)).await;
        }
        Ok(())
    }
}

use domain::Timestamp;

use crate::pool::on;
use crate::{Error, Store, Tx};

/// A permission to upload one archive.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadRow {
    /// The object's key, which names the file.
    pub key: String,
    pub access_key: String,
    /// Needed in the clear to check signatures; good for one key until it expires.
    pub secret: String,
    pub session_token: String,
    pub created_by: String,
    pub expires_at: Timestamp,
    /// Whether a push has taken the archive.
    pub used: bool,
}

type Raw = (String, String, String, String, String, i64, i64);

fn parse(row: Raw) -> UploadRow {
    let (key, access_key, secret, session_token, created_by, expires_at, used) = row;
    UploadRow {
        key,
        access_key,
        secret,
        session_token,
        created_by,
        expires_at: Timestamp::from_millis(expires_at),
        used: used != 0,
    }
}

impl Store {
    pub async fn find_upload_by_access_key(&self, access_key: &str) -> Result<Option<UploadRow>, Error> {
        let mut tx = self.read().await?;
        let row = on!(&mut tx, connection => sqlx::query_as::<_, Raw>(
                "SELECT key, access_key, secret, session_token, created_by, expires_at, used FROM upload
                 WHERE access_key = $1")
            .bind(access_key.to_owned())
            .fetch_optional(connection).await)?;
        Ok(row.map(parse))
    }

    pub async fn find_upload(&self, key: &str) -> Result<Option<UploadRow>, Error> {
        let mut tx = self.read().await?;
        let row = on!(&mut tx, connection => sqlx::query_as::<_, Raw>(
                "SELECT key, access_key, secret, session_token, created_by, expires_at, used FROM upload
                 WHERE key = $1")
            .bind(key.to_owned())
            .fetch_optional(connection).await)?;
        Ok(row.map(parse))
    }
}

impl Tx {
    pub async fn insert_upload(&mut self, upload: &UploadRow) -> Result<(), Error> {
        on!(self, connection => sqlx::query(
                "INSERT INTO upload (key, access_key, secret, session_token, created_by, expires_at, used)
                 VALUES ($1, $2, $3, $4, $5, $6, 0)")
            .bind(upload.key.clone()).bind(upload.access_key.clone()).bind(upload.secret.clone())
            .bind(upload.session_token.clone()).bind(upload.created_by.clone()).bind(upload.expires_at.millis())
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    /// Takes an upload for a push; false if one did already.
    pub async fn use_upload(&mut self, key: &str) -> Result<bool, Error> {
        let done = on!(self, connection => sqlx::query("UPDATE upload SET used = 1 WHERE key = $1 AND used = 0")
            .bind(key.to_owned())
            .execute(connection).await.map(|done| done.rows_affected()))?;
        Ok(done == 1)
    }

    /// Forgets expired permissions and returns their keys, so that their files can go too.
    pub async fn expire_uploads(&mut self, now: Timestamp) -> Result<Vec<String>, Error> {
        let rows = on!(self, connection => sqlx::query_as::<_, (String,)>(
                "DELETE FROM upload WHERE expires_at < $1 RETURNING key")
            .bind(now.millis())
            .fetch_all(connection).await)?;
        Ok(rows.into_iter().map(|(key,)| key).collect())
    }
}

//! API keys, sessions and one-time links. Only hashes of what people hold are stored.

use domain::{Role, Timestamp};

use crate::error::{read, write};
use crate::pool::on;
use crate::{Error, Store, Tx};

#[derive(Debug, Clone, PartialEq)]
pub struct KeyRow {
    /// Identifies the key in public.
    pub prefix: String,
    /// SHA-256 of the whole key, in hex.
    pub hash: String,
    pub name: String,
    pub role: Role,
    /// The models it may call; `None` for all.
    pub models: Option<Vec<String>>,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SessionRow {
    pub hash: String,
    pub key_prefix: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LinkRow {
    pub hash: String,
    pub key_prefix: String,
    pub expires_at: Timestamp,
}

type RawKey = (String, String, String, String, Option<String>, i64, Option<i64>);

impl Store {
    /// Every key that was not revoked, newest first.
    pub async fn keys(&self) -> Result<Vec<KeyRow>, Error> {
        let mut tx = self.read().await?;
        let rows = on!(&mut tx, connection => sqlx::query_as::<_, RawKey>(
                "SELECT prefix, hash, name, role, models, created_at, last_used_at FROM api_key
                 WHERE revoked_at IS NULL ORDER BY created_at DESC, prefix")
            .fetch_all(connection).await)?;
        rows.into_iter()
            .map(|(prefix, hash, name, role, models, created_at, last_used_at)| {
                Ok(KeyRow {
                    prefix,
                    hash,
                    name,
                    role: read("role", &role)?,
                    models: models.map(|models| read("list of models", &models)).transpose()?,
                    created_at: Timestamp::from_millis(created_at),
                    last_used_at: last_used_at.map(Timestamp::from_millis),
                })
            })
            .collect()
    }

    /// A session that has not expired.
    pub async fn find_session(&self, hash: &str, now: Timestamp) -> Result<Option<SessionRow>, Error> {
        let mut tx = self.read().await?;
        let row = on!(&mut tx, connection => sqlx::query_as::<_, (String, i64, i64)>(
                "SELECT key_prefix, created_at, expires_at FROM session WHERE hash = $1 AND expires_at > $2")
            .bind(hash.to_owned()).bind(now.millis())
            .fetch_optional(connection).await)?;
        Ok(row.map(|(key_prefix, created_at, expires_at)| SessionRow {
            hash: hash.to_owned(),
            key_prefix,
            created_at: Timestamp::from_millis(created_at),
            expires_at: Timestamp::from_millis(expires_at),
        }))
    }
}

impl Tx {
    pub async fn insert_key(&mut self, key: &KeyRow) -> Result<(), Error> {
        let role = write("role", &key.role)?;
        let models = key.models.as_ref().map(|models| write("list of models", models)).transpose()?;
        on!(self, connection => sqlx::query(
                "INSERT INTO api_key (prefix, hash, name, role, models, created_at, last_used_at, revoked_at)
                 VALUES ($1, $2, $3, $4, $5, $6, NULL, NULL)")
            .bind(key.prefix.clone()).bind(key.hash.clone()).bind(key.name.clone()).bind(role).bind(models)
            .bind(key.created_at.millis())
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    /// False if there was no such live key. Its sessions end with it.
    pub async fn revoke_key(&mut self, prefix: &str, now: Timestamp) -> Result<bool, Error> {
        let done = on!(&mut *self, connection => sqlx::query(
                "UPDATE api_key SET revoked_at = $2 WHERE prefix = $1 AND revoked_at IS NULL")
            .bind(prefix.to_owned()).bind(now.millis())
            .execute(connection).await.map(|done| done.rows_affected()))?;
        on!(self, connection => sqlx::query("DELETE FROM session WHERE key_prefix = $1")
            .bind(prefix.to_owned())
            .execute(connection).await.map(drop))?;
        Ok(done == 1)
    }

    pub async fn touch_key(&mut self, prefix: &str, at: Timestamp) -> Result<(), Error> {
        on!(self, connection => sqlx::query("UPDATE api_key SET last_used_at = $2 WHERE prefix = $1")
            .bind(prefix.to_owned()).bind(at.millis())
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    pub async fn insert_session(&mut self, session: &SessionRow) -> Result<(), Error> {
        on!(&mut *self, connection => sqlx::query("DELETE FROM session WHERE expires_at < $1")
            .bind(session.created_at.millis())
            .execute(connection).await.map(drop))?;
        on!(self, connection => sqlx::query(
                "INSERT INTO session (hash, key_prefix, created_at, expires_at) VALUES ($1, $2, $3, $4)")
            .bind(session.hash.clone()).bind(session.key_prefix.clone())
            .bind(session.created_at.millis()).bind(session.expires_at.millis())
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    pub async fn delete_session(&mut self, hash: &str) -> Result<(), Error> {
        on!(self, connection => sqlx::query("DELETE FROM session WHERE hash = $1")
            .bind(hash.to_owned())
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    pub async fn insert_link(&mut self, link: &LinkRow) -> Result<(), Error> {
        on!(self, connection => sqlx::query(
                "INSERT INTO sign_in_link (hash, key_prefix, expires_at) VALUES ($1, $2, $3)")
            .bind(link.hash.clone()).bind(link.key_prefix.clone()).bind(link.expires_at.millis())
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    /// Uses a link up and returns whose it was; `None` if it was used, has expired or never was.
    pub async fn redeem_link(&mut self, hash: &str, now: Timestamp) -> Result<Option<String>, Error> {
        let row = on!(self, connection => sqlx::query_as::<_, (String,)>(
                "DELETE FROM sign_in_link WHERE hash = $1 AND expires_at > $2 RETURNING key_prefix")
            .bind(hash.to_owned()).bind(now.millis())
            .fetch_optional(connection).await)?;
        Ok(row.map(|(prefix,)| prefix))
    }
}

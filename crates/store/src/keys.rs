//! API keys and sessions. Only hashes of what people hold are stored.

use domain::{EnvironmentName, PersonId, Role, Timestamp};

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
    /// What it may do; of a person's key it is what the person may.
    pub role: Role,
    /// Whose key it is, where it is a person's own.
    pub person: Option<PersonId>,
    /// The models it may call; `None` for all.
    pub models: Option<Vec<String>>,
    /// The environments by whose addresses it may call; `None` for all addresses.
    pub environments: Option<Vec<EnvironmentName>>,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// Whoever holds the key with this prefix.
    Key(String),
    Person(PersonId),
}

#[derive(Debug, Clone, PartialEq)]
pub struct SessionRow {
    pub hash: String,
    pub holder: Holder,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

type RawKey =
    (String, String, String, String, Option<String>, i64, Option<i64>, Option<String>, Option<String>);

impl Store {
    /// Every key that was not revoked, newest first.
    pub async fn keys(&self) -> Result<Vec<KeyRow>, Error> {
        self.read().await?.keys().await
    }

    /// A session that has not expired.
    pub async fn find_session(&self, hash: &str, now: Timestamp) -> Result<Option<SessionRow>, Error> {
        let mut tx = self.read().await?;
        let row = on!(&mut tx, connection => sqlx::query_as::<_, (Option<String>, Option<String>, i64, i64)>(
                "SELECT key_prefix, person, created_at, expires_at FROM session WHERE hash = $1 AND expires_at > $2")
            .bind(hash.to_owned()).bind(now.millis())
            .fetch_optional(connection).await)?;
        Ok(row.map(|(key_prefix, person, created_at, expires_at)| SessionRow {
            hash: hash.to_owned(),
            holder: match person {
                Some(person) => Holder::Person(PersonId::new(person)),
                None => Holder::Key(key_prefix.unwrap_or_default()),
            },
            created_at: Timestamp::from_millis(created_at),
            expires_at: Timestamp::from_millis(expires_at),
        }))
    }
}

impl Tx {
    /// Every key that was not revoked, newest first.
    pub async fn keys(&mut self) -> Result<Vec<KeyRow>, Error> {
        let rows = on!(self, connection => sqlx::query_as::<_, RawKey>(
                "SELECT prefix, hash, name, role, models, created_at, last_used_at, person, environments
                 FROM api_key
                 WHERE revoked_at IS NULL ORDER BY created_at DESC, prefix")
            .fetch_all(connection).await)?;
        rows.into_iter()
            .map(|(prefix, hash, name, role, models, created_at, last_used_at, person, environments)| {
                Ok(KeyRow {
                    prefix,
                    hash,
                    name,
                    role: read("role", &role)?,
                    person: person.map(PersonId::new),
                    models: models.map(|models| read("list of models", &models)).transpose()?,
                    environments: environments
                        .map(|names| read("list of environments", &names))
                        .transpose()?,
                    created_at: Timestamp::from_millis(created_at),
                    last_used_at: last_used_at.map(Timestamp::from_millis),
                })
            })
            .collect()
    }

    pub async fn insert_key(&mut self, key: &KeyRow) -> Result<(), Error> {
        let role = write("role", &key.role)?;
        let models = key.models.as_ref().map(|models| write("list of models", models)).transpose()?;
        let environments =
            key.environments.as_ref().map(|names| write("list of environments", names)).transpose()?;
        on!(self, connection => sqlx::query(
                "INSERT INTO api_key (prefix, hash, name, role, models, created_at, last_used_at, revoked_at, person,
                     environments)
                 VALUES ($1, $2, $3, $4, $5, $6, NULL, NULL, $7, $8)")
            .bind(key.prefix.clone()).bind(key.hash.clone()).bind(key.name.clone()).bind(role).bind(models)
            .bind(key.created_at.millis()).bind(key.person.as_ref().map(|person| person.to_string()))
            .bind(environments)
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
        let (key_prefix, person) = match &session.holder {
            Holder::Key(prefix) => (Some(prefix.clone()), None),
            Holder::Person(person) => (None, Some(person.to_string())),
        };
        on!(self, connection => sqlx::query(
                "INSERT INTO session (hash, key_prefix, person, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(session.hash.clone()).bind(key_prefix).bind(person)
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
}

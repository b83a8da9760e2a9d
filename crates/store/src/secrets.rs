//! Sealed secrets.

use domain::{SecretId, SecretName, Timestamp};

use crate::pool::on;
use crate::{Error, Store, Tx};

/// A secret as it is stored; only the [`Vault`](crate::Vault) that sealed it can open it.
#[derive(Debug, Clone, PartialEq)]
pub struct SecretRow {
    pub id: SecretId,
    pub name: SecretName,
    pub sealed: String,
    pub created_at: Timestamp,
    /// When it got the value that it has.
    pub updated_at: Timestamp,
}

type Raw = (String, String, String, i64, i64);

fn row((name, id, sealed, created_at, updated_at): Raw) -> Result<SecretRow, Error> {
    Ok(SecretRow {
        id: SecretId::new(id),
        name: SecretName::new(name).map_err(|invalid| Error::Io(format!("a stored secret: {invalid}")))?,
        sealed,
        created_at: Timestamp::from_millis(created_at),
        updated_at: Timestamp::from_millis(updated_at),
    })
}

impl Store {
    /// Every secret, by name.
    pub async fn secrets(&self) -> Result<Vec<SecretRow>, Error> {
        let mut tx = self.read().await?;
        let rows = on!(&mut tx, connection => sqlx::query_as::<_, Raw>(
                "SELECT name, id, sealed, created_at, updated_at FROM secret")
            .fetch_all(connection).await)?;
        let mut rows = rows.into_iter().map(row).collect::<Result<Vec<_>, _>>()?;
        // Here, because each database orders text in its own way.
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(rows)
    }

    /// Those of the named secrets that exist.
    pub async fn secrets_named(&self, names: &[&str]) -> Result<Vec<SecretRow>, Error> {
        let mut tx = self.read().await?;
        let mut found = Vec::new();
        for name in names {
            let raw = on!(&mut tx, connection => sqlx::query_as::<_, Raw>(
                    "SELECT name, id, sealed, created_at, updated_at FROM secret WHERE name = $1")
                .bind((*name).to_owned())
                .fetch_optional(connection).await)?;
            found.extend(raw.map(row).transpose()?);
        }
        Ok(found)
    }
}

impl Tx {
    /// Writes a secret, over the former value if there is one; returns it with the id and the date it keeps.
    pub async fn put_secret(&mut self, secret: &SecretRow) -> Result<SecretRow, Error> {
        let (id, created_at) = on!(self, connection => sqlx::query_as::<_, (String, i64)>(
                "INSERT INTO secret (name, id, sealed, created_at, updated_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at
                 RETURNING id, created_at")
            .bind(secret.name.as_str().to_owned()).bind(secret.id.as_str().to_owned())
            .bind(secret.sealed.clone())
            .bind(secret.created_at.millis()).bind(secret.updated_at.millis())
            .fetch_one(connection).await)?;
        let created_at = Timestamp::from_millis(created_at);
        Ok(SecretRow { id: SecretId::new(id), created_at, ..secret.clone() })
    }

    /// Removes a secret; returns its id, or `None` if there was none.
    pub async fn delete_secret(&mut self, name: &SecretName) -> Result<Option<SecretId>, Error> {
        let row = on!(self, connection => sqlx::query_as::<_, (String,)>(
                "DELETE FROM secret WHERE name = $1 RETURNING id")
            .bind(name.as_str().to_owned())
            .fetch_optional(connection).await)?;
        Ok(row.map(|(id,)| SecretId::new(id)))
    }
}

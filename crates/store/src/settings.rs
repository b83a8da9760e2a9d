use crate::pool::on;
use crate::{Error, Store, Tx};

impl Store {
    /// A setting of this installation.
    pub async fn setting(&self, key: &str) -> Result<Option<String>, Error> {
        let mut tx = self.read().await?;
        let row = on!(&mut tx, connection => sqlx::query_as::<_, (String,)>("SELECT value FROM setting WHERE key = $1")
            .bind(key.to_owned())
            .fetch_optional(connection).await)?;
        Ok(row.map(|(value,)| value))
    }
}

impl Tx {
    pub async fn set_setting(&mut self, key: &str, value: &str) -> Result<(), Error> {
        on!(self, connection => sqlx::query(
                "INSERT INTO setting (key, value) VALUES ($1, $2)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value")
            .bind(key.to_owned()).bind(value.to_owned())
            .execute(connection).await.map(drop))?;
        Ok(())
    }
}

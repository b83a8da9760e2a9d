//! Who may change the environments of a name.

use domain::{EnvironmentName, Restriction};

use crate::error::{read, write};
use crate::pool::on;
use crate::{Error, Store, Tx};

impl Store {
    /// The names that environments of models have, each once.
    pub async fn environment_names(&self) -> Result<Vec<EnvironmentName>, Error> {
        self.read().await?.environment_names().await
    }
}

impl Tx {
    /// Every restriction, by the environments' name.
    pub async fn restrictions(&mut self) -> Result<Vec<Restriction>, Error> {
        let rows = on!(self, connection => sqlx::query_as::<_, (String,)>(
                "SELECT document FROM restriction ORDER BY environment")
            .fetch_all(connection).await)?;
        rows.iter().map(|(document,)| read("restriction", document)).collect()
    }

    /// In place of the one of the same name, if there is one.
    pub async fn set_restriction(&mut self, restriction: &Restriction) -> Result<(), Error> {
        let document = write("restriction", restriction)?;
        on!(self, connection => sqlx::query(
                "INSERT INTO restriction (environment, document) VALUES ($1, $2)
                 ON CONFLICT (environment) DO UPDATE SET document = excluded.document")
            .bind(restriction.environment.as_str().to_owned()).bind(document)
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    pub async fn lift_restriction(&mut self, environment: &EnvironmentName) -> Result<(), Error> {
        on!(self, connection => sqlx::query("DELETE FROM restriction WHERE environment = $1")
            .bind(environment.as_str().to_owned())
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    /// The names that environments of models have, each once, by name.
    pub async fn environment_names(&mut self) -> Result<Vec<EnvironmentName>, Error> {
        let rows = on!(self, connection => sqlx::query_as::<_, (String,)>(
                "SELECT DISTINCT name FROM environment ORDER BY name")
            .fetch_all(connection).await)?;
        rows.into_iter()
            .map(|(name,)| read("environment's name", &serde_json::Value::String(name).to_string()))
            .collect()
    }
}

use domain::{Environment, EnvironmentName, ModelId};

use crate::error::{read, write};
use crate::pool::on;
use crate::{Error, Tx};

pub(crate) fn parse((document, version): (String, i64)) -> Result<Environment, Error> {
    let mut environment: Environment = read("environment", &document)?;
    environment.version = version.max(0) as u64;
    Ok(environment)
}

impl Tx {
    pub async fn insert_environment(&mut self, environment: &Environment) -> Result<(), Error> {
        let document = write("environment", environment)?;
        on!(self, connection => sqlx::query(
                "INSERT INTO environment (model, name, document, created_at, version) VALUES ($1, $2, $3, $4, 0)")
            .bind(environment.model.as_str()).bind(environment.name.as_str()).bind(&document)
            .bind(environment.created_at.millis())
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    /// Writes an environment over the version that was read; false if somebody else wrote since.
    pub async fn save_environment(&mut self, environment: &mut Environment) -> Result<bool, Error> {
        let document = write("environment", environment)?;
        let done = on!(self, connection => sqlx::query(
                "UPDATE environment SET document = $4, version = version + 1
                 WHERE model = $1 AND name = $2 AND version = $3")
            .bind(environment.model.as_str()).bind(environment.name.as_str())
            .bind(environment.version as i64).bind(&document)
            .execute(connection).await.map(|done| done.rows_affected()))?;
        if done == 1 {
            environment.version += 1;
        }
        Ok(done == 1)
    }

    pub async fn delete_environment(&mut self, model: &ModelId, name: &EnvironmentName) -> Result<(), Error> {
        on!(self, connection => sqlx::query("DELETE FROM environment WHERE model = $1 AND name = $2")
            .bind(model.as_str()).bind(name.as_str())
            .execute(connection).await.map(drop))?;
        Ok(())
    }
}

use domain::{Deployment, Environment, Model, ModelId, ModelName, Promotion, Timestamp};

use crate::error::{read, write};
use crate::pool::on;
use crate::{Error, Store, Tx};

/// Everything stored about one model, of one moment.
#[derive(Debug, Clone)]
pub struct ModelState {
    pub model: Model,
    /// Set once the model itself is deleted and only what it left remains.
    pub deleted: bool,
    /// Deleted ones are among them until they are purged.
    pub deployments: Vec<Deployment>,
    pub environments: Vec<Environment>,
    /// Running ones.
    pub promotions: Vec<Promotion>,
}

impl Store {
    /// Everything about a model; `None` if there never was one or nothing is left of it.
    pub async fn load_model(&self, id: &ModelId) -> Result<Option<ModelState>, Error> {
        let mut tx = self.read().await?;
        tx.load_model(id).await
    }

    /// Every model of which something is left, deleted ones included.
    pub async fn all_model_ids(&self) -> Result<Vec<ModelId>, Error> {
        let mut tx = self.read().await?;
        let rows: Vec<(String,)> = on!(&mut tx, connection => sqlx::query_as(
                "SELECT id FROM model WHERE deleted_at IS NULL
                 OR EXISTS (SELECT 1 FROM deployment WHERE deployment.model = model.id AND purged = 0)
                 ORDER BY id")
            .fetch_all(connection).await)?;
        Ok(rows.into_iter().map(|(id,)| ModelId::new(id)).collect())
    }

    /// Every live model with everything about it, by name.
    pub async fn load_all_models(&self) -> Result<Vec<ModelState>, Error> {
        let mut tx = self.read().await?;
        let rows: Vec<(String,)> = on!(&mut tx, connection => sqlx::query_as(
                "SELECT id FROM model WHERE deleted_at IS NULL ORDER BY name")
            .fetch_all(connection).await)?;
        let mut states = Vec::with_capacity(rows.len());
        for (id,) in rows {
            states.extend(tx.load_model(&ModelId::new(id)).await?);
        }
        Ok(states)
    }

    /// The live model of this name.
    pub async fn find_model_by_name(&self, name: &ModelName) -> Result<Option<Model>, Error> {
        let mut tx = self.read().await?;
        let row: Option<(String, i64)> = on!(&mut tx, connection => sqlx::query_as(
                "SELECT document, generation FROM model WHERE name = $1 AND deleted_at IS NULL")
            .bind(name.as_str())
            .fetch_optional(connection).await)?;
        row.map(|(document, generation)| parse(&document, generation)).transpose()
    }
}

pub(crate) fn parse(document: &str, generation: i64) -> Result<Model, Error> {
    let mut model: Model = read("model", document)?;
    model.generation = generation.max(0) as u64;
    Ok(model)
}

impl Tx {
    pub async fn load_model(&mut self, id: &ModelId) -> Result<Option<ModelState>, Error> {
        let row: Option<(String, i64, Option<i64>)> = on!(&mut *self, connection => sqlx::query_as(
                "SELECT document, generation, deleted_at FROM model WHERE id = $1")
            .bind(id.as_str())
            .fetch_optional(connection).await)?;
        let Some((document, generation, deleted_at)) = row else { return Ok(None) };
        let model = parse(&document, generation)?;
        let deployments = self.unpurged_deployments(id).await?;
        if deleted_at.is_some() && deployments.is_empty() {
            return Ok(None);
        }
        Ok(Some(ModelState {
            model,
            deleted: deleted_at.is_some(),
            deployments,
            environments: self.environments(id).await?,
            promotions: self.running_promotions(id).await?,
        }))
    }

    pub async fn insert_model(&mut self, model: &Model) -> Result<(), Error> {
        let document = write("model", model)?;
        on!(self, connection => sqlx::query(
                "INSERT INTO model (id, name, document, generation, created_at, deleted_at, version)
                 VALUES ($1, $2, $3, $4, $5, NULL, 0)")
            .bind(model.id.as_str()).bind(model.name.as_str()).bind(&document)
            .bind(model.generation as i64).bind(model.created_at.millis())
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    /// Writes a model's name and counters. Whoever calls it holds the model by [`Tx::raise_generation`].
    pub async fn save_model(&mut self, model: &Model) -> Result<(), Error> {
        let document = write("model", model)?;
        on!(self, connection => sqlx::query(
                "UPDATE model SET name = $2, document = $3, version = version + 1 WHERE id = $1")
            .bind(model.id.as_str()).bind(model.name.as_str()).bind(&document)
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    /// Raises the generation of intent and returns it; `None` if there is no such live model.
    ///
    /// A use case calls it before it reads: on both databases it makes writers of one model wait for each other.
    pub async fn raise_generation(&mut self, id: &ModelId, _now: Timestamp) -> Result<Option<u64>, Error> {
        let row: Option<(i64,)> = on!(self, connection => sqlx::query_as(
                "UPDATE model SET generation = generation + 1 WHERE id = $1 AND deleted_at IS NULL
                 RETURNING generation")
            .bind(id.as_str())
            .fetch_optional(connection).await)?;
        Ok(row.map(|(generation,)| generation.max(0) as u64))
    }

    pub async fn mark_model_deleted(&mut self, id: &ModelId, now: Timestamp) -> Result<(), Error> {
        on!(self, connection => sqlx::query("UPDATE model SET deleted_at = $2 WHERE id = $1")
            .bind(id.as_str()).bind(now.millis())
            .execute(connection).await.map(drop))?;
        Ok(())
    }
}

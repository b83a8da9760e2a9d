use domain::{Deployment, Environment, Model, ModelId, ModelName, Promotion, Timestamp};

use crate::error::{read, write};
use crate::pool::{Pool, on};
use crate::{Error, Store, Tx, deployments, environments, promotions};

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
        // Without a transaction around it: one statement is of one moment by itself, and beginning and ending one would
        // be two more trips. The engine reads so at each look.
        let rows: Vec<Row> = match self.pool() {
            Pool::Sqlite { readers, .. } => {
                sqlx::query_as(WHOLE).bind(id.as_str()).fetch_all(readers).await?
            }
            Pool::Postgres(pool) => sqlx::query_as(WHOLE).bind(id.as_str()).fetch_all(pool).await?,
        };
        assemble(rows)
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

/// Part, document, version or generation, when deleted, when made, name.
pub(crate) type Row = (i64, String, i64, Option<i64>, i64, String);

/// The parts of one model, in their order; production comes before the other environments.
const MODEL: i64 = 0;
const DEPLOYMENT: i64 = 1;
const PROMOTION: i64 = 4;

/// All of one model. One statement: each one is a hand-over to the database's thread, or a trip to its server.
const WHOLE: &str = "SELECT CAST(0 AS BIGINT) AS part, document, generation AS number, deleted_at AS gone,
        CAST(0 AS BIGINT) AS made, id AS name
     FROM model WHERE id = $1
 UNION ALL SELECT 1, document, version, CAST(NULL AS BIGINT), created_at, id
     FROM deployment WHERE model = $1 AND purged = 0
 UNION ALL SELECT CASE WHEN name = 'production' THEN 2 ELSE 3 END, document, version,
        CAST(NULL AS BIGINT), created_at, name
     FROM environment WHERE model = $1
 UNION ALL SELECT 4, document, version, CAST(NULL AS BIGINT), started_at, id
     FROM promotion WHERE model = $1 AND running = 1
 ORDER BY part, made, name";

pub(crate) fn assemble(rows: Vec<Row>) -> Result<Option<ModelState>, Error> {
    let mut rows = rows.into_iter();
    let Some((MODEL, document, generation, gone, ..)) = rows.next() else { return Ok(None) };
    let mut state = ModelState {
        model: parse(&document, generation)?,
        deleted: gone.is_some(),
        deployments: Vec::new(),
        environments: Vec::new(),
        promotions: Vec::new(),
    };
    for (part, document, version, ..) in rows {
        match part {
            DEPLOYMENT => state.deployments.push(deployments::parse((document, version))?),
            PROMOTION => state.promotions.push(promotions::parse((document, version))?),
            _ => state.environments.push(environments::parse((document, version))?),
        }
    }
    Ok((!state.deleted || !state.deployments.is_empty()).then_some(state))
}

impl Tx {
    pub async fn load_model(&mut self, id: &ModelId) -> Result<Option<ModelState>, Error> {
        let rows = on!(self, connection => sqlx::query_as::<_, Row>(WHOLE)
            .bind(id.as_str())
            .fetch_all(connection).await)?;
        assemble(rows)
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

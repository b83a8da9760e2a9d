//! What a list of models shows, read without reading every deployment.

use std::collections::HashMap;

use domain::{Deployment, DeploymentId, Environment, Model, ModelId, Promotion, Timestamp};
use sqlx::AssertSqlSafe;

use crate::error::read;
use crate::pool::on;
use crate::{Error, Store, deployments, models, promotions};

/// A model, and what its production serves.
#[derive(Debug, Clone)]
pub struct ModelOverview {
    pub model: Model,
    /// Live deployments.
    pub deployments: u64,
    pub development: Option<DeploymentId>,
    /// The newest thing that was recorded of it.
    pub changed_at: Timestamp,
    pub production: Option<Environment>,
    /// The promotion that runs into production.
    pub promotion: Option<Promotion>,
    /// The deployments that `production` and `promotion` name; where nothing serves, the newest one.
    pub named: Vec<Deployment>,
}

impl Store {
    /// Live models by name, at most `limit` after `after`.
    pub async fn model_overviews(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ModelOverview>, Error> {
        const PAGE: &str =
            "SELECT id FROM model WHERE deleted_at IS NULL AND name > $1 ORDER BY name LIMIT $2";
        let after = after.unwrap_or("");
        let limit = i64::from(limit);
        let mut tx = self.read().await?;
        type Row = (String, i64, i64, Option<String>, Option<String>, Option<i64>);
        let rows: Vec<Row> = on!(&mut tx, connection => sqlx::query_as(
                "SELECT document, generation,
                        (SELECT COUNT(*) FROM deployment d WHERE d.model = model.id AND d.deleted_at IS NULL),
                        (SELECT d.id FROM deployment d
                          WHERE d.model = model.id AND d.deleted_at IS NULL AND d.development = 1),
                        (SELECT d.id FROM deployment d
                          WHERE d.model = model.id AND d.purged = 0 AND d.deleted_at IS NULL
                          ORDER BY d.created_at DESC, d.id DESC LIMIT 1),
                        (SELECT MAX(event.at) FROM event WHERE event.model = model.id)
                 FROM model WHERE model.deleted_at IS NULL AND model.name > $1 ORDER BY model.name LIMIT $2")
            .bind(after).bind(limit)
            .fetch_all(connection).await)?;
        let text =
            format!("SELECT document FROM environment WHERE name = 'production' AND model IN ({PAGE})");
        let environments: Vec<(String,)> = on!(&mut tx, connection => sqlx::query_as(AssertSqlSafe(text.clone()))
            .bind(after).bind(limit).fetch_all(connection).await)?;
        let text = format!(
            "SELECT document, version FROM promotion
             WHERE running = 1 AND environment = 'production' AND model IN ({PAGE})"
        );
        let running: Vec<(String, i64)> = on!(&mut tx, connection => sqlx::query_as(AssertSqlSafe(text.clone()))
            .bind(after).bind(limit).fetch_all(connection).await)?;

        let mut production = HashMap::new();
        for (document,) in environments {
            let environment: Environment = read("environment", &document)?;
            production.insert(environment.model.clone(), environment);
        }
        let mut promotion = HashMap::new();
        for row in running {
            let one = promotions::parse(row)?;
            promotion.insert(one.model.clone(), one);
        }
        let served = production.values().filter_map(|environment| environment.current.as_ref());
        let mut ids: Vec<DeploymentId> =
            served.chain(promotion.values().map(|promotion| &promotion.candidate)).cloned().collect();
        let models: Vec<Model> = rows
            .iter()
            .map(|(document, generation, ..)| models::parse(document, *generation))
            .collect::<Result<_, _>>()?;
        let serves = |model: &Model| {
            production.get(&model.id).is_some_and(|production: &Environment| production.current.is_some())
        };
        for (model, (_, _, _, _, newest, _)) in models.iter().zip(&rows) {
            ids.extend(newest.iter().filter(|_| !serves(model)).map(|id| DeploymentId::new(id.clone())));
        }
        ids.sort_unstable();
        ids.dedup();
        let mut named: HashMap<ModelId, Vec<Deployment>> = HashMap::new();
        for deployment in tx.deployments_by_id(&ids).await? {
            named.entry(deployment.model.clone()).or_default().push(deployment);
        }
        let overviews =
            models.into_iter().zip(rows).map(|(model, (_, _, count, development, _, changed))| {
                ModelOverview {
                    deployments: count.max(0) as u64,
                    development: development.map(DeploymentId::new),
                    changed_at: changed.map_or(model.created_at, Timestamp::from_millis),
                    production: production.remove(&model.id),
                    promotion: promotion.remove(&model.id),
                    named: named.remove(&model.id).unwrap_or_default(),
                    model,
                }
            });
        Ok(overviews.collect())
    }
}

impl crate::Tx {
    /// Those of these deployments that were not deleted.
    pub(crate) async fn deployments_by_id(&mut self, ids: &[DeploymentId]) -> Result<Vec<Deployment>, Error> {
        /// Well below what either database takes in one statement.
        const AT_ONCE: usize = 500;
        let mut found = Vec::with_capacity(ids.len());
        for some in ids.chunks(AT_ONCE) {
            let marks: Vec<String> = (1..=some.len()).map(|number| format!("${number}")).collect();
            let text = format!(
                "SELECT document, version FROM deployment WHERE deleted_at IS NULL AND id IN ({})",
                marks.join(", ")
            );
            let rows: Vec<(String, i64)> = on!(&mut *self, connection => {
                let mut query = sqlx::query_as(AssertSqlSafe(text.clone()));
                for id in some {
                    query = query.bind(id.as_str());
                }
                query.fetch_all(connection).await
            })?;
            for row in rows {
                found.push(deployments::parse(row)?);
            }
        }
        Ok(found)
    }
}

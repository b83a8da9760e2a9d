//! What was measured of requests, by the minute. Bounded in age.

use std::collections::BTreeMap;

use domain::{DeploymentId, Environment, EnvironmentName, Event, Measured, ModelId, Promotion, Timestamp};
use sqlx::AssertSqlSafe;

use crate::error::{read, write};
use crate::overview::{AT_ONCE, marks};
use crate::pool::on;
use crate::{Error, Store};

/// Events that are looked through for the one that gave a deployment its environment.
const MOST_EVENTS: i64 = 50;

/// One deployment's minute, or the part of one in which it was attached to the same environment.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricRow {
    pub model: ModelId,
    pub deployment: DeploymentId,
    pub measured: Measured,
}

/// Whose minutes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricsOf {
    Deployment(DeploymentId),
    /// Of every deployment, as long as it was attached to this environment.
    Environment(ModelId, EnvironmentName),
    /// Of its deployments that are not deleted.
    Model(ModelId),
}

impl Store {
    /// Adds minutes; one transaction for all. A second row of one deployment for the same moment replaces the first.
    pub async fn add_metrics(&self, rows: &[MetricRow]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        for MetricRow { model, deployment, measured } in rows {
            let document = write("metrics", measured)?;
            on!(&mut tx, connection => sqlx::query(
                    "INSERT INTO metric (deployment, at, model, environment, document) VALUES ($1, $2, $3, $4, $5)
                     ON CONFLICT (deployment, at) DO UPDATE SET
                         environment = excluded.environment, document = excluded.document")
                .bind(deployment.as_str()).bind(measured.from.millis()).bind(model.as_str())
                .bind(measured.environment.as_ref().map(EnvironmentName::as_str)).bind(&document)
                .execute(connection).await.map(drop))?;
        }
        tx.commit().await
    }

    /// Minutes that began from `from` until before `to`, oldest first.
    pub async fn metrics(
        &self,
        of: &MetricsOf,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<Measured>, Error> {
        let mut tx = self.read().await?;
        let rows: Vec<(String,)> = match of {
            MetricsOf::Deployment(deployment) => on!(&mut tx, connection => sqlx::query_as(
                    "SELECT document FROM metric WHERE deployment = $1 AND at >= $2 AND at < $3 ORDER BY at")
                .bind(deployment.as_str()).bind(from.millis()).bind(to.millis())
                .fetch_all(connection).await)?,
            MetricsOf::Environment(model, environment) => on!(&mut tx, connection => sqlx::query_as(
                    "SELECT document FROM metric WHERE model = $1 AND environment = $2 AND at >= $3 AND at < $4
                     ORDER BY at")
                .bind(model.as_str()).bind(environment.as_str()).bind(from.millis()).bind(to.millis())
                .fetch_all(connection).await)?,
            MetricsOf::Model(model) => on!(&mut tx, connection => sqlx::query_as(
                    "SELECT document FROM metric WHERE model = $1 AND at >= $2 AND at < $3 AND metric.deployment IN (
                       SELECT d.id FROM deployment d WHERE d.model = $1 AND d.deleted_at IS NULL)
                     ORDER BY at")
                .bind(model.as_str()).bind(from.millis()).bind(to.millis())
                .fetch_all(connection).await)?,
        };
        rows.iter().map(|(document,)| read("metrics", document)).collect()
    }

    /// The environment that each deployment of these models is attached to: it serves it, or a promotion brings it there.
    pub async fn attached(
        &self,
        models: &[ModelId],
    ) -> Result<BTreeMap<DeploymentId, EnvironmentName>, Error> {
        let mut attached = BTreeMap::new();
        if models.is_empty() {
            return Ok(attached);
        }
        let mut tx = self.read().await?;
        for some in models.chunks(AT_ONCE) {
            let ids = marks(some.len());
            let text = format!(
                "SELECT document, CAST(0 AS BIGINT) AS running FROM environment WHERE model IN ({ids})
                 UNION ALL SELECT document, running FROM promotion WHERE running = 1 AND model IN ({ids})"
            );
            let rows = on!(&mut tx, connection => {
                let mut query = sqlx::query_as::<_, (String, i64)>(AssertSqlSafe(text.clone()));
                for id in some {
                    query = query.bind(id.as_str());
                }
                query.fetch_all(connection).await
            })?;
            for (document, running) in rows {
                if running == 0 {
                    let environment: Environment = read("environment", &document)?;
                    attached.extend(environment.current.map(|current| (current, environment.name)));
                } else {
                    let promotion: Promotion = read("promotion", &document)?;
                    attached.insert(promotion.candidate, promotion.environment);
                }
            }
        }
        Ok(attached)
    }

    /// When a deployment was given an environment without a promotion, if it was (semantics: Environments).
    pub async fn given(
        &self,
        deployment: &DeploymentId,
        environment: &EnvironmentName,
    ) -> Result<Option<Timestamp>, Error> {
        let mut tx = self.read().await?;
        let rows = on!(&mut tx, connection => sqlx::query_as::<_, (String,)>(
                "SELECT document FROM event
                 WHERE deployment = $1 AND kind = 'MODEL_DEPLOYMENT_PROMOTED' AND environment = $2
                 ORDER BY at DESC, id DESC LIMIT $3")
            .bind(deployment.as_str()).bind(environment.as_str()).bind(MOST_EVENTS)
            .fetch_all(connection).await)?;
        let mut events = Vec::with_capacity(rows.len());
        for (document,) in &rows {
            events.push(read::<Event>("event", document)?);
        }
        let given = events.iter().find(|event| event.data["automatic"] == true);
        Ok(given.map(|event| event.at))
    }

    /// Removes minutes that began before a moment.
    pub async fn trim_metrics(&self, before: Timestamp) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        on!(&mut tx, connection => sqlx::query("DELETE FROM metric WHERE at < $1")
            .bind(before.millis())
            .execute(connection).await.map(drop))?;
        tx.commit().await
    }
}

//! What was measured of requests, by the minute. Bounded in age.

use domain::{DeploymentId, EnvironmentName, Measured, ModelId, Timestamp};

use crate::error::{read, write};
use crate::pool::on;
use crate::{Error, Store};

/// One deployment's minute.
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
                    "SELECT document FROM metric WHERE model = $1 AND at >= $2 AND at < $3 ORDER BY at")
                .bind(model.as_str()).bind(from.millis()).bind(to.millis())
                .fetch_all(connection).await)?,
        };
        rows.iter().map(|(document,)| read("metrics", document)).collect()
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

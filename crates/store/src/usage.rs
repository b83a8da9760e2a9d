//! What was used, by deployment and day. Rows outlive what they tell of.

use domain::{DeploymentId, ModelId, Price, Timestamp};

use crate::pool::on;
use crate::{Error, Store};

/// Use to add to a deployment's day.
#[derive(Debug, Clone, PartialEq)]
pub struct UsageDelta {
    pub deployment: DeploymentId,
    pub model: ModelId,
    pub deployment_name: String,
    pub model_name: String,
    pub environment: Option<String>,
    /// The name of its instance type.
    pub instance_type: Option<String>,
    /// What a minute of one of its replicas costs, where that is configured.
    pub price: Option<Price>,
    /// Days since 1970-01-01 UTC.
    pub day: i64,
    /// Started minutes of its builds and of each of its replicas, together.
    pub minutes: i64,
    pub requests: i64,
    /// Up to when its replicas are counted with this.
    pub counted_to: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub struct UsageRow {
    pub deployment: DeploymentId,
    pub model: ModelId,
    pub deployment_name: String,
    pub model_name: String,
    pub environment: Option<String>,
    pub instance_type: Option<String>,
    /// The day's last price.
    pub price: Option<Price>,
    pub day: i64,
    pub minutes: i64,
    pub requests: i64,
    /// The deployment or its model was deleted since.
    pub is_deleted: bool,
}

type Raw = (String, i64, String, String, String, Option<String>, Option<String>, Option<i64>, i64, i64, i64);

impl Store {
    /// Adds up; one transaction for all.
    pub async fn add_usage(&self, deltas: &[UsageDelta]) -> Result<(), Error> {
        if deltas.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        for delta in deltas {
            on!(&mut tx, connection => sqlx::query(
                    "INSERT INTO usage_day (deployment, day, model, model_name, deployment_name, environment,
                                            instance_type, price, minutes, requests, counted_to)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                     ON CONFLICT (deployment, day) DO UPDATE SET
                         model_name = excluded.model_name,
                         deployment_name = excluded.deployment_name,
                         environment = excluded.environment,
                         instance_type = excluded.instance_type,
                         price = excluded.price,
                         minutes = usage_day.minutes + excluded.minutes,
                         requests = usage_day.requests + excluded.requests,
                         counted_to = excluded.counted_to")
                .bind(delta.deployment.as_str()).bind(delta.day).bind(delta.model.as_str())
                .bind(delta.model_name.as_str()).bind(delta.deployment_name.as_str())
                .bind(delta.environment.as_deref()).bind(delta.instance_type.as_deref())
                .bind(delta.price.map(|price| price.0)).bind(delta.minutes).bind(delta.requests)
                .bind(delta.counted_to.millis())
                .execute(connection).await.map(drop))?;
        }
        tx.commit().await
    }

    /// Up to when a deployment's replicas are counted; `None` if they never were.
    pub async fn usage_counted_to(&self, deployment: &DeploymentId) -> Result<Option<Timestamp>, Error> {
        let mut tx = self.read().await?;
        let (last,) = on!(&mut tx, connection => sqlx::query_as::<_, (Option<i64>,)>(
                "SELECT MAX(counted_to) FROM usage_day WHERE deployment = $1")
            .bind(deployment.as_str())
            .fetch_one(connection).await)?;
        Ok(last.map(Timestamp::from_millis))
    }

    /// Use from `first` to `last`, days since 1970, both included; newest day first.
    pub async fn usage(&self, first: i64, last: i64) -> Result<Vec<UsageRow>, Error> {
        let mut tx = self.read().await?;
        let rows = on!(&mut tx, connection => sqlx::query_as::<_, Raw>(
                "SELECT u.deployment, u.day, u.model, u.model_name, u.deployment_name, u.environment,
                        u.instance_type, u.price, u.minutes, u.requests,
                        CASE WHEN d.id IS NULL OR d.deleted_at IS NOT NULL THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END
                 FROM usage_day u LEFT JOIN deployment d ON d.id = u.deployment
                 WHERE u.day >= $1 AND u.day <= $2
                 ORDER BY u.day DESC, u.model_name, u.deployment_name")
            .bind(first).bind(last)
            .fetch_all(connection).await)?;
        Ok(rows
            .into_iter()
            .map(
                |(
                    deployment,
                    day,
                    model,
                    model_name,
                    deployment_name,
                    environment,
                    instance_type,
                    price,
                    minutes,
                    requests,
                    gone,
                )| {
                    UsageRow {
                        deployment: DeploymentId::new(deployment),
                        model: ModelId::new(model),
                        deployment_name,
                        model_name,
                        environment,
                        instance_type,
                        price: price.map(Price),
                        day,
                        minutes,
                        requests,
                        is_deleted: gone != 0,
                    }
                },
            )
            .collect())
    }
}

//! The record of scaling: counts of replicas, starts by phase, decisions. Bounded in age and in number.

use domain::{ColdStart, DeploymentId, Event, ModelId, ReplicaCount, Timestamp};
use sqlx::AssertSqlSafe;

use crate::error::{read, write};
use crate::overview::{AT_ONCE, marks};
use crate::pool::on;
use crate::{Error, Store, Tx};

type Counts = (String, i64, i64, i64, i64);

fn count((deployment, at, wanted, starting, ready): Counts) -> (DeploymentId, ReplicaCount) {
    let number = |value: i64| u32::try_from(value).unwrap_or(0);
    let count = ReplicaCount {
        at: Timestamp::from_millis(at),
        wanted: number(wanted),
        starting: number(starting),
        ready: number(ready),
    };
    (DeploymentId::new(deployment), count)
}

impl Store {
    /// Adds to the record; one transaction for all.
    pub async fn add_history(
        &self,
        counts: &[(DeploymentId, ReplicaCount)],
        starts: &[ColdStart],
    ) -> Result<(), Error> {
        if counts.is_empty() && starts.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        for (deployment, count) in counts {
            tx.add_count(deployment, count).await?;
        }
        for start in starts {
            tx.add_start(start).await?;
        }
        tx.commit().await
    }

    /// The newest count of each deployment of a model.
    pub async fn last_counts(&self, model: &ModelId) -> Result<Vec<(DeploymentId, ReplicaCount)>, Error> {
        let mut tx = self.read().await?;
        let rows = on!(&mut tx, connection => sqlx::query_as::<_, Counts>(
                "SELECT c.deployment, c.at, c.wanted, c.starting, c.ready FROM replica_count c
                 JOIN deployment d ON d.id = c.deployment
                 WHERE d.model = $1 AND d.purged = 0
                   AND c.at = (SELECT MAX(n.at) FROM replica_count n WHERE n.deployment = c.deployment)")
            .bind(model.as_str())
            .fetch_all(connection).await)?;
        Ok(rows.into_iter().map(count).collect())
    }

    /// The newest `limit` counts since a moment, oldest first, and before them the one in force when the period began.
    pub async fn replica_counts(
        &self,
        deployment: &DeploymentId,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<ReplicaCount>, Error> {
        let mut tx = self.read().await?;
        let mut rows = on!(&mut tx, connection => sqlx::query_as::<_, Counts>(
                "SELECT deployment, at, wanted, starting, ready FROM replica_count
                 WHERE deployment = $1
                   AND at >= COALESCE((SELECT MAX(at) FROM replica_count WHERE deployment = $1 AND at <= $2), $2)
                 ORDER BY at DESC LIMIT $3")
            .bind(deployment.as_str()).bind(since.millis()).bind(i64::from(limit))
            .fetch_all(connection).await)?;
        rows.reverse();
        Ok(rows.into_iter().map(|row| count(row).1).collect())
    }

    /// A model's deployments that had replicas at a moment or got some since.
    pub async fn had_replicas(&self, model: &ModelId, since: Timestamp) -> Result<Vec<DeploymentId>, Error> {
        let mut tx = self.read().await?;
        let rows: Vec<(String,)> = on!(&mut tx, connection => sqlx::query_as(
                "SELECT id FROM deployment d WHERE d.model = $1 AND d.deleted_at IS NULL AND (
                   EXISTS (SELECT 1 FROM replica_count c WHERE c.deployment = d.id AND c.at > $2)
                   OR COALESCE((SELECT wanted + starting + ready FROM replica_count c
                        WHERE c.deployment = d.id AND c.at <= $2 ORDER BY c.at DESC LIMIT 1), 0) > 0)
                 ORDER BY id")
            .bind(model.as_str()).bind(since.millis())
            .fetch_all(connection).await)?;
        Ok(rows.into_iter().map(|(id,)| DeploymentId::new(id)).collect())
    }

    /// When replicas of these deployments ended of themselves, from `from` until before `to`; in no order.
    pub async fn crashes(
        &self,
        deployments: &[DeploymentId],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(DeploymentId, Timestamp)>, Error> {
        let mut tx = self.read().await?;
        let mut all = Vec::new();
        for some in deployments.chunks(AT_ONCE) {
            let (after, before) = (some.len() + 1, some.len() + 2);
            let text = format!(
                "SELECT deployment, at FROM event
                 WHERE deployment IN ({}) AND kind = 'REPLICA_CRASHED' AND at >= ${after} AND at < ${before}",
                marks(some.len())
            );
            let rows = on!(&mut tx, connection => {
                let mut query = sqlx::query_as::<_, (String, i64)>(AssertSqlSafe(text.clone()));
                for id in some {
                    query = query.bind(id.as_str());
                }
                query.bind(from.millis()).bind(to.millis()).fetch_all(connection).await
            })?;
            all.extend(rows.into_iter().map(|(id, at)| (DeploymentId::new(id), Timestamp::from_millis(at))));
        }
        Ok(all)
    }

    /// How many replicas of each deployment ended of themselves, as far as the activity goes back.
    pub async fn all_crashes(&self) -> Result<Vec<(DeploymentId, u64)>, Error> {
        let mut tx = self.read().await?;
        let rows: Vec<(String, i64)> = on!(&mut tx, connection => sqlx::query_as(
                "SELECT deployment, COUNT(*) FROM event
                 WHERE kind = 'REPLICA_CRASHED' AND deployment IS NOT NULL GROUP BY deployment")
            .fetch_all(connection).await)?;
        Ok(rows.into_iter().map(|(id, count)| (DeploymentId::new(id), count.max(0) as u64)).collect())
    }

    /// The newest `limit` starts since a moment, oldest first.
    pub async fn cold_starts(
        &self,
        deployment: &DeploymentId,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<ColdStart>, Error> {
        let mut tx = self.read().await?;
        let mut rows = on!(&mut tx, connection => sqlx::query_as::<_, (String,)>(
                "SELECT document FROM cold_start WHERE deployment = $1 AND at >= $2
                 ORDER BY at DESC, replica DESC LIMIT $3")
            .bind(deployment.as_str()).bind(since.millis()).bind(i64::from(limit))
            .fetch_all(connection).await)?;
        rows.reverse();
        rows.iter().map(|(document,)| read("cold start", document)).collect()
    }

    /// The starts of these deployments that ended from `from` to `to`, both included; in no order.
    pub async fn cold_starts_within(
        &self,
        deployments: &[DeploymentId],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<ColdStart>, Error> {
        let mut tx = self.read().await?;
        let mut all = Vec::new();
        for some in deployments.chunks(AT_ONCE) {
            let (first, last) = (some.len() + 1, some.len() + 2);
            let text = format!(
                "SELECT document FROM cold_start WHERE deployment IN ({}) AND at >= ${first} AND at <= ${last}",
                marks(some.len())
            );
            let rows = on!(&mut tx, connection => {
                let mut query = sqlx::query_as::<_, (String,)>(AssertSqlSafe(text.clone()));
                for id in some {
                    query = query.bind(id.as_str());
                }
                query.bind(from.millis()).bind(to.millis()).fetch_all(connection).await
            })?;
            for (document,) in rows {
                all.push(read("cold start", &document)?);
            }
        }
        Ok(all)
    }

    /// The newest `limit` scaling decisions of a deployment since a moment, oldest first.
    pub async fn scaling_decisions(
        &self,
        deployment: &DeploymentId,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<Event>, Error> {
        let mut tx = self.read().await?;
        let mut rows = on!(&mut tx, connection => sqlx::query_as::<_, (String,)>(
                "SELECT document FROM event
                 WHERE deployment = $1 AND kind = 'SCALING_DECISION' AND at >= $2
                 ORDER BY at DESC, id DESC LIMIT $3")
            .bind(deployment.as_str()).bind(since.millis()).bind(i64::from(limit))
            .fetch_all(connection).await)?;
        rows.reverse();
        rows.iter().map(|(document,)| read("event", document)).collect()
    }

    /// Drops what is older than `before`, and the oldest beyond `most` of each deployment. The newest count of a
    /// deployment that still exists stays: it says what is so.
    pub async fn trim_history(&self, before: Timestamp, most: u32) -> Result<(), Error> {
        let mut tx = self.begin().await?;
        on!(&mut tx, connection => sqlx::query(
                "DELETE FROM replica_count WHERE at < $1
                   AND (at < (SELECT MAX(n.at) FROM replica_count n WHERE n.deployment = replica_count.deployment)
                        OR NOT EXISTS (SELECT 1 FROM deployment d
                                       WHERE d.id = replica_count.deployment AND d.deleted_at IS NULL))")
            .bind(before.millis()).execute(connection).await.map(drop))?;
        on!(&mut tx, connection => sqlx::query("DELETE FROM cold_start WHERE at < $1")
            .bind(before.millis()).execute(connection).await.map(drop))?;
        let many = on!(&mut tx, connection => sqlx::query_as::<_, (String,)>(
                "SELECT deployment FROM replica_count GROUP BY deployment HAVING COUNT(*) > $1
                 UNION SELECT deployment FROM cold_start GROUP BY deployment HAVING COUNT(*) > $1")
            .bind(i64::from(most)).fetch_all(connection).await)?;
        for (deployment,) in many {
            on!(&mut tx, connection => sqlx::query(
                    "DELETE FROM replica_count WHERE deployment = $1 AND at <
                     (SELECT at FROM replica_count WHERE deployment = $1 ORDER BY at DESC LIMIT 1 OFFSET $2)")
                .bind(&deployment).bind(i64::from(most.saturating_sub(1)))
                .execute(connection).await.map(drop))?;
            on!(&mut tx, connection => sqlx::query(
                    "DELETE FROM cold_start WHERE deployment = $1 AND at <
                     (SELECT at FROM cold_start WHERE deployment = $1 ORDER BY at DESC LIMIT 1 OFFSET $2)")
                .bind(&deployment).bind(i64::from(most.saturating_sub(1)))
                .execute(connection).await.map(drop))?;
        }
        tx.commit().await
    }
}

impl Tx {
    async fn add_count(&mut self, deployment: &DeploymentId, count: &ReplicaCount) -> Result<(), Error> {
        on!(self, connection => sqlx::query(
                "INSERT INTO replica_count (deployment, at, wanted, starting, ready) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (deployment, at) DO UPDATE SET
                     wanted = excluded.wanted, starting = excluded.starting, ready = excluded.ready")
            .bind(deployment.as_str()).bind(count.at.millis()).bind(i64::from(count.wanted))
            .bind(i64::from(count.starting)).bind(i64::from(count.ready))
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    async fn add_start(&mut self, start: &ColdStart) -> Result<(), Error> {
        let document = write("cold start", start)?;
        on!(self, connection => sqlx::query(
                "INSERT INTO cold_start (replica, deployment, at, document) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (replica) DO UPDATE SET at = excluded.at, document = excluded.document")
            .bind(start.replica.as_str()).bind(start.deployment.as_str()).bind(start.at.millis()).bind(&document)
            .execute(connection).await.map(drop))?;
        Ok(())
    }
}

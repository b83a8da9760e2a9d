use domain::{EnvironmentName, ModelId, Promotion, Timestamp};

use crate::error::{read, write};
use crate::pool::on;
use crate::{Error, Store, Tx};

pub(crate) fn parse((document, version): (String, i64)) -> Result<Promotion, Error> {
    let mut promotion: Promotion = read("promotion", &document)?;
    promotion.version = version.max(0) as u64;
    Ok(promotion)
}

impl Store {
    /// The newest promotion into an environment, running or not.
    pub async fn last_promotion(
        &self,
        model: &ModelId,
        environment: &EnvironmentName,
    ) -> Result<Option<Promotion>, Error> {
        Ok(self.promotions(model, environment, 1).await?.pop())
    }

    /// Promotions into an environment, newest first.
    pub async fn promotions(
        &self,
        model: &ModelId,
        environment: &EnvironmentName,
        limit: u32,
    ) -> Result<Vec<Promotion>, Error> {
        let mut tx = self.read().await?;
        let rows = on!(&mut tx, connection => sqlx::query_as::<_, (String, i64)>(
                "SELECT document, version FROM promotion WHERE model = $1 AND environment = $2
                 ORDER BY started_at DESC, id DESC LIMIT $3")
            .bind(model.as_str()).bind(environment.as_str()).bind(i64::from(limit))
            .fetch_all(connection).await)?;
        rows.into_iter().map(parse).collect()
    }

    /// Promotions into an environment that say what it had from `start` to `end`: those that began in between, newest
    /// first and at most `limit`, the last one before and the first one after.
    pub async fn promotions_around(
        &self,
        model: &ModelId,
        environment: &EnvironmentName,
        start: Timestamp,
        end: Timestamp,
        limit: u32,
    ) -> Result<Vec<Promotion>, Error> {
        let mut tx = self.read().await?;
        let mut rows = on!(&mut tx, connection => sqlx::query_as::<_, (String, i64)>(
                "SELECT document, version FROM promotion
                 WHERE model = $1 AND environment = $2 AND started_at >= $3 AND started_at <= $4
                 ORDER BY started_at DESC, id DESC LIMIT $5")
            .bind(model.as_str()).bind(environment.as_str()).bind(start.millis()).bind(end.millis())
            .bind(i64::from(limit))
            .fetch_all(connection).await)?;
        let before = on!(&mut tx, connection => sqlx::query_as::<_, (String, i64)>(
                "SELECT document, version FROM promotion
                 WHERE model = $1 AND environment = $2 AND started_at < $3
                 ORDER BY started_at DESC, id DESC LIMIT 1")
            .bind(model.as_str()).bind(environment.as_str()).bind(start.millis())
            .fetch_optional(connection).await)?;
        let after = on!(&mut tx, connection => sqlx::query_as::<_, (String, i64)>(
                "SELECT document, version FROM promotion
                 WHERE model = $1 AND environment = $2 AND started_at > $3
                 ORDER BY started_at, id LIMIT 1")
            .bind(model.as_str()).bind(environment.as_str()).bind(end.millis())
            .fetch_optional(connection).await)?;
        rows.extend(before.into_iter().chain(after));
        rows.into_iter().map(parse).collect()
    }
}

impl Tx {
    /// Fails with [`Error::Taken`] if one runs in the environment already.
    pub async fn insert_promotion(&mut self, promotion: &Promotion) -> Result<(), Error> {
        let document = write("promotion", promotion)?;
        on!(self, connection => sqlx::query(
                "INSERT INTO promotion (id, model, environment, running, document, started_at, version)
                 VALUES ($1, $2, $3, $4, $5, $6, 0)")
            .bind(promotion.id.as_str()).bind(promotion.model.as_str()).bind(promotion.environment.as_str())
            .bind(i64::from(promotion.is_running())).bind(&document).bind(promotion.started_at.millis())
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    /// Writes a promotion over the version that was read; false if somebody else wrote since.
    pub async fn save_promotion(&mut self, promotion: &mut Promotion) -> Result<bool, Error> {
        let document = write("promotion", promotion)?;
        let done = on!(self, connection => sqlx::query(
                "UPDATE promotion SET running = $3, document = $4, version = version + 1
                 WHERE id = $1 AND version = $2")
            .bind(promotion.id.as_str()).bind(promotion.version as i64)
            .bind(i64::from(promotion.is_running())).bind(&document)
            .execute(connection).await.map(|done| done.rows_affected()))?;
        if done == 1 {
            promotion.version += 1;
        }
        Ok(done == 1)
    }
}

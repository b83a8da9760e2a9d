use domain::{Deployment, DeploymentId, ModelId};

use crate::error::{read, write};
use crate::pool::on;
use crate::{Error, Store, Tx};

pub(crate) fn parse((document, version): (String, i64)) -> Result<Deployment, Error> {
    let mut deployment: Deployment = read("deployment", &document)?;
    deployment.version = version.max(0) as u64;
    Ok(deployment)
}

impl Store {
    /// A deployment that was not deleted.
    pub async fn find_deployment(&self, id: &DeploymentId) -> Result<Option<Deployment>, Error> {
        let mut tx = self.read().await?;
        let row = on!(&mut tx, connection => sqlx::query_as::<_, (String, i64)>(
                "SELECT document, version FROM deployment WHERE id = $1 AND deleted_at IS NULL")
            .bind(id.as_str())
            .fetch_optional(connection).await)?;
        row.map(parse).transpose()
    }

    /// Every deployment that was not deleted, of all models.
    pub async fn live_deployments(&self) -> Result<Vec<Deployment>, Error> {
        let mut tx = self.read().await?;
        let rows = on!(&mut tx, connection => sqlx::query_as::<_, (String, i64)>(
                "SELECT document, version FROM deployment WHERE deleted_at IS NULL ORDER BY created_at, id")
            .fetch_all(connection).await)?;
        rows.into_iter().map(parse).collect()
    }
}

impl Tx {
    /// Oldest first; deleted ones until they are purged.
    pub(crate) async fn unpurged_deployments(&mut self, model: &ModelId) -> Result<Vec<Deployment>, Error> {
        let rows = on!(self, connection => sqlx::query_as::<_, (String, i64)>(
                "SELECT document, version FROM deployment WHERE model = $1 AND purged = 0 ORDER BY created_at, id")
            .bind(model.as_str())
            .fetch_all(connection).await)?;
        rows.into_iter().map(parse).collect()
    }

    pub async fn insert_deployment(&mut self, deployment: &Deployment) -> Result<(), Error> {
        let document = write("deployment", deployment)?;
        on!(self, connection => sqlx::query(
                "INSERT INTO deployment (id, model, name, development, document, created_at, deleted_at, purged, version)
                 VALUES ($1, $2, $3, $4, $5, $6, NULL, 0, 0)")
            .bind(deployment.id.as_str()).bind(deployment.model.as_str()).bind(deployment.name.as_str())
            .bind(i64::from(deployment.is_development())).bind(&document).bind(deployment.created_at.millis())
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    /// Writes a deployment over the version that was read; false if somebody else wrote since.
    pub async fn save_deployment(&mut self, deployment: &mut Deployment) -> Result<bool, Error> {
        let document = write("deployment", deployment)?;
        let done = on!(self, connection => sqlx::query(
                "UPDATE deployment SET name = $3, document = $4, deleted_at = $5, version = version + 1
                 WHERE id = $1 AND version = $2")
            .bind(deployment.id.as_str()).bind(deployment.version as i64).bind(deployment.name.as_str())
            .bind(&document).bind(deployment.deleted_at.map(|at| at.millis()))
            .execute(connection).await.map(|done| done.rows_affected()))?;
        if done == 1 {
            deployment.version += 1;
        }
        Ok(done == 1)
    }

    /// Nothing is left of a deleted deployment but its row.
    pub async fn mark_purged(&mut self, id: &DeploymentId) -> Result<(), Error> {
        on!(self, connection => sqlx::query(
                "UPDATE deployment SET purged = 1 WHERE id = $1 AND deleted_at IS NOT NULL")
            .bind(id.as_str())
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    /// How many live deployments use an unpacked archive.
    pub async fn users_of_artifact(&mut self, model: &ModelId, artifact: &str) -> Result<usize, Error> {
        let all = self.unpurged_deployments(model).await?;
        let uses = |d: &Deployment| d.sources().iter().any(|(source, _)| source.as_str() == artifact);
        Ok(all.iter().filter(|d| d.deleted_at.is_none() && uses(d)).count())
    }
}

//! A model with some of its deployments: what a page or an answer shows, whatever else the model has gathered.

use domain::{Deployment, DeploymentId, ModelId};

use crate::models::{Row, assemble};
use crate::place::Place;
use crate::pool::on;
use crate::{Error, ModelState, Store, Tx, deployments};

/// Which deployments are read. Those that environments and running promotions name, and the development deployment, always
/// are.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// These, if they are the model's.
    pub named: Vec<DeploymentId>,
    /// Some of the published ones, newest first.
    pub newest: Option<Newest>,
}

/// The newest published deployments after a place.
#[derive(Debug, Clone)]
pub struct Newest {
    pub after: Option<Place>,
    pub limit: u32,
}

/// A model with the deployments that were asked for.
#[derive(Debug, Clone)]
pub struct ModelPart {
    /// Its deployments are those that were asked for or are named, oldest first, none of them deleted.
    pub state: ModelState,
    /// Those of the page, newest first.
    pub page: Vec<DeploymentId>,
    /// Where the page ends, if there are more.
    pub next: Option<Place>,
    /// How many deployments there are, with the development deployment.
    pub count: u64,
}

/// A model without its deployments.
const FRAME: &str = "SELECT CAST(0 AS BIGINT) AS part, document, generation AS number, deleted_at AS gone,
        CAST(0 AS BIGINT) AS made, id AS name
     FROM model WHERE id = $1 AND deleted_at IS NULL
 UNION ALL SELECT CASE WHEN name = 'production' THEN 2 ELSE 3 END, document, version,
        CAST(NULL AS BIGINT), created_at, name
     FROM environment WHERE model = $1
 UNION ALL SELECT 4, document, version, CAST(NULL AS BIGINT), started_at, id
     FROM promotion WHERE model = $1 AND running = 1
 ORDER BY part, made, name";

impl Store {
    /// A live model with a part of its deployments; `None` if there is no such model.
    pub async fn load_part(&self, id: &ModelId, part: &Part) -> Result<Option<ModelPart>, Error> {
        let mut tx = self.read().await?;
        let rows: Vec<Row> = on!(&mut tx, connection => sqlx::query_as(FRAME)
            .bind(id.as_str()).fetch_all(connection).await)?;
        let Some(mut state) = assemble(rows)? else { return Ok(None) };
        let (page, next) = match &part.newest {
            Some(newest) => tx.newest(id, newest).await?,
            None => (Vec::new(), None),
        };
        let listed: Vec<DeploymentId> = page.iter().map(|deployment| deployment.id.clone()).collect();

        let serving = state.environments.iter().filter_map(|environment| environment.current.as_ref());
        let sides = state
            .promotions
            .iter()
            .flat_map(|running| std::iter::once(&running.candidate).chain(running.previous.as_ref()));
        let mut named: Vec<DeploymentId> = serving.chain(sides).chain(&part.named).cloned().collect();
        named.sort_unstable();
        named.dedup();
        named.retain(|id| !listed.contains(id));
        let mut found = tx.deployments_by_id(&named).await?;
        // An id comes from whoever asks, and may be another model's.
        found.retain(|deployment| &deployment.model == id);
        found.extend(page);
        if !found.iter().any(Deployment::is_development) {
            found.extend(tx.development(id).await?);
        }
        found.sort_by(|a, b| a.created_at.cmp(&b.created_at).then_with(|| a.id.cmp(&b.id)));
        state.deployments = found;
        let count = tx.count_deployments(id).await?;
        Ok(Some(ModelPart { state, page: listed, next, count }))
    }
}

impl Tx {
    /// The newest published deployments, and the place of the last one if there are more.
    async fn newest(
        &mut self,
        model: &ModelId,
        newest: &Newest,
    ) -> Result<(Vec<Deployment>, Option<Place>), Error> {
        let (before, id) = match &newest.after {
            Some(place) => (place.at.millis(), place.id.as_str()),
            None => (i64::MAX, ""),
        };
        let limit = newest.limit.max(1);
        // `purged` is what the index is limited to.
        let rows = on!(&mut *self, connection => sqlx::query_as::<_, (String, i64)>(
                "SELECT document, version FROM deployment
                 WHERE model = $1 AND purged = 0 AND deleted_at IS NULL AND development = 0
                   AND created_at <= $2 AND (created_at < $2 OR id < $3)
                 ORDER BY created_at DESC, id DESC LIMIT $4")
            .bind(model.as_str()).bind(before).bind(id).bind(i64::from(limit) + 1)
            .fetch_all(connection).await)?;
        let more = rows.len() > limit as usize;
        let page: Vec<Deployment> =
            rows.into_iter().take(limit as usize).map(deployments::parse).collect::<Result<_, _>>()?;
        let last = page.last().filter(|_| more);
        let next = last.map(|last| Place { at: last.created_at, id: last.id.to_string() });
        Ok((page, next))
    }

    async fn development(&mut self, model: &ModelId) -> Result<Option<Deployment>, Error> {
        let row = on!(self, connection => sqlx::query_as::<_, (String, i64)>(
                "SELECT document, version FROM deployment
                 WHERE model = $1 AND deleted_at IS NULL AND development = 1")
            .bind(model.as_str())
            .fetch_optional(connection).await)?;
        row.map(deployments::parse).transpose()
    }

    async fn count_deployments(&mut self, model: &ModelId) -> Result<u64, Error> {
        let (count,): (i64,) = on!(self, connection => sqlx::query_as(
                "SELECT COUNT(*) FROM deployment WHERE model = $1 AND deleted_at IS NULL")
            .bind(model.as_str())
            .fetch_one(connection).await)?;
        Ok(count.max(0) as u64)
    }
}

//! What a list of models shows, read without reading every deployment.

use std::collections::HashMap;

use domain::{Deployment, DeploymentId, Environment, Model, ModelId, ModelName, Promotion, Timestamp};
use sqlx::AssertSqlSafe;

use crate::error::read;
use crate::place::Place;
use crate::pool::on;
use crate::{Error, Store, Tx, deployments, models, promotions};

/// Well below what either database takes in one statement.
pub(crate) const AT_ONCE: usize = 500;

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

/// Some live models, those first of which something was recorded last.
#[derive(Debug, Clone)]
pub struct LastChanged {
    /// Only those with this in their name, whatever its case; all if it is empty. SQLite knows the case of ASCII letters
    /// alone: there the others have to be as written, or all of them in the same case.
    pub named_like: String,
    pub after: Option<Place>,
    pub limit: u32,
}

/// A page of the list of models.
#[derive(Debug, Clone)]
pub struct ModelList {
    pub models: Vec<ModelOverview>,
    /// Where the page ends, if there are more.
    pub next: Option<Place>,
    /// How many models there are, and how many have what was looked for in their name.
    pub count: u64,
    pub found: u64,
}

impl Store {
    /// Live models by name, at most `limit` after `after`.
    pub async fn model_overviews(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<ModelOverview>, Error> {
        let mut tx = self.read().await?;
        let ids: Vec<(String,)> = on!(&mut tx, connection => sqlx::query_as(
                "SELECT id FROM model WHERE deleted_at IS NULL AND name > $1 ORDER BY name LIMIT $2")
            .bind(after.unwrap_or("")).bind(i64::from(limit))
            .fetch_all(connection).await)?;
        let ids: Vec<ModelId> = ids.into_iter().map(|(id,)| ModelId::new(id)).collect();
        tx.overviews(&ids).await
    }

    /// The live model of this name.
    pub async fn model_overview_by_name(&self, name: &ModelName) -> Result<Option<ModelOverview>, Error> {
        let mut tx = self.read().await?;
        let id: Option<(String,)> = on!(&mut tx, connection => sqlx::query_as(
                "SELECT id FROM model WHERE deleted_at IS NULL AND name = $1")
            .bind(name.as_str())
            .fetch_optional(connection).await)?;
        let ids: Vec<ModelId> = id.into_iter().map(|(id,)| ModelId::new(id)).collect();
        Ok(tx.overviews(&ids).await?.pop())
    }

    /// A page of the live models that changed last.
    pub async fn last_changed(&self, wanted: &LastChanged) -> Result<ModelList, Error> {
        let [pattern, lower, upper] = patterns(&wanted.named_like);
        let (before, id) = match &wanted.after {
            Some(place) => (place.at.millis(), place.id.as_str()),
            None => (i64::MAX, ""),
        };
        let limit = wanted.limit.max(1) as usize;
        let mut tx = self.read().await?;
        let mut rows: Vec<(String, i64)> = on!(&mut tx, connection => sqlx::query_as(
                "SELECT id, changed FROM (
                   SELECT id, COALESCE(
                       (SELECT MAX(event.at) FROM event WHERE event.model = model.id), created_at) AS changed
                   FROM model WHERE deleted_at IS NULL AND (LOWER(name) LIKE $1 ESCAPE '!'
                       OR LOWER(name) LIKE $2 ESCAPE '!' OR LOWER(name) LIKE $3 ESCAPE '!')) AS found
                 WHERE changed < $4 OR (changed = $4 AND id < $5)
                 ORDER BY changed DESC, id DESC LIMIT $6")
            .bind(&pattern).bind(&lower).bind(&upper).bind(before).bind(id).bind(limit as i64 + 1)
            .fetch_all(connection).await)?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().filter(|_| more);
        let next = last.map(|(id, at)| Place { at: Timestamp::from_millis(*at), id: id.clone() });
        let ids: Vec<ModelId> = rows.into_iter().map(|(id, _)| ModelId::new(id)).collect();
        let (count, found): (i64, i64) = on!(&mut tx, connection => sqlx::query_as(
                "SELECT COUNT(*), COALESCE(SUM(CASE WHEN LOWER(name) LIKE $1 ESCAPE '!'
                     OR LOWER(name) LIKE $2 ESCAPE '!' OR LOWER(name) LIKE $3 ESCAPE '!' THEN 1 ELSE 0 END), 0)
                 FROM model WHERE deleted_at IS NULL")
            .bind(&pattern).bind(&lower).bind(&upper)
            .fetch_one(connection).await)?;
        let models = tx.overviews(&ids).await?;
        Ok(ModelList { models, next, count: count.max(0) as u64, found: found.max(0) as u64 })
    }
}

/// What `LIKE` takes for "has this within it" of a name that went through `LOWER`. That may leave letters outside of ASCII
/// as they are (always in SQLite, in Postgres by its locale), so they are looked for as written, and in either case.
fn patterns(text: &str) -> [String; 3] {
    let (lower, upper) = (text.to_lowercase(), text.to_uppercase());
    [text, lower.as_str(), upper.as_str()].map(|text| pattern(&text.to_ascii_lowercase()))
}

/// Of a text in which signs of `LIKE`'s own mean themselves.
fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

/// `$1, $2, …`, one for each of so many values.
pub(crate) fn marks(count: usize) -> String {
    (1..=count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}

/// The rows of a statement for each of many ids; `{ids}` in it stands for them.
macro_rules! rows_of {
    ($tx:expr, $ids:expr, $text:literal) => {{
        let mut found = Vec::new();
        for some in $ids.chunks(AT_ONCE) {
            let text = format!($text, ids = marks(some.len()));
            let rows = on!(&mut *$tx, connection => {
                let mut query = sqlx::query_as(AssertSqlSafe(text.clone()));
                for id in some {
                    query = query.bind(id.as_str());
                }
                query.fetch_all(connection).await
            })?;
            found.extend(rows);
        }
        found
    }};
}

impl Tx {
    /// What a list shows of these models, in their order; those that are deleted are left out.
    async fn overviews(&mut self, ids: &[ModelId]) -> Result<Vec<ModelOverview>, Error> {
        type Row = (String, String, i64, i64, Option<String>, Option<String>, Option<i64>);
        let rows: Vec<Row> = rows_of!(
            self,
            ids,
            "SELECT id, document, generation,
                    (SELECT COUNT(*) FROM deployment d WHERE d.model = model.id AND d.deleted_at IS NULL),
                    (SELECT d.id FROM deployment d
                      WHERE d.model = model.id AND d.deleted_at IS NULL AND d.development = 1),
                    (SELECT d.id FROM deployment d
                      WHERE d.model = model.id AND d.purged = 0 AND d.deleted_at IS NULL
                      ORDER BY d.created_at DESC, d.id DESC LIMIT 1),
                    (SELECT MAX(event.at) FROM event WHERE event.model = model.id)
             FROM model WHERE model.deleted_at IS NULL AND id IN ({ids})"
        );
        let environments: Vec<(String,)> = rows_of!(
            self,
            ids,
            "SELECT document FROM environment WHERE name = 'production' AND model IN ({ids})"
        );
        let running: Vec<(String, i64)> = rows_of!(
            self,
            ids,
            "SELECT document, version FROM promotion
             WHERE running = 1 AND environment = 'production' AND model IN ({ids})"
        );

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
        let mut named: Vec<DeploymentId> =
            served.chain(promotion.values().map(|promotion| &promotion.candidate)).cloned().collect();
        let serves = |model: &ModelId| {
            production.get(model).is_some_and(|production: &Environment| production.current.is_some())
        };
        let mut rows: HashMap<ModelId, Row> =
            rows.into_iter().map(|row| (ModelId::new(row.0.clone()), row)).collect();
        for (model, (_, _, _, _, _, newest, _)) in &rows {
            named.extend(newest.iter().filter(|_| !serves(model)).map(|id| DeploymentId::new(id.clone())));
        }
        named.sort_unstable();
        named.dedup();
        let mut deployments: HashMap<ModelId, Vec<Deployment>> = HashMap::new();
        for deployment in self.deployments_by_id(&named).await? {
            deployments.entry(deployment.model.clone()).or_default().push(deployment);
        }
        let mut overviews = Vec::with_capacity(ids.len());
        for id in ids {
            let Some((_, document, generation, count, development, _, changed)) = rows.remove(id) else {
                continue;
            };
            let model = models::parse(&document, generation)?;
            overviews.push(ModelOverview {
                deployments: count.max(0) as u64,
                development: development.map(DeploymentId::new),
                changed_at: changed.map_or(model.created_at, Timestamp::from_millis),
                production: production.remove(id),
                promotion: promotion.remove(id),
                named: deployments.remove(id).unwrap_or_default(),
                model,
            });
        }
        Ok(overviews)
    }

    /// Those of these deployments that were not deleted.
    pub(crate) async fn deployments_by_id(&mut self, ids: &[DeploymentId]) -> Result<Vec<Deployment>, Error> {
        let rows: Vec<(String, i64)> = rows_of!(
            self,
            ids,
            "SELECT document, version FROM deployment WHERE deleted_at IS NULL AND id IN ({ids})"
        );
        rows.into_iter().map(deployments::parse).collect()
    }
}

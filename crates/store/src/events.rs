use domain::{Event, ModelId};

use crate::activity::Searched;
use crate::error::{read, write};
use crate::pool::on;
use crate::{Error, Store, Tx};

/// Which events to read; `None` means any.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub model: Option<ModelId>,
    pub deployment: Option<String>,
    pub environment: Option<String>,
    /// Only events before this one: its moment and id, from the last row of the page before.
    pub before: Option<(i64, String)>,
    pub limit: u32,
}

impl Store {
    /// Events of a model, oldest first.
    pub async fn events_of_model(&self, model: &ModelId, limit: u32) -> Result<Vec<Event>, Error> {
        let mut tx = self.read().await?;
        let rows = on!(&mut tx, connection => sqlx::query_as::<_, (String,)>(
                "SELECT document FROM event WHERE model = $1 ORDER BY at, id LIMIT $2")
            .bind(model.as_str()).bind(i64::from(limit))
            .fetch_all(connection).await)?;
        rows.iter().map(|(document,)| read("event", document)).collect()
    }

    /// A page of events, newest first.
    pub async fn events(&self, filter: &EventFilter) -> Result<Vec<Event>, Error> {
        let (at, id) = filter.before.clone().unwrap_or((i64::MAX, String::new()));
        let text = |value: Option<&str>| value.unwrap_or("").to_owned();
        let mut tx = self.read().await?;
        let rows = on!(&mut tx, connection => sqlx::query_as::<_, (String,)>(
                "SELECT document FROM event
                 WHERE ($1 = '' OR model = $1) AND ($2 = '' OR deployment = $2) AND ($3 = '' OR environment = $3)
                   AND (at < $4 OR (at = $4 AND id < $5))
                 ORDER BY at DESC, id DESC LIMIT $6")
            .bind(text(filter.model.as_ref().map(ModelId::as_str)))
            .bind(text(filter.deployment.as_deref()))
            .bind(text(filter.environment.as_deref()))
            .bind(at).bind(id).bind(i64::from(filter.limit.max(1)))
            .fetch_all(connection).await)?;
        rows.iter().map(|(document,)| read("event", document)).collect()
    }
}

impl Tx {
    pub async fn append(&mut self, event: &Event) -> Result<(), Error> {
        let document = write("event", event)?;
        let kind = write("kind of event", &event.kind)?;
        let Searched { activity, source, actor, personal_key, text } = Searched::of(event);
        on!(self, connection => sqlx::query(
                "INSERT INTO event (id, at, kind, model, deployment, environment, document,
                                    activity, source, actor, personal_key, searched)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)")
            .bind(event.id.as_str()).bind(event.at.millis()).bind(kind.trim_matches('"').to_owned())
            .bind(event.model.as_ref().map(|id| id.as_str().to_owned()))
            .bind(event.deployment.as_ref().map(|id| id.as_str().to_owned()))
            .bind(event.environment.as_ref().map(|name| name.as_str().to_owned()))
            .bind(&document)
            .bind(activity).bind(source).bind(actor).bind(personal_key).bind(&text)
            .execute(connection).await.map(drop))?;
        Ok(())
    }
}

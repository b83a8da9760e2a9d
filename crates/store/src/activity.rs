//! The activity: the events that people read, by page and by filter (semantics: Activity).

use domain::{Door, Event, EventGroup, EventId, ModelId, Timestamp};

use crate::error::read;
use crate::pool::on;
use crate::{Error, Store};

/// Which rows to read. `None` means any; an empty list means none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ActivityFilter {
    /// Rows of one model only.
    pub model: Option<ModelId>,
    pub groups: Option<Vec<EventGroup>>,
    /// Who, by [`domain::Actor::id`], or the prefix of a personal key that it was done with.
    pub actors: Option<Vec<String>>,
    pub deployments: Option<Vec<String>>,
    pub environments: Option<Vec<String>>,
    pub sources: Option<Vec<Door>>,
    /// A part of a name, an id or the sentence, in any case.
    pub search: Option<String>,
    /// The first moment, itself included.
    pub start: Option<Timestamp>,
    /// The last moment, itself included.
    pub end: Option<Timestamp>,
    /// Oldest first.
    pub ascending: bool,
    /// Only what follows this row, in the order asked for.
    pub after: Option<(Timestamp, EventId)>,
    pub limit: u32,
}

/// What an event is found by.
pub(crate) struct Searched {
    pub activity: Option<&'static str>,
    pub source: &'static str,
    pub actor: String,
    /// The prefix of a person's own key; a key of the workspace is the actor.
    pub personal_key: Option<String>,
    pub text: String,
}

impl Searched {
    pub fn of(event: &Event) -> Self {
        let particulars = ["secret_name", "secret_id", "prefix", "name", "replica", "previous_name"];
        let words = [
            Some(event.sentence.as_str()),
            event.model.as_ref().map(ModelId::as_str),
            event.model_name.as_deref(),
            event.deployment.as_ref().map(|id| id.as_str()),
            event.deployment_name.as_deref(),
            event.environment.as_ref().map(|name| name.as_str()),
            Some(event.actor.name.as_str()),
        ];
        let more = particulars.iter().filter_map(|field| event.data[field].as_str());
        let words: Vec<&str> = words.into_iter().flatten().chain(more).collect();
        Self {
            activity: EventGroup::of(event.kind).map(EventGroup::as_str),
            source: event.actor.door.as_str(),
            actor: event.actor.id().to_owned(),
            personal_key: event.actor.key_prefix.clone().filter(|_| event.actor.person.is_some()),
            text: words.join("\n").to_lowercase(),
        }
    }
}

/// Between the members of a list that is bound as one text; no name contains it.
const BETWEEN: &str = "\u{1f}";

/// A list as one text; empty for any.
fn listed<'a>(members: Option<impl Iterator<Item = &'a str>>) -> String {
    members.map_or_else(String::new, |members| {
        members.fold(BETWEEN.to_owned(), |text, member| text + member + BETWEEN)
    })
}

/// The statement; a member is in a list if the list changes when it is taken out. A page begins where an index says,
/// so the thousandth costs what the first does.
macro_rules! page {
    ($of:literal, $beyond:literal, $order:literal) => {
        concat!(
            "SELECT document FROM event
             WHERE activity IS NOT NULL AND ",
            $of,
            " AND (at, id) ",
            $beyond,
            " ($2, $3)
               AND at >= $4 AND at <= $5
               AND ($6 = '' OR REPLACE($6, $7 || activity || $7, '') <> $6)
               AND ($8 = '' OR REPLACE($8, $7 || actor || $7, '') <> $8
                    OR (personal_key IS NOT NULL AND REPLACE($8, $7 || personal_key || $7, '') <> $8))
               AND ($9 = '' OR REPLACE($9, $7 || COALESCE(deployment, '') || $7, '') <> $9)
               AND ($10 = '' OR REPLACE($10, $7 || COALESCE(environment, '') || $7, '') <> $10)
               AND ($11 = '' OR REPLACE($11, $7 || source || $7, '') <> $11)
               AND ($12 = '' OR REPLACE(searched, $12, '') <> searched)
             ORDER BY at ",
            $order,
            ", id ",
            $order,
            " LIMIT $13"
        )
    };
}

fn statement(filter: &ActivityFilter) -> &'static str {
    match (&filter.model, filter.ascending) {
        (None, false) => page!("$1 = ''", "<", "DESC"),
        (None, true) => page!("$1 = ''", ">", "ASC"),
        (Some(_), false) => page!("model = $1", "<", "DESC"),
        (Some(_), true) => page!("model = $1", ">", "ASC"),
    }
}

impl Store {
    /// A page of the activity, newest first unless the filter says otherwise.
    pub async fn activity(&self, filter: &ActivityFilter) -> Result<Vec<Event>, Error> {
        let mut tx = self.read().await?;
        let ends = if filter.ascending { (i64::MIN, String::new()) } else { (i64::MAX, String::new()) };
        let (at, id) = filter.after.as_ref().map_or(ends, |(at, id)| (at.millis(), id.as_str().to_owned()));
        let texts =
            |list: &Option<Vec<String>>| listed(list.as_ref().map(|all| all.iter().map(String::as_str)));
        let rows = on!(&mut tx, connection => sqlx::query_as::<_, (String,)>(statement(filter))
            .bind(filter.model.as_ref().map_or("", ModelId::as_str))
            .bind(at).bind(&id)
            .bind(filter.start.map_or(i64::MIN, Timestamp::millis))
            .bind(filter.end.map_or(i64::MAX, Timestamp::millis))
            .bind(listed(filter.groups.as_ref().map(|all| all.iter().map(|group| group.as_str()))))
            .bind(BETWEEN)
            .bind(texts(&filter.actors))
            .bind(texts(&filter.deployments))
            .bind(texts(&filter.environments))
            .bind(listed(filter.sources.as_ref().map(|all| all.iter().map(|door| door.as_str()))))
            .bind(filter.search.as_deref().unwrap_or_default().to_lowercase())
            .bind(i64::from(filter.limit))
            .fetch_all(connection).await)?;
        rows.iter().map(|(document,)| read("event", document)).collect()
    }
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use super::*;
    use crate::Tx;
    use crate::testing::sqlite;

    /// Each list begins in an index at the place where its page begins, and sorts nothing.
    #[tokio::test]
    async fn a_page_is_found_by_an_index() {
        let scratch = sqlite().await;
        for (model, index) in [(None, "event_activity "), (Some("m"), "event_activity_of_model ")] {
            for ascending in [false, true] {
                let filter =
                    ActivityFilter { model: model.map(ModelId::new), ascending, ..ActivityFilter::default() };
                let explained = ["EXPLAIN QUERY PLAN ", statement(&filter)].concat();
                let Tx::Sqlite(mut tx) = scratch.store.read().await.unwrap() else { panic!("not SQLite") };
                let plan: Vec<(i64, i64, i64, String)> =
                    sqlx::query_as(sqlx::AssertSqlSafe(explained)).fetch_all(&mut *tx).await.unwrap();
                let plan: Vec<String> = plan.into_iter().map(|row| row.3).collect();
                assert_eq!(plan.len(), 1, "{plan:?}");
                assert!(plan[0].starts_with("SEARCH") && plan[0].contains(index), "{plan:?}");
            }
        }
    }
}

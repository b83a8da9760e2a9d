//! What was done, as people and programs read it (semantics: Activity), and what was used.

use domain::{Action, Actor, Door, Event, EventGroup, EventId, Invalid, ModelId, Timestamp};
use store::{ActivityFilter, EventFilter, Part, UsageRow};

use crate::{ControlPlane, Error};

/// Rows of a page if nothing else is asked for, and at most.
const PAGE: i64 = 20;
const LONGEST_PAGE: i64 = 200;
/// Members of one list of a filter at most, and characters of one text.
const MOST_MEMBERS: usize = 100;
const LONGEST_TEXT: usize = 256;

/// Which rows of the activity to read. `None` means any; an empty list means none.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivityQuery {
    pub groups: Option<Vec<EventGroup>>,
    /// Who, by [`Actor::id`], or the prefix of the key that it was done with, whosever it is.
    pub user_ids: Option<Vec<String>>,
    pub deployment_ids: Option<Vec<String>>,
    pub environment_names: Option<Vec<String>>,
    pub sources: Option<Vec<Door>>,
    /// A part of a name, an id or the sentence, in any case.
    pub search: Option<String>,
    /// First and last moment, both included, in milliseconds since 1970.
    pub start: Option<i64>,
    pub end: Option<i64>,
    /// Oldest first. A cursor says it, too, and then it is the cursor that counts.
    pub ascending: bool,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// Rows at most, 1 to 200.
    pub limit: i64,
}

impl Default for ActivityQuery {
    fn default() -> Self {
        Self {
            groups: None,
            user_ids: None,
            deployment_ids: None,
            environment_names: None,
            sources: None,
            search: None,
            start: None,
            end: None,
            ascending: false,
            cursor: None,
            limit: PAGE,
        }
    }
}

impl ActivityQuery {
    /// The same in the store's words, or the parameter that is wrong and what it may be.
    fn filter(self, model: Option<ModelId>) -> Result<ActivityFilter, Invalid> {
        if !(1..=LONGEST_PAGE).contains(&self.limit) {
            let problem = format!("{} is not within 1 to {LONGEST_PAGE}", self.limit);
            return Err(Invalid::new("limit", problem));
        }
        for (field, list) in [
            ("user_ids", &self.user_ids),
            ("deployment_ids", &self.deployment_ids),
            ("environment_names", &self.environment_names),
        ] {
            let list = list.as_deref().unwrap_or_default();
            if list.len() > MOST_MEMBERS {
                let problem = format!("{} are given, at most {MOST_MEMBERS} are allowed", list.len());
                return Err(Invalid::new(field, problem));
            }
            list.iter().try_for_each(|text| plain(field, text))?;
        }
        self.search.iter().try_for_each(|text| plain("search", text))?;
        if let (Some(start), Some(end)) = (self.start, self.end)
            && end < start
        {
            return Err(Invalid::new("end_epoch_millis", "the window ends before it begins"));
        }
        let place = self.cursor.as_deref().map(read_cursor).transpose()?;
        let (ascending, after) = match place {
            Some((ascending, at, id)) => (ascending, Some((at, id))),
            None => (self.ascending, None),
        };
        Ok(ActivityFilter {
            model,
            groups: self.groups,
            actors: self.user_ids,
            deployments: self.deployment_ids,
            environments: self.environment_names,
            sources: self.sources,
            search: self.search,
            start: self.start.map(Timestamp::from_millis),
            end: self.end.map(Timestamp::from_millis),
            ascending,
            after,
            limit: self.limit as u32,
        })
    }
}

/// Whether a text can be looked for.
pub(crate) fn plain(field: &str, text: &str) -> Result<(), Invalid> {
    if text.chars().count() > LONGEST_TEXT || text.chars().any(char::is_control) {
        let problem =
            format!("a text has at most {LONGEST_TEXT} characters, and none that controls a terminal");
        return Err(Invalid::new(field, problem));
    }
    Ok(())
}

/// Where a page ends: its direction, the moment and the id of its last row.
fn write_cursor(ascending: bool, last: &Event) -> String {
    format!("{}.{}.{}", if ascending { "asc" } else { "desc" }, last.at.millis(), last.id)
}

fn read_cursor(text: &str) -> Result<(bool, Timestamp, EventId), Invalid> {
    let wrong = || Invalid::new("cursor", "this is no cursor of this list; leave it out to begin anew");
    let mut parts = text.splitn(3, '.');
    let ascending = match parts.next() {
        Some("asc") => true,
        Some("desc") => false,
        _ => return Err(wrong()),
    };
    let at = parts.next().and_then(|part| part.parse().ok()).ok_or_else(wrong)?;
    let id = parts
        .next()
        .filter(|id| (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric()));
    Ok((ascending, Timestamp::from_millis(at), EventId::new(id.ok_or_else(wrong)?)))
}

/// Rows of the activity, and where the next page begins if there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivityPage {
    pub events: Vec<Event>,
    pub cursor: Option<String>,
}

impl ControlPlane {
    /// A page of what was done, newest first, at most 200.
    pub async fn activity(&self, actor: &Actor, mut filter: EventFilter) -> Result<Vec<Event>, Error> {
        self.may(actor, Action::View)?;
        filter.limit = filter.limit.clamp(1, 200);
        Ok(self.parts.store.events(&filter).await?)
    }

    /// A page of the workspace's activity, for admins: it names everybody's keys.
    pub async fn workspace_activity(
        &self,
        actor: &Actor,
        query: ActivityQuery,
    ) -> Result<ActivityPage, Error> {
        if !actor.role.permits(Action::Administer) {
            return Err(Error::Forbidden(format!(
                "the activity of the whole workspace is for admins, and `{}` is none; each model's own is on its page, \
                 and at /v1/models/MODEL/audit_logs",
                actor.name
            )));
        }
        self.activity_page(query.filter(None)?).await
    }

    /// A page of a model's activity, for whoever may view the model.
    pub async fn model_activity(
        &self,
        actor: &Actor,
        model: &ModelId,
        query: ActivityQuery,
    ) -> Result<ActivityPage, Error> {
        self.model_part(actor, model, &Part::default()).await?;
        self.activity_page(query.filter(Some(model.clone()))?).await
    }

    async fn activity_page(&self, mut filter: ActivityFilter) -> Result<ActivityPage, Error> {
        let limit = filter.limit as usize;
        filter.limit += 1;
        let mut events = self.parts.store.activity(&filter).await?;
        let more = events.len() > limit;
        events.truncate(limit);
        let cursor = events.last().filter(|_| more).map(|last| write_cursor(filter.ascending, last));
        Ok(ActivityPage { events, cursor })
    }

    /// What was used from `first` to `last`, days since 1970, both included; at most 31 days.
    pub async fn usage(&self, actor: &Actor, first: i64, last: i64) -> Result<Vec<UsageRow>, Error> {
        self.may(actor, Action::View)?;
        if last < first || last - first >= 31 {
            return Err(Invalid::new("end_date", "a period has 1 to 31 days and ends after it begins").into());
        }
        Ok(self.parts.store.usage(first, last).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_parameter_and_its_range() {
        let refused = |query: ActivityQuery| query.filter(None).unwrap_err().to_string();
        let any = ActivityQuery::default;
        for limit in [0, 201, -1, i64::MAX] {
            assert!(refused(ActivityQuery { limit, ..any() }).contains("limit: "), "{limit}");
            assert!(refused(ActivityQuery { limit, ..any() }).contains("1 to 200"), "{limit}");
        }
        assert!(
            refused(ActivityQuery { start: Some(2), end: Some(1), ..any() }).contains("end_epoch_millis")
        );
        let many = Some(vec!["a".to_owned(); 101]);
        assert!(refused(ActivityQuery { user_ids: many, ..any() }).contains("at most 100"));
        let long = Some("a".repeat(257));
        assert!(refused(ActivityQuery { search: long, ..any() }).contains("search: "));
        let control = Some(vec!["a\u{1f}b".to_owned()]);
        assert!(refused(ActivityQuery { deployment_ids: control, ..any() }).contains("deployment_ids: "));
        for cursor in ["", "x", "desc", "desc.1", "desc.1.", "desc.x.a", "up.1.a", "desc.1.a-b", "desc.1.a.b"]
        {
            let cursor = Some(cursor.to_owned());
            assert!(refused(ActivityQuery { cursor, ..any() }).contains("cursor: "));
        }
    }

    #[test]
    fn a_cursor_says_the_direction() {
        let query = ActivityQuery { cursor: Some("asc.5.abc".into()), ..ActivityQuery::default() };
        let filter = query.filter(None).unwrap();
        assert!(filter.ascending);
        assert_eq!(filter.after, Some((Timestamp::from_millis(5), EventId::new("abc"))));
    }
}

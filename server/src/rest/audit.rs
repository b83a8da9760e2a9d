//! The audit log: of the workspace for admins, of a model for whoever may view it.

use super::contract::{AuditLog, AuditLogEntry, Pagination};
use super::*;
use control::{ActivityPage, ActivityQuery};
use domain::{Door, Event, EventGroup, Invalid};
use utoipa::ToSchema;

type Pairs = Query<Vec<(String, String)>>;

pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/audit_logs", of_workspace, "Read who changed what")
            .says("For admins.")
            .query::<AuditLogFilter>()
            .answers::<AuditLog>(),
        Route::get("/models/{model_id}/audit_logs", of_model, "Read who changed what of a model")
            .query::<AuditLogFilter>()
            .answers::<AuditLog>(),
    ]
}

/// What [`read`] takes, for the description: a query's lists are pairs.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is described, and never made")]
struct AuditLogFilter {
    /// Where the page before ended; it says the direction, too.
    cursor: Option<String>,
    #[schema(minimum = 1, maximum = 200, default = 20)]
    limit: Option<i64>,
    #[schema(value_type = Option<contract::words::AuditLogOrder>, default = "DESC")]
    direction: Option<String>,
    /// A part of a name, an id or the sentence.
    #[schema(max_length = 256)]
    search: Option<String>,
    #[schema(value_type = Option<Vec<contract::words::EventTypeGroup>>)]
    event_type_groups: Option<Vec<String>>,
    /// Ids of people, and prefixes of keys: of the workspace's, and of people's own.
    #[schema(max_items = 100)]
    user_ids: Option<Vec<String>>,
    #[schema(max_items = 100)]
    deployment_ids: Option<Vec<String>>,
    /// There are no chains: this finds nothing.
    chain_deployment_ids: Option<Vec<String>>,
    #[schema(max_items = 100)]
    environment_names: Option<Vec<String>>,
    #[schema(value_type = Option<Vec<contract::words::Source>>)]
    sources: Option<Vec<String>>,
    start_epoch_millis: Option<i64>,
    end_epoch_millis: Option<i64>,
}

pub async fn of_workspace(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Query(pairs): Pairs,
) -> Answer {
    let query = read(pairs).map_err(|invalid| error::invalid(&invalid))?;
    let page = api.control.workspace_activity(&actor, query).await.map_err(|error| failure(&error))?;
    Ok(shown(&api, page))
}

pub async fn of_model(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path(model): ModelPath,
    Query(pairs): Pairs,
) -> Answer {
    let model = ids::model(&model)?;
    let query = read(pairs).map_err(|invalid| error::invalid(&invalid))?;
    let page = api.control.model_activity(&actor, &model, query).await.map_err(|error| failure(&error))?;
    Ok(shown(&api, page))
}

fn shown(api: &Api, page: ActivityPage) -> Response {
    let ring = api.control.key_ring();
    let is_gone = |event: &Event| event.actor.person.as_ref().is_some_and(|id| ring.person(id).is_none());
    let entry = |event: Event| {
        let gone = is_gone(&event);
        let entry = AuditLogEntry::from(event);
        if gone { entry.of_somebody_gone() } else { entry }
    };
    answer::ok(&AuditLog {
        items: page.events.into_iter().map(entry).collect(),
        pagination: Pagination { has_more: page.cursor.is_some(), cursor: page.cursor },
    })
}

/// Groups of events that never happen here; asking for them finds nothing.
const GROUPS_ELSEWHERE: [&str; 5] =
    ["INSTANCE_TYPE_CHANGED", "GATEWAY", "WEBHOOK_SIGNING_SECRETS", "DIRECTORY_GROUP_MANAGEMENT", "SSH"];
/// The same for doors.
const SOURCES_ELSEWHERE: [&str; 1] = ["MCP"];

/// A filter as a query says it; lists are said by saying the parameter several times.
pub(super) fn read(pairs: Vec<(String, String)>) -> Result<ActivityQuery, Invalid> {
    let mut query = ActivityQuery::default();
    let mut chains = false;
    for (name, value) in pairs {
        let number = || {
            value.parse::<i64>().map_err(|_| Invalid::new(&name, format!("`{value}` is not a whole number")))
        };
        let groups = || EventGroup::ALL.map(EventGroup::as_str);
        match name.as_str() {
            "cursor" => query.cursor = Some(value),
            "limit" => query.limit = number().map_err(|invalid| within(invalid, "1 to 200"))?,
            "direction" => query.ascending = one_of(&name, &value, &["DESC", "ASC"])? == "ASC",
            "search" => query.search = Some(value),
            "event_type_groups" => {
                let all: Vec<&str> = groups().into_iter().chain(GROUPS_ELSEWHERE).collect();
                let group = EventGroup::parse(one_of(&name, &value, &all)?);
                query.groups.get_or_insert_default().extend(group);
            }
            "user_ids" => query.user_ids.get_or_insert_default().push(value),
            "deployment_ids" => query.deployment_ids.get_or_insert_default().push(value),
            // There are no chains, so no row is about one.
            "chain_deployment_ids" => chains = true,
            "environment_names" => query.environment_names.get_or_insert_default().push(value),
            "sources" => {
                let all: Vec<&str> =
                    Door::ALL.map(Door::as_str).into_iter().chain(SOURCES_ELSEWHERE).collect();
                let source = one_of(&name, &value, &all)?;
                let door = Door::ALL.into_iter().find(|door| door.as_str() == source);
                query.sources.get_or_insert_default().extend(door);
            }
            "start_epoch_millis" => query.start = Some(number()?),
            "end_epoch_millis" => query.end = Some(number()?),
            _ => {
                let known = "cursor, limit, direction, search, event_type_groups, user_ids, deployment_ids, \
                             chain_deployment_ids, environment_names, sources, start_epoch_millis, end_epoch_millis";
                return Err(Invalid::new(
                    name,
                    format!("is not a parameter of this list; there are {known}"),
                ));
            }
        }
    }
    if chains {
        query.deployment_ids.get_or_insert_default().clear();
    }
    Ok(query)
}

fn within(invalid: Invalid, range: &str) -> Invalid {
    Invalid::new(invalid.field, format!("{} within {range}", invalid.problem))
}

fn one_of<'a>(name: &str, value: &'a str, all: &[&str]) -> Result<&'a str, Invalid> {
    if all.contains(&value) {
        return Ok(value);
    }
    Err(Invalid::new(name, format!("`{value}` is not one of {}", all.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Result<ActivityQuery, Invalid> {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        read(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn lists_are_said_again_and_again() {
        let query =
            asked("event_type_groups=CODE&event_type_groups=SSH&user_ids=a&user_ids=b&limit=7").unwrap();
        assert_eq!(query.groups, Some(vec![EventGroup::Code]));
        assert_eq!(query.user_ids, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(query.limit, 7);
        assert_eq!(asked("event_type_groups=SSH").unwrap().groups, Some(vec![]), "none, not any");
        assert_eq!(asked("sources=MCP").unwrap().sources, Some(vec![]));
        assert_eq!(asked("chain_deployment_ids=c&deployment_ids=d").unwrap().deployment_ids, Some(vec![]));
        assert_eq!(asked("").unwrap(), ActivityQuery::default());
    }

    #[test]
    fn what_is_described_is_read() {
        let schema = serde_json::json!(<AuditLogFilter as utoipa::PartialSchema>::schema());
        let names: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(names.len(), 12);
        for name in names {
            if let Err(invalid) = asked(&format!("{name}=x")) {
                assert!(!invalid.problem.contains("is not a parameter"), "{invalid}");
            }
        }
    }

    #[test]
    fn refusals_name_the_parameter_and_what_it_may_be() {
        for (text, names, says) in [
            ("limit=many", "limit", "1 to 200"),
            ("direction=UP", "direction", "DESC, ASC"),
            ("event_type_groups=deployed", "event_type_groups", "DEPLOYED"),
            ("sources=PHONE", "sources", "SYSTEM"),
            ("start_epoch_millis=now", "start_epoch_millis", "whole number"),
            ("envrionment_names=a", "envrionment_names", "environment_names"),
        ] {
            let invalid = asked(text).unwrap_err();
            assert_eq!(invalid.field, names);
            assert!(invalid.problem.contains(says), "{invalid}");
        }
    }
}

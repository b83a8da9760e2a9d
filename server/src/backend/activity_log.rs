//! The activity: as a page, and as a file.

use std::collections::BTreeMap;

use app::error::AppError;
use app::view::{
    ActivityFilter, ActivityModel, ActivityPage, ActivityRow, DeploymentRef, Person, SettingChange,
};
use control::ActivityQuery;
use domain::{Action, Actor, Deployment, Door, Event, EventGroup, Invalid, ModelId};
use serde_json::Value;
use store::{KeyRow, ModelState};

use super::Dashboard;
use super::errors::told;
use crate::{csv, rest};

const DAY: i64 = 24 * 60 * 60 * 1000;
/// Rows of the file at most, and of one reading for it.
const MOST_ROWS: usize = 10_000;
const AT_ONCE: i64 = 200;
/// Deployments of one name that a filter finds, and that are suggested, at most: the newest.
const MOST_DEPLOYMENTS: usize = 50;

/// What the choice between waiting and refusing is called among the settings.
const BACKPRESSURE: &str = "request_backpressure_policy";

/// What the file's columns are called.
const COLUMNS: [&str; 13] = [
    "at",
    "event",
    "sentence",
    "who",
    "key_prefix",
    "source",
    "model_id",
    "model",
    "deployment_id",
    "deployment",
    "environment",
    "settings",
    "previous_settings",
];

impl Dashboard {
    /// A page of a model's activity, or of the workspace's.
    pub(super) async fn read_activity(
        &self,
        actor: &Actor,
        model: Option<&ModelId>,
        filter: ActivityFilter,
    ) -> Result<ActivityPage, AppError> {
        let page = self.rows(actor, model, self.asked(actor, model, &filter).await?).await?;
        let states = self.states(actor, &page.events).await?;
        let about = model.and_then(|id| states.get(id).cloned());
        let about = match (about, model) {
            // No row matches, and so it was not read yet.
            (None, Some(id)) => Some(self.api.control.model(actor, id).await.map_err(told)?),
            (about, _) => about,
        };
        let rows: Vec<ActivityRow> = page.events.iter().map(|event| row(event, &states)).collect();
        let headline = match &about {
            Some(state) => {
                format!("What was done to **{}**, by whom and by which door; newest first.", state.model.name)
            }
            None => "What was done in this workspace, by whom and by which door; newest first.".into(),
        };
        Ok(ActivityPage {
            as_of: self.api.clock.now(),
            headline,
            is_filtered: filter.parts().iter().any(|(_, value)| !value.is_empty()),
            people: self.people(actor, &page.events, &filter).await?,
            environments: environments(about.as_ref(), &states),
            deployments: deployments(about.as_ref()),
            model: about.map(|state| ActivityModel {
                id: state.model.id.to_string(),
                name: state.model.name.to_string(),
                is_deleted: false,
            }),
            filter,
            rows,
            next: page.cursor,
        })
    }

    /// The file and its name: the newest rows that the filter lets through.
    pub(super) async fn write_activity(
        &self,
        actor: &Actor,
        model: Option<&ModelId>,
        filter: &ActivityFilter,
    ) -> Result<(String, String), AppError> {
        let mut text = csv::line(COLUMNS);
        let asked = self.asked(actor, model, filter).await?;
        let mut query = ActivityQuery { limit: AT_ONCE, cursor: None, ..asked };
        let mut written = 0;
        loop {
            let page = self.rows(actor, model, query.clone()).await?;
            written += page.events.len();
            page.events.iter().for_each(|event| text.push_str(&record(event)));
            match page.cursor {
                Some(cursor) if written < MOST_ROWS => query.cursor = Some(cursor),
                _ => break,
            }
        }
        let day: String = self.api.clock.now().rfc3339().chars().take(10).collect();
        Ok((format!("slipway-activity-{day}.csv"), text))
    }

    /// The filter in the use case's words, with the ids of the deployments that a model has by the name in it.
    async fn asked(
        &self,
        actor: &Actor,
        model: Option<&ModelId>,
        filter: &ActivityFilter,
    ) -> Result<ActivityQuery, AppError> {
        let mut query = query(filter)?;
        if let (Some(id), Some(texts)) = (model, &mut query.deployment_ids) {
            let state = self.api.control.model(actor, id).await.map_err(told)?;
            let found = called(&state.deployments, texts);
            texts.extend(found);
        }
        Ok(query)
    }

    async fn rows(
        &self,
        actor: &Actor,
        model: Option<&ModelId>,
        query: ActivityQuery,
    ) -> Result<control::ActivityPage, AppError> {
        let control = &self.api.control;
        let page = match model {
            Some(model) => control.model_activity(actor, model, query).await,
            None => control.workspace_activity(actor, query).await,
        };
        page.map_err(told)
    }

    /// The models of some rows, as far as they still exist.
    async fn states(
        &self,
        actor: &Actor,
        events: &[Event],
    ) -> Result<BTreeMap<ModelId, ModelState>, AppError> {
        let mut states = BTreeMap::new();
        for id in events.iter().filter_map(|event| event.model.as_ref()) {
            if states.contains_key(id) {
                continue;
            }
            match self.api.control.model(actor, id).await {
                Ok(state) => drop(states.insert(id.clone(), state)),
                Err(control::Error::NotFound(_)) => {}
                Err(error) => return Err(told(error)),
            }
        }
        Ok(states)
    }

    /// Whom one can choose: everybody here and every key for admins, and for others who is on the page and by which key.
    async fn people(
        &self,
        actor: &Actor,
        events: &[Event],
        filter: &ActivityFilter,
    ) -> Result<Vec<Person>, AppError> {
        let mut known: BTreeMap<String, String> = BTreeMap::new();
        if actor.role.permits(Action::Administer) {
            let keys = self.api.control.keys(actor).await.map_err(told)?;
            let ring = self.api.control.key_ring();
            let owner = |key: &KeyRow| key.person.as_ref().and_then(|id| ring.person(id));
            known.extend(keys.into_iter().map(|key| {
                let name = match owner(&key) {
                    Some(owner) => format!("{}: key {}", owner.shown(), key.name),
                    None => key.name,
                };
                (key.prefix, name)
            }));
            let here = self.api.control.people(actor).await.map_err(told)?;
            known.extend(here.people.iter().map(|person| (person.id.to_string(), person.shown().to_owned())));
        }
        known.extend(events.iter().map(|event| (event.actor.id().to_owned(), event.actor.name.clone())));
        for actor in events.iter().map(|event| &event.actor).filter(|actor| actor.person.is_some()) {
            if let Some(prefix) = &actor.key_prefix {
                known.entry(prefix.clone()).or_insert_with(|| format!("{}: a key", actor.name));
            }
        }
        if !filter.who.is_empty() {
            known.entry(filter.who.clone()).or_insert_with(|| filter.who.clone());
        }
        let mut people: Vec<Person> = known
            .into_iter()
            .map(|(id, name)| Person { name: if id == name { name } else { format!("{name} ({id})") }, id })
            .collect();
        people.sort_by_key(|person| person.name.to_lowercase());
        Ok(people)
    }
}

/// The filter in the use case's words, or the field that can't be read.
fn query(filter: &ActivityFilter) -> Result<ActivityQuery, Invalid> {
    let given = |text: &String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let one = |text: &String| given(text).map(|text| vec![text]);
    let group = given(&filter.group).map(|text| {
        let all = EventGroup::ALL.map(EventGroup::as_str).join(", ");
        let found = EventGroup::parse(&text);
        found.ok_or_else(|| Invalid::new("group", format!("`{text}` is not one of {all}")))
    });
    let source = given(&filter.source).map(|text| {
        let all = Door::ALL.map(Door::as_str).join(", ");
        let found = Door::ALL.into_iter().find(|door| door.as_str() == text);
        found.ok_or_else(|| Invalid::new("source", format!("`{text}` is not one of {all}")))
    });
    let day = |field: &str, text: &String| given(text).map(|text| rest::day(field, &text)).transpose();
    let (first, last) = (day("from", &filter.from)?, day("to", &filter.to)?);
    if let (Some(first), Some(last)) = (first, last)
        && last < first
    {
        return Err(Invalid::new("to", "is before the first day"));
    }
    Ok(ActivityQuery {
        groups: group.transpose()?.map(|group| vec![group]),
        user_ids: one(&filter.who),
        deployment_ids: one(&filter.deployment),
        environment_names: one(&filter.environment),
        sources: source.transpose()?.map(|door| vec![door]),
        start: first.map(|day| day * DAY),
        end: last.map(|day| (day + 1) * DAY - 1),
        cursor: given(&filter.cursor),
        ..ActivityQuery::default()
    })
}

/// The ids of the deployments with one of these names, deleted ones included until they are purged.
fn called(deployments: &[Deployment], names: &[String]) -> Vec<String> {
    let newest_first = deployments.iter().rev();
    let found = newest_first.filter(|one| names.iter().any(|name| name == one.name.as_str()));
    found.take(MOST_DEPLOYMENTS).map(|one| one.id.to_string()).collect()
}

/// The names of a model's deployments, newest first.
fn deployments(about: Option<&ModelState>) -> Vec<String> {
    let all = about.into_iter().flat_map(|state| state.deployments.iter().rev());
    let living = all.filter(|one| one.deleted_at.is_none());
    living.take(MOST_DEPLOYMENTS).map(|one| one.name.to_string()).collect()
}

fn environments(about: Option<&ModelState>, states: &BTreeMap<ModelId, ModelState>) -> Vec<String> {
    let all = about.into_iter().chain(states.values()).flat_map(|state| &state.environments);
    let mut names: Vec<String> = all.map(|environment| environment.name.to_string()).collect();
    names.sort();
    names.dedup();
    names
}

fn row(event: &Event, states: &BTreeMap<ModelId, ModelState>) -> ActivityRow {
    let state = event.model.as_ref().and_then(|id| states.get(id));
    let deployment = event.deployment.as_ref();
    let lives = |state: &&ModelState| {
        state.deployments.iter().any(|known| Some(&known.id) == deployment && known.deleted_at.is_none())
    };
    let serves = |state: &&ModelState| {
        state.environments.iter().any(|known| Some(&known.name) == event.environment.as_ref())
    };
    let now = |state: &ModelState| {
        let known = state.deployments.iter().find(|known| Some(&known.id) == deployment)?;
        Some(known.name.to_string())
    };
    let named = |recorded: &Option<String>, now: Option<String>, id: &str| {
        recorded.clone().or(now).unwrap_or_else(|| id.to_owned())
    };
    ActivityRow {
        id: event.id.to_string(),
        at: event.at,
        sentence: event.sentence.clone(),
        who: event.actor.name.clone(),
        key_prefix: event.actor.key_prefix.clone(),
        source: event.actor.door.as_str().to_owned(),
        model: event.model.as_ref().map(|id| ActivityModel {
            id: id.to_string(),
            name: named(&event.model_name, state.map(|state| state.model.name.to_string()), id.as_str()),
            is_deleted: state.is_none(),
        }),
        deployment: deployment.map(|id| DeploymentRef {
            id: id.to_string(),
            name: named(&event.deployment_name, state.and_then(now), id.as_str()),
        }),
        deployment_is_deleted: state.filter(lives).is_none(),
        environment: event.environment.as_ref().map(ToString::to_string),
        environment_is_deleted: state.filter(serves).is_none(),
        changes: changes(&event.data),
    }
}

/// Which settings became others, by the names they have in the API.
fn changes(data: &Value) -> Vec<SettingChange> {
    let previous = &data["previous_settings"];
    let mut before = BTreeMap::new();
    let mut after = BTreeMap::new();
    if let Some(policy) = data.get("previous_policy") {
        leaves(BACKPRESSURE, policy, &mut before);
        leaves(BACKPRESSURE, &data["policy"], &mut after);
    } else if !previous.is_object() {
        return Vec::new();
    } else if data["settings"].is_object() {
        leaves("", previous, &mut before);
        leaves("", &data["settings"], &mut after);
    } else {
        for part in ["autoscaling", "promotion"] {
            leaves("", &previous[part], &mut before);
            leaves("", &data[part], &mut after);
        }
        leaves(BACKPRESSURE, &previous["backpressure"], &mut before);
        leaves(BACKPRESSURE, &data["backpressure"], &mut after);
    }
    let none = || "–".to_owned();
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| SettingChange {
            setting: name.clone(),
            before: before.get(name).cloned().unwrap_or_else(none),
            after: after.get(name).cloned().unwrap_or_else(none),
        })
        .collect()
}

/// Every value in an object, by its path; what is null is not there.
fn leaves(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(&path, value, into);
            }
        }
        Value::String(text) => drop(into.insert(path.to_owned(), text.clone())),
        other => drop(into.insert(path.to_owned(), other.to_string())),
    }
}

/// One line of the file.
fn record(event: &Event) -> String {
    let kind = serde_json::to_value(event.kind).ok();
    let changes = changes(&event.data);
    let told = |pick: fn(&SettingChange) -> &String| {
        let all = changes.iter().map(|change| format!("{}={}", change.setting, pick(change)));
        all.collect::<Vec<_>>().join("; ")
    };
    csv::line([
        event.at.rfc3339().as_str(),
        kind.as_ref().and_then(Value::as_str).unwrap_or_default(),
        &event.sentence,
        &event.actor.name,
        event.actor.key_prefix.as_deref().unwrap_or_default(),
        event.actor.door.as_str(),
        event.model.as_ref().map(ModelId::as_str).unwrap_or_default(),
        event.model_name.as_deref().unwrap_or_default(),
        event.deployment.as_ref().map(|id| id.as_str()).unwrap_or_default(),
        event.deployment_name.as_deref().unwrap_or_default(),
        event.environment.as_ref().map(|name| name.as_str()).unwrap_or_default(),
        &told(|change| &change.after),
        &told(|change| &change.before),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_became_another_is_a_change() {
        let data = json!({
            "autoscaling": { "min_replica": 1, "max_replica": 3 },
            "promotion": { "rolling_deploy_config": { "max_surge_percent": 25 }, "stop_on_errors": true },
            "previous_settings": {
                "autoscaling": { "min_replica": 1, "max_replica": 2 },
                "promotion": { "rolling_deploy_config": null, "stop_on_errors": true },
                "backpressure": null,
            },
            "backpressure": "REJECT_ON_FULL",
        });
        let told: Vec<String> = changes(&data)
            .into_iter()
            .map(|change| format!("{} {} {}", change.setting, change.before, change.after))
            .collect();
        assert_eq!(
            told,
            [
                "max_replica 2 3",
                "request_backpressure_policy – REJECT_ON_FULL",
                "rolling_deploy_config.max_surge_percent – 25",
            ]
        );
        let told = changes(&json!({ "policy": null, "previous_policy": "REJECT_ON_FULL" }));
        let change = |before: &str, after: &str| SettingChange {
            setting: BACKPRESSURE.into(),
            before: before.into(),
            after: after.into(),
        };
        assert_eq!(told, [change("REJECT_ON_FULL", "–")]);
        let told = changes(&json!({ "policy": "QUEUE_ON_FULL", "previous_policy": null }));
        assert_eq!(told, [change("–", "QUEUE_ON_FULL")]);
        assert!(
            changes(&json!({ "autoscaling": { "min_replica": 1 } })).is_empty(),
            "a new one replaced none"
        );
    }

    #[test]
    fn days_are_whole_and_in_order() {
        let filter =
            |from: &str, to: &str| ActivityFilter { from: from.into(), to: to.into(), ..Default::default() };
        let asked = query(&filter("2026-01-01", "2026-01-01")).unwrap();
        assert_eq!(asked.end.unwrap() - asked.start.unwrap(), DAY - 1);
        assert_eq!(query(&filter("2026-01-02", "2026-01-01")).unwrap_err().field, "to");
        assert_eq!(query(&filter("yesterday", "")).unwrap_err().field, "from");
        assert_eq!(query(&ActivityFilter::default()).unwrap(), ActivityQuery::default());
    }
}

//! What was done, by whom, and when.

use domain::Timestamp;
use serde::{Deserialize, Serialize};

use super::DeploymentRef;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActivityPage {
    pub as_of: Timestamp,
    /// The model it is about; none for the workspace.
    pub model: Option<ActivityModel>,
    pub headline: String,
    pub filter: ActivityFilter,
    /// Something is left out by the filter.
    pub is_filtered: bool,
    /// Whom one can choose.
    pub people: Vec<Person>,
    /// Environments to suggest.
    pub environments: Vec<String>,
    /// Deployments to suggest, by name: the model's newest; none for the workspace.
    pub deployments: Vec<String>,
    /// Newest first.
    pub rows: Vec<ActivityRow>,
    /// Where the next, older page begins.
    pub next: Option<String>,
}

/// A filter as the address says it; an empty text means any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ActivityFilter {
    /// A group of events, such as `PROMOTED`.
    pub group: String,
    /// A person's id, the prefix of an API key, or the name of who has neither.
    pub who: String,
    /// A deployment's id; of a model also the name that it has now.
    pub deployment: String,
    pub environment: String,
    /// `UI`, `API`, `SYSTEM` or `OTHER`.
    pub source: String,
    /// The first day, in UTC, such as `2026-01-31`.
    pub from: String,
    /// The last day.
    pub to: String,
    /// Where the page before ended.
    pub cursor: String,
}

impl ActivityFilter {
    /// Every part by the name it has in the address, the place in the list aside.
    pub fn parts(&self) -> [(&'static str, &String); 7] {
        [
            ("group", &self.group),
            ("who", &self.who),
            ("deployment", &self.deployment),
            ("environment", &self.environment),
            ("source", &self.source),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }
}

/// Somebody who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// What the filter knows them by.
    pub id: String,
    pub name: String,
}

/// A model as it was called when something was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityModel {
    pub id: String,
    pub name: String,
    /// There is no page of it any more.
    pub is_deleted: bool,
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityRow {
    pub id: String,
    pub at: Timestamp,
    pub sentence: String,
    pub who: String,
    /// The prefix of the key it was done with.
    pub key_prefix: Option<String>,
    /// The door: `UI`, `API`, `SYSTEM` or `OTHER`.
    pub source: String,
    pub model: Option<ActivityModel>,
    pub deployment: Option<DeploymentRef>,
    pub deployment_is_deleted: bool,
    pub environment: Option<String>,
    pub environment_is_deleted: bool,
    /// Settings that became others.
    pub changes: Vec<SettingChange>,
}

/// A setting's value before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingChange {
    pub setting: String,
    pub before: String,
    pub after: String,
}

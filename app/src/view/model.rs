//! The list of models, and one model with its environments and deployments.

use domain::{CleanupStrategy, DeploymentStatus, Timestamp};
use serde::{Deserialize, Serialize};

use super::{AccessPerson, FirstRun};

/// Some of the models, or how to push the first one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelsPage {
    pub as_of: Timestamp,
    /// One sentence on all models together.
    pub headline: String,
    /// What whoever runs the server has to see to before it stands in the way.
    pub warning: Option<String>,
    /// Those that changed last come first.
    pub models: Vec<ModelRow>,
    /// What their names have in them.
    pub filter: String,
    /// Where the page before ended; empty on the first one.
    pub cursor: String,
    /// Where this page ends, if there are more.
    pub older: Option<String>,
    /// How many have the filter in their names.
    pub found: u64,
    /// How to push the first model; present only while there is none.
    pub first_run: Option<FirstRun>,
}

/// One line of the list of models: what its production does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelRow {
    pub id: String,
    pub name: String,
    /// What production serves; nothing until a deployment was promoted.
    pub serving: Option<Served>,
    /// The running promotion of production.
    pub promotion: Option<PromotionBrief>,
    pub deployments: u32,
    pub last_change_at: Timestamp,
}

/// A deployment by name, with what a link needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentRef {
    pub id: String,
    pub name: String,
}

/// A deployment that takes traffic, or is about to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Served {
    pub deployment: DeploymentRef,
    pub status: DeploymentStatus,
    /// Why the status is what it is; without the status word.
    pub sentence: String,
    pub replicas: Replicas,
}

/// Replica counts as one glance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    pub ready: u32,
    /// Alive, not ready yet.
    pub starting: u32,
    pub wanted: u32,
}

/// A running promotion in one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromotionBrief {
    /// The public status, such as `RAMPING_UP`.
    pub phase: domain::Phase,
    /// Share of traffic that goes to the candidate, 0 to 100.
    pub percent: u8,
    /// When the next stage is due; nothing while the promotion waits or is paused.
    pub next_stage_at: Option<Timestamp>,
    /// What it does or waits for.
    pub sentence: String,
}

/// One model: environments first, deployments below.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelPage {
    pub as_of: Timestamp,
    pub id: String,
    pub name: String,
    /// What is going on, in one sentence.
    pub headline: String,
    pub environments: Vec<EnvironmentCard>,
    /// Newest first; without the development deployment.
    pub deployments: Vec<DeploymentRow>,
    /// How many there are, with the development deployment.
    pub count: u64,
    /// Where the deployments begin: after this place, or with the newest if it is empty.
    pub cursor: String,
    /// Where they end, if there are older ones.
    pub older: Option<String>,
    pub development: Option<DevelopmentBand>,
    pub choices: PromoteChoices,
    /// Whether the person may delete the model.
    pub delete: Permit,
    /// Whether the person may add an environment.
    pub create_environment: Permit,
    /// Whom the person may choose for a new environment that is restricted; nothing if they may not restrict.
    pub people: Option<Vec<AccessPerson>>,
}

/// One environment on the model's page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentCard {
    pub name: String,
    /// Where it is called, as a full URL.
    pub address: String,
    /// What is going on there, in one sentence.
    pub sentence: String,
    pub current: Option<Served>,
    pub candidate: Option<Served>,
    pub promotion: Option<PromotionBrief>,
    /// Whether only some may change it.
    pub restricted: bool,
    pub cancel: Permit,
}

/// One deployment in a model's list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentRow {
    pub id: String,
    pub name: String,
    pub status: DeploymentStatus,
    pub sentence: String,
    /// The environment it is current or candidate of.
    pub environment: Option<String>,
    pub replicas: Replicas,
    pub created_at: Timestamp,
    pub created_by: Option<String>,
    pub actions: Actions,
    /// What it says while it is made, or why it could not be.
    pub making: Option<Making>,
}

/// A build or a first start that goes on, or that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Making {
    /// Whether it goes on.
    pub running: bool,
    /// Since when the build runs.
    pub since: Option<Timestamp>,
    /// Its last lines, oldest first.
    pub lines: Vec<String>,
}

/// What may be done to a deployment by the person who looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actions {
    pub promote: Permit,
    /// To make a deployment without an environment of it; nothing where it is one.
    pub publish: Option<Permit>,
    pub rename: Permit,
    pub retry: Permit,
    pub activate: Permit,
    pub deactivate: Permit,
    pub delete: Permit,
}

/// Whether something may be done and, if not, why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Permit {
    Allowed,
    /// A sentence that says why not, and what to do first.
    Refused(String),
}

impl Permit {
    pub fn is_allowed(&self) -> bool {
        *self == Self::Allowed
    }

    /// Why not.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Allowed => None,
            Self::Refused(reason) => Some(reason),
        }
    }
}

/// The development deployment, which lives beside the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DevelopmentBand {
    pub deployment: DeploymentRow,
    pub address: String,
    /// How live reload stands, in one sentence.
    pub live_reload: String,
    pub patched_at: Option<Timestamp>,
}

/// What the promote dialog offers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PromoteChoices {
    /// What can be promoted, newest first; the development deployment too.
    pub deployments: Vec<DeploymentRef>,
    pub targets: Vec<PromoteTarget>,
}

/// An environment to promote to, with its own ways.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromoteTarget {
    pub environment: String,
    /// What it serves now, by name.
    pub serving: Option<String>,
    /// The name of the instance type that this has.
    pub instance_type: Option<String>,
    /// The deployments, by id, that have another one, and so would get this.
    pub resized: Vec<String>,
    /// Whether its promotions are canaries unless one says otherwise.
    pub canary: bool,
    /// Whether they go replica by replica.
    pub rolling: bool,
    /// The length of its canaries unless one says otherwise.
    pub window_seconds: u32,
    /// What becomes of the deployment that served before.
    pub cleanup: CleanupStrategy,
    /// Whether a promotion may start there now.
    pub permit: Permit,
}

//! One deployment: its replicas, how to call it, its settings.

use domain::{AutoscalingSettings, DeploymentStatus, ReplicaState, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Actions, Making, Permit, PromoteChoices, Replicas};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentPage {
    pub as_of: Timestamp,
    pub model_id: String,
    pub model_name: String,
    pub id: String,
    pub name: String,
    pub is_development: bool,
    pub headline: String,
    pub status: DeploymentStatus,
    pub sentence: String,
    pub environment: Option<String>,
    pub replicas: Replicas,
    pub created_at: Timestamp,
    pub created_by: Option<String>,
    pub actions: Actions,
    /// What it says while it is made, or why it could not be.
    pub making: Option<Making>,
    pub choices: PromoteChoices,
    pub copies: Vec<ReplicaRow>,
    /// Where it is called, as a full URL.
    pub address: String,
    pub snippets: Vec<CallSnippet>,
    /// What the model's author gave as an example, as JSON text; `{}` when there is none.
    pub example_input: String,
    /// Whether *Try it* can be used.
    pub try_it: Permit,
    /// Nothing until it has finished deploying.
    pub autoscaling: Option<AutoscalingSettings>,
    pub may_change_autoscaling: Permit,
    /// The name of what it was given of the machine.
    pub instance_type: String,
    /// What it holds of the machine, as a sentence.
    pub holds: String,
}

/// One running copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicaRow {
    pub id: String,
    pub state: ReplicaState,
    pub started_at: Timestamp,
    pub ready_at: Option<Timestamp>,
    pub in_flight: Option<u32>,
    pub pid: Option<u32>,
    /// Bytes of memory; nothing where the machine does not tell.
    pub memory: Option<u64>,
    /// Percent of one core, over the last seconds; since its start the first time somebody looks.
    pub cpu_percent: Option<f64>,
    /// Whether the person may end it.
    pub terminate: Permit,
}

/// The replicas of a deployment at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicasNow {
    pub as_of: Timestamp,
    pub copies: Vec<ReplicaRow>,
}

/// How to call it from one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallSnippet {
    /// `curl`, `Python`.
    pub language: String,
    pub code: String,
}

/// What a trial request brought back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TryAnswer {
    pub status: u16,
    pub millis: u64,
    /// The body as text, indented when it is JSON; cut at 64 KB.
    pub body: String,
    pub replica: Option<String>,
}

use serde::{Deserialize, Serialize};

use crate::{ArtifactId, DeploymentId, EnvironmentName, ModelId, ReplicaId, Timestamp};

/// What asking the machine gave: an answer, or the knowledge that there is none.
///
/// *We asked and could not tell* is not *nothing*: nobody scales down or advances on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Seen<T> {
    Known(T),
    Unknown,
}

/// Where one running copy is in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// Its process was started and does not listen yet.
    Starting,
    /// It listens; its model is loading.
    Loading,
    /// It answers its health check.
    Ready,
    /// It was ready and fails its health check.
    Unready,
    /// It was told to stop and finishes what it has.
    Stopping,
    /// It is gone. `code` is unknown for a process that a former server started.
    Exited { code: Option<i32>, signal: Option<i32>, reason: String },
}

/// One running copy of a deployment, as it was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObservedReplica {
    pub id: ReplicaId,
    pub model: ModelId,
    pub deployment: DeploymentId,
    pub state: ReplicaState,
    /// The loopback port it was told to listen on.
    pub port: u16,
    pub pid: Option<u32>,
    pub started_at: Timestamp,
    /// When its model began to load, or its port first answered.
    pub spawned_at: Option<Timestamp>,
    /// When it could first answer, as it says itself or as its health check found.
    pub loaded_at: Option<Timestamp>,
    pub ready_at: Option<Timestamp>,
    /// When it left `Ready`, while it is `Unready`.
    pub unready_since: Option<Timestamp>,
    /// What it was started from, or was reloaded to; `None` for one that a former version started.
    #[serde(default)]
    pub artifact: Option<ArtifactId>,
    /// Code that could not be swapped into it, and why; its former code runs on.
    #[serde(default)]
    pub refused: Option<(ArtifactId, String)>,
    /// The environment that its code was told it serves.
    #[serde(default)]
    pub environment: Option<EnvironmentName>,
}

impl ObservedReplica {
    pub fn is_ready(&self) -> bool {
        self.state == ReplicaState::Ready
    }

    /// Whether it runs this code. Replicas whose code is not known were started before code could change in place.
    pub fn runs(&self, artifact: &ArtifactId) -> bool {
        self.artifact.as_ref().is_none_or(|mine| mine == artifact)
    }

    pub fn is_starting(&self) -> bool {
        matches!(self.state, ReplicaState::Starting | ReplicaState::Loading)
    }

    /// Holds compute.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, ReplicaState::Exited { .. })
    }

    /// Counts towards what is wanted: alive and not on its way out.
    pub fn is_serving_or_coming(&self) -> bool {
        self.is_alive() && self.state != ReplicaState::Stopping
    }
}

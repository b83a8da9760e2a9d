//! What the gateway obeys: for one model, who gets which share (semantics: Routing).

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::{DeploymentId, EnvironmentName, ModelId, ModelName, ReplicaId};

/// A share of traffic in basis points (hundredths of a percent), 0 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(u16);

impl Weight {
    pub const ZERO: Self = Self(0);
    pub const WHOLE: Self = Self(10_000);

    /// A weight from percent; more than 100 counts as 100.
    pub const fn percent(percent: u32) -> Self {
        Self(if percent >= 100 { 10_000 } else { percent as u16 * 100 })
    }

    /// A part of a whole, rounded down; of nothing it is nothing.
    pub fn ratio(part: u32, whole: u32) -> Self {
        if whole == 0 {
            return Self::ZERO;
        }
        Self((u64::from(part.min(whole)) * 10_000 / u64::from(whole)) as u16)
    }

    pub const fn basis_points(self) -> u16 {
        self.0
    }

    pub fn as_percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// What is left of the whole.
    pub const fn rest(self) -> Self {
        Self(10_000 - self.0)
    }
}

/// Everything the gateway needs to know of one model; replaced whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelRoutes {
    pub model: ModelId,
    pub name: ModelName,
    /// The intent that this table carries ([`crate::Model::generation`]).
    pub generation: u64,
    pub environments: Vec<EnvironmentRoute>,
    pub deployments: Vec<DeploymentRoute>,
    /// The development deployment, if the model has one.
    pub development: Option<DeploymentId>,
}

/// Who serves an environment's address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentRoute {
    pub name: EnvironmentName,
    /// Grows by one whenever the shares change, so that counts can be kept per version of the weights.
    pub version: u64,
    /// Empty: nothing was promoted here yet. Otherwise weights sum to the whole.
    pub shares: Vec<Share>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Share {
    pub deployment: DeploymentId,
    pub weight: Weight,
    /// Why this pool may carry more than its ready replicas can (semantics: Capacity before traffic).
    pub exemption: Option<Exemption>,
}

/// A reason to leave a pool short. Each is stored with the table and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exemption {
    /// It already runs as many replicas as it may.
    AtMaximum,
    /// The environment as a whole lacks capacity; the stage is held meanwhile.
    EnvironmentShort,
    /// It sleeps or starts; its requests are held, none is forwarded before a replica is ready.
    Held,
}

/// One deployment's own address and pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentRoute {
    pub id: DeploymentId,
    pub availability: Availability,
    /// Requests one replica may have in flight; `None` means no limit.
    pub concurrency_target: Option<u32>,
    /// A request that finds every place of the ready replicas taken is refused instead of waiting.
    #[serde(default)]
    pub rejects_when_full: bool,
    /// Ready replicas. Empty while it sleeps or starts: its requests are held.
    pub replicas: Vec<ReplicaAddress>,
    pub rewrite: Rewrite,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// Requests are forwarded, or held until a replica is ready.
    Serving,
    /// Requests answer 404 with this sentence.
    Inactive { reason: String },
    /// Nothing can serve them, and waiting would not help: 503 with this sentence.
    Failed { reason: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaAddress {
    pub id: ReplicaId,
    /// On 127.0.0.1.
    pub port: u16,
}

/// The paths a replica serves the public actions on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    /// For `…/predict`.
    pub predict: String,
    /// For `…/websocket`, if it takes one.
    pub websocket: Option<String>,
    /// For `…/sync/v1/models/model`, which clients use to keep a development deployment awake.
    pub readiness: String,
    /// It speaks gRPC and nothing else: calls keep their paths.
    #[serde(default)]
    pub grpc: bool,
}

impl Default for Rewrite {
    /// What the Truss server serves.
    fn default() -> Self {
        Self {
            predict: "/v1/models/model:predict".into(),
            websocket: Some("/v1/websocket".into()),
            readiness: "/v1/models/model".into(),
            grpc: false,
        }
    }
}

/// Lets a use case wait until what it recorded is what requests meet.
#[async_trait]
pub trait AppliedRoutes: Send + Sync {
    /// The generation served for a model; 0 if none was ever published.
    fn applied(&self, model: &ModelId) -> u64;

    /// Waits until at least `generation` is served; false if it was not within `limit`.
    async fn wait_applied(&self, model: &ModelId, generation: u64, limit: Duration) -> bool;
}

//! The trait of what starts and stops things. Declaring is not doing: drivers live in `runtime`.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::{
    ArtifactId, Deployment, DeploymentId, EnvironmentName, Holding, LogFound, LogNews, LogQuery, ModelId,
    ObservedReplica, ReplicaId, Reserved, SecretValue, Seen,
};

/// What to prepare before a deployment can start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildSpec {
    pub model: ModelId,
    pub deployment: DeploymentId,
    /// The uploaded archive, already unpacked.
    pub artifact: ArtifactId,
    /// The full configuration as JSON, every default filled in.
    pub config: serde_json::Value,
}

/// Why a build failed, as a sentence; the log has the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}")]
pub struct BuildFailure {
    pub reason: String,
}

/// The paths that tell a replica's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    pub readiness: String,
    pub liveness: String,
    /// It speaks gRPC and nothing else: its health service is asked instead.
    #[serde(default)]
    pub grpc: bool,
}

/// One copy to start.
///
/// It can't be serialised: the values of secrets are in it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaSpec {
    pub id: ReplicaId,
    pub model: ModelId,
    pub deployment: DeploymentId,
    pub artifact: ArtifactId,
    pub config: serde_json::Value,
    /// The environment it serves when it starts, told to the model's code.
    pub environment: Option<EnvironmentName>,
    /// What it holds of the machine as long as it lives; there is room for it.
    pub reserved: Reserved,
    /// Cores of its instance type, in thousandths: its weight beside others where processors are short.
    pub milli_cpu: u64,
    /// Values for the secrets the configuration declares, as far as they are set.
    pub secrets: BTreeMap<String, SecretValue>,
}

/// Why a process is stopped; written to its deployment's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    ScaleDown,
    Deactivated,
    Deleted,
    Unhealthy,
    Asked,
    /// Newer code took its place.
    Replaced,
    Shutdown,
}

impl StopReason {
    pub fn sentence(self) -> &'static str {
        match self {
            Self::ScaleDown => "fewer replicas are wanted",
            Self::Deactivated => "the deployment was deactivated",
            Self::Deleted => "the deployment was deleted",
            Self::Unhealthy => "it failed its health check for too long",
            Self::Asked => "a person asked for it",
            Self::Replaced => "newer code took its place",
            Self::Shutdown => "the server is stopping",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// The machine could not do it now; the next look tries again.
    #[error("{0}")]
    Retryable(String),
    /// It can't work as it is; a person has to change something.
    #[error("{0}")]
    Refused(String),
}

/// Bytes a deployment holds on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StorageUse {
    /// What was pushed, packed and unpacked; copies of a deployment share it.
    pub artifact: u64,
    pub logs: u64,
    /// Its Python environment, once it is made.
    pub environment: Option<EnvironmentUse>,
    /// External data that its configuration names, as far as it was fetched.
    #[serde(default)]
    pub external: Vec<ExternalUse>,
}

impl StorageUse {
    /// Bytes of external data.
    pub fn external_bytes(&self) -> u64 {
        self.external.iter().map(|file| file.bytes).sum()
    }
}

/// A file of external data on this machine, shared by all deployments that name its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalUse {
    /// Names its address: the same for all that share it.
    pub key: String,
    pub bytes: u64,
}

/// A Python environment on this machine, shared by all deployments with the same requirements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentUse {
    /// Names its content: the same for all that share it.
    pub key: String,
    /// Bytes as if nothing of it were shared with other environments.
    pub bytes: u64,
}

/// What the processes of one replica use at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReplicaUse {
    /// Bytes of memory that are its own: shared pages are counted by their share where the machine tells it.
    pub memory: u64,
    /// Milliseconds of processor time since it started, of all cores together.
    pub cpu_ms: u64,
}

/// What the processes of one replica have used, at one look over all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaSample {
    pub model: ModelId,
    pub deployment: DeploymentId,
    pub replica: ReplicaId,
    /// Milliseconds of processor time since it started, of all cores together.
    pub cpu_ms: u64,
    /// Bytes, where that was looked at.
    pub memory: Option<u64>,
}

/// Starts, watches and stops replicas, and prepares what they need.
///
/// Every call but [`Runtime::build`] and [`Runtime::follow`] returns at once. Whatever changes later (a process listens, is ready, exits)
/// is told by waking the model; [`Runtime::observe`] then gives the facts.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Prepares a deployment; long. Idempotent: a second call after a crash of the server finds what is done.
    /// `progress` gets a short sentence for each step.
    async fn build(
        &self,
        spec: &BuildSpec,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), BuildFailure>;

    /// Starts a process. Idempotent by [`ReplicaSpec::id`].
    async fn start(&self, spec: &ReplicaSpec) -> Result<(), RuntimeError>;

    /// Swaps the code of a running replica for another revision's, without a new start. Returns at once; what comes of it
    /// is in [`ObservedReplica::artifact`] or [`ObservedReplica::refused`], and the model is woken. Idempotent.
    async fn reload(&self, replica: &ReplicaId, artifact: &ArtifactId);

    /// Tells the code of a running replica which environment it serves from now on, without a new start. It is in
    /// [`ObservedReplica::environment`] when this returns. Idempotent; unknown ids are fine.
    async fn tell(
        &self,
        replica: &ReplicaId,
        environment: Option<&EnvironmentName>,
    ) -> Result<(), RuntimeError>;

    /// Asks a replica to stop: TERM, then KILL after `grace`. Unknown ids are fine.
    async fn stop(&self, replica: &ReplicaId, grace: Duration, reason: StopReason);

    /// Everything known of a model's replicas, exited ones included until they are forgotten.
    fn observe(&self, model: &ModelId) -> Seen<Vec<ObservedReplica>>;

    /// What every living replica holds, of all models: adopted ones and those on their way out too.
    fn held(&self) -> Seen<Vec<Holding>>;

    /// Drops an exited replica from what [`Runtime::observe`] reports, and its folder.
    async fn forget(&self, replica: &ReplicaId);

    /// Removes everything a deployment left: its files, its logs. Its replicas have exited.
    async fn purge(&self, deployment: &DeploymentId) -> Result<(), RuntimeError>;

    /// Removes what was pushed. No deployment refers to it any more.
    async fn discard(&self, artifact: &ArtifactId) -> Result<(), RuntimeError>;

    /// Removes the code of a change in place that newer ones took the place of; nothing starts from it any more. What a build
    /// still goes on with is left to upkeep.
    async fn discard_former(&self, artifact: &ArtifactId) -> Result<(), RuntimeError> {
        self.discard(artifact).await
    }

    /// The lines of a deployment's log, of builds and replicas together. One answer looks at a bounded part of it.
    async fn logs(&self, deployment: &DeploymentId, query: &LogQuery) -> Result<LogFound, RuntimeError>;

    /// Waits until something is written after [`LogQuery::after_nanos`], and answers the lines of it that the query asks
    /// for: from the oldest on, at most [`LogQuery::limit`]. A reader who is far behind gets the newest instead, and how
    /// many were left out. May answer without lines, when none of those written is asked for.
    async fn follow(&self, deployment: &DeploymentId, query: &LogQuery) -> Result<LogNews, RuntimeError>;

    /// Adds a line of Slipway's own to a deployment's log.
    async fn note(&self, deployment: &DeploymentId, line: &str);

    /// The last lines a deployment's process wrote before it exited, oldest first, at most `lines`.
    async fn last_words(&self, deployment: &DeploymentId, lines: usize) -> Vec<String>;

    async fn storage(&self, deployment: &Deployment) -> StorageUse;

    /// What a replica's processes use now; nothing if it does not run here. Asked only when somebody looks.
    async fn uses(&self, replica: &ReplicaId) -> Option<ReplicaUse> {
        let _ = replica;
        None
    }

    /// What all living replicas have used, by one look at the machine. Memory, which costs more to see than processor time,
    /// is not looked at for those `without_memory`.
    async fn samples(&self, without_memory: BTreeSet<ReplicaId>) -> Vec<ReplicaSample> {
        let _ = without_memory;
        Vec::new()
    }
}

//! The record of what was done, and the nudge to browsers to read again.

use serde::{Deserialize, Serialize};

use crate::{Actor, DeploymentId, EnvironmentName, EventId, ModelId, Timestamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventKind {
    ModelCreated,
    ModelRenamed,
    ModelDeleted,
    ModelDeployed,
    ModelDeploymentActive,
    ModelDeploymentFailed,
    ModelDeploymentRenamed,
    ModelDeploymentActivated,
    ModelDeploymentDeactivated,
    ModelDeploymentRetried,
    ModelDeploymentPromoted,
    ModelDeploymentPatched,
    ModelDeploymentPatchFailed,
    ModelDeploymentDeleted,
    ModelDeploymentAutoscalingSettingsChanged,
    ModelDeploymentRequestBackpressureSettingsChanged,
    ModelPromotionStep,
    ModelPromotionControlAction,
    ModelPromotionSucceeded,
    ModelPromotionFailed,
    ModelPromotionCanceled,
    EnvironmentCreated,
    EnvironmentUpdated,
    EnvironmentDeleted,
    /// Who may change the environments of a name is somebody else now.
    EnvironmentAccessChanged,
    ReplicaCrashed,
    ReplicaTerminated,
    ScalingDecision,
    ApiKeyCreated,
    ApiKeyDeleted,
    SecretUpdated,
    SecretDeleted,
    UserInvited,
    UserJoinedOrganization,
    UserRoleUpdated,
    UserRemoved,
    /// A person's password is another one now; which, is nobody's affair.
    UserPasswordChanged,
    InvitationRevoked,
}

/// One thing that was done or decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub id: EventId,
    pub at: Timestamp,
    pub kind: EventKind,
    pub model: Option<ModelId>,
    pub deployment: Option<DeploymentId>,
    pub environment: Option<EnvironmentName>,
    /// What the model was called then; unknown for old rows.
    #[serde(default)]
    pub model_name: Option<String>,
    /// What the deployment was called then; unknown for old rows.
    #[serde(default)]
    pub deployment_name: Option<String>,
    pub actor: Actor,
    /// What happened, as one sentence.
    pub sentence: String,
    /// Machine-readable particulars: previous values, counts.
    pub data: serde_json::Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Model,
    Models,
    Usage,
    /// More changed than could be told one by one.
    Everything,
}

/// Tells browsers that something they may show has changed. Carries no data.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    pub kind: ChangeKind,
    pub id: String,
    pub generation: u64,
}

//! Which events people read as the activity, and in which groups (semantics: Activity).

use serde::{Deserialize, Serialize};

use crate::EventKind;

/// What a row of the activity is about; people filter by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventGroup {
    /// Pushes, and what became of them.
    Deployed,
    Promoted,
    ActivatedDeactivated,
    AutoscalingSettings,
    /// Whether requests wait or are refused while all replicas are busy.
    RequestBackpressureSettings,
    EnvironmentSettings,
    ReplicaTerminated,
    Deleted,
    /// Names.
    Metadata,
    /// Changes of a development deployment in place.
    Code,
    Secrets,
    ApiKeys,
    /// People: invitations, roles, passwords.
    UserManagement,
}

impl EventGroup {
    pub const ALL: [Self; 13] = [
        Self::Deployed,
        Self::Promoted,
        Self::ActivatedDeactivated,
        Self::AutoscalingSettings,
        Self::RequestBackpressureSettings,
        Self::EnvironmentSettings,
        Self::ReplicaTerminated,
        Self::Deleted,
        Self::Metadata,
        Self::Code,
        Self::Secrets,
        Self::ApiKeys,
        Self::UserManagement,
    ];

    /// The group of a kind; none for what has a page of its own: the steps of a rollout and the autoscaler's decisions.
    pub fn of(kind: EventKind) -> Option<Self> {
        use EventKind as K;
        Some(match kind {
            K::ModelCreated
            | K::ModelDeployed
            | K::ModelDeploymentActive
            | K::ModelDeploymentFailed
            | K::ModelDeploymentRetried => Self::Deployed,
            K::ModelDeploymentPromoted
            | K::ModelPromotionControlAction
            | K::ModelPromotionSucceeded
            | K::ModelPromotionFailed
            | K::ModelPromotionCanceled => Self::Promoted,
            K::ModelDeploymentActivated | K::ModelDeploymentDeactivated => Self::ActivatedDeactivated,
            K::ModelDeploymentAutoscalingSettingsChanged => Self::AutoscalingSettings,
            K::ModelDeploymentRequestBackpressureSettingsChanged => Self::RequestBackpressureSettings,
            K::EnvironmentCreated
            | K::EnvironmentUpdated
            | K::EnvironmentDeleted
            | K::EnvironmentAccessChanged => Self::EnvironmentSettings,
            K::ReplicaCrashed | K::ReplicaTerminated => Self::ReplicaTerminated,
            K::ModelDeleted | K::ModelDeploymentDeleted => Self::Deleted,
            K::ModelRenamed | K::ModelDeploymentRenamed => Self::Metadata,
            K::ModelDeploymentPatched | K::ModelDeploymentPatchFailed => Self::Code,
            K::SecretUpdated | K::SecretDeleted => Self::Secrets,
            K::ApiKeyCreated | K::ApiKeyDeleted => Self::ApiKeys,
            K::UserInvited
            | K::UserJoinedOrganization
            | K::UserRoleUpdated
            | K::UserRemoved
            | K::UserPasswordChanged
            | K::InvitationRevoked => Self::UserManagement,
            K::ModelPromotionStep | K::ScalingDecision => return None,
        })
    }

    /// Its name in queries and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployed => "DEPLOYED",
            Self::Promoted => "PROMOTED",
            Self::ActivatedDeactivated => "ACTIVATED_DEACTIVATED",
            Self::AutoscalingSettings => "AUTOSCALING_SETTINGS",
            Self::RequestBackpressureSettings => "REQUEST_BACKPRESSURE_SETTINGS",
            Self::EnvironmentSettings => "ENVIRONMENT_SETTINGS",
            Self::ReplicaTerminated => "REPLICA_TERMINATED",
            Self::Deleted => "DELETED",
            Self::Metadata => "METADATA",
            Self::Code => "CODE",
            Self::Secrets => "SECRETS",
            Self::ApiKeys => "API_KEYS",
            Self::UserManagement => "USER_MANAGEMENT",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.as_str() == text)
    }

    /// What people read.
    pub fn title(self) -> &'static str {
        match self {
            Self::Deployed => "Pushes and starts",
            Self::Promoted => "Promotions",
            Self::ActivatedDeactivated => "Activate and deactivate",
            Self::AutoscalingSettings => "Scaling settings",
            Self::RequestBackpressureSettings => "Requests while all are busy",
            Self::EnvironmentSettings => "Environments",
            Self::ReplicaTerminated => "Replicas",
            Self::Deleted => "Deletions",
            Self::Metadata => "Names",
            Self::Code => "Live reload",
            Self::Secrets => "Secrets",
            Self::ApiKeys => "API keys",
            Self::UserManagement => "People",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_written_in_one_way() {
        for group in EventGroup::ALL {
            assert_eq!(serde_json::to_value(group).unwrap(), group.as_str());
            assert_eq!(EventGroup::parse(group.as_str()), Some(group));
        }
        assert_eq!(EventGroup::parse("deployed"), None);
    }
}

//! The fourteen deployment statuses, computed with a sentence and never stored (semantics: Deployment status).

use serde::{Deserialize, Serialize};

use crate::{Build, Deployment, Lifecycle, ObservedReplica, ReplicaState, Seen, Timestamp};

/// The public statuses, verbatim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeploymentStatus {
    Building,
    Deploying,
    DeployFailed,
    LoadingModel,
    Active,
    Unhealthy,
    BuildFailed,
    BuildStopped,
    Deactivating,
    Inactive,
    Failed,
    Updating,
    ScaledToZero,
    WakingUp,
}

impl DeploymentStatus {
    /// The status as the public APIs write it.
    pub fn as_str(self) -> &'static str {
        use DeploymentStatus::*;
        match self {
            Building => "BUILDING",
            Deploying => "DEPLOYING",
            DeployFailed => "DEPLOY_FAILED",
            LoadingModel => "LOADING_MODEL",
            Active => "ACTIVE",
            Unhealthy => "UNHEALTHY",
            BuildFailed => "BUILD_FAILED",
            BuildStopped => "BUILD_STOPPED",
            Deactivating => "DEACTIVATING",
            Inactive => "INACTIVE",
            Failed => "FAILED",
            Updating => "UPDATING",
            ScaledToZero => "SCALED_TO_ZERO",
            WakingUp => "WAKING_UP",
        }
    }

    /// The vocabulary of the push client's GraphQL (`current_model_deployment_status`).
    pub fn internal_name(self) -> &'static str {
        use DeploymentStatus::*;
        match self {
            Building => "BUILDING_MODEL",
            Deploying => "DEPLOYING_MODEL",
            DeployFailed => "MODEL_DEPLOY_FAILED",
            LoadingModel => "MODEL_LOADING",
            Active => "MODEL_READY",
            Unhealthy => "MODEL_UNHEALTHY",
            BuildFailed => "BUILDING_MODEL_FAILED",
            BuildStopped => "BUILDING_MODEL_STOPPED",
            Deactivating => "DEACTIVATING_MODEL",
            Inactive => "DEACTIVATED_MODEL",
            Failed => "MODEL_DNE_ERROR",
            Updating => "UPDATING",
            ScaledToZero => "SCALED_TO_ZERO",
            WakingUp => "SCALING_FROM_ZERO",
        }
    }

    /// Whether something failed that a person may want to look at.
    pub fn is_failure(self) -> bool {
        use DeploymentStatus::*;
        matches!(self, DeployFailed | BuildFailed | Failed | Unhealthy)
    }
}

/// A status with the sentence that explains it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    pub status: DeploymentStatus,
    /// One sentence for a person, without the status word: why, and what happens next.
    pub sentence: String,
    /// Replicas that are ready.
    pub ready: u32,
    /// Replicas that are alive but not ready.
    pub starting: u32,
}

/// Says how a deployment stands, from its stored intent and what was seen of its replicas.
pub fn standing(deployment: &Deployment, replicas: &Seen<Vec<ObservedReplica>>, now: Timestamp) -> Standing {
    let unknown = Vec::new();
    let replicas = match replicas {
        Seen::Known(list) => list,
        Seen::Unknown => &unknown,
    };
    let mine = || replicas.iter().filter(|replica| replica.deployment == deployment.id);
    let ready = mine().filter(|replica| replica.is_ready()).count() as u32;
    let alive = mine().filter(|replica| replica.is_alive()).count() as u32;
    let starting = mine().filter(|replica| replica.is_starting()).count() as u32;
    let (status, sentence) = describe(deployment, mine().collect(), ready, alive, now);
    Standing { status, sentence, ready, starting }
}

fn describe(
    deployment: &Deployment,
    replicas: Vec<&ObservedReplica>,
    ready: u32,
    alive: u32,
    now: Timestamp,
) -> (DeploymentStatus, String) {
    use DeploymentStatus as S;
    match &deployment.build {
        Build::Queued => return (S::Building, "waiting for its turn to build".into()),
        Build::Running { step, .. } => return (S::Building, step.clone()),
        Build::Failed { reason } => return (S::BuildFailed, reason.clone()),
        Build::Stopped { by } => return (S::BuildStopped, format!("the build was stopped by {by}")),
        Build::Done { .. } => {}
    }
    if deployment.lifecycle == Lifecycle::Inactive {
        return if alive > 0 {
            (S::Deactivating, format!("finishing requests on {}", count(alive, "replica")))
        } else {
            (S::Inactive, "deactivated; keeps its configuration and uses no compute".into())
        };
    }
    if let Some(reason) = &deployment.failure {
        return (S::DeployFailed, reason.clone());
    }
    if ready > 0 {
        let wanted = deployment.target;
        let sentence = if wanted == 0 {
            format!("finishing requests on {}", count(ready, "replica"))
        } else if ready < wanted {
            let rest = deployment.waiting.as_ref().map(|waiting| format!("; {waiting}")).unwrap_or_default();
            format!("{ready} of {} ready{rest}", count(wanted, "replica"))
        } else {
            format!("{} ready", count(ready, "replica"))
        };
        return (S::Active, sentence);
    }
    if deployment.active_since.is_some() && deployment.target == 0 && alive == 0 {
        return (S::ScaledToZero, "no replicas; the next request wakes it".into());
    }
    if let (Some(at), Some(cause)) = (deployment.retry_at, &deployment.last_exit)
        && deployment.active_since.is_some()
    {
        if let Some(waiting) = &deployment.waiting {
            return (S::Unhealthy, format!("{cause}; {waiting}"));
        }
        let wait = (at.since(now).max(0) + 999) / 1000;
        return (S::Unhealthy, format!("{cause}; starting again in {wait} s"));
    }
    if deployment.active_since.is_some() {
        let unready = replicas.iter().any(|replica| replica.state == ReplicaState::Unready);
        if unready {
            return (S::Unhealthy, "its replica runs but does not answer its health check".into());
        }
        return (S::WakingUp, format!("waking up: {}", starting_sentence(deployment, &replicas)));
    }
    let attempt = match (&deployment.last_exit, deployment.failed_starts) {
        (Some(cause), n) if n > 0 => format!(" (attempt {}: {cause})", n + 1),
        _ => String::new(),
    };
    if replicas.iter().any(|replica| replica.state == ReplicaState::Loading) {
        return (S::LoadingModel, format!("the process runs; its model is loading{attempt}"));
    }
    (S::Deploying, format!("{}{attempt}", starting_sentence(deployment, &replicas)))
}

fn starting_sentence(deployment: &Deployment, replicas: &[&ObservedReplica]) -> String {
    let loading = replicas.iter().filter(|replica| replica.state == ReplicaState::Loading).count() as u32;
    let starting = replicas.iter().filter(|replica| replica.state == ReplicaState::Starting).count() as u32;
    match (loading, starting) {
        (0, 0) => deployment.waiting.clone().unwrap_or_else(|| "about to start its process".into()),
        (0, n) => format!("starting {}", count(n, "process")),
        (n, _) => format!("{} loading the model", count(n, "process")),
    }
}

/// `1 replica`, `2 replicas`, `2 processes`.
pub(crate) fn count(n: u32, noun: &str) -> String {
    match (n, noun.ends_with('s')) {
        (1, _) => format!("1 {noun}"),
        (_, true) => format!("{n} {noun}es"),
        (_, false) => format!("{n} {noun}s"),
    }
}

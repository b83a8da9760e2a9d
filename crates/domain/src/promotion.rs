//! A promotion: the act, and the record, of making a deployment an environment's current one (semantics: Promotion).

use serde::{Deserialize, Serialize};

use crate::{
    CleanupStrategy, Deployment, DeploymentId, DeploymentName, Environment, EnvironmentName, Evidence, Hold,
    ModelId, Position, PromotionId, Signal, Strategy, Timestamp,
};

/// The public promotion statuses, verbatim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    /// The candidate is built, started and brought to the gate; no traffic has moved.
    Releasing,
    RampingUp,
    /// A cancel moves traffic back as far as capacity permits.
    RampingDown,
    Paused,
    Succeeded,
    Failed,
    Canceled,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Releasing => "RELEASING",
            Self::RampingUp => "RAMPING_UP",
            Self::RampingDown => "RAMPING_DOWN",
            Self::Paused => "PAUSED",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
        }
    }

    pub fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }
}

/// The record of one promotion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Promotion {
    pub id: PromotionId,
    pub model: ModelId,
    pub environment: EnvironmentName,
    pub candidate: DeploymentId,
    /// What served the environment before; `None` for the first promotion.
    pub previous: Option<DeploymentId>,
    pub strategy: Strategy,
    pub cleanup: CleanupStrategy,
    pub phase: Phase,
    pub position: Position,
    /// The moment `position` was counted up to; while nothing holds it, time goes on from here.
    pub counted_at: Timestamp,
    pub started_at: Timestamp,
    pub started_by: String,
    /// When the gate was passed and traffic began to move.
    pub gate_passed_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// The gate fails after this moment.
    pub gate_deadline: Timestamp,
    /// Ready replicas the previous deployment had when traffic began to move; it keeps at least as many.
    pub previous_floor: u32,
    /// Whether it ends by itself when the candidate fails more than what it is to replace.
    #[serde(default = "crate::environment::yes")]
    pub stop_on_errors: bool,
    /// What both sides answered since traffic began to move, as it was when the position was last saved.
    #[serde(default)]
    pub evidence: Evidence,
    /// Why it does not go on, while it does not.
    pub hold: Option<Hold>,
    /// Since when no replica of the candidate has been ready.
    pub candidate_down_since: Option<Timestamp>,
    pub signal: Option<Signal>,
    /// Who sent the signal, or the last one.
    pub signal_by: Option<String>,
    /// When.
    #[serde(default)]
    pub signal_at: Option<Timestamp>,
    /// Since when it has been paused, while it is.
    #[serde(default)]
    pub paused_at: Option<Timestamp>,
    /// Why it failed or was canceled.
    pub reason: Option<String>,
    /// Written only over the version that was read.
    pub version: u64,
}

impl Promotion {
    pub fn is_running(&self) -> bool {
        !self.phase.is_over()
    }

    pub fn involves(&self, deployment: &DeploymentId) -> bool {
        self.is_running() && (&self.candidate == deployment || self.previous.as_ref() == Some(deployment))
    }

    /// Percent of the traffic that goes to the candidate as set, a whole number.
    pub fn percent(&self) -> u32 {
        match self.phase {
            Phase::Succeeded => 100,
            Phase::Failed | Phase::Canceled | Phase::Releasing => 0,
            _ if self.hold == Some(Hold::CandidateDown) => 0,
            _ => u32::from(self.position.weight().basis_points()) / 100,
        }
    }

    /// Milliseconds of the window left at full speed; `None` for a direct promotion.
    pub fn remaining_ms(&self) -> Option<i64> {
        match self.strategy {
            Strategy::Direct => None,
            Strategy::Canary { window_ms } => Some((window_ms - self.position.elapsed_ms).max(0)),
        }
    }
}

/// What a person asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionRequest {
    /// For this promotion only, in place of the environment's.
    pub strategy: Option<Strategy>,
    /// False keeps the previous deployment's replicas, whatever the environment's strategy says.
    pub scale_down_previous: bool,
}

impl Default for PromotionRequest {
    fn default() -> Self {
        Self { strategy: None, scale_down_previous: true }
    }
}

/// Which deployment becomes the candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The deployment itself.
    Itself,
    /// A copy under this name, with the same build.
    Copy { name: DeploymentName },
}

/// What beginning a promotion comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// It is the current one already; nothing changes.
    AlreadyCurrent,
    Promote {
        source: Source,
        strategy: Strategy,
        cleanup: CleanupStrategy,
        previous: Option<DeploymentId>,
    },
}

/// Decides how a promotion begins, or why it may not (semantics: Promotion, Reuse or copy).
///
/// A copy is made of the development deployment, of one that is attached to another environment, and whenever the
/// environment asks for a fresh start on each promotion.
pub fn begin(
    environment: &Environment,
    deployment: &Deployment,
    running: Option<&Promotion>,
    request: &PromotionRequest,
    now: Timestamp,
) -> Result<Begun, String> {
    if let Some(promotion) = running {
        return Err(format!(
            "Environment {} has a promotion in progress ({}, {} % of traffic); cancel it or wait until it has finished.",
            environment.name,
            promotion.phase.as_str(),
            promotion.percent()
        ));
    }
    if let Some(reason) = &deployment.failure {
        return Err(format!("{} can't be promoted: it failed to deploy: {reason}", deployment.name));
    }
    if let crate::Build::Failed { reason } = &deployment.build {
        return Err(format!("{} can't be promoted: its build failed: {reason}", deployment.name));
    }
    if let crate::Build::Stopped { .. } = &deployment.build {
        return Err(format!("{} can't be promoted: its build was stopped; retry it first", deployment.name));
    }
    let is_current = environment.current.as_ref() == Some(&deployment.id);
    if is_current && !environment.promotion.redeploy_on_promotion {
        return Ok(Begun::AlreadyCurrent);
    }
    let attached_elsewhere = deployment.environment.as_ref().is_some_and(|name| name != &environment.name);
    let copy = deployment.is_development()
        || attached_elsewhere
        || environment.promotion.redeploy_on_promotion
        || is_current;
    let source = if copy {
        Source::Copy { name: DeploymentName::copy_of(&deployment.name, now.seconds()) }
    } else {
        Source::Itself
    };
    let cleanup = if request.scale_down_previous {
        environment.promotion.promotion_cleanup_strategy
    } else {
        CleanupStrategy::Keep
    };
    Ok(Begun::Promote {
        source,
        strategy: request.strategy.unwrap_or_else(|| environment.promotion.strategy()),
        cleanup,
        previous: environment.current.clone(),
    })
}

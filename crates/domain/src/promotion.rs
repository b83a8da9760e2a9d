//! A promotion: the act, and the record, of making a deployment an environment's current one (semantics: Promotion).

use serde::{Deserialize, Serialize};

use crate::status::count;
use crate::{
    CleanupStrategy, Deployment, DeploymentId, DeploymentName, Environment, EnvironmentName,
    EnvironmentPatch, Evidence, Hold, Invalid, ModelId, Position, PromotionId, PromotionPatch,
    PromotionSettings, STAGES, Signal, Strategy, Timestamp, Weight, sides_of,
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
    /// What becomes of the environment's settings when it succeeds, if that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings_update: Option<EnvironmentPatch>,
    pub phase: Phase,
    pub position: Position,
    /// The moment `position` was counted up to; while nothing holds it, time goes on from here.
    pub counted_at: Timestamp,
    pub started_at: Timestamp,
    pub started_by: String,
    /// When the gate was passed and traffic began to move.
    pub gate_passed_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// The gate fails after this moment, and so does a step of a rolling promotion that is still waited for.
    pub gate_deadline: Timestamp,
    /// Replicas of both sides together, of a rolling promotion: what the environment's load asks for. 0 until it begins.
    #[serde(default)]
    pub total: u32,
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
    /// Why it fails, while its traffic goes back before it has.
    #[serde(default)]
    pub failing: Option<String>,
    /// Why it failed or was canceled.
    pub reason: Option<String>,
    /// Written only over the version that was read.
    pub version: u64,
}

impl Promotion {
    /// One that begins `now`: no traffic has moved, and nothing was asked of it. It replaces what the environment serves,
    /// and goes by the environment's own settings but for its strategy. Its gate fails after `gate_deadline`.
    pub fn new(
        id: PromotionId,
        environment: &Environment,
        candidate: DeploymentId,
        strategy: Strategy,
        started_by: &str,
        now: Timestamp,
        gate_deadline: Timestamp,
    ) -> Self {
        Self {
            id,
            model: environment.model.clone(),
            environment: environment.name.clone(),
            candidate,
            previous: environment.current.clone(),
            strategy,
            cleanup: environment.promotion.promotion_cleanup_strategy,
            settings_update: None,
            phase: Phase::Releasing,
            position: Position::default(),
            counted_at: now,
            started_at: now,
            started_by: started_by.to_owned(),
            gate_passed_at: None,
            ended_at: None,
            gate_deadline,
            total: 0,
            previous_floor: 0,
            stop_on_errors: environment.promotion.stop_on_errors,
            evidence: Evidence::default(),
            hold: None,
            candidate_down_since: None,
            signal: None,
            signal_by: None,
            signal_at: None,
            paused_at: None,
            failing: None,
            reason: None,
            version: 0,
        }
    }

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

    /// What went wrong, for whoever asks: why it failed, or is failing while its traffic goes back. A cancel is none.
    pub fn problem(&self) -> Option<&str> {
        let has_failed = match self.phase {
            Phase::Failed => true,
            Phase::RampingDown => self.failing.is_some(),
            _ => false,
        };
        self.reason.as_deref().filter(|_| has_failed)
    }

    /// Replicas that have moved in a rolling promotion, and of how many.
    pub fn moved(&self) -> Option<(u32, u32)> {
        let Strategy::Rolling { .. } = self.strategy else { return None };
        let moved = match self.phase {
            Phase::Succeeded => self.total,
            Phase::Failed | Phase::Canceled => 0,
            _ => sides_of(self.position.share.unwrap_or(Weight::ZERO), self.total).candidate,
        };
        Some((moved, self.total))
    }

    /// How far it is, in words: a stage, or replicas.
    pub fn step(&self) -> String {
        match self.moved() {
            Some((moved, total)) => format!("{moved} of {} moved", count(total, "replica")),
            None => format!("stage {} of {STAGES}", self.position.stage),
        }
    }

    /// Milliseconds of the window left at full speed; `None` where it is not a matter of time alone.
    pub fn remaining_ms(&self) -> Option<i64> {
        match self.strategy {
            Strategy::Direct | Strategy::Rolling { .. } => None,
            Strategy::Canary { window_ms } => Some((window_ms - self.position.elapsed_ms).max(0)),
        }
    }
}

/// What a person asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionRequest {
    /// For this promotion only, in place of what the settings come to.
    pub strategy: Option<Strategy>,
    /// For this promotion only, over the environment's own settings.
    pub settings_override: PromotionPatch,
    /// Changes to the environment's settings when the promotion succeeds; one that does not changes none.
    pub settings_update: Option<EnvironmentPatch>,
    /// False keeps the previous deployment's replicas, whatever the environment's strategy says.
    pub scale_down_previous: bool,
    /// Whether the environment keeps the instance type of its current deployment, as far as that has what the new one
    /// asks for; otherwise it gets the new one's.
    pub preserve_instance_type: bool,
}

impl Default for PromotionRequest {
    fn default() -> Self {
        Self {
            strategy: None,
            settings_override: PromotionPatch::default(),
            settings_update: None,
            scale_down_previous: true,
            preserve_instance_type: true,
        }
    }
}

impl PromotionRequest {
    /// The settings that this promotion goes by.
    ///
    /// # Errors
    /// The field of the override that is out of range and its range.
    pub fn settings(&self, environment: &Environment) -> Result<PromotionSettings, Invalid> {
        environment.promotion.patched(&self.settings_override).map_err(|invalid| {
            Invalid::new(format!("promotion_settings_override.{}", invalid.field), invalid.problem)
        })
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
/// A copy is made of the development deployment, of one that is attached to another environment, of one that is to have
/// another size (`resized`), and whenever the settings ask for a fresh start on each promotion.
pub fn begin(
    environment: &Environment,
    deployment: &Deployment,
    resized: bool,
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
    let settings = request.settings(environment).map_err(|invalid| invalid.to_string())?;
    let is_current = environment.current.as_ref() == Some(&deployment.id);
    if is_current && !settings.redeploy_on_promotion {
        return Ok(Begun::AlreadyCurrent);
    }
    let attached_elsewhere = deployment.environment.as_ref().is_some_and(|name| name != &environment.name);
    let copy = deployment.is_development()
        || attached_elsewhere
        || resized
        || settings.redeploy_on_promotion
        || is_current;
    let source = if copy {
        Source::Copy { name: DeploymentName::copy_of(&deployment.name, now.seconds()) }
    } else {
        Source::Itself
    };
    let cleanup =
        if request.scale_down_previous { settings.promotion_cleanup_strategy } else { CleanupStrategy::Keep };
    Ok(Begun::Promote {
        source,
        strategy: request.strategy.unwrap_or_else(|| settings.strategy()),
        cleanup,
        previous: environment.current.clone(),
    })
}

//! An environment: a stable address with settings of its own (semantics: Environments).

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::whole_number::RAMP_UP_DURATION;
use crate::{
    AutoscalingPatch, AutoscalingSettings, Backpressure, DeploymentId, EnvironmentName, Invalid, ModelId,
    Promotion, RollingConfig, RollingPatch, Strategy, Timestamp,
};

/// What becomes of the previous deployment when a promotion succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CleanupStrategy {
    /// Its replicas stay.
    Keep,
    /// It drains and sleeps; a request to its own address wakes it.
    #[default]
    ScaleToZero,
    /// It becomes inactive.
    Deactivate,
}

/// How promotions into an environment go, under the public names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionSettings {
    /// Each promotion starts a fresh copy.
    pub redeploy_on_promotion: bool,
    /// Replica by replica; wins over the canary.
    pub rolling_deploy: bool,
    pub promotion_cleanup_strategy: CleanupStrategy,
    pub rolling_deploy_config: Option<RollingConfig>,
    /// The canary.
    pub ramp_up_while_promoting: bool,
    /// Length of the canary's ten stages together, 0 to 604,800 seconds.
    pub ramp_up_duration_seconds: u32,
    /// A canary whose candidate fails more than the current deployment ends by itself.
    #[serde(default = "yes")]
    pub stop_on_errors: bool,
}

/// What was stored before there was a switch is watched, too.
pub(crate) fn yes() -> bool {
    true
}

impl Default for PromotionSettings {
    fn default() -> Self {
        Self {
            redeploy_on_promotion: false,
            rolling_deploy: false,
            promotion_cleanup_strategy: CleanupStrategy::default(),
            rolling_deploy_config: None,
            ramp_up_while_promoting: false,
            ramp_up_duration_seconds: 600,
            stop_on_errors: true,
        }
    }
}

/// A partial update: what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionPatch {
    pub redeploy_on_promotion: Option<bool>,
    pub rolling_deploy: Option<bool>,
    pub promotion_cleanup_strategy: Option<CleanupStrategy>,
    pub rolling_deploy_config: Option<RollingPatch>,
    pub ramp_up_while_promoting: Option<bool>,
    pub ramp_up_duration_seconds: Option<i64>,
    pub stop_on_errors: Option<bool>,
}

impl PromotionSettings {
    /// The settings after a partial update, or the field that is out of range.
    pub fn patched(&self, patch: &PromotionPatch) -> Result<Self, Invalid> {
        let rolling = match &patch.rolling_deploy_config {
            None => self.rolling_deploy_config,
            Some(patch) => Some(self.rolling_deploy_config.unwrap_or_default().patched(patch)?),
        };
        let ramp = RAMP_UP_DURATION.changed(patch.ramp_up_duration_seconds, self.ramp_up_duration_seconds)?;
        Ok(Self {
            redeploy_on_promotion: patch.redeploy_on_promotion.unwrap_or(self.redeploy_on_promotion),
            rolling_deploy: patch.rolling_deploy.unwrap_or(self.rolling_deploy),
            promotion_cleanup_strategy: patch
                .promotion_cleanup_strategy
                .unwrap_or(self.promotion_cleanup_strategy),
            rolling_deploy_config: rolling,
            ramp_up_while_promoting: patch.ramp_up_while_promoting.unwrap_or(self.ramp_up_while_promoting),
            ramp_up_duration_seconds: ramp,
            stop_on_errors: patch.stop_on_errors.unwrap_or(self.stop_on_errors),
        })
    }

    /// How a promotion under these settings carries traffic.
    pub fn strategy(&self) -> Strategy {
        if self.rolling_deploy {
            Strategy::Rolling { config: self.rolling_deploy_config.unwrap_or_default() }
        } else if self.ramp_up_while_promoting && self.ramp_up_duration_seconds > 0 {
            Strategy::Canary { window_ms: i64::from(self.ramp_up_duration_seconds) * 1000 }
        } else {
            Strategy::Direct
        }
    }
}

/// A named slot: it serves its current deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    pub model: ModelId,
    pub name: EnvironmentName,
    pub created_at: Timestamp,
    /// Nothing was promoted here yet if `None`.
    pub current: Option<DeploymentId>,
    pub autoscaling: AutoscalingSettings,
    pub promotion: PromotionSettings,
    /// What becomes of requests that find every place taken.
    #[serde(default)]
    pub backpressure: Option<Backpressure>,
    /// Version of the shares, kept so that counts per version survive a restart.
    pub shares_version: u64,
    /// Written only over the version that was read.
    pub version: u64,
}

impl Environment {
    pub fn new(model: ModelId, name: EnvironmentName, now: Timestamp) -> Self {
        Self {
            model,
            name,
            created_at: now,
            current: None,
            autoscaling: AutoscalingSettings::default(),
            promotion: PromotionSettings::default(),
            backpressure: None,
            shares_version: 0,
            version: 0,
        }
    }
}

/// A change of an environment's settings; what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EnvironmentPatch {
    pub autoscaling: AutoscalingPatch,
    pub promotion: PromotionPatch,
    /// `Some(None)` takes the choice away.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub backpressure: Option<Option<Backpressure>>,
}

/// Something that was said, be it null.
fn said<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Backpressure>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Environment {
    /// What the record keeps of its settings.
    pub fn settings(&self) -> serde_json::Value {
        json!({
            "autoscaling": self.autoscaling,
            "promotion": self.promotion,
            "backpressure": self.backpressure,
        })
    }

    /// Changes the settings.
    ///
    /// # Errors
    /// The field that is out of range and its range; nothing is changed then.
    pub fn patch(&mut self, patch: &EnvironmentPatch) -> Result<(), Invalid> {
        let autoscaling = self.autoscaling.patched(&patch.autoscaling)?;
        self.promotion = self.promotion.patched(&patch.promotion)?;
        self.autoscaling = autoscaling;
        self.backpressure = patch.backpressure.unwrap_or(self.backpressure);
        Ok(())
    }
}

/// Whether an environment may be deleted; `Err` says why not and the way out.
pub fn may_delete_environment(environment: &Environment, running: Option<&Promotion>) -> Result<(), String> {
    if environment.name.is_production() {
        return Err("`production` stays as long as its model; delete the model to delete it".into());
    }
    let _ = running; // a running promotion is canceled by the deletion, so it does not stand in the way
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_is_kept_for_later_is_read_back_as_it_was() {
        for backpressure in [None, Some(None), Some(Some(Backpressure::RejectOnFull))] {
            let patch = EnvironmentPatch {
                autoscaling: AutoscalingPatch { max_replica: Some(4), ..AutoscalingPatch::default() },
                promotion: PromotionPatch { stop_on_errors: Some(false), ..PromotionPatch::default() },
                backpressure,
            };
            let text = serde_json::to_string(&patch).unwrap();
            assert_eq!(serde_json::from_str::<EnvironmentPatch>(&text).unwrap(), patch, "{text}");
        }
    }
}

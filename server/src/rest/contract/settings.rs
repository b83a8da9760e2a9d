//! Settings of autoscaling and promotion, as they are read and as they are changed.

use domain::{AutoscalingPatch, CleanupStrategy, Invalid, PromotionPatch, RollingPatch};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AutoscalingSettings {
    /// Replicas that always run; 0 lets it scale to zero.
    #[schema(minimum = 0, maximum = 1000)]
    pub min_replica: u32,
    /// Replicas at most; not less than `min_replica`.
    #[schema(minimum = 1, maximum = 1000)]
    pub max_replica: u32,
    /// Seconds over which load is averaged.
    #[schema(minimum = 10, maximum = 3600)]
    pub autoscaling_window: u32,
    /// Seconds that load must stay low before replicas are removed.
    #[schema(minimum = 0, maximum = 3600)]
    pub scale_down_delay: u32,
    /// Requests that one replica takes at once.
    #[schema(minimum = 1, maximum = 1000000)]
    pub concurrency_target: u32,
    /// Percent of the target that is aimed at.
    #[schema(minimum = 1, maximum = 100)]
    pub target_utilization_percentage: u32,
    /// Always null.
    #[schema(required)]
    pub target_in_flight_tokens: Option<u32>,
    /// Percent of the running replicas that one step may remove.
    #[schema(minimum = 1, maximum = 50)]
    pub max_scale_down_rate: u32,
}

impl From<&domain::AutoscalingSettings> for AutoscalingSettings {
    fn from(settings: &domain::AutoscalingSettings) -> Self {
        Self {
            min_replica: settings.min_replica,
            max_replica: settings.max_replica,
            autoscaling_window: settings.autoscaling_window,
            scale_down_delay: settings.scale_down_delay,
            concurrency_target: settings.concurrency_target,
            target_utilization_percentage: settings.target_utilization_percentage,
            target_in_flight_tokens: None,
            max_scale_down_rate: settings.max_scale_down_rate,
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateAutoscaling {
    /// Replicas that always run; 0 lets it scale to zero.
    #[schema(minimum = 0, maximum = 1000)]
    pub min_replica: Option<i64>,
    /// Replicas at most; not less than `min_replica`.
    #[schema(minimum = 1, maximum = 1000)]
    pub max_replica: Option<i64>,
    /// Seconds over which load is averaged.
    #[schema(minimum = 10, maximum = 3600)]
    pub autoscaling_window: Option<i64>,
    /// Seconds that load must stay low before replicas are removed.
    #[schema(minimum = 0, maximum = 3600)]
    pub scale_down_delay: Option<i64>,
    /// Requests that one replica takes at once.
    #[schema(minimum = 1, maximum = 1000000)]
    pub concurrency_target: Option<i64>,
    /// Percent of the target that is aimed at.
    #[schema(minimum = 1, maximum = 100)]
    pub target_utilization_percentage: Option<i64>,
    /// Not available; refused unless null.
    pub target_in_flight_tokens: Option<i64>,
    /// Percent of the running replicas that one step may remove.
    #[schema(minimum = 1, maximum = 50)]
    pub max_scale_down_rate: Option<i64>,
}

impl TryFrom<UpdateAutoscaling> for AutoscalingPatch {
    type Error = Invalid;

    fn try_from(update: UpdateAutoscaling) -> Result<Self, Invalid> {
        if update.target_in_flight_tokens.is_some() {
            return Err(Invalid::new("target_in_flight_tokens", "is not available; use concurrency_target"));
        }
        Ok(Self {
            min_replica: update.min_replica,
            max_replica: update.max_replica,
            autoscaling_window: update.autoscaling_window,
            scale_down_delay: update.scale_down_delay,
            concurrency_target: update.concurrency_target,
            target_utilization_percentage: update.target_utilization_percentage,
            max_scale_down_rate: update.max_scale_down_rate,
        })
    }
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PromotionSettings {
    /// Promote a copy, always.
    pub redeploy_on_promotion: bool,
    /// Replace replica by replica; goes before `ramp_up_while_promoting`.
    pub rolling_deploy: bool,
    #[schema(value_type = words::PromotionCleanupStrategy)]
    pub promotion_cleanup_strategy: CleanupStrategy,
    #[schema(required)]
    pub rolling_deploy_config: Option<RollingConfig>,
    /// Move traffic in ten stages: a canary.
    pub ramp_up_while_promoting: bool,
    /// Seconds that a canary takes; 0 is a direct promotion.
    pub ramp_up_duration_seconds: u32,
    /// Move traffic back if the candidate fails more than what it is to replace.
    pub stop_on_errors: bool,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RollingConfig {
    #[schema(value_type = words::RollingDeployStrategy)]
    pub rolling_deploy_strategy: &'static str,
    /// Percent of the replicas that a step adds before it removes any; 0 if `max_unavailable_percent` is not.
    #[schema(minimum = 0, maximum = 50)]
    pub max_surge_percent: u32,
    /// Percent of the replicas that a step removes before it adds any; 0 if `max_surge_percent` is not.
    #[schema(minimum = 0, maximum = 50)]
    pub max_unavailable_percent: u32,
    /// Seconds after each shift of traffic before the next step.
    #[schema(minimum = 0, maximum = 3600)]
    pub stabilization_time_seconds: u32,
    /// Percent of the replicas that run beside the others until the end.
    #[schema(minimum = 0, maximum = 500)]
    pub replica_overhead_percent: u32,
}

impl From<&domain::PromotionSettings> for PromotionSettings {
    fn from(settings: &domain::PromotionSettings) -> Self {
        Self {
            redeploy_on_promotion: settings.redeploy_on_promotion,
            rolling_deploy: settings.rolling_deploy,
            promotion_cleanup_strategy: settings.promotion_cleanup_strategy,
            rolling_deploy_config: settings.rolling_deploy_config.as_ref().map(|rolling| RollingConfig {
                rolling_deploy_strategy: "REPLICA",
                max_surge_percent: rolling.max_surge_percent,
                max_unavailable_percent: rolling.max_unavailable_percent,
                stabilization_time_seconds: rolling.stabilization_time_seconds,
                replica_overhead_percent: rolling.replica_overhead_percent,
            }),
            ramp_up_while_promoting: settings.ramp_up_while_promoting,
            ramp_up_duration_seconds: settings.ramp_up_duration_seconds,
            stop_on_errors: settings.stop_on_errors,
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdatePromotion {
    /// Promote a copy, always.
    pub redeploy_on_promotion: Option<bool>,
    /// Replace replica by replica; goes before `ramp_up_while_promoting`.
    pub rolling_deploy: Option<bool>,
    #[schema(value_type = Option<words::PromotionCleanupStrategy>)]
    pub promotion_cleanup_strategy: Option<CleanupStrategy>,
    pub rolling_deploy_config: Option<UpdateRolling>,
    /// Move traffic in ten stages: a canary.
    pub ramp_up_while_promoting: Option<bool>,
    /// Seconds that a canary takes; 0 is a direct promotion.
    #[schema(minimum = 0, maximum = 604800)]
    pub ramp_up_duration_seconds: Option<i64>,
    /// Move traffic back if the candidate fails more than what it is to replace.
    pub stop_on_errors: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateRolling {
    #[schema(value_type = Option<words::RollingDeployStrategy>)]
    pub rolling_deploy_strategy: Option<String>,
    /// Percent of the replicas that a step adds before it removes any; 0 if `max_unavailable_percent` is not.
    #[schema(minimum = 0, maximum = 50)]
    pub max_surge_percent: Option<i64>,
    /// Percent of the replicas that a step removes before it adds any; 0 if `max_surge_percent` is not.
    #[schema(minimum = 0, maximum = 50)]
    pub max_unavailable_percent: Option<i64>,
    /// Seconds after each shift of traffic before the next step.
    #[schema(minimum = 0, maximum = 3600)]
    pub stabilization_time_seconds: Option<i64>,
    /// Percent of the replicas that run beside the others until the end.
    #[schema(minimum = 0, maximum = 500)]
    pub replica_overhead_percent: Option<i64>,
}

impl TryFrom<UpdateRolling> for RollingPatch {
    type Error = Invalid;

    fn try_from(update: UpdateRolling) -> Result<Self, Invalid> {
        if let Some(other) = update.rolling_deploy_strategy.filter(|name| name != "REPLICA") {
            let problem = format!("`{other}` is not a strategy; the only one is `REPLICA`");
            return Err(Invalid::new("rolling_deploy_config.rolling_deploy_strategy", problem));
        }
        Ok(Self {
            max_surge_percent: update.max_surge_percent,
            max_unavailable_percent: update.max_unavailable_percent,
            stabilization_time_seconds: update.stabilization_time_seconds,
            replica_overhead_percent: update.replica_overhead_percent,
        })
    }
}

impl TryFrom<UpdatePromotion> for PromotionPatch {
    type Error = Invalid;

    fn try_from(update: UpdatePromotion) -> Result<Self, Invalid> {
        Ok(Self {
            redeploy_on_promotion: update.redeploy_on_promotion,
            rolling_deploy: update.rolling_deploy,
            promotion_cleanup_strategy: update.promotion_cleanup_strategy,
            rolling_deploy_config: update.rolling_deploy_config.map(RollingPatch::try_from).transpose()?,
            ramp_up_while_promoting: update.ramp_up_while_promoting,
            ramp_up_duration_seconds: update.ramp_up_duration_seconds,
            stop_on_errors: update.stop_on_errors,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_available_is_refused_by_name() {
        let text = r#"{"rolling_deploy_config": {"rolling_deploy_strategy": "TRAFFIC"}}"#;
        let update: UpdatePromotion = serde_json::from_str(text).unwrap();
        let refusal = PromotionPatch::try_from(update).unwrap_err();
        assert_eq!(refusal.field, "rolling_deploy_config.rolling_deploy_strategy");
        let update: UpdateAutoscaling = serde_json::from_str(r#"{"target_in_flight_tokens": 3}"#).unwrap();
        assert_eq!(AutoscalingPatch::try_from(update).unwrap_err().field, "target_in_flight_tokens");
    }

    #[test]
    fn explicit_nulls_leave_things_as_they_are() {
        let update: UpdateAutoscaling =
            serde_json::from_str(r#"{"min_replica": null, "target_in_flight_tokens": null}"#).unwrap();
        assert_eq!(AutoscalingPatch::try_from(update).unwrap(), AutoscalingPatch::default());
    }
}

//! Settings of environments and deployments. What a form leaves out is unchanged, except that an
//! unchecked box is sent as nothing: those fields default to off.

use leptos::prelude::*;

use super::sent::{Checkbox, Digits};
use crate::error::AppError;
use crate::view::Done;

#[cfg(feature = "ssr")]
use {
    super::door::*,
    super::sent::{checked, number},
    crate::window::parse_length,
    domain::*,
};

/// How promotions into an environment go. `ramp_up_duration` is like a window: `10m`, `600`.
/// Of `max_surge_percent` and `max_unavailable_percent` one is 0.
#[server(prefix = "/api/ui", endpoint = "update_promotion_settings")]
pub async fn update_promotion_settings(
    model_id: String,
    environment: String,
    ramp_up_while_promoting: Option<Checkbox>,
    ramp_up_duration: String,
    promotion_cleanup_strategy: String,
    rolling_deploy: Option<Checkbox>,
    max_surge_percent: Option<Digits>,
    max_unavailable_percent: Option<Digits>,
    stabilization_time_seconds: Option<Digits>,
    replica_overhead_percent: Option<Digits>,
    redeploy_on_promotion: Option<Checkbox>,
    stop_on_errors: Option<Checkbox>,
) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let environment = EnvironmentName::new(environment)?;
            let cleanup = match promotion_cleanup_strategy.as_str() {
                "KEEP" => CleanupStrategy::Keep,
                "SCALE_TO_ZERO" => CleanupStrategy::ScaleToZero,
                "DEACTIVATE" => CleanupStrategy::Deactivate,
                other => {
                    let message = format!("`{other}` is not one of KEEP, SCALE_TO_ZERO, DEACTIVATE");
                    return Err(AppError::invalid("promotion_cleanup_strategy", message));
                }
            };
            let rolling = rolling(
                max_surge_percent,
                max_unavailable_percent,
                stabilization_time_seconds,
                replica_overhead_percent,
            )?;
            let patch = PromotionPatch {
                redeploy_on_promotion: Some(checked("redeploy_on_promotion", redeploy_on_promotion)?),
                rolling_deploy: Some(checked("rolling_deploy", rolling_deploy)?),
                rolling_deploy_config: rolling,
                promotion_cleanup_strategy: Some(cleanup),
                ramp_up_while_promoting: Some(checked("ramp_up_while_promoting", ramp_up_while_promoting)?),
                ramp_up_duration_seconds: Some(ramp_up(&ramp_up_duration)?),
                stop_on_errors: Some(checked("stop_on_errors", stop_on_errors)?),
            };
            door.backend.update_promotion_settings(&door.session, &model, &environment, patch).await
        }
        .await,
    )
}

/// The fields of a rolling deployment that a form has; `None` if it has none of them.
#[cfg(feature = "ssr")]
pub(super) fn rolling(
    max_surge_percent: Option<Digits>,
    max_unavailable_percent: Option<Digits>,
    stabilization_time_seconds: Option<Digits>,
    replica_overhead_percent: Option<Digits>,
) -> Result<Option<RollingPatch>, AppError> {
    let patch = RollingPatch {
        max_surge_percent: number("max_surge_percent", max_surge_percent)?,
        max_unavailable_percent: number("max_unavailable_percent", max_unavailable_percent)?,
        stabilization_time_seconds: number("stabilization_time_seconds", stabilization_time_seconds)?,
        replica_overhead_percent: number("replica_overhead_percent", replica_overhead_percent)?,
    };
    Ok((patch != RollingPatch::default()).then_some(patch))
}

/// How long a ramp takes, in seconds. Whether it may be that long is the domain's to say.
#[cfg(feature = "ssr")]
pub(super) fn ramp_up(sent: &str) -> Result<i64, AppError> {
    let seconds = parse_length(sent).map_err(|problem| AppError::invalid("ramp_up_duration", problem))?;
    Ok(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// The fields of a form for autoscaling, as they were sent.
#[cfg(feature = "ssr")]
struct SentAutoscaling {
    min_replica: Option<Digits>,
    max_replica: Option<Digits>,
    autoscaling_window: Option<Digits>,
    scale_down_delay: Option<Digits>,
    max_scale_down_rate: Option<Digits>,
    concurrency_target: Option<Digits>,
    target_utilization_percentage: Option<Digits>,
}

#[cfg(feature = "ssr")]
impl SentAutoscaling {
    /// What they ask for, or the field that is no whole number.
    fn patch(self) -> Result<AutoscalingPatch, AppError> {
        let utilization = self.target_utilization_percentage;
        Ok(AutoscalingPatch {
            min_replica: number("min_replica", self.min_replica)?,
            max_replica: number("max_replica", self.max_replica)?,
            autoscaling_window: number("autoscaling_window", self.autoscaling_window)?,
            scale_down_delay: number("scale_down_delay", self.scale_down_delay)?,
            concurrency_target: number("concurrency_target", self.concurrency_target)?,
            target_utilization_percentage: number("target_utilization_percentage", utilization)?,
            max_scale_down_rate: number("max_scale_down_rate", self.max_scale_down_rate)?,
        })
    }
}

/// How many replicas whatever an environment serves runs, and when that changes. What is left out stays.
#[server(prefix = "/api/ui", endpoint = "update_environment_autoscaling")]
pub async fn update_environment_autoscaling(
    model_id: String,
    environment: String,
    min_replica: Option<Digits>,
    max_replica: Option<Digits>,
    autoscaling_window: Option<Digits>,
    scale_down_delay: Option<Digits>,
    max_scale_down_rate: Option<Digits>,
    concurrency_target: Option<Digits>,
    target_utilization_percentage: Option<Digits>,
) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let environment = EnvironmentName::new(environment)?;
            let sent = SentAutoscaling {
                min_replica,
                max_replica,
                autoscaling_window,
                scale_down_delay,
                max_scale_down_rate,
                concurrency_target,
                target_utilization_percentage,
            };
            let patch = sent.patch()?;
            door.backend.update_environment_autoscaling(&door.session, &model, &environment, patch).await
        }
        .await,
    )
}

/// How many replicas a deployment runs, and when that changes. What is left out stays.
#[server(prefix = "/api/ui", endpoint = "update_autoscaling")]
pub async fn update_autoscaling(
    model_id: String,
    deployment_id: String,
    min_replica: Option<Digits>,
    max_replica: Option<Digits>,
    autoscaling_window: Option<Digits>,
    scale_down_delay: Option<Digits>,
    max_scale_down_rate: Option<Digits>,
    concurrency_target: Option<Digits>,
    target_utilization_percentage: Option<Digits>,
) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let deployment = DeploymentId::new(parse_id("deployment_id", &deployment_id)?);
            let sent = SentAutoscaling {
                min_replica,
                max_replica,
                autoscaling_window,
                scale_down_delay,
                max_scale_down_rate,
                concurrency_target,
                target_utilization_percentage,
            };
            let patch = sent.patch()?;
            door.backend.update_autoscaling(&door.session, &model, &deployment, patch).await
        }
        .await,
    )
}

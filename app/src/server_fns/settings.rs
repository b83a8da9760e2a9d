//! Settings of environments and deployments. What a form leaves out is unchanged, except that an
//! unchecked box is sent as nothing: those fields default to off.

use leptos::prelude::*;

use crate::error::AppError;
use crate::view::Done;

#[cfg(feature = "ssr")]
use {super::door::*, crate::window::parse_window, domain::*};

/// How promotions into an environment go. `ramp_up_duration` is like a window: `10m`, `600`.
/// Of `max_surge_percent` and `max_unavailable_percent` one is 0.
#[server(prefix = "/api/ui", endpoint = "update_promotion_settings")]
pub async fn update_promotion_settings(
    model_id: String,
    environment: String,
    #[server(default)] ramp_up_while_promoting: bool,
    ramp_up_duration: String,
    promotion_cleanup_strategy: String,
    #[server(default)] rolling_deploy: bool,
    max_surge_percent: Option<i64>,
    max_unavailable_percent: Option<i64>,
    stabilization_time_seconds: Option<i64>,
    replica_overhead_percent: Option<i64>,
    #[server(default)] redeploy_on_promotion: bool,
    #[server(default)] stop_on_errors: bool,
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
            );
            let patch = PromotionPatch {
                redeploy_on_promotion: Some(redeploy_on_promotion),
                rolling_deploy: Some(rolling_deploy),
                rolling_deploy_config: rolling,
                promotion_cleanup_strategy: Some(cleanup),
                ramp_up_while_promoting: Some(ramp_up_while_promoting),
                ramp_up_duration_seconds: Some(i64::from(parse_window(&ramp_up_duration)?)),
                stop_on_errors: Some(stop_on_errors),
            };
            door.backend.update_promotion_settings(&door.session, &model, &environment, patch).await
        }
        .await,
    )
}

/// The fields of a rolling deployment that a form has; `None` if it has none of them.
#[cfg(feature = "ssr")]
pub(super) fn rolling(
    max_surge_percent: Option<i64>,
    max_unavailable_percent: Option<i64>,
    stabilization_time_seconds: Option<i64>,
    replica_overhead_percent: Option<i64>,
) -> Option<RollingPatch> {
    let patch = RollingPatch {
        max_surge_percent,
        max_unavailable_percent,
        stabilization_time_seconds,
        replica_overhead_percent,
    };
    (patch != RollingPatch::default()).then_some(patch)
}

/// How many replicas whatever an environment serves runs, and when that changes. What is left out stays.
#[server(prefix = "/api/ui", endpoint = "update_environment_autoscaling")]
pub async fn update_environment_autoscaling(
    model_id: String,
    environment: String,
    min_replica: Option<i64>,
    max_replica: Option<i64>,
    autoscaling_window: Option<i64>,
    scale_down_delay: Option<i64>,
    max_scale_down_rate: Option<i64>,
    concurrency_target: Option<i64>,
    target_utilization_percentage: Option<i64>,
) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let environment = EnvironmentName::new(environment)?;
            let patch = AutoscalingPatch {
                min_replica,
                max_replica,
                autoscaling_window,
                scale_down_delay,
                concurrency_target,
                target_utilization_percentage,
                max_scale_down_rate,
            };
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
    min_replica: Option<i64>,
    max_replica: Option<i64>,
    autoscaling_window: Option<i64>,
    scale_down_delay: Option<i64>,
    max_scale_down_rate: Option<i64>,
    concurrency_target: Option<i64>,
    target_utilization_percentage: Option<i64>,
) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let deployment = DeploymentId::new(parse_id("deployment_id", &deployment_id)?);
            let patch = AutoscalingPatch {
                min_replica,
                max_replica,
                autoscaling_window,
                scale_down_delay,
                concurrency_target,
                target_utilization_percentage,
                max_scale_down_rate,
            };
            door.backend.update_autoscaling(&door.session, &model, &deployment, patch).await
        }
        .await,
    )
}

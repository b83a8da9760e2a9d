//! Settings of environments and deployments. What a form leaves out is unchanged, except that an
//! unchecked box is sent as nothing: those fields default to off.

use leptos::prelude::*;

use crate::error::AppError;
use crate::view::Done;

#[cfg(feature = "ssr")]
use {super::door::*, crate::window::parse_window, domain::*};

/// A whole number as it was sent. As an `i64`, one that can't be read would be refused without its name and its range.
pub(super) type Digits = String;

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
    max_surge_percent: Option<Digits>,
    max_unavailable_percent: Option<Digits>,
    stabilization_time_seconds: Option<Digits>,
    replica_overhead_percent: Option<Digits>,
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
            )?;
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

/// The setting of this name, if it was sent. Whether it may be this number is the domain's to say.
#[cfg(feature = "ssr")]
pub(super) fn number(name: &str, sent: Option<Digits>) -> Result<Option<i64>, AppError> {
    let refused = || {
        let wanted = WholeNumber::setting(name).map(|number| number.to_string());
        let wanted = wanted.unwrap_or_else(|| "a whole number".into());
        AppError::invalid(name, format!("has to be {wanted}, written in digits"))
    };
    // A field that was left empty was not sent.
    let sent = sent.filter(|text| !text.is_empty());
    sent.map(|text| text.parse::<i64>().map_err(|_| refused())).transpose()
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
            let patch = AutoscalingPatch {
                min_replica: number("min_replica", min_replica)?,
                max_replica: number("max_replica", max_replica)?,
                autoscaling_window: number("autoscaling_window", autoscaling_window)?,
                scale_down_delay: number("scale_down_delay", scale_down_delay)?,
                concurrency_target: number("concurrency_target", concurrency_target)?,
                target_utilization_percentage: number(
                    "target_utilization_percentage",
                    target_utilization_percentage,
                )?,
                max_scale_down_rate: number("max_scale_down_rate", max_scale_down_rate)?,
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
            let patch = AutoscalingPatch {
                min_replica: number("min_replica", min_replica)?,
                max_replica: number("max_replica", max_replica)?,
                autoscaling_window: number("autoscaling_window", autoscaling_window)?,
                scale_down_delay: number("scale_down_delay", scale_down_delay)?,
                concurrency_target: number("concurrency_target", concurrency_target)?,
                target_utilization_percentage: number(
                    "target_utilization_percentage",
                    target_utilization_percentage,
                )?,
                max_scale_down_rate: number("max_scale_down_rate", max_scale_down_rate)?,
            };
            door.backend.update_autoscaling(&door.session, &model, &deployment, patch).await
        }
        .await,
    )
}

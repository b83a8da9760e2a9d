//! What people do to environments as wholes.

use leptos::prelude::*;

use super::sent::{Checkbox, Digits};
use crate::error::AppError;
use crate::view::Done;

#[cfg(feature = "ssr")]
use {
    super::door::*,
    super::sent::{checked, number},
    super::settings::{ramp_up, rolling},
    domain::*,
};

/// Adds an environment to a model. Settings that are left out have their defaults; `ramp_up_duration` is like a
/// window: `10m`, `600`. An admin may restrict environments of its name, with `people` by their ids.
#[server(prefix = "/api/ui", endpoint = "create_environment")]
pub async fn create_environment(
    model_id: String,
    name: String,
    min_replica: Option<Digits>,
    max_replica: Option<Digits>,
    ramp_up_while_promoting: Option<Checkbox>,
    #[server(default)] ramp_up_duration: String,
    rolling_deploy: Option<Checkbox>,
    max_surge_percent: Option<Digits>,
    max_unavailable_percent: Option<Digits>,
    stabilization_time_seconds: Option<Digits>,
    replica_overhead_percent: Option<Digits>,
    restricted: Option<Checkbox>,
    #[server(default)] people: Vec<String>,
) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let rolling = rolling(
                max_surge_percent,
                max_unavailable_percent,
                stabilization_time_seconds,
                replica_overhead_percent,
            )?;
            let autoscaling = AutoscalingPatch {
                min_replica: number("min_replica", min_replica)?,
                max_replica: number("max_replica", max_replica)?,
                ..AutoscalingPatch::default()
            };
            let window = match ramp_up_duration.trim() {
                "" => None,
                window => Some(ramp_up(window)?),
            };
            let promotion = PromotionPatch {
                ramp_up_while_promoting: Some(checked("ramp_up_while_promoting", ramp_up_while_promoting)?),
                ramp_up_duration_seconds: window,
                rolling_deploy: Some(checked("rolling_deploy", rolling_deploy)?),
                rolling_deploy_config: rolling,
                ..PromotionPatch::default()
            };
            // People without a restriction are refused rather than forgotten.
            let users = (!people.is_empty()).then(|| people.into_iter().map(PersonId::new).collect());
            let restricted = checked("restricted", restricted)?;
            let access =
                (restricted || users.is_some()).then_some(Access { is_restricted: restricted, users });
            let backend = door.backend;
            backend
                .create_environment(&door.session, &model, name.trim(), autoscaling, promotion, access)
                .await
        }
        .await,
    )
}

/// Says who may change the environments of a name, in every model: only admins and `people`, by their ids, if it is
/// `restricted`; else whoever may deploy, whatever people are named.
#[server(prefix = "/api/ui", endpoint = "restrict_environment")]
pub async fn restrict_environment(
    environment: String,
    restricted: Option<Checkbox>,
    #[server(default)] people: Vec<String>,
) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let environment = EnvironmentName::new(environment)?;
            let restricted = checked("restricted", restricted)?;
            let users = restricted.then(|| people.into_iter().map(PersonId::new).collect());
            let access = Access { is_restricted: restricted, users };
            door.backend.restrict_environment(&door.session, &environment, access).await
        }
        .await,
    )
}

/// Activates what an environment serves.
#[server(prefix = "/api/ui", endpoint = "activate_environment")]
pub async fn activate_environment(model_id: String, environment: String) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let environment = EnvironmentName::new(environment)?;
            door.backend.activate_environment(&door.session, &model, &environment).await
        }
        .await,
    )
}

/// Frees the compute of what an environment serves and keeps its settings; requests to it answer 404 meanwhile.
#[server(prefix = "/api/ui", endpoint = "deactivate_environment")]
pub async fn deactivate_environment(model_id: String, environment: String) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let environment = EnvironmentName::new(environment)?;
            door.backend.deactivate_environment(&door.session, &model, &environment).await
        }
        .await,
    )
}

/// Deletes an environment for good; what served it sleeps and stays. `confirm` must be its name.
#[server(prefix = "/api/ui", endpoint = "delete_environment")]
pub async fn delete_environment(
    model_id: String,
    environment: String,
    #[server(default)] confirm: String,
) -> Result<Done, AppError> {
    let to = format!("/models/{model_id}");
    let result = async {
        let door = door().await?;
        let model = ModelId::new(parse_id("model_id", &model_id)?);
        let environment = EnvironmentName::new(environment)?;
        door.backend.delete_environment(&door.session, &model, &environment, confirm.trim()).await
    }
    .await;
    // Its own page is gone, so the form does not go back there.
    if result.is_ok() {
        leave_for(&to)
    }
    close(result)
}

/// Sends a hundred requests with the model's example input to an environment, over twenty seconds.
#[server(prefix = "/api/ui", endpoint = "send_sample_traffic")]
pub async fn send_sample_traffic(model_id: String, environment: String) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let environment = EnvironmentName::new(environment)?;
            door.backend.send_sample_traffic(&door.session, &model, &environment).await
        }
        .await,
    )
}

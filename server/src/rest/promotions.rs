//! Promotions: begin, and controls of a running one.

use super::contract::{
    Deployment, EnvironmentSettingsUpdate, PromoteDeployment, PromoteToEnvironment, PromotionCanceled,
    SignalSent, UpdatePromotion,
};
use super::*;
use domain::{DeploymentId, EnvironmentName, PromotionPatch, PromotionRequest, Signal, parse_id};

use super::body::Json;
use crate::picture::Picture;

pub fn routes() -> Vec<Route> {
    macro_rules! below {
        ($rest:literal) => {
            concat!("/models/{model_id}/environments/{env_name}", $rest)
        };
    }
    vec![
        Route::post(
            "/models/{model_id}/deployments/{deployment_id}/promote",
            promote_to_production,
            "Promote a deployment to production",
        )
        .says("Answers the candidate: the deployment itself, or a copy of it.")
        .body::<PromoteDeployment>()
        .answers::<Deployment>(),
        Route::post(below!("/promote"), promote_to_environment, "Promote a deployment to an environment")
            .says("Answers the candidate: the deployment itself, or a copy of it.")
            .body::<PromoteToEnvironment>()
            .answers::<Deployment>(),
        Route::post(below!("/cancel_promotion"), cancel, "Cancel the running promotion")
            .says("A canary's traffic is back before the answer; a rolling promotion goes back step by step.")
            .answers::<PromotionCanceled>(),
        Route::post(below!("/force_cancel_promotion"), force_cancel, "Cancel the running promotion at once")
            .answers::<SignalSent>(),
        Route::post(below!("/pause_promotion"), pause, "Pause the running promotion")
            .says("Its share of traffic stays as it is, and no time counts.")
            .answers::<SignalSent>(),
        Route::post(below!("/resume_promotion"), resume, "Resume a paused promotion").answers::<SignalSent>(),
        Route::post(
            below!("/force_roll_forward_promotion"),
            force_roll_forward,
            "Send all traffic to the candidate now",
        )
        .answers::<SignalSent>(),
    ]
}

/// What both bodies come to.
struct Promote {
    environment: EnvironmentName,
    deployment: DeploymentId,
    scale_down_previous: bool,
    preserve_instance_type: bool,
    settings: Option<EnvironmentSettingsUpdate>,
    only_now: Option<UpdatePromotion>,
}

pub async fn promote_to_production(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
    Json(body): Json<PromoteDeployment>,
) -> Answer {
    let (picture, deployment) = deployments::find(&api, &actor, &model, &deployment).await?;
    let promote = Promote {
        environment: ids::environment(domain::PRODUCTION)?,
        deployment,
        scale_down_previous: body.scale_down_previous_production,
        preserve_instance_type: body.preserve_env_instance_type,
        settings: body.environment_settings_update,
        only_now: body.promotion_settings_override,
    };
    begin(&api, &actor, picture, promote).await
}

pub async fn promote_to_environment(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, environment)): Below,
    Json(body): Json<PromoteToEnvironment>,
) -> Answer {
    let (picture, environment) = environments::find(&api, &actor, &model, &environment).await?;
    let deployment =
        parse_id("deployment_id", &body.deployment_id).map_err(|invalid| error::invalid(&invalid))?;
    let promote = Promote {
        environment,
        deployment: DeploymentId::new(deployment),
        scale_down_previous: body.scale_down_previous_deployment,
        preserve_instance_type: body.preserve_env_instance_type,
        settings: body.environment_settings_update,
        only_now: body.promotion_settings_override,
    };
    begin(&api, &actor, picture, promote).await
}

/// Answers the deployment that becomes the candidate, which may be a copy.
async fn begin(api: &Api, actor: &Actor, picture: Picture, promote: Promote) -> Answer {
    let refused = |invalid: domain::Invalid| error::invalid(&invalid);
    let model = picture.model.id.clone();
    let request = PromotionRequest {
        strategy: None,
        settings_override: PromotionPatch::try_from(promote.only_now.unwrap_or_default()).map_err(refused)?,
        settings_update: promote
            .settings
            .map(EnvironmentSettingsUpdate::patch)
            .transpose()
            .map_err(refused)?,
        scale_down_previous: promote.scale_down_previous,
        preserve_instance_type: promote.preserve_instance_type,
    };
    let candidate = api
        .control
        .promote(actor, &model, &promote.deployment, &promote.environment, request)
        .await
        .map_err(|error| failure(&error))?;
    let picture = api.picture(actor, &model, std::slice::from_ref(&candidate)).await;
    let picture = picture.map_err(|error| failure(&error))?;
    let found = picture.deployment(&candidate).ok_or_else(|| {
        answer::error(StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND", "the deployment was deleted meanwhile")
    })?;
    Ok(answer::ok(&deployments::shape(api, &picture, found)))
}

pub async fn cancel(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, environment)): Below,
) -> Answer {
    let (picture, name) = environments::find(&api, &actor, &model, &environment).await?;
    let canceled = api
        .control
        .cancel_promotion(&actor, &picture.model.id, &name)
        .await
        .map_err(|error| failure(&error))?;
    let (status, message) = if canceled.is_over() {
        ("CANCELED", format!("all traffic of {name} is with its current deployment"))
    } else {
        ("RAMPING_DOWN", format!("traffic of {name} goes back as fast as ready replicas permit"))
    };
    Ok(answer::ok(&PromotionCanceled { status, message }))
}

pub async fn force_cancel(api: State<Arc<Api>>, caller: Caller, path: Below) -> Answer {
    send(api, caller, path, Signal::ForceCancel).await
}

pub async fn pause(api: State<Arc<Api>>, caller: Caller, path: Below) -> Answer {
    send(api, caller, path, Signal::Pause).await
}

pub async fn resume(api: State<Arc<Api>>, caller: Caller, path: Below) -> Answer {
    send(api, caller, path, Signal::Resume).await
}

pub async fn force_roll_forward(api: State<Arc<Api>>, caller: Caller, path: Below) -> Answer {
    send(api, caller, path, Signal::RollForward).await
}

async fn send(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, environment)): Below,
    signal: Signal,
) -> Answer {
    let (picture, name) = environments::find(&api, &actor, &model, &environment).await?;
    api.control
        .signal_promotion(&actor, &picture.model.id, &name, signal)
        .await
        .map_err(|error| failure(&error))?;
    Ok(answer::ok(&SignalSent { success: true }))
}

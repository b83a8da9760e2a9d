//! Pushes by REST: leave to upload an archive, and then a deployment made of it.

use super::contract::{
    CreateDeployment, CreateModel, CreatedDeployment, Credentials, Payload, PrepareUpload, UploadPlace,
};
use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control::{Push, PushTarget};
use domain::{AutoscalingPatch, Invalid, PromotionPatch};
use serde_json::Value;

use super::body::Json;
use super::contract::TEAM;
use crate::live::REST_WAITS;
use crate::picture::Picture;

/// What is told of a push that takes longer than clients wait.
const GOES_ON: &str =
    "the archive is still being unpacked, which goes on; send the same again to hear what comes of it";

pub fn routes() -> Vec<Route> {
    let text = "The archive is what `GET /v1/blobs/credentials/model` or `POST /v1/prepare_model_upload` gave leave to upload.";
    vec![
        Route::get("/blobs/credentials/model", credentials, "Get leave to upload an archive")
            .says("For an S3 client with `s3_endpoint_url` as its endpoint; good for one archive within six hours.")
            .answers::<Credentials>(),
        Route::post("/prepare_model_upload", prepare, "Check a push, and get leave to upload its archive")
            .says("With `dry_run` it is only checked, and every field of the answer is null.")
            .body::<PrepareUpload>()
            .answers::<UploadPlace>()
            .fails(404),
        Route::post("/models", create, "Push a new model").says(text).body::<CreateModel>().answers::<CreatedDeployment>().fails(503),
        Route::post("/teams/{team_id}/models", create_in_team, "Push a new model into a team")
            .says(text)
            .body::<CreateModel>()
            .answers::<CreatedDeployment>()
            .fails(503),
        Route::post("/models/{model_id}/deployments", add, "Push another deployment of a model")
            .says(text)
            .body::<CreateDeployment>()
            .answers::<CreatedDeployment>()
            .fails(503),
    ]
}

async fn credentials(State(api): State<Arc<Api>>, Extension(actor): Caller) -> Answer {
    let upload = api.control.begin_upload(&actor).await.map_err(|error| failure(&error))?;
    Ok(answer::ok(&Credentials::new(upload, &api.public_url)))
}

async fn prepare(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Json(body): Json<PrepareUpload>,
) -> Answer {
    identity::team_is_ours(body.team_id.as_deref())?;
    let target = match (body.name, body.model_id) {
        (Some(name), None) => new_model(&body.deployment, name),
        (None, Some(model)) => version(&body.deployment, &picture(&api, &actor, &model).await?),
        _ => return Err(refused("name", "give exactly one of name and model_id")),
    };
    let push = push(body.deployment, target, None, true)?;
    api.control.check_push(&actor, &push).await.map_err(|error| failure(&error))?;
    if body.dry_run {
        return Ok(answer::ok(&UploadPlace::none()));
    }
    let upload = api.control.begin_upload(&actor).await.map_err(|error| failure(&error))?;
    Ok(answer::ok(&UploadPlace::new(upload, &api.public_url)))
}

async fn create(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Json(body): Json<CreateModel>,
) -> Answer {
    let source = body.source;
    is_archive(source.kind.as_deref())?;
    let target = new_model(&source.deployment, source.name);
    let push = push(source.deployment, target, source.s3_key, !source.disable_archive_download)?;
    record(&api, &actor, push).await
}

async fn create_in_team(
    api: State<Arc<Api>>,
    caller: Caller,
    Path(team): Path<String>,
    body: Json<CreateModel>,
) -> Answer {
    if team != TEAM {
        return Err(identity::no_team(&team));
    }
    create(api, caller, body).await
}

async fn add(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path(model): ModelPath,
    Json(body): Json<CreateDeployment>,
) -> Answer {
    let source = body.source;
    is_archive(source.kind.as_deref())?;
    let picture = picture(&api, &actor, &model).await?;
    let target = version(&source.deployment, &picture);
    let push = push(source.deployment, target, source.s3_key, true)?;
    record(&api, &actor, push).await
}

async fn picture(api: &Api, actor: &Actor, model: &str) -> Result<Picture, Response> {
    api.picture(actor, &ids::model(model)?, &[]).await.map_err(|error| failure(&error))
}

async fn record(api: &Api, actor: &Actor, push: Push) -> Answer {
    if push.upload_key.is_empty() {
        return Err(refused(
            "source.s3_key",
            "name the archive: the key that came with the leave to upload it",
        ));
    }
    let Ok(pushed) = tokio::time::timeout(REST_WAITS, api.control.push(actor, push)).await else {
        return Err(answer::error(StatusCode::SERVICE_UNAVAILABLE, "NOT_READY", GOES_ON));
    };
    let pushed = pushed.map_err(|error| failure(&error))?;
    let named = std::slice::from_ref(&pushed.deployment);
    let picture = api.picture(actor, &pushed.model, named).await.map_err(|error| failure(&error))?;
    let found = picture.deployment(&pushed.deployment).ok_or_else(|| {
        answer::error(StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND", "the deployment was deleted meanwhile")
    })?;
    let deployment = deployments::shape(api, &picture, found);
    let model = models::current(api, actor, &pushed.model).await?;
    Ok(answer::ok(&CreatedDeployment { model, deployment }))
}

fn new_model(payload: &Payload, name: String) -> PushTarget {
    match payload.is_development {
        true => PushTarget::Development { name },
        false => PushTarget::NewModel { name },
    }
}

fn version(payload: &Payload, picture: &Picture) -> PushTarget {
    match payload.is_development {
        true => PushTarget::Development { name: picture.model.name.to_string() },
        false => PushTarget::Version { model: picture.model.id.clone() },
    }
}

fn is_archive(kind: Option<&str>) -> Result<(), Response> {
    match kind {
        None | Some("model_archive") => Ok(()),
        Some(other) => Err(refused("source.kind", &format!("`{other}` is not served; push a model_archive"))),
    }
}

/// What a payload comes to.
fn push(
    payload: Payload,
    target: PushTarget,
    key: Option<String>,
    allow_download: bool,
) -> Result<Push, Response> {
    payload.check().map_err(|invalid| error::invalid(&invalid))?;
    let settings_override = PromotionPatch::try_from(payload.promotion_settings_override.unwrap_or_default())
        .map_err(|invalid| error::invalid(&invalid))?;
    let autoscaling = AutoscalingPatch::try_from(payload.autoscaling_settings.unwrap_or_default())
        .map_err(|invalid| error::invalid(&invalid))?;
    let backpressure = match payload.request_backpressure_settings {
        None => None,
        Some(update) => update.choice().map_err(|invalid| error::invalid(&invalid))?,
    };
    Ok(Push {
        target,
        upload_key: key.unwrap_or_default(),
        config: STANDARD.encode(Value::Object(payload.config).to_string()),
        deployment_name: payload.deployment_name,
        environment: payload.environment_name,
        create_environment: payload.create_environment_if_missing,
        autoscaling,
        backpressure,
        settings_override,
        scale_down_previous: true,
        preserve_instance_type: payload.preserve_env_instance_type,
        allow_download,
        deploy_timeout_minutes: payload.deploy_timeout_minutes,
        labels: payload.labels.map(|labels| Value::Object(labels).to_string()),
        raw_config: payload.raw_config.map(|text| STANDARD.encode(text)),
    })
}

fn refused(field: &str, problem: &str) -> Response {
    error::invalid(&Invalid::new(field, problem))
}

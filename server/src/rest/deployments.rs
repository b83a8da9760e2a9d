//! Deployments, by id or by the aliases `production` and `development`.

use super::contract::{
    Backpressure, Deployment, Deployments, Pagination, Rename, Retried, Switched, UpdateAutoscaling,
    UpdateBackpressure, Updated,
};
use super::*;
use domain::{AutoscalingPatch, DeploymentId, ModelId, ReplicaId, parse_id};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::Newest;
use utoipa::ToSchema;

use super::body::Json;
use crate::picture::Picture;

pub fn routes() -> Vec<Route> {
    let one = "/models/{model_id}/deployments/{deployment_id}";
    vec![
        Route::get("/models/{model_id}/deployments", list, "List a model's deployments, newest first")
            .query::<models::Listing>()
            .answers::<Deployments>(),
        Route::get(one, read, "Read a deployment").answers::<Deployment>(),
        Route::patch(one, rename, "Rename a deployment")
            .says("1 to 255 letters, digits, dots, hyphens or underscores, unique in the model. Nothing else changes.")
            .body::<Rename>()
            .answers::<Deployment>(),
        Route::delete(one, delete, "Delete a deployment")
            .says("For good. One that serves an environment or takes part in a promotion is refused.")
            .answers::<DeploymentTombstone>(),
        Route::post("/models/{model_id}/deployments/{deployment_id}/activate", activate, "Activate a deployment").answers::<Switched>(),
        Route::post("/models/{model_id}/deployments/{deployment_id}/deactivate", deactivate, "Deactivate a deployment")
            .says("It keeps its configuration, uses no compute, and its calls answer 404 until it is activated.")
            .answers::<Switched>(),
        Route::post("/models/{model_id}/deployments/{deployment_id}/retry", retry, "Try again what failed to build or to start")
            .answers::<Retried>(),
        Route::patch("/models/{model_id}/deployments/{deployment_id}/autoscaling_settings", autoscaling, "Change how a deployment scales")
            .says("What is left out stays. Where the deployment serves an environment, the environment's settings change.")
            .body::<UpdateAutoscaling>()
            .answers::<Updated>(),
        Route::patch(
            "/models/{model_id}/deployments/{deployment_id}/request_backpressure_settings",
            backpressure,
            "Choose whether requests wait or are refused while all replicas are busy",
        )
        .says("Where the deployment serves an environment, the environment's choice changes.")
        .body::<UpdateBackpressure>()
        .answers::<Backpressure>(),
        Route::delete("/models/{model_id}/deployments/{deployment_id}/replicas/{replica_id}", terminate, "Terminate a replica")
            .says("It leaves the routes at once, finishes what it has, and another one starts in its place.")
            .answers::<Terminated>(),
        Route::get("/models/{model_id}/deployments/{deployment_id}/config", config, "Read the configuration that was pushed")
            .query::<ConfigForm>()
            .answers::<Config>(),
        Route::get("/models/{model_id}/deployments/{deployment_id}/download", download, "Get a link to what was pushed")
            .says("The link needs no key and is good for some minutes.")
            .answers::<Download>(),
        Route::get("/archives/{token}", archive, "Fetch what was pushed, by such a link")
            .open()
            .answers_file("application/x-tar"),
    ]
}

pub fn shape(api: &Api, picture: &Picture, deployment: &domain::Deployment) -> Deployment {
    Deployment::new(deployment, &picture.standing(deployment), &picture.environments, &api.host)
}

/// The model, and the deployment that the path names.
pub async fn find(
    api: &Api,
    actor: &Actor,
    model: &str,
    deployment: &str,
) -> Result<(Picture, DeploymentId), Response> {
    let named = DeploymentId::new(deployment);
    let picture = api.picture(actor, &ids::model(model)?, &[named]).await;
    let picture = picture.map_err(|error| failure(&error))?;
    let found = match deployment {
        "development" => picture.deployments.iter().find(|deployment| deployment.is_development()),
        "production" => picture
            .production()
            .and_then(|environment| environment.current.as_ref())
            .and_then(|id| picture.deployment(id)),
        id => picture.deployments.iter().find(|deployment| deployment.id.as_str() == id),
    };
    let Some(found) = found else {
        let message = match deployment {
            "development" => {
                format!("{} has no development deployment; push one with --watch", picture.model.name)
            }
            "production" => format!("nothing serves production of {} yet", picture.model.name),
            id => format!("{} has no deployment `{id}`", picture.model.name),
        };
        return Err(answer::error(StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND", &message));
    };
    let id = found.id.clone();
    Ok((picture, id))
}

/// The deployment as it is now.
async fn current(
    api: &Api,
    actor: &Actor,
    model: &ModelId,
    id: &DeploymentId,
) -> Result<Deployment, Response> {
    let picture = api.picture(actor, model, std::slice::from_ref(id)).await;
    let picture = picture.map_err(|error| failure(&error))?;
    picture.deployment(id).map(|deployment| shape(api, &picture, deployment)).ok_or_else(|| {
        answer::error(StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND", "the deployment was deleted meanwhile")
    })
}

pub async fn list(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path(model): ModelPath,
    Query(by): Query<models::Listing>,
) -> Answer {
    let model = ids::model(&model)?;
    let page = by.page().map_err(|invalid| error::invalid(&invalid))?;
    let Some(limit) = page.filter(|_| by.name.is_none()) else {
        return Ok(answer::ok(&whole_list(&api, &actor, &model, by.name.as_deref()).await?));
    };
    let after = by.cursor.as_deref().map(str::parse).transpose();
    let after = after.map_err(|invalid| error::invalid(&invalid))?;
    let picture = api.page(&actor, &model, Newest { after, limit }, &[]).await;
    let picture = picture.map_err(|error| failure(&error))?;
    let listed = picture.page.iter().filter_map(|id| picture.deployment(id));
    let cursor = picture.next.as_ref().map(ToString::to_string);
    Ok(answer::ok(&Deployments {
        deployments: listed.map(|deployment| shape(&api, &picture, deployment)).collect(),
        pagination: Some(Pagination { has_more: cursor.is_some(), cursor }),
    }))
}

/// All of a model's deployments, or the one of this name.
async fn whole_list(
    api: &Api,
    actor: &Actor,
    model: &ModelId,
    name: Option<&str>,
) -> Result<Deployments, Response> {
    let picture = api.whole(actor, model).await.map_err(|error| failure(&error))?;
    let mut listed: Vec<_> = picture
        .deployments
        .iter()
        .filter(|deployment| name.is_none_or(|name| deployment.name.as_str() == name))
        .collect();
    listed.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| b.id.cmp(&a.id)));
    let deployments = listed.into_iter().map(|deployment| shape(api, &picture, deployment)).collect();
    Ok(Deployments { deployments, pagination: None })
}

pub async fn read(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
) -> Answer {
    let (picture, id) = find(&api, &actor, &model, &deployment).await?;
    Ok(answer::ok(&current(&api, &actor, &picture.model.id, &id).await?))
}

pub async fn rename(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
    Json(body): Json<Rename>,
) -> Answer {
    let (picture, id) = find(&api, &actor, &model, &deployment).await?;
    let model = picture.model.id;
    if let Some(name) = body.name {
        api.control.rename_deployment(&actor, &model, &id, &name).await.map_err(|error| failure(&error))?;
    }
    Ok(answer::ok(&current(&api, &actor, &model, &id).await?))
}

#[derive(Serialize, ToSchema)]
struct DeploymentTombstone {
    id: String,
    deleted: bool,
    model_id: String,
}

pub async fn delete(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
) -> Answer {
    let (picture, id) = find(&api, &actor, &model, &deployment).await?;
    api.control.delete_deployment(&actor, &picture.model.id, &id).await.map_err(|error| failure(&error))?;
    Ok(answer::ok(&DeploymentTombstone {
        id: id.to_string(),
        deleted: true,
        model_id: picture.model.id.to_string(),
    }))
}

pub async fn activate(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
) -> Answer {
    let (picture, id) = find(&api, &actor, &model, &deployment).await?;
    switch(api.control.activate(&actor, &picture.model.id, &id).await)
}

pub async fn deactivate(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
) -> Answer {
    let (picture, id) = find(&api, &actor, &model, &deployment).await?;
    switch(api.control.deactivate(&actor, &picture.model.id, &id).await)
}

#[derive(Serialize, ToSchema)]
struct Terminated {
    success: bool,
}

/// Ends one replica; another one starts in its place.
pub async fn terminate(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment, replica)): Path<(String, String, String)>,
) -> Answer {
    let (picture, id) = find(&api, &actor, &model, &deployment).await?;
    let replica = parse_id("replica_id", &replica).map_err(|invalid| error::invalid(&invalid))?;
    api.control
        .terminate_replica(&actor, &picture.model.id, &id, &ReplicaId::new(replica))
        .await
        .map_err(|error| failure(&error))?;
    Ok(answer::ok(&Terminated { success: true }))
}

/// `no_op` if nothing had to change.
pub fn switch(changed: Result<bool, control::Error>) -> Answer {
    let changed = changed.map_err(|error| failure(&error))?;
    Ok(answer::ok(&Switched { success: true, no_op: !changed }))
}

pub async fn retry(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
) -> Answer {
    let (picture, id) = find(&api, &actor, &model, &deployment).await?;
    let model = picture.model.id;
    let retried = api.control.retry(&actor, &model, &id).await.map_err(|error| failure(&error))?;
    let reason = (!retried).then(|| "it has not failed; there is nothing to retry".to_owned());
    Ok(answer::ok(&Retried { retried, reason, deployment: current(&api, &actor, &model, &id).await? }))
}

pub async fn autoscaling(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
    Json(body): Json<UpdateAutoscaling>,
) -> Answer {
    let (picture, id) = find(&api, &actor, &model, &deployment).await?;
    let patch = AutoscalingPatch::try_from(body).map_err(|invalid| error::invalid(&invalid))?;
    let changed = api
        .control
        .update_autoscaling(&actor, &picture.model.id, &id, patch)
        .await
        .map_err(|error| failure(&error))?;
    Ok(answer::ok(&updated(changed)))
}

/// Answers the choice in force.
pub async fn backpressure(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
    Json(body): Json<UpdateBackpressure>,
) -> Answer {
    let (picture, id) = find(&api, &actor, &model, &deployment).await?;
    let model = picture.model.id;
    if let Some(choice) = body.choice().map_err(|invalid| error::invalid(&invalid))? {
        api.control.set_backpressure(&actor, &model, &id, choice).await.map_err(|error| failure(&error))?;
    }
    Ok(answer::ok(&current(&api, &actor, &model, &id).await?.request_backpressure_settings))
}

/// `ACCEPTED` or `UNCHANGED`.
pub fn updated(changed: bool) -> Updated {
    let (status, message) = if changed {
        ("ACCEPTED", "the settings are in force")
    } else {
        ("UNCHANGED", "the settings were so already")
    };
    Updated { status, message: message.into() }
}

#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct ConfigForm {
    #[schema(value_type = Option<contract::words::ConfigFormat>, default = "both")]
    output_format: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Config {
    /// With the defaults of what the push left out.
    #[schema(required, value_type = Option<Object>)]
    config: Option<Value>,
    /// `config.yaml` as it was written.
    #[schema(required)]
    raw_config: Option<String>,
}

pub async fn config(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
    Query(form): Query<ConfigForm>,
) -> Answer {
    let (raw, parsed) = match form.output_format.as_deref() {
        None | Some("both") => (true, true),
        Some("raw") => (true, false),
        Some("parsed") => (false, true),
        Some(other) => {
            let problem = format!("`{other}` is not one of raw, parsed, both");
            return Err(error::invalid(&domain::Invalid::new("output_format", problem)));
        }
    };
    let (picture, id) = find(&api, &actor, &model, &deployment).await?;
    let found = picture.deployment(&id);
    Ok(answer::ok(&Config {
        config: found.filter(|_| parsed).map(|deployment| deployment.config.clone()),
        raw_config: found.filter(|_| raw).and_then(|deployment| deployment.raw_config.clone()),
    }))
}

#[derive(Serialize, ToSchema)]
struct Download {
    download_url: String,
}

/// Where the pushed archive can be fetched, without a key, for some minutes.
pub async fn download(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
) -> Answer {
    let (picture, id) = find(&api, &actor, &model, &deployment).await?;
    let token = api.archive_token(&actor, &picture, &id).map_err(|error| failure(&error))?;
    Ok(answer::ok(&Download { download_url: format!("{}/v1/archives/{token}", api.public_url) }))
}

/// The archive itself; the token is the leave.
pub async fn archive(State(api): State<Arc<Api>>, Path(token): Path<String>) -> Answer {
    api.archive(&token).await.ok_or_else(|| {
        let message = "this link is unknown or has expired; ask for a new one";
        answer::error(StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND", message)
    })
}

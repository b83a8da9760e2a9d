//! Environments.

use super::contract::{CreateEnvironment, Environment, EnvironmentUpdated, Environments, UpdateEnvironment};
use super::*;
use domain::{DeploymentId, EnvironmentName, ModelId};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::Json;
use super::contract::Switched;
use super::deployments::{switch, updated};
use crate::picture::Picture;

pub fn routes() -> Vec<Route> {
    let all = "/models/{model_id}/environments";
    let one = "/models/{model_id}/environments/{env_name}";
    vec![
        Route::get(all, list, "List a model's environments").answers::<Environments>(),
        Route::post(all, create, "Create an environment")
            .says("Its name is a DNS label of at most 40 characters. Settings that are left out have their defaults.")
            .body::<CreateEnvironment>()
            .answers::<Environment>(),
        Route::get(one, read, "Read an environment").answers::<Environment>(),
        Route::patch(one, update, "Change an environment's settings")
            .says("What is left out stays. Settings of promotion count for promotions that begin from then on.")
            .body::<UpdateEnvironment>()
            .answers::<EnvironmentUpdated>(),
        Route::delete(one, delete, "Delete an environment")
            .says("Its promotion is canceled, its deployment stays and sleeps. `production` is refused.")
            .answers::<EnvironmentTombstone>(),
        Route::post("/models/{model_id}/environments/{env_name}/activate", activate, "Activate what it serves")
            .answers::<Switched>(),
        Route::post(
            "/models/{model_id}/environments/{env_name}/deactivate",
            deactivate,
            "Deactivate what it serves",
        )
        .answers::<Switched>(),
    ]
}

fn shape(api: &Api, picture: &Picture, environment: &domain::Environment) -> Environment {
    let promotion = picture.promotion(&environment.name);
    let deployment = |id: &DeploymentId| {
        picture.deployment(id).map(|deployment| deployments::shape(api, picture, deployment))
    };
    let serving = environment.current.as_ref().and_then(|id| picture.deployment(id));
    Environment::new(
        environment,
        environment.current.as_ref().and_then(deployment),
        promotion.and_then(|promotion| deployment(&promotion.candidate)),
        promotion,
        &serving.map(|deployment| deployment.compute.clone()).unwrap_or_default(),
        &api.host,
    )
}

/// The model with the environment that the path names.
pub async fn find(
    api: &Api,
    actor: &Actor,
    model: &str,
    environment: &str,
) -> Result<(Picture, EnvironmentName), Response> {
    let picture = api.picture(actor, &ids::model(model)?, &[]).await.map_err(|error| failure(&error))?;
    let name = ids::environment(environment)?;
    if picture.environment(&name).is_none() {
        let message = format!("{} has no environment `{name}`; create it first", picture.model.name);
        return Err(answer::error(StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND", &message));
    }
    Ok((picture, name))
}

async fn current(
    api: &Api,
    actor: &Actor,
    model: &ModelId,
    name: &EnvironmentName,
) -> Result<Environment, Response> {
    let picture = api.picture(actor, model, &[]).await.map_err(|error| failure(&error))?;
    picture.environment(name).map(|environment| shape(api, &picture, environment)).ok_or_else(|| {
        answer::error(StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND", "the environment was deleted meanwhile")
    })
}

pub async fn list(State(api): State<Arc<Api>>, Extension(actor): Caller, Path(model): ModelPath) -> Answer {
    let picture = api.picture(&actor, &ids::model(&model)?, &[]).await.map_err(|error| failure(&error))?;
    let environments =
        picture.environments().into_iter().map(|environment| shape(&api, &picture, environment)).collect();
    Ok(answer::ok(&Environments { environments }))
}

pub async fn read(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, environment)): Below,
) -> Answer {
    let (picture, name) = find(&api, &actor, &model, &environment).await?;
    Ok(answer::ok(&current(&api, &actor, &picture.model.id, &name).await?))
}

pub async fn create(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path(model): ModelPath,
    Json(body): Json<CreateEnvironment>,
) -> Answer {
    let model = ids::model(&model)?;
    let refused = |invalid: domain::Invalid| error::invalid(&invalid);
    let name = EnvironmentName::new(body.name.as_str()).map_err(refused)?;
    let settings = body.patch().map_err(refused)?;
    api.control
        .create_environment(&actor, &model, &name, settings, None)
        .await
        .map_err(|error| failure(&error))?;
    Ok(answer::ok(&current(&api, &actor, &model, &name).await?))
}

pub async fn update(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, environment)): Below,
    Json(body): Json<UpdateEnvironment>,
) -> Answer {
    let (picture, name) = find(&api, &actor, &model, &environment).await?;
    let model = picture.model.id;
    let settings = body.patch().map_err(|invalid| error::invalid(&invalid))?;
    let changed = api
        .control
        .update_environment(&actor, &model, &name, settings)
        .await
        .map_err(|error| failure(&error))?;
    let updated = updated(changed);
    Ok(answer::ok(&EnvironmentUpdated {
        environment: current(&api, &actor, &model, &name).await?,
        status: updated.status,
        message: updated.message,
    }))
}

#[derive(Serialize, ToSchema)]
struct EnvironmentTombstone {
    name: String,
    model_id: String,
    deleted: bool,
}

pub async fn delete(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, environment)): Below,
) -> Answer {
    let (picture, name) = find(&api, &actor, &model, &environment).await?;
    api.control
        .delete_environment(&actor, &picture.model.id, &name)
        .await
        .map_err(|error| failure(&error))?;
    Ok(answer::ok(&EnvironmentTombstone {
        name: name.to_string(),
        model_id: picture.model.id.to_string(),
        deleted: true,
    }))
}

pub async fn activate(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, environment)): Below,
) -> Answer {
    let (picture, name) = find(&api, &actor, &model, &environment).await?;
    switch(api.control.activate_environment(&actor, &picture.model.id, &name).await)
}

pub async fn deactivate(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, environment)): Below,
) -> Answer {
    let (picture, name) = find(&api, &actor, &model, &environment).await?;
    switch(api.control.deactivate_environment(&actor, &picture.model.id, &name).await)
}

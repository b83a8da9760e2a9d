//! Models.

use super::contract::{Model, Models, Rename, TEAM};
use super::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Json;
use crate::picture::Picture;

pub fn routes() -> Vec<Route> {
    let team = "/teams/{team_id}/models";
    vec![
        Route::get("/models", list, "List the models").query::<ByName>().answers::<Models>(),
        Route::get(team, list_of_team, "List the models of a team").query::<ByName>().answers::<Models>(),
        Route::get("/models/{model_id}", read, "Read a model").answers::<Model>(),
        Route::patch("/models/{model_id}", rename, "Rename a model")
            .says("Its id, its addresses and its deployments stay.")
            .body::<Rename>()
            .answers::<Model>(),
        Route::delete("/models/{model_id}", delete, "Delete a model with all its deployments")
            .says("For good. Its rows in the usage log stay.")
            .answers::<ModelTombstone>(),
    ]
}

#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct ByName {
    /// Only the one with this name.
    pub name: Option<String>,
}

pub fn shape(api: &Api, picture: &Picture) -> Model {
    Model::new(&picture.model, &picture.deployments, &picture.environments, &api.host)
}

pub async fn list(State(api): State<Arc<Api>>, Extension(actor): Caller, Query(by): Query<ByName>) -> Answer {
    let pictures = api.pictures(&actor).await.map_err(|error| failure(&error))?;
    let models = pictures
        .iter()
        .filter(|picture| by.name.as_ref().is_none_or(|name| picture.model.name.as_str() == name))
        .map(|picture| shape(&api, picture))
        .collect();
    Ok(answer::ok(&Models { models }))
}

pub async fn list_of_team(
    api: State<Arc<Api>>,
    caller: Caller,
    Path(team): Path<String>,
    by: Query<ByName>,
) -> Answer {
    if team != TEAM {
        return Err(identity::no_team(&team));
    }
    list(api, caller, by).await
}

pub async fn read(State(api): State<Arc<Api>>, Extension(actor): Caller, Path(model): ModelPath) -> Answer {
    let picture = api.picture(&actor, &ids::model(&model)?).await.map_err(|error| failure(&error))?;
    Ok(answer::ok(&shape(&api, &picture)))
}

pub async fn rename(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path(model): ModelPath,
    Json(body): Json<Rename>,
) -> Answer {
    let model = ids::model(&model)?;
    if let Some(name) = body.name {
        api.control.rename_model(&actor, &model, &name).await.map_err(|error| failure(&error))?;
    }
    let picture = api.picture(&actor, &model).await.map_err(|error| failure(&error))?;
    Ok(answer::ok(&shape(&api, &picture)))
}

#[derive(Serialize, ToSchema)]
struct ModelTombstone {
    id: String,
    deleted: bool,
}

pub async fn delete(State(api): State<Arc<Api>>, Extension(actor): Caller, Path(model): ModelPath) -> Answer {
    api.control.delete_model(&actor, &ids::model(&model)?).await.map_err(|error| failure(&error))?;
    Ok(answer::ok(&ModelTombstone { id: model, deleted: true }))
}

//! Models.

use super::contract::{Model, Models, Rename, TEAM};
use super::*;
use axum::extract::Query;
use serde::{Deserialize, Serialize};

use super::body::Json;
use crate::picture::Picture;

#[derive(Debug, Default, Deserialize)]
pub struct ByName {
    name: Option<String>,
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

#[derive(Serialize)]
struct Tombstone<'a> {
    id: &'a str,
    deleted: bool,
}

pub async fn delete(State(api): State<Arc<Api>>, Extension(actor): Caller, Path(model): ModelPath) -> Answer {
    api.control.delete_model(&actor, &ids::model(&model)?).await.map_err(|error| failure(&error))?;
    Ok(answer::ok(&Tombstone { id: &model, deleted: true }))
}

//! Models.

use super::contract::{Model, Models, Pagination, Rename, TEAM};
use super::*;
use domain::{Invalid, ModelId};
use serde::{Deserialize, Serialize};
use store::Newest;
use utoipa::ToSchema;

use super::body::Json;
use crate::picture::Overview;

pub fn routes() -> Vec<Route> {
    let team = "/teams/{team_id}/models";
    vec![
        Route::get("/models", list, "List the models").query::<Listing>().answers::<Models>(),
        Route::get(team, list_of_team, "List the models of a team").query::<Listing>().answers::<Models>(),
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

/// Which rows of a list.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct Listing {
    /// Only the one with this name.
    pub name: Option<String>,
    /// Rows at most; all of them if it is left out.
    #[schema(minimum = 1, maximum = 1000)]
    limit: Option<i64>,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

impl Listing {
    /// Rows of a page where it is not said.
    const PAGE: u32 = 100;

    /// Rows of the page that is asked for; nothing if everything is.
    pub fn page(&self) -> Result<Option<u32>, Invalid> {
        match self.limit {
            None => Ok(self.cursor.as_ref().map(|_| Self::PAGE)),
            Some(limit) => unread::LIMIT.check(limit).map(Some),
        }
    }
}

/// The model, newest deployment included, as it is now.
pub async fn current(api: &Api, actor: &Actor, model: &ModelId) -> Result<Model, Response> {
    let newest = Newest { after: None, limit: 1 };
    let picture = api.page(actor, model, newest, &[]).await.map_err(|error| failure(&error))?;
    let development = picture.deployments.iter().find(|deployment| deployment.is_development());
    Ok(Model::new(&picture, development.map(|deployment| &deployment.id), &api.host))
}

pub async fn list(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Query(by): Query<Listing>,
) -> Answer {
    let page = by.page().map_err(|invalid| error::invalid(&invalid))?;
    let mut found = listed(&api, &actor, &by, page).await.map_err(|error| failure(&error))?;
    let more = page.is_some_and(|rows| found.len() > rows as usize);
    found.truncate(page.map_or(usize::MAX, |rows| rows as usize));
    let last = found.last().map(|overview| overview.picture.model.name.to_string());
    let pagination = page.map(|_| Pagination { has_more: more, cursor: last.filter(|_| more) });
    let drawn = |one: &Overview| Model::new(&one.picture, one.development.as_ref(), &api.host);
    let models = found.iter().map(drawn).collect();
    Ok(answer::ok(&Models { models, pagination }))
}

/// The models after the cursor, of the name if one is said: one more than the page has, which tells whether there is
/// another page.
async fn listed(
    api: &Api,
    actor: &Actor,
    by: &Listing,
    page: Option<u32>,
) -> Result<Vec<Overview>, control::Error> {
    let Some(name) = &by.name else {
        return api.overviews(actor, by.cursor.as_deref(), page.map_or(u32::MAX, |rows| rows + 1)).await;
    };
    let found = api.overview_by_name(actor, name).await?;
    let follows = by.cursor.as_ref().is_none_or(|last| name > last);
    Ok(found.into_iter().filter(|_| follows).collect())
}

pub async fn list_of_team(
    api: State<Arc<Api>>,
    caller: Caller,
    Path(team): Path<String>,
    by: Query<Listing>,
) -> Answer {
    if team != TEAM {
        return Err(identity::no_team(&team));
    }
    list(api, caller, by).await
}

pub async fn read(State(api): State<Arc<Api>>, Extension(actor): Caller, Path(model): ModelPath) -> Answer {
    Ok(answer::ok(&current(&api, &actor, &ids::model(&model)?).await?))
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
    Ok(answer::ok(&current(&api, &actor, &model).await?))
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

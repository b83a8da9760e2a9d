//! Where things run, and the names of environments across models.

use std::collections::BTreeSet;

use super::contract::{Pagination, Region, TEAM};
use super::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Json;

pub fn routes() -> Vec<Route> {
    let group = "A group is all environments of one name, of whatever model.";
    let restrict = "Access by environment is not available: `is_restricted` may only be false, as it is.";
    vec![
        Route::get("/regions", regions, "List the regions")
            .says("There is one: this machine.")
            .answers::<Regions>(),
        Route::get("/teams/{team_id}/regions", regions_of_team, "List a team's regions").answers::<Regions>(),
        Route::get("/environment_groups", list, "List the environment groups")
            .says(group)
            .answers::<Groups>(),
        Route::get("/environment_groups/{env_name}", read, "Read an environment group").answers::<Group>(),
        Route::patch("/environment_groups/{env_name}", update, "Change who may manage an environment group")
            .says(restrict)
            .body::<UpdateGroup>()
            .answers::<Group>(),
        Route::get("/teams/{team_id}/environment_groups", list_of_team, "List a team's environment groups")
            .answers::<Groups>(),
        Route::get(
            "/teams/{team_id}/environment_groups/{env_name}",
            read_of_team,
            "Read a team's environment group",
        )
        .answers::<Group>(),
        Route::patch(
            "/teams/{team_id}/environment_groups/{env_name}",
            update_of_team,
            "Change who may manage a team's environment group",
        )
        .says(restrict)
        .body::<UpdateGroup>()
        .answers::<Group>(),
    ]
}

#[derive(Serialize, ToSchema)]
struct Regions {
    regions: Vec<Region>,
}

async fn regions() -> Answer {
    Ok(answer::ok(&Regions { regions: vec![Region::only()] }))
}

async fn regions_of_team(Path(team): Path<String>) -> Answer {
    ours(&team)?;
    regions().await
}

#[derive(Serialize, ToSchema)]
#[schema(as = EnvironmentGroups)]
struct Groups {
    items: Vec<Group>,
    pagination: Pagination,
}

#[derive(Serialize, ToSchema)]
#[schema(as = EnvironmentGroup)]
struct Group {
    name: String,
    team_id: &'static str,
    team_name: &'static str,
    manage_access: ManageAccess,
}

#[derive(Serialize, ToSchema)]
struct ManageAccess {
    /// Always false.
    is_restricted: bool,
    /// Always null.
    #[schema(required, value_type = Option<Vec<String>>)]
    users: Option<()>,
}

impl Group {
    fn new(name: String) -> Self {
        let manage_access = ManageAccess { is_restricted: false, users: None };
        Self { name, team_id: TEAM, team_name: TEAM, manage_access }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdateEnvironmentGroup)]
struct UpdateGroup {
    manage_access: Option<UpdateAccess>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdateManageAccess)]
struct UpdateAccess {
    is_restricted: bool,
    user_ids: Option<Vec<String>>,
}

async fn names(api: &Api, actor: &Actor) -> Result<BTreeSet<String>, Response> {
    let pictures = api.pictures(actor).await.map_err(|error| failure(&error))?;
    Ok(pictures
        .iter()
        .flat_map(|picture| &picture.environments)
        .map(|environment| environment.name.to_string())
        .collect())
}

async fn list(State(api): State<Arc<Api>>, Extension(actor): Caller) -> Answer {
    let items = names(&api, &actor).await?.into_iter().map(Group::new).collect();
    Ok(answer::ok(&Groups { items, pagination: Pagination { has_more: false, cursor: None } }))
}

async fn read(State(api): State<Arc<Api>>, Extension(actor): Caller, Path(name): Path<String>) -> Answer {
    if !names(&api, &actor).await?.contains(&name) {
        let message = format!("no model has an environment `{name}`");
        return Err(answer::error(StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND", &message));
    }
    Ok(answer::ok(&Group::new(name)))
}

async fn update(
    state: State<Arc<Api>>,
    Extension(actor): Caller,
    path: Path<String>,
    Json(body): Json<UpdateGroup>,
) -> Answer {
    let restricts =
        body.manage_access.is_some_and(|access| access.is_restricted || access.user_ids.is_some());
    let name = ids::environment(&path.0)?;
    state.control.restrict_environments(&actor, &name, restricts).map_err(|error| failure(&error))?;
    read(state, Extension(actor), path).await
}

async fn list_of_team(state: State<Arc<Api>>, caller: Caller, Path(team): Path<String>) -> Answer {
    ours(&team)?;
    list(state, caller).await
}

async fn read_of_team(state: State<Arc<Api>>, caller: Caller, Path((team, name)): Below) -> Answer {
    ours(&team)?;
    read(state, caller, Path(name)).await
}

async fn update_of_team(
    state: State<Arc<Api>>,
    caller: Caller,
    Path((team, name)): Below,
    body: Json<UpdateGroup>,
) -> Answer {
    ours(&team)?;
    update(state, caller, Path(name), body).await
}

fn ours(team: &str) -> Result<(), Response> {
    if team == TEAM { Ok(()) } else { Err(identity::no_team(team)) }
}

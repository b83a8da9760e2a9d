//! Where things run, and the names of environments across models.

use super::contract::{Pagination, Region, TEAM};
use super::*;
use control::EnvironmentGroup;
use domain::{Access, Person, PersonId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Json;

pub fn routes() -> Vec<Route> {
    let group = "A group is all environments of one name, of whatever model.";
    let restrict = "Environments of a restricted name are changed only by admins and by the people of `user_ids`; \
                    everybody else sees and calls them as before. Without `user_ids` the list stays as it is, and is \
                    empty at first; `is_restricted: false` forgets it. Only admins may say so.";
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
    is_restricted: bool,
    /// Who may change such environments beside the admins; null unless it is restricted.
    #[schema(required)]
    users: Option<Vec<GroupUser>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = EnvironmentGroupUser)]
struct GroupUser {
    user_id: String,
    #[schema(required)]
    email: Option<String>,
    #[schema(required)]
    name: Option<String>,
}

impl From<Person> for GroupUser {
    fn from(person: Person) -> Self {
        Self {
            user_id: person.id.to_string(),
            email: Some(person.email.to_string()),
            name: Some(person.name).filter(|name| !name.is_empty()),
        }
    }
}

impl From<EnvironmentGroup> for Group {
    fn from(group: EnvironmentGroup) -> Self {
        let users = group.restricted_to.map(|people| people.into_iter().map(GroupUser::from).collect());
        let manage_access = ManageAccess { is_restricted: Option::is_some(&users), users };
        Self { name: group.name.to_string(), team_id: TEAM, team_name: TEAM, manage_access }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdateEnvironmentGroup)]
pub struct UpdateGroup {
    manage_access: Option<UpdateAccess>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpdateManageAccess)]
struct UpdateAccess {
    is_restricted: bool,
    /// Who may change such environments beside the admins.
    user_ids: Option<Vec<String>>,
}

impl From<UpdateAccess> for Access {
    fn from(access: UpdateAccess) -> Self {
        let users = access.user_ids.map(|ids| ids.into_iter().map(PersonId::new).collect());
        Self { is_restricted: access.is_restricted, users }
    }
}

async fn list(State(api): State<Arc<Api>>, Extension(actor): Caller) -> Answer {
    let groups = api.control.environment_groups(&actor).await.map_err(|error| failure(&error))?;
    let items = groups.into_iter().map(Group::from).collect();
    Ok(answer::ok(&Groups { items, pagination: Pagination { has_more: false, cursor: None } }))
}

async fn read(State(api): State<Arc<Api>>, Extension(actor): Caller, Path(name): Path<String>) -> Answer {
    let name = ids::environment(&name)?;
    let group = api.control.environment_group(&actor, &name).await.map_err(|error| failure(&error))?;
    Ok(answer::ok(&Group::from(group)))
}

async fn update(
    state: State<Arc<Api>>,
    Extension(actor): Caller,
    path: Path<String>,
    Json(body): Json<UpdateGroup>,
) -> Answer {
    let name = ids::environment(&path.0)?;
    let access = body.manage_access.map(Access::from);
    state.control.restrict_environments(&actor, &name, access).await.map_err(|error| failure(&error))?;
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

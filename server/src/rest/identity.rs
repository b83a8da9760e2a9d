//! Who asks, and where: one organisation, one team, one machine.

use super::contract::{InstanceType, Organization, Pagination, TEAM, Team, User, Users};
use super::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/users", users, "List the people").query::<PeopleQuery>().answers::<Users>(),
        Route::get("/users/me", me, "Read who asks").answers::<User>(),
        Route::get("/users/{user_id}", user_of_id, "Read one of the people").answers::<User>(),
        Route::get("/organizations/me", organization, "Read the organisation").answers::<Organization>(),
        Route::get("/teams", teams, "List the teams")
            .says("There is one.")
            .query::<models::ByName>()
            .answers::<Teams>(),
        Route::get("/teams/{team_id}", team, "Read a team").answers::<Team>(),
        Route::get("/instance_types", instance_types, "List the instance types").answers::<InstanceTypes>(),
        Route::get(
            "/instance_type_prices",
            instance_type_prices,
            "List what instance types cost by the minute",
        )
        .says("0 where no price is configured.")
        .answers::<Prices>(),
    ]
}

/// What the one organisation is called.
const WORKSPACE: &str = "Slipway";

pub async fn me(Extension(actor): Caller) -> Answer {
    Ok(answer::ok(&User {
        user_id: actor.id().to_owned(),
        email: actor.email.map(|email| email.to_string()),
        name: Some(actor.name),
        workspace_name: Some(WORKSPACE.into()),
    }))
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct PeopleQuery {
    /// Where the page before ended.
    cursor: Option<String>,
    #[schema(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Only who has this address.
    email: Option<String>,
}

/// Everybody who signs in here, in pages.
pub async fn users(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Query(query): Query<PeopleQuery>,
) -> Answer {
    let limit = i64::try_from(query.limit.unwrap_or(100)).unwrap_or(i64::MAX);
    let limit = unread::LIMIT.check(limit).map_err(|invalid| error::invalid(&invalid))? as usize;
    let found = api.control.people(&actor).await.map_err(|error| failure(&error))?;
    let mut items: Vec<User> = found.people.into_iter().map(user).collect();
    items.sort_by(|a, b| a.user_id.cmp(&b.user_id));
    items.retain(|user| query.cursor.as_ref().is_none_or(|last| user.user_id > *last));
    items.retain(|user| query.email.is_none() || user.email == query.email);
    let has_more = items.len() > limit;
    items.truncate(limit);
    let cursor = items.last().filter(|_| has_more).map(|last| last.user_id.clone());
    Ok(answer::ok(&Users { items, pagination: Pagination { has_more, cursor } }))
}

pub async fn user_of_id(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path(id): Path<String>,
) -> Answer {
    let found = api.control.people(&actor).await.map_err(|error| failure(&error))?;
    match found.people.into_iter().find(|person| person.id.as_str() == id) {
        Some(person) => Ok(answer::ok(&user(person))),
        None => {
            let message = format!("there is no user `{id}`");
            Err(answer::error(StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND", &message))
        }
    }
}

fn user(person: domain::Person) -> User {
    User {
        user_id: person.id.to_string(),
        email: Some(person.email.to_string()),
        name: Some(person.name).filter(|name| !name.is_empty()),
        workspace_name: Some(WORKSPACE.into()),
    }
}

pub async fn organization(State(api): State<Arc<Api>>) -> Answer {
    Ok(answer::ok(&Organization {
        org_id: "slipway",
        name: Some(WORKSPACE.into()),
        created_at: api.since.rfc3339(),
        aws_assume_role: None,
    }))
}

#[derive(Serialize, ToSchema)]
struct Teams {
    teams: Vec<Team>,
}

pub async fn teams(State(api): State<Arc<Api>>, Query(by): Query<models::ByName>) -> Answer {
    let mut teams = vec![Team::only(api.since)];
    teams.retain(|team| by.name.as_ref().is_none_or(|name| team.name == name));
    Ok(answer::ok(&Teams { teams }))
}

pub async fn team(State(api): State<Arc<Api>>, Path(team): Path<String>) -> Answer {
    if team != TEAM {
        return Err(no_team(&team));
    }
    Ok(answer::ok(&Team::only(api.since)))
}

/// Refuses another team than the one there is; who says none means that one.
pub fn team_is_ours(team: Option<&str>) -> Result<(), Response> {
    match team {
        Some(team) if team != TEAM => Err(no_team(team)),
        _ => Ok(()),
    }
}

pub fn no_team(team: &str) -> Response {
    let message = format!("there is no team `{team}`; the only one is `{TEAM}`");
    answer::error(StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND", &message)
}

#[derive(Serialize, ToSchema)]
struct InstanceTypes {
    instance_types: Vec<InstanceType>,
}

pub async fn instance_types(State(api): State<Arc<Api>>) -> Answer {
    Ok(answer::ok(&InstanceTypes { instance_types: api.host.types.iter().map(InstanceType::from).collect() }))
}

#[derive(Serialize, ToSchema)]
struct Price {
    instance_type: InstanceType,
    price: f64,
}

#[derive(Serialize, ToSchema)]
struct Prices {
    instance_types: Vec<Price>,
}

/// What a minute costs; nothing where no price is configured.
pub async fn instance_type_prices(State(api): State<Arc<Api>>) -> Answer {
    let priced = |known: &domain::InstanceType| Price {
        instance_type: known.into(),
        price: known.price.map_or(0.0, domain::Price::as_per_minute),
    };
    Ok(answer::ok(&Prices { instance_types: api.host.types.iter().map(priced).collect() }))
}

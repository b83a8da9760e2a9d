//! Who asks, and where: one organisation, one team, one machine.

use super::contract::{InstanceType, Organization, TEAM, Team, User};
use super::*;
use serde::Serialize;
use utoipa::ToSchema;

pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/users/me", me, "Read who asks").answers::<User>(),
        Route::get("/organizations/me", organization, "Read the organisation").answers::<Organization>(),
        Route::get("/teams", teams, "List the teams").says("There is one.").answers::<Teams>(),
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

pub async fn me(Extension(actor): Caller) -> Answer {
    Ok(answer::ok(&User {
        user_id: actor.key_prefix.clone().unwrap_or_else(|| actor.name.clone()),
        email: None,
        name: Some(actor.name),
        workspace_name: Some("Slipway".into()),
    }))
}

pub async fn organization(State(api): State<Arc<Api>>) -> Answer {
    Ok(answer::ok(&Organization {
        org_id: "slipway",
        name: Some("Slipway".into()),
        created_at: api.since.rfc3339(),
        aws_assume_role: None,
    }))
}

#[derive(Serialize, ToSchema)]
struct Teams {
    teams: Vec<Team>,
}

pub async fn teams(State(api): State<Arc<Api>>) -> Answer {
    Ok(answer::ok(&Teams { teams: vec![Team::only(api.since)] }))
}

pub async fn team(State(api): State<Arc<Api>>, Path(team): Path<String>) -> Answer {
    if team != TEAM {
        return Err(no_team(&team));
    }
    Ok(answer::ok(&Team::only(api.since)))
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

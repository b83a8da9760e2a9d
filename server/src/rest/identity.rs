//! Who asks, and where: one organisation, one team, one machine.

use super::contract::{InstanceType, Organization, TEAM, Team, User};
use super::*;
use serde::Serialize;

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

#[derive(Serialize)]
struct Teams {
    teams: [Team; 1],
}

pub async fn teams(State(api): State<Arc<Api>>) -> Answer {
    Ok(answer::ok(&Teams { teams: [Team::only(api.since)] }))
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

#[derive(Serialize)]
struct InstanceTypes {
    instance_types: [InstanceType; 1],
}

pub async fn instance_types(State(api): State<Arc<Api>>) -> Answer {
    Ok(answer::ok(&InstanceTypes { instance_types: [(&api.machine).into()] }))
}

#[derive(Serialize)]
struct Price {
    instance_type: InstanceType,
    price: f64,
}

#[derive(Serialize)]
struct Prices {
    instance_types: [Price; 1],
}

/// The machine is yours: it costs what it costs, and nothing here.
pub async fn instance_type_prices(State(api): State<Arc<Api>>) -> Answer {
    Ok(answer::ok(&Prices { instance_types: [Price { instance_type: (&api.machine).into(), price: 0.0 }] }))
}

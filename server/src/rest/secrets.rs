//! Secrets: names and dates out, values only in.

use super::contract::TEAM;
use super::*;
use domain::{SecretName, SecretValue};
use serde::{Deserialize, Deserializer, Serialize};
use store::SecretRow;
use utoipa::ToSchema;

use super::body::Json;

pub fn routes() -> Vec<Route> {
    let team = "/teams/{team_id}/secrets";
    let note = "Values only go in: no answer has one.";
    vec![
        Route::get("/secrets", list, "List the secrets").says(note).answers::<Secrets>(),
        Route::post("/secrets", set, "Set a secret")
            .says("Setting a name again replaces its value and keeps its id.")
            .body::<Upsert>()
            .answers::<Set>(),
        Route::delete("/secrets/{secret_name}", delete, "Delete a secret").answers::<SecretTombstone>(),
        Route::get(team, list_of_team, "List a team's secrets").says(note).answers::<Secrets>(),
        Route::post(team, set_of_team, "Set a secret of a team").body::<Upsert>().answers::<Set>(),
        Route::delete("/teams/{team_id}/secrets/{secret_name}", delete_of_team, "Delete a secret of a team")
            .answers::<SecretTombstone>(),
    ]
}

#[derive(Serialize, ToSchema)]
struct Secret {
    id: String,
    #[schema(format = DateTime)]
    created_at: String,
    name: String,
    team_name: &'static str,
    /// Ours: when it got the value that it has.
    #[schema(format = DateTime)]
    updated_at: String,
}

impl From<SecretRow> for Secret {
    fn from(row: SecretRow) -> Self {
        Self {
            id: row.id.to_string(),
            created_at: row.created_at.rfc3339(),
            name: row.name.into(),
            team_name: TEAM,
            updated_at: row.updated_at.rfc3339(),
        }
    }
}

#[derive(Serialize, ToSchema)]
struct Secrets {
    secrets: Vec<Secret>,
}

/// A secret that was set, and from when on it counts.
#[derive(Serialize, ToSchema)]
#[schema(as = SecretSet)]
struct Set {
    #[serde(flatten)]
    secret: Secret,
    /// Ours.
    note: &'static str,
}

const NOTE: &str =
    "replicas that start from now on get this value; those that run keep what they were started with";

#[derive(Serialize, ToSchema)]
struct SecretTombstone {
    name: String,
}

/// Without `Debug`: a value is in it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UpsertSecret)]
pub struct Upsert {
    #[schema(min_length = 1, max_length = 253, pattern = "^[A-Za-z0-9._-]+$")]
    pub(super) name: String,
    #[schema(min_length = 1, max_length = 65536, write_only)]
    #[serde(deserialize_with = "text")]
    pub(super) value: String,
}

/// A text; refused without repeating what was sent instead, as the usual refusal would.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Ok(text),
        _ => Err(serde::de::Error::custom("a secret's value is a text; send it in quotes")),
    }
}

pub async fn list(State(api): State<Arc<Api>>, Extension(actor): Caller) -> Answer {
    let rows = api.control.secrets(&actor).await.map_err(|error| failure(&error))?;
    Ok(answer::ok(&Secrets { secrets: rows.into_iter().map(Secret::from).collect() }))
}

pub async fn set(State(api): State<Arc<Api>>, Extension(actor): Caller, Json(body): Json<Upsert>) -> Answer {
    let name = SecretName::new(body.name).map_err(|invalid| error::invalid(&invalid))?;
    let value = SecretValue::new(body.value).map_err(|invalid| error::invalid(&invalid))?;
    let row = api.control.set_secret(&actor, name, &value).await.map_err(|error| failure(&error))?;
    Ok(answer::ok(&Set { secret: row.into(), note: NOTE }))
}

pub async fn delete(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path(name): Path<String>,
) -> Answer {
    let name = SecretName::new(name).map_err(|invalid| error::invalid(&invalid))?;
    api.control.delete_secret(&actor, &name).await.map_err(|error| failure(&error))?;
    Ok(answer::ok(&SecretTombstone { name: name.into() }))
}

pub async fn list_of_team(api: State<Arc<Api>>, caller: Caller, Path(team): Path<String>) -> Answer {
    only(&team)?;
    list(api, caller).await
}

pub async fn set_of_team(
    api: State<Arc<Api>>,
    caller: Caller,
    Path(team): Path<String>,
    body: Json<Upsert>,
) -> Answer {
    only(&team)?;
    set(api, caller, body).await
}

pub async fn delete_of_team(
    api: State<Arc<Api>>,
    caller: Caller,
    Path((team, name)): Path<(String, String)>,
) -> Answer {
    only(&team)?;
    delete(api, caller, Path(name)).await
}

fn only(team: &str) -> Result<(), Response> {
    if team == TEAM { Ok(()) } else { Err(identity::no_team(team)) }
}

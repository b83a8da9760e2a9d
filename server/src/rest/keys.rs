//! API keys.

use super::*;
use control::KeyKind;
use domain::{Invalid, Person, PersonId, Role, Timestamp, person_role};
use serde::{Deserialize, Serialize};

use super::body::Json;

#[derive(Serialize)]
struct KeyInfo {
    prefix: String,
    name: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    model_ids: Option<Vec<String>>,
    team_name: Option<&'static str>,
    created_at: String,
    last_used_at: Option<String>,
    owner: Option<Owner>,
    /// Ours: what the key may do.
    role: Role,
}

/// Whose a personal key is.
#[derive(Serialize)]
struct Owner {
    user_id: String,
    email: Option<String>,
    name: Option<String>,
}

#[derive(Serialize)]
struct Keys {
    keys: Vec<KeyInfo>,
}

/// The category of a key.
fn kind(key: &store::KeyRow) -> &'static str {
    match key.role {
        _ if key.person.is_some() => "PERSONAL",
        Role::Invoker => "WORKSPACE_INVOKE",
        Role::Exporter => "WORKSPACE_EXPORT_METRICS",
        Role::Keykeeper => "WORKSPACE_MANAGE_API_KEYS",
        Role::Viewer | Role::Deployer | Role::Admin => "WORKSPACE_MANAGE_ALL",
    }
}

pub async fn list(State(api): State<Arc<Api>>, Extension(actor): Caller) -> Answer {
    let keys = api.control.keys(&actor).await.map_err(|error| failure(&error))?;
    let ring = api.control.key_ring();
    let keys = keys
        .into_iter()
        .map(|key| KeyInfo {
            kind: kind(&key),
            owner: key.person.as_ref().map(|id| owner(id, ring.person(id))),
            prefix: key.prefix,
            name: Some(key.name),
            model_ids: key.models,
            team_name: Some(contract::TEAM),
            created_at: key.created_at.rfc3339(),
            last_used_at: key.last_used_at.map(Timestamp::rfc3339),
            role: key.role,
        })
        .collect();
    Ok(answer::ok(&Keys { keys }))
}

fn owner(id: &PersonId, person: Option<Person>) -> Owner {
    Owner {
        user_id: id.to_string(),
        email: person.as_ref().map(|person| person.email.to_string()),
        name: person.map(|person| person.name),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    name: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    model_ids: Option<Vec<String>>,
    /// Ours: what a WORKSPACE_MANAGE_ALL key may do: viewer, deployer (if it is left out) or admin.
    role: Option<String>,
    #[serde(rename = "team_id")]
    _team_id: Option<String>,
}

/// What a category of keys is here.
fn key_kind(category: &str, role: Option<&str>) -> Result<KeyKind, Invalid> {
    let kind = match category {
        "PERSONAL" => KeyKind::Personal,
        "WORKSPACE_INVOKE" | "ROUTES" => KeyKind::Workspace(Role::Invoker),
        "WORKSPACE_EXPORT_METRICS" => KeyKind::Workspace(Role::Exporter),
        "WORKSPACE_MANAGE_API_KEYS" => KeyKind::Workspace(Role::Keykeeper),
        "WORKSPACE_MANAGE_ALL" => return Ok(KeyKind::Workspace(person_role(role.unwrap_or("deployer"))?)),
        other => {
            let problem = format!(
                "`{other}` is not one of PERSONAL, WORKSPACE_MANAGE_ALL, WORKSPACE_EXPORT_METRICS, WORKSPACE_INVOKE, \
                 WORKSPACE_MANAGE_API_KEYS"
            );
            return Err(Invalid::new("type", problem));
        }
    };
    match role {
        None => Ok(kind),
        Some(_) => Err(Invalid::new("role", "only a key of type WORKSPACE_MANAGE_ALL has one to choose")),
    }
}

#[derive(Serialize)]
struct Created {
    api_key: String,
}

pub async fn create(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Json(body): Json<Create>,
) -> Answer {
    let kind = key_kind(&body.kind, body.role.as_deref()).map_err(|invalid| error::invalid(&invalid))?;
    let name = body.name.unwrap_or_else(|| "unnamed".into());
    let created =
        api.control.create_key(&actor, &name, kind, body.model_ids).await.map_err(|error| failure(&error))?;
    Ok(answer::ok(&Created { api_key: created.key }))
}

#[derive(Serialize)]
struct Tombstone<'a> {
    prefix: &'a str,
}

pub async fn revoke(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path(prefix): Path<String>,
) -> Answer {
    api.control.revoke_key(&actor, &prefix).await.map_err(|error| failure(&error))?;
    Ok(answer::ok(&Tombstone { prefix: &prefix }))
}

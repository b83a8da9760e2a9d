//! API keys.

use super::*;
use control::{KeyKind, KeyLimits};
use domain::{Invalid, Person, PersonId, Role, Timestamp, person_role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Json;

pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/api_keys", list, "List the API keys").query::<KeysQuery>().answers::<Keys>(),
        Route::post("/api_keys", create, "Create an API key")
            .says("Its text is in this answer and nowhere else.")
            .body::<Create>()
            .answers::<Created>()
            .fails(404),
        Route::post("/teams/{team_id}/api_keys", create_in_team, "Create an API key of a team")
            .says("Its text is in this answer and nowhere else.")
            .body::<Create>()
            .answers::<Created>(),
        Route::delete("/api_keys/{api_key_prefix}", revoke, "Revoke an API key").answers::<KeyTombstone>(),
    ]
}

#[derive(Serialize, ToSchema)]
struct KeyInfo {
    prefix: String,
    #[schema(required)]
    name: Option<String>,
    #[serde(rename = "type")]
    #[schema(value_type = contract::words::APIKeyType)]
    kind: &'static str,
    /// The only models that it is for; null if it is for all.
    #[schema(required)]
    model_ids: Option<Vec<String>>,
    /// Ours: the only environments by whose addresses it calls, or whose deployments it measures; null if it is for all.
    #[schema(required)]
    environment_names: Option<Vec<String>>,
    #[schema(required)]
    team_name: Option<&'static str>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(required, format = DateTime)]
    last_used_at: Option<String>,
    /// Whose it is; null unless its type is PERSONAL.
    #[schema(required)]
    owner: Option<Owner>,
    /// Ours: what the key may do.
    #[schema(value_type = contract::words::KeyRole)]
    role: Role,
}

/// Whose a personal key is.
#[derive(Serialize, ToSchema)]
#[schema(as = APIKeyOwner)]
struct Owner {
    user_id: String,
    #[schema(required)]
    email: Option<String>,
    #[schema(required)]
    name: Option<String>,
}

#[derive(Serialize, ToSchema)]
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

#[derive(Debug, Deserialize, ToSchema)]
pub struct KeysQuery {
    /// Only keys for this.
    #[serde(rename = "type")]
    #[schema(value_type = Option<contract::words::APIKeyType>)]
    kind: Option<String>,
    /// Only personal keys of whoever asks.
    #[serde(default)]
    #[schema(default = false)]
    created_by_me: bool,
}

pub async fn list(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Query(query): Query<KeysQuery>,
) -> Answer {
    if let Some(category) = &query.kind {
        key_kind(category, None).map_err(|invalid| error::invalid(&invalid))?;
    }
    let mut keys = api.control.keys(&actor).await.map_err(|error| failure(&error))?;
    keys.retain(|key| query.kind.as_ref().is_none_or(|wanted| kind(key) == wanted));
    keys.retain(|key| !query.created_by_me || key.person.is_some() && key.person == actor.person);
    let ring = api.control.key_ring();
    let keys = keys
        .into_iter()
        .map(|key| KeyInfo {
            kind: kind(&key),
            owner: key.person.as_ref().map(|id| owner(id, ring.person(id))),
            prefix: key.prefix,
            name: Some(key.name),
            model_ids: key.models,
            environment_names: key.environments.map(|names| names.iter().map(ToString::to_string).collect()),
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

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateAPIKey)]
pub struct Create {
    #[schema(min_length = 1, max_length = 100, pattern = "^[a-z0-9-]+$")]
    name: Option<String>,
    #[serde(rename = "type")]
    #[schema(value_type = contract::words::APIKeyType)]
    kind: String,
    model_ids: Option<Vec<String>>,
    /// Ours: limits a WORKSPACE_INVOKE key to the addresses of environments of these names, and a
    /// WORKSPACE_EXPORT_METRICS key to what is attached to them. Without it there is no such limit.
    environment_names: Option<Vec<String>>,
    /// Ours: what a WORKSPACE_MANAGE_ALL key may do: viewer, deployer (if it is left out) or admin.
    #[schema(value_type = Option<contract::words::PersonRole>)]
    role: Option<String>,
    /// The only one is default.
    team_id: Option<String>,
}

/// What a category of keys is here.
pub(super) fn key_kind(category: &str, role: Option<&str>) -> Result<KeyKind, Invalid> {
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

#[derive(Serialize, ToSchema)]
#[schema(as = APIKey)]
struct Created {
    api_key: String,
}

pub async fn create(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Json(body): Json<Create>,
) -> Answer {
    identity::team_is_ours(body.team_id.as_deref())?;
    let kind = key_kind(&body.kind, body.role.as_deref()).map_err(|invalid| error::invalid(&invalid))?;
    let name = body.name.unwrap_or_else(|| "unnamed".into());
    let limits = KeyLimits { models: body.model_ids, environments: body.environment_names };
    let created =
        api.control.create_key(&actor, &name, kind, limits).await.map_err(|error| failure(&error))?;
    Ok(answer::ok(&Created { api_key: created.key }))
}

pub async fn create_in_team(
    state: State<Arc<Api>>,
    caller: Caller,
    Path(team): Path<String>,
    body: Json<Create>,
) -> Answer {
    if team != contract::TEAM {
        return Err(identity::no_team(&team));
    }
    create(state, caller, body).await
}

#[derive(Serialize, ToSchema)]
struct KeyTombstone {
    prefix: String,
}

pub async fn revoke(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path(prefix): Path<String>,
) -> Answer {
    api.control.revoke_key(&actor, &prefix).await.map_err(|error| failure(&error))?;
    Ok(answer::ok(&KeyTombstone { prefix }))
}

//! API keys.

use super::*;
use domain::{Invalid, Role, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Json;

pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/api_keys", list, "List the API keys").answers::<Keys>(),
        Route::post("/api_keys", create, "Create an API key")
            .says("Its text is in this answer and nowhere else.")
            .body::<Create>()
            .answers::<Created>(),
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
    #[schema(required)]
    team_name: Option<&'static str>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(required, format = DateTime)]
    last_used_at: Option<String>,
    /// Always null.
    #[schema(required, value_type = Option<Object>)]
    owner: Option<()>,
    /// Ours: what the key may do.
    #[schema(value_type = contract::words::KeyRole)]
    role: Role,
}

#[derive(Serialize, ToSchema)]
struct Keys {
    keys: Vec<KeyInfo>,
}

/// The vendor's type that comes nearest to a role.
fn kind(role: Role) -> &'static str {
    match role {
        Role::Invoker => "WORKSPACE_INVOKE",
        Role::Viewer => "WORKSPACE_EXPORT_METRICS",
        Role::Deployer => "WORKSPACE_MANAGE_ALL",
        Role::Admin => "PERSONAL",
    }
}

pub async fn list(State(api): State<Arc<Api>>, Extension(actor): Caller) -> Answer {
    let keys = api.control.keys(&actor).await.map_err(|error| failure(&error))?;
    let keys = keys
        .into_iter()
        .map(|key| KeyInfo {
            prefix: key.prefix,
            name: Some(key.name),
            kind: kind(key.role),
            model_ids: key.models,
            team_name: Some(contract::TEAM),
            created_at: key.created_at.rfc3339(),
            last_used_at: key.last_used_at.map(Timestamp::rfc3339),
            owner: None,
            role: key.role,
        })
        .collect();
    Ok(answer::ok(&Keys { keys }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CreateAPIKey)]
pub struct Create {
    #[schema(max_length = 100)]
    name: Option<String>,
    #[serde(rename = "type")]
    #[schema(value_type = contract::words::APIKeyType)]
    kind: String,
    model_ids: Option<Vec<String>>,
    #[serde(rename = "team_id")]
    _team_id: Option<String>,
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
    let refused = |problem: String| error::invalid(&Invalid::new("type", problem));
    let role = match body.kind.as_str() {
        "WORKSPACE_INVOKE" | "ROUTES" => Role::Invoker,
        "WORKSPACE_EXPORT_METRICS" => Role::Viewer,
        "WORKSPACE_MANAGE_ALL" => Role::Deployer,
        "PERSONAL" | "WORKSPACE_MANAGE_API_KEYS" => Role::Admin,
        other => {
            return Err(refused(format!(
                "`{other}` is not one of PERSONAL, WORKSPACE_MANAGE_ALL, WORKSPACE_EXPORT_METRICS, WORKSPACE_INVOKE, \
                 WORKSPACE_MANAGE_API_KEYS"
            )));
        }
    };
    let name = body.name.unwrap_or_else(|| "unnamed".into());
    let created =
        api.control.create_key(&actor, &name, role, body.model_ids).await.map_err(|error| failure(&error))?;
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

//! API keys.

use super::*;
use domain::{Invalid, Role, Timestamp};
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
    owner: Option<()>,
    /// Ours: what the key may do.
    role: Role,
}

#[derive(Serialize)]
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    name: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    model_ids: Option<Vec<String>>,
    #[serde(rename = "team_id")]
    _team_id: Option<String>,
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

//! The door for this machine's own command line: whoever can read the data folder may open it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use control::{KeyKind, KeyLimits};
use domain::{Actor, Email, Role};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use subtle::ConstantTimeEq;

use crate::api::Api;
use crate::{answer, auth, rest};

#[derive(Clone)]
struct Door {
    api: Arc<Api>,
    secret: Arc<str>,
}

/// `/api/local/…`, opened by the secret that the data folder holds.
pub fn router(api: Arc<Api>, secret: Arc<str>) -> Router {
    Router::new()
        .route("/api/local/sign-in-link", post(sign_in_link))
        .route("/api/local/keys", post(create_key))
        .with_state(Door { api, secret })
}

impl Door {
    fn check(&self, headers: &HeaderMap) -> Result<(), Response> {
        let given = auth::key(headers).unwrap_or_default();
        if bool::from(given.as_bytes().ct_eq(self.secret.as_bytes())) {
            return Ok(());
        }
        let message = "this door is for the command line on the server's own machine";
        Err(answer::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whom {
    /// Whom the link signs in; the oldest admin if it is left out.
    email: Option<String>,
}

async fn sign_in_link(
    State(door): State<Door>,
    headers: HeaderMap,
    body: Json<Whom>,
) -> Result<Response, Response> {
    door.check(&headers)?;
    let email = body.email.as_deref().map(Email::new).transpose();
    let email = email.map_err(|invalid| rest::failure(&invalid.into()))?;
    let token = door.api.control.new_sign_in_link(email.as_ref()).await;
    let token = token.map_err(|error| rest::failure(&error))?;
    Ok(answer::ok(&serde_json::json!({ "link": link(&door.api.public_url, &token) })))
}

/// Where a one-time token is used.
pub fn link(public_url: &str, token: &str) -> String {
    format!("{public_url}/sign-in?token={token}")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    name: String,
    role: Role,
}

async fn create_key(
    State(door): State<Door>,
    headers: HeaderMap,
    body: Json<NewKey>,
) -> Result<Response, Response> {
    door.check(&headers)?;
    let owner = Actor { name: "command line".into(), door: domain::Door::Other, ..Actor::system() };
    let created = door
        .api
        .control
        .create_key(&owner, &body.name, KeyKind::Workspace(body.role), KeyLimits::default())
        .await;
    let created = created.map_err(|error| rest::failure(&error))?;
    Ok(answer::ok(&serde_json::json!({ "api_key": created.key })))
}

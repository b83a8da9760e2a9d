//! The door for this machine's own command line: whoever can read the data folder may open it.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use control::{KeyKind, KeyLimits};
use domain::{Actor, Email, Role};
use http::StatusCode;
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
    let door = Door { api, secret };
    Router::new()
        .route("/api/local/sign-in-link", post(sign_in_link))
        .route("/api/local/keys", post(create_key))
        .route_layer(middleware::from_fn_with_state(door.clone(), check))
        .with_state(door)
}

/// Before anything else is read of a request: nobody else may send anything.
async fn check(State(door): State<Door>, request: Request, next: Next) -> Response {
    let given = auth::key(request.headers()).unwrap_or_default();
    if bool::from(given.as_bytes().ct_eq(door.secret.as_bytes())) {
        return next.run(request).await;
    }
    let message = "this door is for the command line on the server's own machine";
    answer::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whom {
    /// Whom the link signs in; the oldest admin if it is left out.
    email: Option<String>,
}

async fn sign_in_link(State(door): State<Door>, body: Json<Whom>) -> Result<Response, Response> {
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

async fn create_key(State(door): State<Door>, body: Json<NewKey>) -> Result<Response, Response> {
    let owner = Actor { name: "command line".into(), door: domain::Door::Other, ..Actor::system() };
    let created = door
        .api
        .control
        .create_key(&owner, &body.name, KeyKind::Workspace(body.role), KeyLimits::default())
        .await;
    let created = created.map_err(|error| rest::failure(&error))?;
    Ok(answer::ok(&serde_json::json!({ "api_key": created.key })))
}

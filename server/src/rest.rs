//! The management API under `/v1`, on any host name of this server.

mod audit;
#[cfg(test)]
mod bad_input;
mod body;
pub mod contract;
mod deployments;
mod environments;
mod error;
mod extract;
mod identity;
mod keys;
mod limits;
mod logs;
mod metrics;
mod models;
mod patches;
mod places;
mod promotions;
mod pushes;
mod refused;
mod root;
mod route;
mod secrets;
pub mod spec;
mod startups;
mod unread;
mod usage;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::{Extension, Router};
use domain::Actor;
use http::StatusCode;

use crate::answer;
use crate::api::Api;

pub use body::received;
pub use error::{described, failure};
use extract::{Path, Query};
pub use limits::{Limits, admit, check_key};
use route::Route;
pub(crate) use usage::day;

type Answer = Result<Response, Response>;
type Caller = Extension<Actor>;

/// The routes by what they are about, in the order of the description.
fn groups() -> [(&'static str, &'static str, Vec<Route>); 15] {
    [
        ("Models", "What can be called by name.", models::routes()),
        ("Deployments", "The built versions of a model.", deployments::routes()),
        ("Environments", "Addresses that stay while what they serve changes.", environments::routes()),
        ("Promotions", "Making a deployment what an environment serves.", promotions::routes()),
        ("Pushes", "Making a deployment of an archive.", pushes::routes()),
        ("Live reload", "Changes of a development deployment in place.", patches::routes()),
        ("Logs", "What builds, replicas and Slipway itself said.", logs::routes()),
        ("Metrics", "What was measured of requests and replicas.", metrics::routes()),
        ("Startups", "How replicas started.", startups::routes()),
        ("Secrets", "Texts that models read by their names.", secrets::routes()),
        ("API keys", "What programs sign in with.", keys::routes()),
        (
            "Workspace",
            "Who asks, and where.",
            [identity::routes(), places::routes()].into_iter().flatten().collect(),
        ),
        (
            "Activity and usage",
            "Who changed what, and what was used.",
            [audit::routes(), usage::routes()].into_iter().flatten().collect(),
        ),
        ("Not here", "Routes that clients know and that can't be had here.", refused::routes()),
        (
            "Server",
            "This server, and this description.",
            [root::routes(), spec::routes()].into_iter().flatten().collect(),
        ),
    ]
}

/// Everything under `/v1`.
pub fn router(api: Arc<Api>) -> Router {
    let (open, keyed): (Vec<_>, Vec<_>) =
        groups().into_iter().flat_map(|(_, _, routes)| routes).partition(|route| route.is_open);
    let serve = |router: Router<Arc<Api>>, routes: Vec<Route>| {
        routes.into_iter().fold(router, |router, route| router.route(route.path, route.serve))
    };
    let routes = serve(Router::new(), keyed)
        .fallback(not_served)
        .method_not_allowed_fallback(not_served)
        .layer(middleware::from_fn_with_state(api.clone(), limits::check))
        .layer(middleware::from_fn_with_state(api.clone(), authenticate));
    Router::new().nest("/v1", serve(routes, open).with_state(api))
}

/// Puts who asks into the request, or answers 401.
async fn authenticate(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    match api.caller(request.headers()).await {
        Ok(actor) => {
            request.extensions_mut().insert(actor);
            next.run(request).await
        }
        Err(error) => failure(&error),
    }
}

async fn not_served(request: Request) -> Response {
    let message = format!("{} {} is not served here", request.method(), request.uri().path());
    answer::error(StatusCode::NOT_FOUND, "NOT_SERVED", &message)
}

/// A path's parts, checked for their form.
mod ids {
    use super::*;
    use domain::{EnvironmentName, ModelId, parse_id};

    pub fn model(text: &str) -> Result<ModelId, Response> {
        parse_id("model_id", text).map(ModelId::new).map_err(|invalid| error::invalid(&invalid))
    }

    pub fn environment(text: &str) -> Result<EnvironmentName, Response> {
        EnvironmentName::new(text).map_err(|_| {
            let message = format!("there is no environment `{text}`");
            answer::error(StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND", &message)
        })
    }
}

type ModelPath = Path<String>;
type Below = Path<(String, String)>;

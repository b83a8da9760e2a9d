//! The management API under `/v1`, on any host name of this server.

mod audit;
#[cfg(test)]
mod bad_input;
mod body;
pub mod contract;
mod deployments;
mod environments;
mod error;
mod identity;
mod keys;
mod logs;
mod metrics;
mod models;
mod patches;
mod promotions;
mod root;
mod secrets;
mod usage;

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{delete, get, patch, post};
use axum::{Extension, Router};
use domain::Actor;
use http::StatusCode;

use crate::answer;
use crate::api::Api;

pub use error::{described, failure};
pub(crate) use usage::day;

type Answer = Result<Response, Response>;
type Caller = Extension<Actor>;

/// Everything under `/v1`.
pub fn router(api: Arc<Api>) -> Router {
    let model = "/models/{model}";
    let deployment = "/models/{model}/deployments/{deployment}";
    let environment = "/models/{model}/environments/{environment}";
    let path = |stem: &str, rest: &str| format!("{stem}{rest}");
    let routes = Router::new()
        .route("/", get(root::read))
        .route("/models", get(models::list))
        .route("/teams/{team}/models", get(models::list_of_team))
        .route(model, get(models::read).patch(models::rename).delete(models::delete))
        .route(&path(model, "/deployments"), get(deployments::list))
        .route(deployment, get(deployments::read).patch(deployments::rename).delete(deployments::delete))
        .route(&path(deployment, "/promote"), post(promotions::promote_to_production))
        .route(&path(deployment, "/activate"), post(deployments::activate))
        .route(&path(deployment, "/deactivate"), post(deployments::deactivate))
        .route(&path(deployment, "/retry"), post(deployments::retry))
        .route(&path(deployment, "/replicas/{replica}"), delete(deployments::terminate))
        .route(&path(deployment, "/autoscaling_settings"), patch(deployments::autoscaling))
        .route(&path(deployment, "/config"), get(deployments::config))
        .route(&path(deployment, "/download"), get(deployments::download))
        .route(&path(deployment, "/patches"), post(patches::stage))
        .route(&path(deployment, "/patches/state"), get(patches::state))
        .route(&path(deployment, "/patches/sync"), post(patches::sync))
        .route(&path(deployment, "/logs"), get(logs::by_query).post(logs::by_body))
        .route(&path(deployment, "/logs/download"), get(logs::file))
        .route(&path(deployment, "/metrics"), get(metrics::of_deployment))
        .route(&path(model, "/environments"), get(environments::list).post(environments::create))
        .route(environment, get(environments::read).patch(environments::update).delete(environments::delete))
        .route(&path(environment, "/promote"), post(promotions::promote_to_environment))
        .route(&path(environment, "/cancel_promotion"), post(promotions::cancel))
        .route(&path(environment, "/force_cancel_promotion"), post(promotions::force_cancel))
        .route(&path(environment, "/pause_promotion"), post(promotions::pause))
        .route(&path(environment, "/resume_promotion"), post(promotions::resume))
        .route(&path(environment, "/force_roll_forward_promotion"), post(promotions::force_roll_forward))
        .route(&path(environment, "/activate"), post(environments::activate))
        .route(&path(environment, "/deactivate"), post(environments::deactivate))
        .route(&path(environment, "/logs"), get(logs::of_environment))
        .route(&path(environment, "/metrics"), get(metrics::of_environment))
        .route("/users/me", get(identity::me))
        .route("/organizations/me", get(identity::organization))
        .route("/teams", get(identity::teams))
        .route("/teams/{team}", get(identity::team))
        .route("/instance_types", get(identity::instance_types))
        .route("/instance_type_prices", get(identity::instance_type_prices))
        .route("/api_keys", get(keys::list).post(keys::create))
        .route("/api_keys/{prefix}", delete(keys::revoke))
        .route("/secrets", get(secrets::list).post(secrets::set))
        .route("/secrets/{name}", delete(secrets::delete))
        .route("/teams/{team}/secrets", get(secrets::list_of_team).post(secrets::set_of_team))
        .route("/teams/{team}/secrets/{name}", delete(secrets::delete_of_team))
        .route("/billing/usage_summary", get(usage::summary))
        .route("/audit_logs", get(audit::of_workspace))
        .route(&path(model, "/audit_logs"), get(audit::of_model))
        .fallback(not_served)
        .method_not_allowed_fallback(not_served)
        .layer(middleware::from_fn_with_state(api.clone(), authenticate))
        .route("/archives/{token}", get(deployments::archive))
        .with_state(api);
    Router::new().nest("/v1", routes)
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

//! All paths on one page.

use std::sync::Arc;

use app::backend::Backend;
use axum::Router;
use axum::extract::State;
use axum::middleware;
use axum::response::Response;
use axum::routing::get;
use http::header::{STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};
use store::Store;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::api::Api;
use crate::changes::Changes;
use crate::guard::{self, Names};
use crate::uploads::{self, Uploads};
use crate::{answer, dashboard, graphql, local, prometheus, rest};

/// What the doors need.
pub struct Doors {
    pub api: Arc<Api>,
    pub backend: Arc<dyn Backend>,
    pub changes: Changes,
    pub names: Names,
    pub store: Store,
    pub uploads: Uploads,
    /// Whether people reach this server by TLS only.
    pub secure: bool,
    /// Opens the door for this machine's own command line.
    pub local_secret: Arc<str>,
    /// Ends streams when the server stops.
    pub shutdown: CancellationToken,
}

/// Everything but inference, which the gateway serves before it comes here.
pub fn router(doors: Doors) -> Router {
    // Only where everything is encrypted: a browser that heard it once never asks without again.
    let secure = doors.secure;
    let strict = move |_: &Response| secure.then(|| HeaderValue::from_static("max-age=31536000"));
    let health = Router::new().route("/healthz", get(healthz)).with_state(doors.store);
    let pages = dashboard::router(doors.backend, doors.changes, doors.shutdown)
        .layer(middleware::from_fn_with_state(doors.api.clone(), rest::check_key))
        .layer(CompressionLayer::new());
    Router::new()
        .merge(rest::router(doors.api.clone()))
        .merge(graphql::router(doors.api.clone()))
        .merge(prometheus::router(doors.api.clone()))
        .merge(uploads::router(Arc::new(doors.uploads)))
        .merge(local::router(doors.api, doors.local_secret))
        .merge(health)
        .merge(pages)
        .layer(middleware::from_fn_with_state(Arc::new(doors.names), guard::check))
        .layer(SetResponseHeaderLayer::if_not_present(STRICT_TRANSPORT_SECURITY, strict))
        .layer(SetResponseHeaderLayer::if_not_present(
            X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(CatchPanicLayer::custom(panicked))
}

/// 200 when the store answers.
async fn healthz(State(store): State<Store>) -> Response {
    match store.ping().await {
        Ok(()) => answer::ok(&serde_json::json!({ "status": "ok" })),
        Err(error) => {
            tracing::error!(%error, "the store does not answer");
            answer::error(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", "the database does not answer")
        }
    }
}

/// A fault of ours ends one request, not the server.
fn panicked(cause: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let said = cause.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("nothing");
    tracing::error!(said, "a request met a defect");
    answer::error(
        StatusCode::INTERNAL_SERVER_ERROR,
        "INTERNAL_ERROR",
        "something went wrong on the server; its log says what",
    )
}

//! The dashboard: its pages, their functions, their files, and the streams that keep them live.

use std::sync::Arc;
use std::time::Duration;

use app::backend::{Backend, LogFile, LogPart};
use app::error::AppError;
use app::view::{ActivityFilter, LogCursor, LogFilter};
use app::{App, shell};
use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use domain::{DeploymentId, Invalid, ModelId, parse_id};
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use leptos::prelude::{LeptosOptions, provide_context};
use leptos_axum::{LeptosRoutes, generate_route_list_with_exclusions_and_ssg_and_context};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::changes::{self, Changes};
use crate::log_file::Format;
use crate::log_stream::Following;
use crate::{answer, log_file, log_stream, refusals, site};

/// How often it is seen to that whoever has a stream may still look.
pub(crate) const ASK_AGAIN: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct Streams {
    pub backend: Arc<dyn Backend>,
    changes: Changes,
    pub shutdown: CancellationToken,
}

/// Pages, `/api/ui/…` and `/pkg/…`. Anything else is a page that says it does not exist.
pub fn router(backend: Arc<dyn Backend>, changes: Changes, shutdown: CancellationToken) -> Router {
    let context = {
        let backend = backend.clone();
        move || provide_context(backend.clone())
    };
    let options = LeptosOptions::builder().output_name("app").build();
    let (pages, _) = generate_route_list_with_exclusions_and_ssg_and_context(App, None, context.clone());
    let not_found = leptos_axum::render_app_async_with_context(context.clone(), || shell(site::files()));
    let streams = Router::new()
        .route("/api/ui/events", get(events))
        .route("/api/ui/log_stream", get(log_stream))
        .route("/api/ui/log_file", get(log_file))
        .route("/api/ui/usage.csv", get(usage_file))
        .route("/api/ui/activity.csv", get(activity_file))
        .with_state(Streams { backend, changes, shutdown });
    Router::new()
        .leptos_routes_with_context(&options, pages, context, || shell(site::files()))
        .fallback(not_found)
        .with_state(options)
        .layer(axum::middleware::from_fn(refusals::told))
        .merge(streams)
        .route(
            "/pkg/{*name}",
            get(|Path(name): Path<String>, headers: HeaderMap| async move { site::serve(&name, &headers) }),
        )
}

/// Nudges for whoever is signed in.
async fn events(State(streams): State<Streams>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if streams.backend.open(&parts).await.is_err() {
        return unauthorized();
    }
    let backend = streams.backend.clone();
    streams.changes.stream(async move {
        loop {
            tokio::time::sleep(ASK_AGAIN).await;
            if backend.open(&parts).await.is_err() {
                return;
            }
        }
    })
}

#[derive(Deserialize)]
struct OfDeployment {
    model_id: String,
    deployment_id: String,
    /// Lines after this one; all there are if it is left out.
    #[serde(default)]
    after: i64,
}

impl OfDeployment {
    fn ids(&self) -> Result<(ModelId, DeploymentId), Invalid> {
        let model = ModelId::new(parse_id("model_id", &self.model_id)?);
        Ok((model, DeploymentId::new(parse_id("deployment_id", &self.deployment_id)?)))
    }
}

/// A deployment's log as it is written: each event is a page of new lines.
async fn log_stream(
    State(streams): State<Streams>,
    Query(of): Query<OfDeployment>,
    Query(filter): Query<LogFilter>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let Ok(session) = streams.backend.open(&parts).await else { return unauthorized() };
    let (model, deployment) = match of.ids() {
        Ok(ids) => ids,
        Err(invalid) => return refused(&invalid.into(), "INVALID"),
    };
    let after = log_stream::resumed(&parts.headers).unwrap_or(LogCursor(of.after));
    // What can't be read at all is an answer, not a stream that breaks off.
    let part = LogPart::After(LogCursor(i64::MAX));
    let first = streams.backend.logs(&session, &model, &deployment, filter.clone(), part).await;
    if let Err(error) = first {
        return refused(&error, "LOGS");
    }
    let following = Following { streams, parts, session, model, deployment, filter, after };
    changes::answer(log_stream::events(following))
}

/// A deployment's log as a file, as far as it is kept.
async fn log_file(
    State(streams): State<Streams>,
    Query(of): Query<OfDeployment>,
    Query(filter): Query<LogFilter>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let Ok(session) = streams.backend.open(&parts).await else { return unauthorized() };
    let (model, deployment) = match of.ids() {
        Ok(ids) => ids,
        Err(invalid) => return refused(&invalid.into(), "INVALID"),
    };
    let LogFile { name, until } = match streams.backend.log_file(&session, &model, &deployment).await {
        Ok(file) => file,
        Err(error) => return refused(&error, "LOGS"),
    };
    let backend = streams.backend;
    let next = move |after: LogCursor| {
        let (backend, session, filter) = (backend.clone(), session.clone(), filter.clone());
        let (model, deployment) = (model.clone(), deployment.clone());
        async move { backend.log_piece(&session, &model, &deployment, &filter, after, until).await }
    };
    match next(LogCursor(of.after)).await {
        Ok(first) => log_file::answer(&name, Format::Text, first, next),
        Err(error) => refused(&error, "LOGS"),
    }
}

#[derive(Deserialize)]
struct Period {
    /// 1 to 31; a week if it is left out.
    days: Option<u32>,
}

/// The usage log as a file.
async fn usage_file(
    State(streams): State<Streams>,
    Query(period): Query<Period>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let Ok(session) = streams.backend.open(&parts).await else { return unauthorized() };
    let days = period.days.unwrap_or(7);
    if !(1..=31).contains(&days) {
        let message = format!("days: {days} is not within 1 to 31");
        return answer::error(StatusCode::BAD_REQUEST, "INVALID", &message);
    }
    file(streams.backend.usage_csv(&session, days).await, "USAGE")
}

#[derive(Deserialize)]
struct OfModel {
    /// The workspace's activity if it is left out.
    #[serde(default)]
    model_id: String,
}

/// The activity as a file.
async fn activity_file(
    State(streams): State<Streams>,
    Query(of): Query<OfModel>,
    Query(filter): Query<ActivityFilter>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let Ok(session) = streams.backend.open(&parts).await else { return unauthorized() };
    let id = Some(of.model_id.as_str()).filter(|id| !id.is_empty());
    let model = match id.map(|id| parse_id("model_id", id)).transpose() {
        Ok(model) => model.map(ModelId::new),
        Err(invalid) => return answer::error(StatusCode::BAD_REQUEST, "INVALID", &invalid.to_string()),
    };
    file(streams.backend.activity_csv(&session, model.as_ref(), &filter).await, "ACTIVITY")
}

/// A table to save, by its name, or why there is none.
fn file(written: Result<(String, String), AppError>, code: &str) -> Response {
    match written {
        Ok((name, text)) => (
            [
                (CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
                (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
                (CACHE_CONTROL, "no-store".to_owned()),
            ],
            text,
        )
            .into_response(),
        Err(error) => refused(&error, code),
    }
}

fn refused(error: &AppError, code: &str) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer::error(status, code, &error.to_string())
}

fn unauthorized() -> Response {
    answer::error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "sign in, or send an API key").into_response()
}

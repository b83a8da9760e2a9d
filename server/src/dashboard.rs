//! The dashboard: its pages, their functions, their files, and the streams that keep them live.

use std::sync::Arc;
use std::time::Duration;

use app::backend::{Backend, DAYS, LogFile, LogFormat, LogPart, LogsOf};
use app::error::AppError;
use app::view::{ActivityFilter, LogCursor, LogFilter, LogScope};
use app::{App, shell};
use axum::extract::{Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use domain::{Invalid, LogPlaces, ModelId, parse_id};
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body::Body as _;
use leptos::prelude::{LeptosOptions, provide_context};
use leptos_axum::{LeptosRoutes, generate_route_list_with_exclusions_and_ssg_and_context};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::changes::{self, Changes};
use crate::log_stream::Following;
use crate::{answer, log_file, log_stream, refusals, site};

/// How often it is seen to that whoever has a stream may still look.
pub(crate) const ASK_AGAIN: Duration = Duration::from_secs(10);
/// The most that a form of somebody may have who is not known, in bytes: an address, a password, a link's token.
const FROM_STRANGERS: u64 = 16 << 10;

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
        .with_state(Streams { backend: backend.clone(), changes, shutdown });
    Router::new()
        .leptos_routes_with_context(&options, pages, context, || shell(site::files()))
        .fallback(not_found)
        .with_state(options)
        .layer(middleware::from_fn(refusals::told))
        .layer(middleware::from_fn_with_state(backend, limit_strangers))
        .merge(streams)
        .route(
            "/pkg/{*name}",
            get(|Path(name): Path<String>, headers: HeaderMap| async move { site::serve(&name, &headers) }),
        )
}

/// Functions read what they are sent before they ask who sends it, so whoever is not known is refused before they send much: nothing
/// that one may ask for without having signed in is long.
async fn limit_strangers(State(backend): State<Arc<dyn Backend>>, request: Request, next: Next) -> Response {
    if request.body().size_hint().upper().is_some_and(|most| most <= FROM_STRANGERS) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    match backend.open(&parts).await {
        Ok(_) => next.run(Request::from_parts(parts, body)).await,
        Err(error) => {
            let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, Json(error)).into_response()
        }
    }
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
struct Begin {
    /// Lines after these places; all there are if it is left out.
    after: Option<String>,
}

impl Begin {
    /// Whose log is asked for, and from where on.
    fn of(&self, scope: &LogScope) -> Result<(ModelId, LogsOf, LogPlaces), Invalid> {
        let (model, of) = LogsOf::parse(scope)?;
        let after = self.after.as_deref().map(str::parse::<LogPlaces>).transpose()?;
        Ok((model, of, after.unwrap_or_default()))
    }
}

/// A log as it is written: each event is a page of new lines.
async fn log_stream(
    State(streams): State<Streams>,
    Query(scope): Query<LogScope>,
    Query(begin): Query<Begin>,
    Query(filter): Query<LogFilter>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let Ok(session) = streams.backend.open(&parts).await else { return unauthorized() };
    let (model, of, after) = match begin.of(&scope) {
        Ok(asked) => asked,
        Err(invalid) => return refused(&invalid.into(), "INVALID"),
    };
    let after = log_stream::resumed(&parts.headers).unwrap_or(after);
    // What can't be read at all is an answer, not a stream that breaks off.
    let part = LogPart::After(LogCursor(i64::MAX));
    let first = streams.backend.logs(&session, &model, &of, filter.clone(), part).await;
    if let Err(error) = first {
        return refused(&error, "LOGS");
    }
    let following = Following { streams, parts, session, model, of, filter, after };
    changes::answer(log_stream::events(following))
}

#[derive(Deserialize)]
struct InFormat {
    /// text, csv or json; text if it is left out.
    format: Option<String>,
}

/// A log as a file, as far as it is kept.
async fn log_file(
    State(streams): State<Streams>,
    Query(scope): Query<LogScope>,
    Query(begin): Query<Begin>,
    Query(filter): Query<LogFilter>,
    Query(wanted): Query<InFormat>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let Ok(session) = streams.backend.open(&parts).await else { return unauthorized() };
    let (model, of, after) = match begin.of(&scope) {
        Ok(asked) => asked,
        Err(invalid) => return refused(&invalid.into(), "INVALID"),
    };
    let format = match wanted.format.as_deref().map_or(Ok(LogFormat::Text), LogFormat::parse) {
        Ok(format) => format,
        Err(invalid) => return refused(&invalid.into(), "INVALID"),
    };
    let LogFile { name, until } = match streams.backend.log_file(&session, &model, &of).await {
        Ok(file) => file,
        Err(error) => return refused(&error, "LOGS"),
    };
    let has_sides = matches!(of, LogsOf::Environment(_));
    let backend = streams.backend;
    let next = move |after: LogCursor| {
        let (backend, session, filter) = (backend.clone(), session.clone(), filter.clone());
        let (model, of) = (model.clone(), of.clone());
        async move { backend.log_piece(&session, &model, &of, &filter, format, after, until).await }
    };
    match next(LogCursor(after.rest())).await {
        Ok(first) => log_file::answer(&name, format, has_sides, first, next),
        Err(error) => refused(&error, "LOGS"),
    }
}

#[derive(Deserialize)]
struct Period {
    /// As [`DAYS`] says; a week if it is left out.
    days: Option<String>,
}

/// The usage log as a file.
async fn usage_file(
    State(streams): State<Streams>,
    Query(period): Query<Period>,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let Ok(session) = streams.backend.open(&parts).await else { return unauthorized() };
    let days = match period.days.as_deref().map_or(Ok(7), |days| DAYS.read(days)) {
        Ok(days) => days,
        Err(invalid) => return refused(&invalid.into(), "INVALID"),
    };
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

//! Logs of a deployment, or of what an environment had.

use super::contract::{Log, Logs, LogsRequest};
use super::*;
use app::backend::LogFormat;
use app::view::LogCursor;
use axum::extract::Query;
use domain::{LogQuery, Timestamp};
use http::{HeaderName, HeaderValue};
use utoipa::ToSchema;

use super::body::Json;
use crate::log_file;

/// Where a search stopped that would have taken too long: the moment of the last line it looked at, like `timestamp`.
const SEARCHED_TO: HeaderName = HeaderName::from_static("x-slipway-searched-to");
const EARLY: &str = "A search that would take long answers what it has found within a few seconds, and says with the header \
                     `x-slipway-searched-to` how far it came, in nanoseconds since 1970: ask on from there. Without the \
                     header everything was looked at.";

const OF_ENVIRONMENT: &str = "The lines of all deployments that the environment had within the window, each for the time that it was \
                              there: what served it, and both sides of promotions that ran. A search that would take \
                              long stops early, as in a deployment's log, and says so with the header \
                              `x-slipway-searched-to`.";

type Pairs = Query<Vec<(String, String)>>;

pub fn routes() -> Vec<Route> {
    let deployment = "/models/{model_id}/deployments/{deployment_id}/logs";
    vec![
        Route::get(deployment, by_query, "Read a deployment's log")
            .says(EARLY)
            .query::<LogsRequest>()
            .answers::<Logs>(),
        Route::post(deployment, by_body, "Read a deployment's log, asked in a body")
            .says(EARLY)
            .body::<LogsRequest>()
            .answers::<Logs>(),
        Route::get(
            "/models/{model_id}/environments/{env_name}/logs",
            of_environment,
            "Read an environment's log",
        )
        .says(OF_ENVIRONMENT)
        .query::<LogsRequest>()
        .answers::<Logs>(),
        Route::get(
            "/models/{model_id}/deployments/{deployment_id}/logs/download",
            file,
            "Download a deployment's log",
        )
        .says("Everything that is kept, or a window of any length, oldest first.")
        .query::<LogFileRequest>()
        .answers_file("text/plain")
        .answers_file("text/csv")
        .answers_file("application/jsonl"),
    ]
}

/// What the query of a file may say; it is read by hand.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is described, and never made")]
struct LogFileRequest {
    /// Text, a table with a row for each line, or a line of JSON for each line; `jsonl` is `json`, too.
    #[schema(value_type = Option<contract::words::LogFormat>, default = "text")]
    format: Option<String>,
    /// The oldest line that is kept, if nothing else is said.
    start_epoch_millis: Option<i64>,
    /// Now, if nothing else is said.
    end_epoch_millis: Option<i64>,
    /// Drops lines below it, and those without a level.
    #[schema(value_type = Option<contract::words::Level>)]
    min_level: Option<String>,
    #[schema(max_length = 256)]
    replica: Option<String>,
    #[schema(max_length = 256)]
    request_id: Option<String>,
    /// Only what this wrote: the build, Slipway itself, or the model's replicas.
    #[schema(value_type = Option<contract::words::LogComponent>)]
    component: Option<String>,
    /// A regular expression that the message matches.
    #[schema(max_length = 256)]
    search_pattern: Option<String>,
    /// Texts that the message has, all of them; at most 8 of at most 256 characters.
    #[schema(max_items = 8)]
    includes: Option<Vec<String>>,
    /// Texts that the message has none of.
    #[schema(max_items = 8)]
    excludes: Option<Vec<String>>,
}

pub async fn by_query(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
    Query(pairs): Pairs,
) -> Answer {
    let request = LogsRequest::from_pairs(pairs).map_err(|invalid| error::invalid(&invalid))?;
    let (picture, id) = deployments::find(&api, &actor, &model, &deployment).await?;
    read(&api, &actor, &picture.model.id, &id, request).await
}

pub async fn by_body(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
    Json(request): Json<LogsRequest>,
) -> Answer {
    let (picture, id) = deployments::find(&api, &actor, &model, &deployment).await?;
    read(&api, &actor, &picture.model.id, &id, request).await
}

pub async fn of_environment(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, environment)): Below,
    Query(pairs): Pairs,
) -> Answer {
    let request = LogsRequest::from_pairs(pairs).map_err(|invalid| error::invalid(&invalid))?;
    let (picture, name) = environments::find(&api, &actor, &model, &environment).await?;
    let query = request.query(api.clock.now()).map_err(|invalid| error::invalid(&invalid))?;
    let found = api.control.environment_logs(&actor, &picture.model.id, &name, &query).await;
    let found = found.map_err(|error| failure(&error))?;
    Ok(lines(found.lines.into_iter().map(Log::from).collect(), found.searched_to))
}

/// The log as a file, sent while it is read: everything that is kept, or a window of any length, with the same filters.
pub async fn file(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
    Query(pairs): Pairs,
) -> Answer {
    let (format, query) = file_query(pairs).map_err(|invalid| error::invalid(&invalid))?;
    let (picture, id) = deployments::find(&api, &actor, &model, &deployment).await?;
    let until = api.clock.now();
    let called = picture.deployment(&id).map(|found| found.name.to_string()).unwrap_or_default();
    let name = log_file::name(picture.model.name.as_str(), &called, until);
    let begin = LogCursor(query.after_nanos.unwrap_or_default());
    let model = picture.model.id.clone();
    let next = move |after: LogCursor| {
        let (api, actor, model, id) = (api.clone(), actor.clone(), model.clone(), id.clone());
        let query = log_file::next_lines(query.clone(), after, until);
        async move {
            let found = api.control.logs(&actor, &model, &id, &query).await?;
            Ok::<_, control::Error>(log_file::piece(&found, format))
        }
    };
    let first = next(begin).await.map_err(|error| failure(&error))?;
    Ok(log_file::answer(&name, format, false, first, next))
}

/// What a file is to have: `format` beside the parameters of a question, without `limit` and `direction`.
pub(super) fn file_query(pairs: Vec<(String, String)>) -> Result<(LogFormat, LogQuery), domain::Invalid> {
    let (formats, pairs): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(name, _)| name == "format");
    let format = formats.last().map_or(Ok(LogFormat::Text), |(_, name)| LogFormat::parse(name))?;
    if let Some((name, _)) = pairs.iter().find(|(name, _)| name == "limit" || name == "direction") {
        return Err(domain::Invalid::new(
            name,
            "is not a parameter of a file, which has all lines, oldest first",
        ));
    }
    let mut request = LogsRequest::from_pairs(pairs)?;
    let nanos = |millis: i64| millis.saturating_mul(1_000_000);
    let (start, end) = (request.start_epoch_millis.take(), request.end_epoch_millis.take());
    if start.zip(end).is_some_and(|(start, end)| start > end) {
        return Err(domain::Invalid::new("start_epoch_millis", "is after end_epoch_millis"));
    }
    let query = request.query(Timestamp::default())?;
    let query = LogQuery {
        start: None,
        end: None,
        after_nanos: start.map(|start| nanos(start).saturating_sub(1)),
        before_nanos: end.map(nanos),
        ..query
    };
    Ok((format, query))
}

async fn read(
    api: &Api,
    actor: &Actor,
    model: &domain::ModelId,
    deployment: &domain::DeploymentId,
    request: LogsRequest,
) -> Answer {
    let query = request.query(api.clock.now()).map_err(|invalid| error::invalid(&invalid))?;
    let found = api.control.logs(actor, model, deployment, &query).await.map_err(|error| failure(&error))?;
    Ok(lines(found.lines.into_iter().map(Log::from).collect(), found.searched_to))
}

fn lines(logs: Vec<Log>, searched_to: Option<i64>) -> Response {
    let mut response = answer::ok(&Logs { logs });
    if let Some(nanos) = searched_to {
        response.headers_mut().insert(SEARCHED_TO, HeaderValue::from(nanos));
    }
    response
}

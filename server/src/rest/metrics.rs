//! What was measured of a deployment, or of what an environment served.

use super::contract::{Metrics, MetricsRequest, Used};
use super::*;
use control::MetricScope;
use utoipa::ToSchema;

use crate::picture::Picture;

type Pairs = Query<Vec<(String, String)>>;

pub fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/models/{model_id}/deployments/{deployment_id}/metrics",
            of_deployment,
            "Read what was measured of a deployment",
        )
        .query::<MetricsQuery>()
        .answers::<Metrics>(),
        Route::get(
            "/models/{model_id}/environments/{env_name}/metrics",
            of_environment,
            "Read what was measured of what an environment served",
        )
        .query::<MetricsQuery>()
        .answers::<Metrics>(),
    ]
}

/// What [`MetricsRequest::from_pairs`] takes, for the description.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is described, and never made")]
struct MetricsQuery {
    #[schema(value_type = Option<contract::words::MetricsMode>, default = "CURRENT")]
    mode: Option<String>,
    /// An hour before the end, if nothing else is said; at most 7 days before it. Not with `CURRENT`.
    #[schema(minimum = 0)]
    start_epoch_millis: Option<i64>,
    /// Now, if nothing else is said. Not with `CURRENT`.
    #[schema(minimum = 0)]
    end_epoch_millis: Option<i64>,
    /// Names of metrics. Those that do not apply here are left out of the answer.
    metrics: Option<Vec<String>>,
}

pub async fn of_deployment(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
    Query(pairs): Pairs,
) -> Answer {
    let request = MetricsRequest::from_pairs(pairs).map_err(|invalid| error::invalid(&invalid))?;
    let (picture, id) = deployments::find(&api, &actor, &model, &deployment).await?;
    read(&api, &actor, &picture, MetricScope::Deployment(id), request).await
}

pub async fn of_environment(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, environment)): Below,
    Query(pairs): Pairs,
) -> Answer {
    let request = MetricsRequest::from_pairs(pairs).map_err(|invalid| error::invalid(&invalid))?;
    let (picture, name) = environments::find(&api, &actor, &model, &environment).await?;
    read(&api, &actor, &picture, MetricScope::Environment(name), request).await
}

async fn read(
    api: &Api,
    actor: &Actor,
    picture: &Picture,
    scope: MetricScope,
    request: MetricsRequest,
) -> Answer {
    let (start, end) = request.window(api.clock.now()).map_err(|invalid| error::invalid(&invalid))?;
    let series = api.control.metrics(actor, &picture.model.id, &scope, start, end).await;
    let series = series.map_err(|error| failure(&error))?;
    let used = if request.asks_for_uses() { used(api, picture, &scope).await } else { Vec::new() };
    Ok(answer::ok(&Metrics::new(&request, (start, end), &series, &used)))
}

/// How the replicas in scope are now; of those that end meanwhile nobody knows what they use.
async fn used(api: &Api, picture: &Picture, scope: &MetricScope) -> Vec<Used> {
    let mut used = Vec::new();
    let in_scope = picture.deployments.iter().filter(|deployment| match scope {
        MetricScope::Deployment(id) => *id == deployment.id,
        MetricScope::Environment(name) => deployment.environment.as_ref() == Some(name),
        MetricScope::Model => true,
    });
    for replica in in_scope.flat_map(|deployment| picture.copies(&deployment.id)) {
        let now = api.runtime.uses(&replica.id).await;
        let up = picture.now.since(replica.started_at);
        let percent = now.map(|now| api.uses.percent(&replica.id, now, api.clock.monotonic(), up));
        used.push(Used {
            replica: replica.id.to_string(),
            is_ready: replica.is_ready(),
            cores: percent.map(|percent| percent / 100.0),
            memory: now.map(|now| now.memory as f64),
        });
    }
    used
}

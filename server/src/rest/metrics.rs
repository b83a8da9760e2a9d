//! What was measured of a deployment, or of what an environment served.

use super::contract::{Metrics, MetricsRequest};
use super::*;
use axum::extract::Query;
use control::MetricScope;

type Pairs = Query<Vec<(String, String)>>;

pub async fn of_deployment(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
    Query(pairs): Pairs,
) -> Answer {
    let request = MetricsRequest::from_pairs(pairs).map_err(|invalid| error::invalid(&invalid))?;
    let (picture, id) = deployments::find(&api, &actor, &model, &deployment).await?;
    read(&api, &actor, &picture.model.id, MetricScope::Deployment(id), request).await
}

pub async fn of_environment(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, environment)): Below,
    Query(pairs): Pairs,
) -> Answer {
    let request = MetricsRequest::from_pairs(pairs).map_err(|invalid| error::invalid(&invalid))?;
    let (picture, name) = environments::find(&api, &actor, &model, &environment).await?;
    read(&api, &actor, &picture.model.id, MetricScope::Environment(name), request).await
}

async fn read(
    api: &Api,
    actor: &Actor,
    model: &domain::ModelId,
    scope: MetricScope,
    request: MetricsRequest,
) -> Answer {
    let (start, end) = request.window(api.clock.now()).map_err(|invalid| error::invalid(&invalid))?;
    let series = api.control.metrics(actor, model, &scope, start, end).await;
    let series = series.map_err(|error| failure(&error))?;
    Ok(answer::ok(&Metrics::new(&request, (start, end), &series)))
}

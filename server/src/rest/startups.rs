//! How replicas started: of a deployment, or of what an environment served at the time.

use super::contract::{StartupAttempts, StartupSummary, StartupsQuery, StartupsWindow};
use super::*;
use control::MetricScope;

type Pairs = Query<Vec<(String, String)>>;

pub fn routes() -> Vec<Route> {
    let phases = "Starts that ended within the window, at most a week back, with those that failed; a failed one ends with the phase it failed in. The phases are SCHEDULING (until its \
                  process is started), CONTAINER_START (until its model begins to load) and READINESS (until requests reach it).";
    vec![
        Route::get(
            "/models/{model_id}/deployments/{deployment_id}/startups",
            of_deployment,
            "List how a deployment's replicas started",
        )
        .says(phases)
        .query::<StartupsQuery>()
        .answers::<StartupAttempts>(),
        Route::get(
            "/models/{model_id}/deployments/{deployment_id}/startups/summary",
            summary_of_deployment,
            "Read how long a deployment's replicas took to start",
        )
        .query::<StartupsWindow>()
        .answers::<StartupSummary>(),
        Route::get(
            "/models/{model_id}/environments/{env_name}/startups",
            of_environment,
            "List how replicas of what an environment served started",
        )
        .says(phases)
        .query::<StartupsQuery>()
        .answers::<StartupAttempts>(),
        Route::get(
            "/models/{model_id}/environments/{env_name}/startups/summary",
            summary_of_environment,
            "Read how long replicas of what an environment served took to start",
        )
        .query::<StartupsWindow>()
        .answers::<StartupSummary>(),
    ]
}

async fn of_deployment(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
    Query(pairs): Pairs,
) -> Answer {
    let query = StartupsQuery::read(pairs).map_err(|invalid| error::invalid(&invalid))?;
    let (picture, id) = deployments::find(&api, &actor, &model, &deployment).await?;
    list(&api, &actor, &picture.model.id, MetricScope::Deployment(id), query).await
}

async fn of_environment(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, environment)): Below,
    Query(pairs): Pairs,
) -> Answer {
    let query = StartupsQuery::read(pairs).map_err(|invalid| error::invalid(&invalid))?;
    let (picture, name) = environments::find(&api, &actor, &model, &environment).await?;
    list(&api, &actor, &picture.model.id, MetricScope::Environment(name), query).await
}

async fn list(
    api: &Api,
    actor: &Actor,
    model: &domain::ModelId,
    scope: MetricScope,
    query: control::StartupQuery,
) -> Answer {
    let page = api.control.startups(actor, model, &scope, &query).await.map_err(|error| failure(&error))?;
    let environment = matches!(scope, MetricScope::Environment(_));
    Ok(answer::ok(&StartupAttempts::new(model, environment, page)))
}

async fn summary_of_deployment(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, deployment)): Below,
    Query(pairs): Pairs,
) -> Answer {
    let query = StartupsWindow::read(pairs).map_err(|invalid| error::invalid(&invalid))?;
    let (picture, id) = deployments::find(&api, &actor, &model, &deployment).await?;
    summary(&api, &actor, &picture.model.id, MetricScope::Deployment(id), query).await
}

async fn summary_of_environment(
    State(api): State<Arc<Api>>,
    Extension(actor): Caller,
    Path((model, environment)): Below,
    Query(pairs): Pairs,
) -> Answer {
    let query = StartupsWindow::read(pairs).map_err(|invalid| error::invalid(&invalid))?;
    let (picture, name) = environments::find(&api, &actor, &model, &environment).await?;
    summary(&api, &actor, &picture.model.id, MetricScope::Environment(name), query).await
}

async fn summary(
    api: &Api,
    actor: &Actor,
    model: &domain::ModelId,
    scope: MetricScope,
    query: control::StartupQuery,
) -> Answer {
    let all = api.control.all_startups(actor, model, &scope, &query).await;
    let all = all.map_err(|error| failure(&error))?;
    Ok(answer::ok(&StartupSummary::new(query.start, query.end, &all)))
}

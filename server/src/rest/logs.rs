//! Logs of a deployment, or of what an environment serves.

use super::contract::{Log, Logs, LogsRequest};
use super::*;

use super::body::Json;

type Pairs = Query<Vec<(String, String)>>;

pub fn routes() -> Vec<Route> {
    let deployment = "/models/{model_id}/deployments/{deployment_id}/logs";
    vec![
        Route::get(deployment, by_query, "Read a deployment's log").query::<LogsRequest>().answers::<Logs>(),
        Route::post(deployment, by_body, "Read a deployment's log, asked in a body")
            .body::<LogsRequest>()
            .answers::<Logs>(),
        Route::get(
            "/models/{model_id}/environments/{env_name}/logs",
            of_environment,
            "Read the log of what an environment serves",
        )
        .query::<LogsRequest>()
        .answers::<Logs>(),
    ]
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
    let id = environments::current_of(&picture, &name)?;
    read(&api, &actor, &picture.model.id, &id, request).await
}

async fn read(
    api: &Api,
    actor: &Actor,
    model: &domain::ModelId,
    deployment: &domain::DeploymentId,
    request: LogsRequest,
) -> Answer {
    let query = request.query(api.clock.now()).map_err(|invalid| error::invalid(&invalid))?;
    let lines = api.control.logs(actor, model, deployment, &query).await.map_err(|error| failure(&error))?;
    Ok(answer::ok(&Logs { logs: lines.into_iter().map(Log::from).collect() }))
}

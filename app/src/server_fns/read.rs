//! What pages show.

use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;

use super::sent::Digits;
use crate::error::AppError;
use crate::view::{
    ActivityPage, DeploymentPage, EnvironmentPage, LivePage, LogPage, MetricsPage, ModelPage, ModelsPage,
    ReferencePage, ReplicasNow, ScalingPage, UsagePage,
};

#[cfg(feature = "ssr")]
use {
    super::door::*,
    super::sent::number,
    crate::backend::{DAYS, HOURS, LogPart, LogsOf, MetricsOf},
    crate::view::{ActivityFilter, LogCursor, LogFilter, LogScope},
    domain::*,
};

/// Fifty models with what their production serves: those that changed last, or those after `cursor`; only those with `filter` in
/// their name. With no model at all, how to push the first.
#[server(prefix = "/api/ui", endpoint = "models", input = GetUrl)]
pub async fn read_models(
    #[server(default)] filter: String,
    #[server(default)] cursor: String,
) -> Result<ModelsPage, AppError> {
    close(
        async {
            let door = door().await?;
            door.backend.models_page(&door.session, &filter, &cursor).await
        }
        .await,
    )
}

/// One model: environments, the development deployment, and fifty deployments: the newest, or those after `cursor`.
#[server(prefix = "/api/ui", endpoint = "model", input = GetUrl)]
pub async fn read_model(model_id: String, #[server(default)] cursor: String) -> Result<ModelPage, AppError> {
    close(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            door.backend.model_page(&door.session, &model, &cursor).await
        }
        .await,
    )
}

/// One environment: its rollout, both sides, decisions, settings.
#[server(prefix = "/api/ui", endpoint = "environment", input = GetUrl)]
pub async fn read_environment(model_id: String, environment: String) -> Result<EnvironmentPage, AppError> {
    close(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let environment = EnvironmentName::new(environment)?;
            door.backend.environment_page(&door.session, &model, &environment).await
        }
        .await,
    )
}

/// One deployment: replicas, how to call it, settings.
#[server(prefix = "/api/ui", endpoint = "deployment", input = GetUrl)]
pub async fn read_deployment(model_id: String, deployment_id: String) -> Result<DeploymentPage, AppError> {
    close(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let deployment = DeploymentId::new(parse_id("deployment_id", &deployment_id)?);
            door.backend.deployment_page(&door.session, &model, &deployment).await
        }
        .await,
    )
}

/// Lines of a log, oldest first: the last ones, those after a line (`after`) or those before one (`before`); a line is named
/// by its nanoseconds since 1970. It is the log of a deployment, or that of an `environment`: the lines of all that it had, each
/// for the time that it was there, with the `deployment` they are of. `level` is the least level (DEBUG, INFO, WARNING, ERROR);
/// `search` has words and `"texts"` that must occur, those led by `-` that must not, `replica:ID`, `request:ID` and
/// `/expression/`.
#[server(prefix = "/api/ui", endpoint = "logs", input = GetUrl)]
pub async fn read_logs(
    model_id: String,
    #[server(default)] deployment_id: String,
    #[server(default)] environment: String,
    #[server(default)] level: String,
    #[server(default)] search: String,
    #[server(default)] after: Digits,
    #[server(default)] before: Digits,
) -> Result<LogPage, AppError> {
    close(
        async {
            let door = door().await?;
            let (model, of) = LogsOf::parse(&LogScope { model_id, deployment_id, environment })?;
            let line = |name: &str, sent: Digits| number(name, Some(sent)).map(Option::unwrap_or_default);
            let part = match (line("after", after)?, line("before", before)?) {
                (0, 0) => LogPart::End,
                (after, 0) => LogPart::After(LogCursor(after)),
                (0, before) => LogPart::Before(LogCursor(before)),
                _ => return Err(AppError::invalid("before", "can't be given together with `after`")),
            };
            let filter = LogFilter { level, search };
            door.backend.logs(&door.session, &model, &of, filter, part).await
        }
        .await,
    )
}

/// A deployment's replicas: state, memory, processor, requests in flight.
#[server(prefix = "/api/ui", endpoint = "replicas", input = GetUrl)]
pub async fn read_replicas(model_id: String, deployment_id: String) -> Result<ReplicasNow, AppError> {
    close(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let deployment = DeploymentId::new(parse_id("deployment_id", &deployment_id)?);
            door.backend.replicas(&door.session, &model, &deployment).await
        }
        .await,
    )
}

/// How a deployment scaled over the last 1 to 168 hours, each decision with its inputs, and the last starts by phase.
#[server(prefix = "/api/ui", endpoint = "scaling", input = GetUrl)]
pub async fn read_scaling(
    model_id: String,
    deployment_id: String,
    hours: Digits,
) -> Result<ScalingPage, AppError> {
    close(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let deployment = DeploymentId::new(parse_id("deployment_id", &deployment_id)?);
            let hours = HOURS.read(&hours)?;
            door.backend.scaling(&door.session, &model, &deployment, hours).await
        }
        .await,
    )
}

/// What was measured of the requests of a deployment (`scope=deployments`) or of an environment (`scope=environments`), over
/// a period: 15m, 1h, 6h, 24h or 7d.
#[server(prefix = "/api/ui", endpoint = "metrics", input = GetUrl)]
pub async fn read_metrics(
    model_id: String,
    scope: String,
    id: String,
    period: String,
) -> Result<MetricsPage, AppError> {
    close(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let of = match scope.as_str() {
                "deployments" => MetricsOf::Deployment(DeploymentId::new(parse_id("id", &id)?)),
                "environments" => MetricsOf::Environment(EnvironmentName::new(id)?),
                "models" => MetricsOf::Model,
                _ => {
                    return Err(AppError::invalid(
                        "scope",
                        format!("`{scope}` is not one of deployments, environments and models"),
                    ));
                }
            };
            door.backend.metrics(&door.session, &model, of, &period).await
        }
        .await,
    )
}

/// How a model's development deployment takes changes in place, and what has changed since the newest copy of it.
#[server(prefix = "/api/ui", endpoint = "live", input = GetUrl)]
pub async fn read_live(model_id: String) -> Result<LivePage, AppError> {
    close(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            door.backend.live(&door.session, &model).await
        }
        .await,
    )
}

/// The management API's description: routes by group, and the shapes of bodies and answers.
#[server(prefix = "/api/ui", endpoint = "reference", input = GetUrl)]
pub async fn read_reference() -> Result<ReferencePage, AppError> {
    close(
        async {
            let door = door().await?;
            door.backend.reference(&door.session).await
        }
        .await,
    )
}

/// Use over the last 1 to 31 days, deleted deployments included.
#[server(prefix = "/api/ui", endpoint = "usage", input = GetUrl)]
pub async fn read_usage(days: Digits) -> Result<UsagePage, AppError> {
    close(
        async {
            let door = door().await?;
            let days = DAYS.read(&days)?;
            door.backend.usage(&door.session, days).await
        }
        .await,
    )
}

/// A page of the activity, newest first: of a model, or of the workspace (for admins) without `model_id`. `group` is one of
/// the groups of events, `who` the prefix of an API key, `deployment` an id, or of a model also a name, `source` a door,
/// `from` and `to` are days in UTC, such as `2026-01-31`, and `cursor` is the `next` of the page before.
#[server(prefix = "/api/ui", endpoint = "activity", input = GetUrl)]
pub async fn read_activity(
    #[server(default)] model_id: String,
    #[server(default)] group: String,
    #[server(default)] who: String,
    #[server(default)] deployment: String,
    #[server(default)] environment: String,
    #[server(default)] source: String,
    #[server(default)] from: String,
    #[server(default)] to: String,
    #[server(default)] cursor: String,
) -> Result<ActivityPage, AppError> {
    close(
        async {
            let door = door().await?;
            let model = Some(model_id.as_str()).filter(|id| !id.is_empty());
            let model = model.map(|id| parse_id("model_id", id)).transpose()?.map(ModelId::new);
            let filter = ActivityFilter { group, who, deployment, environment, source, from, to, cursor };
            door.backend.activity(&door.session, model.as_ref(), filter).await
        }
        .await,
    )
}

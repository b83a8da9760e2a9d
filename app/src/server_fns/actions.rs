//! What people do to deployments, promotions, environments and models.

use leptos::prelude::*;

use super::sent::Checkbox;
use crate::error::AppError;
use crate::view::{Done, TryAnswer};

#[cfg(feature = "ssr")]
use {super::door::*, super::sent::checked, crate::backend::Way, crate::window::parse_window, domain::*};

/// Makes a deployment an environment's current one. `strategy` is `canary`, `rolling` or `direct`; `window`
/// is the length of a canary's ten stages, such as `10m`, `90s`, or a plain number of seconds. It gets the instance type
/// of the deployment that is current now, by a copy if it has another, unless that has less than it asks for; with
/// `keep_own_instance_type` it keeps its own, which is then the environment's.
#[server(prefix = "/api/ui", endpoint = "promote")]
pub async fn promote(
    model_id: String,
    deployment_id: String,
    environment: String,
    strategy: String,
    #[server(default)] window: String,
    keep_own_instance_type: Option<Checkbox>,
) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let deployment = DeploymentId::new(parse_id("deployment_id", &deployment_id)?);
            let environment = EnvironmentName::new(environment)?;
            let way = match strategy.as_str() {
                "direct" => Way::Direct,
                "rolling" => Way::Rolling,
                "canary" => Way::Canary { window_ms: i64::from(parse_window(&window)?) * 1000 },
                other => {
                    let message =
                        format!("`{other}` is not a strategy; choose `canary`, `rolling` or `direct`");
                    return Err(AppError::invalid("strategy", message));
                }
            };
            let keep_own = checked("keep_own_instance_type", keep_own_instance_type)?;
            door.backend.promote(&door.session, &model, &deployment, &environment, way, keep_own).await
        }
        .await,
    )
}

/// Makes a copy of the development deployment, as it is now, that needs no environment. Without a `name` it is
/// numbered.
#[server(prefix = "/api/ui", endpoint = "publish")]
pub async fn publish(
    model_id: String,
    deployment_id: String,
    #[server(default)] name: String,
) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let deployment = DeploymentId::new(parse_id("deployment_id", &deployment_id)?);
            let name = Some(name.trim()).filter(|name| !name.is_empty());
            door.backend.publish(&door.session, &model, &deployment, name).await
        }
        .await,
    )
}

/// Gives a deployment another name; addresses stay.
#[server(prefix = "/api/ui", endpoint = "rename")]
pub async fn rename(model_id: String, deployment_id: String, name: String) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let deployment = DeploymentId::new(parse_id("deployment_id", &deployment_id)?);
            door.backend.rename(&door.session, &model, &deployment, name.trim()).await
        }
        .await,
    )
}

/// Tries a build or a start that failed again, from the same push.
#[server(prefix = "/api/ui", endpoint = "retry")]
pub async fn retry(model_id: String, deployment_id: String) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let deployment = DeploymentId::new(parse_id("deployment_id", &deployment_id)?);
            door.backend.retry(&door.session, &model, &deployment).await
        }
        .await,
    )
}

/// Brings a deactivated deployment back.
#[server(prefix = "/api/ui", endpoint = "activate")]
pub async fn activate(model_id: String, deployment_id: String) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let deployment = DeploymentId::new(parse_id("deployment_id", &deployment_id)?);
            door.backend.activate(&door.session, &model, &deployment).await
        }
        .await,
    )
}

/// Frees a deployment's compute and keeps its configuration; requests answer 404 meanwhile.
#[server(prefix = "/api/ui", endpoint = "deactivate")]
pub async fn deactivate(model_id: String, deployment_id: String) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let deployment = DeploymentId::new(parse_id("deployment_id", &deployment_id)?);
            door.backend.deactivate(&door.session, &model, &deployment).await
        }
        .await,
    )
}

/// Ends one replica: it finishes what it has and stops, and another one starts while as many are wanted.
#[server(prefix = "/api/ui", endpoint = "terminate_replica")]
pub async fn terminate_replica(
    model_id: String,
    deployment_id: String,
    replica_id: String,
) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let deployment = DeploymentId::new(parse_id("deployment_id", &deployment_id)?);
            let replica = ReplicaId::new(parse_id("replica_id", &replica_id)?);
            door.backend.terminate_replica(&door.session, &model, &deployment, &replica).await
        }
        .await,
    )
}

/// Deletes a deployment for good. `confirm` must be its name.
#[server(prefix = "/api/ui", endpoint = "delete_deployment")]
pub async fn delete_deployment(
    model_id: String,
    deployment_id: String,
    #[server(default)] confirm: String,
) -> Result<Done, AppError> {
    let to = format!("/models/{model_id}");
    let result = async {
        let door = door().await?;
        let model = ModelId::new(parse_id("model_id", &model_id)?);
        let deployment = DeploymentId::new(parse_id("deployment_id", &deployment_id)?);
        door.backend.delete_deployment(&door.session, &model, &deployment, confirm.trim()).await
    }
    .await;
    // Its own page is gone, so the form does not go back there.
    if result.is_ok() {
        leave_for(&to)
    }
    close(result)
}

/// Deletes a model with all its deployments and environments. `confirm` must be its name.
#[server(prefix = "/api/ui", endpoint = "delete_model")]
pub async fn delete_model(model_id: String, #[server(default)] confirm: String) -> Result<Done, AppError> {
    let result = async {
        let door = door().await?;
        let model = ModelId::new(parse_id("model_id", &model_id)?);
        door.backend.delete_model(&door.session, &model, confirm.trim()).await
    }
    .await;
    if result.is_ok() {
        leave_for("/models")
    }
    close(result)
}

/// Sends one request to a deployment, through the gateway; `input` is JSON.
#[server(prefix = "/api/ui", endpoint = "try")]
pub async fn try_request(
    model_id: String,
    deployment_id: String,
    input: String,
) -> Result<TryAnswer, AppError> {
    close(
        async {
            let door = door().await?;
            let model = ModelId::new(parse_id("model_id", &model_id)?);
            let deployment = DeploymentId::new(parse_id("deployment_id", &deployment_id)?);
            if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&input) {
                return Err(AppError::invalid("input", format!("is not JSON: {error}")));
            }
            door.backend.try_request(&door.session, &model, &deployment, &input).await
        }
        .await,
    )
}

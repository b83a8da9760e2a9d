//! What this server is, and what its deployments hold of the machine.

use super::*;
use control::Stored;
use serde::Serialize;
use utoipa::ToSchema;

pub fn routes() -> Vec<Route> {
    vec![Route::get("/", read, "Read what this server is and what its deployments hold").answers::<Root>()]
}

#[derive(Serialize, ToSchema)]
#[schema(as = Server)]
struct Root {
    name: &'static str,
    version: &'static str,
    /// Bytes.
    memory: Room,
    gpus: Room,
    disk: Disk,
}

/// What models may hold together, and what they hold; null while that can't be seen.
#[derive(Serialize, ToSchema)]
struct Room {
    total: u64,
    #[schema(required)]
    held: Option<u64>,
}

/// Bytes. What deployments share counts once here, and in the row of each that shares it.
#[derive(Serialize, ToSchema)]
struct Disk {
    artifact_bytes: u64,
    log_bytes: u64,
    environment_bytes: u64,
    external_data_bytes: u64,
    total_bytes: u64,
    /// When this was measured: now, or earlier where measuring takes longer than two seconds; null if it never was yet, and
    /// then there is nothing in it.
    #[schema(required, format = DateTime)]
    as_of: Option<String>,
    deployments: Vec<Held>,
}

#[derive(Serialize, ToSchema)]
struct Held {
    model_id: String,
    deployment_id: String,
    name: String,
    artifact_bytes: u64,
    log_bytes: u64,
    /// Null until it is made.
    #[schema(required)]
    environment_bytes: Option<u64>,
    environment_shared_by: usize,
    /// What was fetched of the external data that it names.
    external_data_bytes: u64,
}

impl From<&Stored> for Held {
    fn from(stored: &Stored) -> Self {
        Self {
            model_id: stored.deployment.model.to_string(),
            deployment_id: stored.deployment.id.to_string(),
            name: stored.deployment.name.to_string(),
            artifact_bytes: stored.held.artifact,
            log_bytes: stored.held.logs,
            external_data_bytes: stored.held.external_bytes(),
            environment_bytes: stored.held.environment.as_ref().map(|environment| environment.bytes),
            environment_shared_by: stored.environment_shared_by,
        }
    }
}

pub async fn read(State(api): State<Arc<Api>>, Extension(actor): Caller) -> Answer {
    let held = api.control.held(&actor).map_err(|error| failure(&error))?;
    let look = api.control.storage(&actor).await.map_err(|error| failure(&error))?;
    let total = look.total;
    let host = api.control.host();
    Ok(answer::ok(&Root {
        name: "slipway",
        version: env!("CARGO_PKG_VERSION"),
        memory: Room { total: host.memory, held: held.map(|held| held.memory) },
        gpus: Room { total: host.gpus.into(), held: held.map(|held| held.gpus.into()) },
        disk: Disk {
            artifact_bytes: total.artifacts,
            log_bytes: total.logs,
            environment_bytes: total.environments,
            external_data_bytes: total.external,
            total_bytes: total.artifacts + total.logs + total.environments + total.external,
            as_of: look.as_of.map(domain::Timestamp::rfc3339),
            deployments: look.deployments.iter().map(Held::from).collect(),
        },
    }))
}

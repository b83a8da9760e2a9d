//! Replicas that have to stop with a server, or that a former one left.

use std::time::Duration;

use domain::{ObservedReplica, Runtime, Seen, StopReason};
use runtime::LocalRuntime;
use store::Store;

/// Replicas of a former server whose deployment is not known any more.
pub async fn unknown(store: &Store, runtime: &LocalRuntime) -> anyhow::Result<Vec<ObservedReplica>> {
    let mut unknown = Vec::new();
    for replica in runtime.adopted() {
        let state = store.load_model(&replica.model).await?;
        let known =
            state.is_some_and(|state| state.deployments.iter().any(|found| found.id == replica.deployment));
        if !known {
            unknown.push(replica);
        }
    }
    Ok(unknown)
}

/// Stops replicas that nobody knows.
pub async fn stop_unknown(unknown: &[ObservedReplica], runtime: &LocalRuntime, grace: Duration) {
    for replica in unknown {
        tracing::warn!(replica = %replica.id, deployment = %replica.deployment, "stopping a stray process");
        runtime.stop(&replica.id, grace, StopReason::Deleted).await;
    }
}

/// Asks every replica to stop.
pub async fn stop_replicas(store: &Store, runtime: &dyn Runtime, grace: Duration) {
    for model in store.all_model_ids().await.unwrap_or_default() {
        let Seen::Known(replicas) = runtime.observe(&model) else { continue };
        for replica in replicas.iter().filter(|replica| replica.is_alive()) {
            runtime.stop(&replica.id, grace, StopReason::Shutdown).await;
        }
    }
}

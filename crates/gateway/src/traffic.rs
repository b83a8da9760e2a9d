//! What others read of the gateway.

use async_trait::async_trait;
use domain::{
    AppliedRoutes, Counted, Counters, Demand, DeploymentId, DeploymentTraffic, EnvironmentName, FirstAnswer,
    ModelId, ReplicaId, SideCounts, Traffic,
};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::Gateway;
use crate::admission::Deployment;

impl Gateway {
    fn known_deployment(&self, id: &DeploymentId) -> Option<Arc<Deployment>> {
        self.deployments.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// What is under way at a deployment, here and in another process, and what waits for it.
    fn demand(&self, deployment: &Deployment) -> Demand {
        let elsewhere = self.elsewhere.load();
        let others = deployment.replica_ids().iter().filter_map(|id| elsewhere.get(id)).sum::<u32>();
        Demand { in_flight: deployment.in_flight() + others, held: deployment.held(self.clock.monotonic()) }
    }
}

impl Traffic for Gateway {
    fn deployment(&self, deployment: &DeploymentId) -> DeploymentTraffic {
        let Some(deployment) = self.known_deployment(deployment) else {
            return DeploymentTraffic::default();
        };
        let metrics = &deployment.metrics;
        let (p50_micros, p95_micros) = metrics.percentiles(self.clock.monotonic());
        DeploymentTraffic {
            demand: self.demand(&deployment),
            requests: metrics.requests.load(Relaxed),
            errors: metrics.errors.load(Relaxed),
            lost: metrics.lost.load(Relaxed),
            total_micros: metrics.total_micros.load(Relaxed),
            p50_micros,
            p95_micros,
            longest_wait_ms: deployment.longest_wait(),
        }
    }

    fn requests(&self, deployment: &DeploymentId) -> u64 {
        self.known_deployment(deployment).map_or(0, |known| known.metrics.requests.load(Relaxed))
    }

    fn is_quiet(&self, deployment: &DeploymentId, requests: u64) -> bool {
        let Some(known) = self.known_deployment(deployment) else { return requests == 0 };
        known.metrics.requests.load(Relaxed) == requests && self.demand(&known).total() == 0
    }

    fn routed(&self, model: &ModelId, environment: &EnvironmentName) -> Vec<(DeploymentId, u64, u64)> {
        self.table(model).map(|table| table.routed(environment)).unwrap_or_default()
    }

    fn sides(&self, model: &ModelId, environment: &EnvironmentName) -> Vec<(DeploymentId, SideCounts)> {
        self.table(model).map(|table| table.sides(environment)).unwrap_or_default()
    }

    fn counted(&self) -> Vec<Counted> {
        let now = self.clock.monotonic();
        let known = self.deployments.read().unwrap_or_else(PoisonError::into_inner);
        let counted = known.values().filter_map(|deployment| {
            let counters = deployment.metrics.counters()?;
            let (in_flight, held) = (deployment.in_flight(), deployment.held(now));
            Some(Counted {
                model: deployment.model.clone(),
                deployment: deployment.id.clone(),
                counters: Counters { in_flight, held, ..counters },
            })
        });
        counted.collect()
    }

    fn in_flight(&self, replica: &ReplicaId) -> u32 {
        let known = self.replicas.read().unwrap_or_else(PoisonError::into_inner);
        let others = self.elsewhere.load().get(replica).copied().unwrap_or(0);
        known.find(replica).map_or(0, |found| found.in_flight()) + others
    }

    fn first_answer(&self, replica: &ReplicaId) -> FirstAnswer {
        let known = self.replicas.read().unwrap_or_else(PoisonError::into_inner);
        known.find(replica).map_or(FirstAnswer::NoneWaited, |found| found.first_answer())
    }
}

#[async_trait]
impl AppliedRoutes for Gateway {
    fn applied(&self, model: &ModelId) -> u64 {
        self.table(model).map_or(0, |table| table.generation)
    }

    async fn wait_applied(&self, model: &ModelId, generation: u64, limit: Duration) -> bool {
        let mut published = self.published.subscribe();
        let reached = async {
            loop {
                published.mark_unchanged();
                if self.applied(model) >= generation || published.changed().await.is_err() {
                    return;
                }
            }
        };
        // However the wait ended, what counts is what is served now.
        let _ = tokio::time::timeout(limit, reached).await;
        self.applied(model) >= generation
    }
}

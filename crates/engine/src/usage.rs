//! Meters what deployments use, and flushes it now and then.

use std::collections::BTreeMap;

use domain::{DeploymentId, Moment, Seen};
use store::UsageDelta;

use crate::Engine;

/// How often use is written, in milliseconds.
const FLUSH_EVERY: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// Remembers up to where use was counted.
pub(crate) struct Meter {
    counted_at: i64,
    /// Requests of each deployment that are written already.
    requests: BTreeMap<DeploymentId, u64>,
}

impl Meter {
    pub fn new(monotonic: i64) -> Self {
        Self { counted_at: monotonic, requests: BTreeMap::new() }
    }

    pub fn due_at(&self) -> i64 {
        self.counted_at + FLUSH_EVERY
    }

    pub fn is_due(&self, monotonic: i64) -> bool {
        monotonic >= self.due_at()
    }
}

impl Engine {
    /// Adds what was used since the last time: milliseconds of living replicas, and requests. Development is free.
    pub(crate) async fn flush_usage(&mut self, at: Moment) {
        let passed = (at.monotonic - self.meter.counted_at).max(0);
        self.meter.counted_at = at.monotonic;
        let mut deltas = Vec::new();
        let models: Vec<_> = self.models.keys().cloned().collect();
        for model in models {
            let Seen::Known(replicas) = self.parts.runtime.observe(&model) else { continue };
            let state = match self.parts.store.load_model(&model).await {
                Ok(Some(state)) => state,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(%model, %error, "could not read a model to meter its use; counting goes on");
                    continue;
                }
            };
            for deployment in state.deployments.iter().filter(|deployment| !deployment.is_development()) {
                let total = self.parts.traffic.deployment(&deployment.id).requests;
                let before = self.meter.requests.insert(deployment.id.clone(), total).unwrap_or(0);
                let requests = total.saturating_sub(before) as i64;
                let of_mine = replicas
                    .iter()
                    .filter(|replica| replica.deployment == deployment.id && replica.is_alive());
                let replica_millis: i64 =
                    of_mine.map(|replica| passed.min(at.now.since(replica.started_at)).max(0)).sum();
                if requests == 0 && replica_millis == 0 {
                    continue;
                }
                deltas.push(UsageDelta {
                    deployment: deployment.id.clone(),
                    model: model.clone(),
                    deployment_name: deployment.name.to_string(),
                    model_name: state.model.name.to_string(),
                    environment: deployment.environment.as_ref().map(ToString::to_string),
                    day: at.now.millis().div_euclid(DAY),
                    replica_millis,
                    requests,
                });
            }
        }
        if let Err(error) = self.parts.store.add_usage(&deltas).await {
            tracing::error!(%error, "could not write what deployments used; this minute is lost from the usage log");
        }
    }
}

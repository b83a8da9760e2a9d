//! Meters what deployments use, and flushes it now and then.

use std::collections::BTreeMap;

use domain::{Deployment, DeploymentId, ModelId, ModelName, Moment, ObservedReplica, Seen};
use store::UsageDelta;

use crate::Engine;

/// How often use is written, in milliseconds.
const FLUSH_EVERY: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// Remembers up to where use was counted.
pub(crate) struct Meter {
    began: i64,
    flushed_at: i64,
    /// Up to when each model was counted.
    counted_at: BTreeMap<ModelId, i64>,
    /// Requests of each deployment that are written already.
    requests: BTreeMap<DeploymentId, u64>,
}

impl Meter {
    pub fn new(monotonic: i64) -> Self {
        Self {
            began: monotonic,
            flushed_at: monotonic,
            counted_at: BTreeMap::new(),
            requests: BTreeMap::new(),
        }
    }

    pub fn due_at(&self) -> i64 {
        self.flushed_at + FLUSH_EVERY
    }

    /// The model is gone, with these deployments.
    pub fn forget(&mut self, model: &ModelId, deployments: &[DeploymentId]) {
        self.counted_at.remove(model);
        self.requests.retain(|deployment, _| !deployments.contains(deployment));
    }

    pub fn is_due(&self, monotonic: i64) -> bool {
        monotonic >= self.due_at()
    }
}

/// A model as it is metered.
pub(crate) struct Metered<'a> {
    pub model: &'a ModelId,
    pub name: &'a ModelName,
    pub deployments: &'a [Deployment],
    /// Those that were up until now.
    pub replicas: Vec<&'a ObservedReplica>,
}

/// Deployments whose use is counted: all but development, which is free.
pub(crate) fn metered(deployments: &[Deployment]) -> Vec<DeploymentId> {
    let all = deployments.iter().filter(|deployment| !deployment.is_development());
    all.map(|deployment| deployment.id.clone()).collect()
}

impl Engine {
    /// Whether a deployment had requests that are not written yet.
    fn has_new_requests(&self, deployment: &DeploymentId) -> bool {
        let before = self.meter.requests.get(deployment).copied().unwrap_or(0);
        self.parts.traffic.requests(deployment) != before
    }

    /// Writes what every model used since the last time. Those that used nothing are not read.
    pub(crate) async fn flush_usage(&mut self, at: Moment) {
        self.meter.flushed_at = at.monotonic;
        let models: Vec<_> = self.models.keys().cloned().collect();
        for model in models {
            let Seen::Known(replicas) = self.parts.runtime.observe(&model) else { continue };
            let known = self.models.get(&model).map(|known| known.metered.as_slice()).unwrap_or_default();
            if !replicas.iter().any(ObservedReplica::is_alive)
                && !known.iter().any(|deployment| self.has_new_requests(deployment))
            {
                // What was not up has used nothing until now.
                self.meter.counted_at.insert(model, at.monotonic);
                continue;
            }
            let state = match self.parts.store.load_model(&model).await {
                Ok(Some(state)) => state,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(%model, %error, "could not read a model to meter its use; counting goes on");
                    continue;
                }
            };
            let metered = Metered {
                model: &model,
                name: &state.model.name,
                deployments: &state.deployments,
                replicas: replicas.iter().filter(|replica| replica.is_alive()).collect(),
            };
            self.meter(metered, at).await;
        }
    }

    /// Adds what a model used since it was last metered: milliseconds of replicas, and requests. Development is free.
    pub(crate) async fn meter(&mut self, metered: Metered<'_>, at: Moment) {
        let Metered { model, name, deployments, replicas } = metered;
        let since = self.meter.counted_at.insert(model.clone(), at.monotonic).unwrap_or(self.meter.began);
        let passed = (at.monotonic - since).max(0);
        let mut deltas = Vec::new();
        for deployment in deployments.iter().filter(|deployment| !deployment.is_development()) {
            let total = self.parts.traffic.deployment(&deployment.id).requests;
            let before = self.meter.requests.insert(deployment.id.clone(), total).unwrap_or(0);
            let requests = total.saturating_sub(before) as i64;
            let of_mine = replicas.iter().filter(|replica| replica.deployment == deployment.id);
            let replica_millis: i64 =
                of_mine.map(|replica| passed.min(at.now.since(replica.started_at)).max(0)).sum();
            if requests == 0 && replica_millis == 0 {
                continue;
            }
            deltas.push(UsageDelta {
                deployment: deployment.id.clone(),
                model: model.clone(),
                deployment_name: deployment.name.to_string(),
                model_name: name.to_string(),
                environment: deployment.environment.as_ref().map(ToString::to_string),
                instance_type: Some(self.parts.host.type_name(&deployment.compute)),
                price: self.parts.host.find(&deployment.compute.type_id).and_then(|known| known.price),
                day: at.now.millis().div_euclid(DAY),
                replica_millis,
                requests,
            });
        }
        if let Err(error) = self.parts.store.add_usage(&deltas).await {
            tracing::error!(%model, %error, "could not write what a model used; this minute is lost from the usage log");
        }
    }
}

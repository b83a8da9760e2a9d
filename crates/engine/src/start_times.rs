//! How long starts took, counted for `/metrics` (semantics: The record of scaling).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::{ColdStart, Deployment, DeploymentId, Histogram, ModelId, size_of};

/// Histograms of microseconds by deployment, one for each of [`domain::START_PHASES`]. In memory: they begin anew with the
/// server, and only grow until their deployment is gone.
#[derive(Debug, Default)]
pub struct StartTimes {
    counted: Mutex<BTreeMap<ModelId, BTreeMap<DeploymentId, [Histogram; 5]>>>,
}

impl StartTimes {
    /// What was counted of a deployment by phase; `None` before its first start.
    pub fn of(&self, model: &ModelId, deployment: &DeploymentId) -> Option<[Histogram; 5]> {
        self.counted().get(model)?.get(deployment).cloned()
    }

    /// Counts those that succeeded of starts that are over, and forgets deployments that are not among these any more.
    pub(crate) fn count(&self, model: &ModelId, deployments: &[Deployment], starts: &[ColdStart]) {
        let mut counted = self.counted();
        if let Some(known) = counted.get_mut(model) {
            known.retain(|id, _| deployments.iter().any(|deployment| &deployment.id == id));
        }
        for start in starts.iter().filter(|start| start.succeeded()) {
            let of_model = counted.entry(model.clone()).or_default();
            let phases = of_model.entry(start.deployment.clone()).or_default();
            for (histogram, millis) in phases.iter_mut().zip(start.phases()) {
                let Some(millis) = millis else { continue };
                let size = size_of((millis.max(0) as u64).saturating_mul(1000));
                histogram.add(&[(size as u16, 1)].into_iter().collect());
            }
        }
    }

    pub(crate) fn forget(&self, model: &ModelId) {
        self.counted().remove(model);
    }

    fn counted(&self) -> MutexGuard<'_, BTreeMap<ModelId, BTreeMap<DeploymentId, [Histogram; 5]>>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{ReplicaId, StartMoments, StartOutcome, Timestamp};

    #[test]
    fn starts_that_succeed_are_counted_by_phase() {
        let at = Timestamp::from_millis;
        let moments = StartMoments {
            wanted: at(0),
            started: at(10),
            spawned: Some(at(210)),
            loaded: Some(at(3_210)),
            routed: at(3_220),
        };
        let (model, deployment) = (ModelId::new("m"), DeploymentId::new("d"));
        let start = ColdStart::new(deployment.clone(), ReplicaId::new("r"), moments);
        let awaited = ColdStart { first_byte_ms: Some(5), ..start.clone() };
        let stalled = ColdStart { outcome: StartOutcome::Stalled, ..start.clone() };
        let times = StartTimes::default();
        times.count(&model, &[], std::slice::from_ref(&stalled));
        assert_eq!(times.of(&model, &deployment), None, "it never got ready");

        times.count(&model, &[], &[start, awaited, stalled]);
        let [queue, spawn, load, ready, first_byte] = times.of(&model, &deployment).unwrap();
        assert_eq!([&queue, &spawn, &load, &ready, &first_byte].map(Histogram::count), [2, 2, 2, 2, 1]);
        let seconds = load.percentile(50).unwrap() as f64 / 1e6;
        assert!((2.6..3.6).contains(&seconds), "{seconds}");

        times.count(&model, &[], &[]);
        assert_eq!(times.of(&model, &deployment), None, "the deployment is gone");
    }
}

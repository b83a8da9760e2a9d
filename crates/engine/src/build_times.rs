//! How long builds took, until it is metered (semantics: Usage).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{BuildSpec, Clock, DeploymentId, ModelId, started_minutes};

type Minutes = BTreeMap<ModelId, BTreeMap<DeploymentId, u64>>;

/// Minutes of builds that are not counted yet.
#[derive(Clone, Default)]
pub(crate) struct BuildTimes(Arc<Mutex<Minutes>>);

/// A build's time, from its turn to its end, however it ends: when this is dropped.
pub(crate) struct Timed {
    times: BuildTimes,
    clock: Arc<dyn Clock>,
    model: ModelId,
    deployment: DeploymentId,
    began: i64,
}

impl BuildTimes {
    fn lock(&self) -> MutexGuard<'_, Minutes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn begin(&self, spec: &BuildSpec, clock: Arc<dyn Clock>) -> Timed {
        let began = clock.monotonic();
        Timed {
            times: self.clone(),
            clock,
            model: spec.model.clone(),
            deployment: spec.deployment.clone(),
            began,
        }
    }

    pub fn has(&self, model: &ModelId) -> bool {
        self.lock().contains_key(model)
    }

    /// Takes what is not counted of a model's deployments; those that are to wait keep theirs.
    pub fn take(&self, model: &ModelId, wait: &BTreeSet<DeploymentId>) -> BTreeMap<DeploymentId, u64> {
        let mut all = self.lock();
        let mut taken = all.remove(model).unwrap_or_default();
        let kept: BTreeMap<_, _> = wait.iter().filter_map(|id| taken.remove_entry(id)).collect();
        if !kept.is_empty() {
            all.insert(model.clone(), kept);
        }
        taken
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        let minutes = started_minutes(self.clock.monotonic() - self.began);
        if minutes > 0 {
            let mut all = self.times.lock();
            *all.entry(self.model.clone()).or_default().entry(self.deployment.clone()).or_default() +=
                minutes;
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{ArtifactId, ManualClock};

    use super::*;

    #[test]
    fn those_that_are_to_wait_keep_theirs() {
        let clock = Arc::new(ManualClock::default());
        let (times, model) = (BuildTimes::default(), ModelId::new("m"));
        let (one, other) = (DeploymentId::new("one"), DeploymentId::new("other"));
        for deployment in [&one, &other] {
            let spec = BuildSpec {
                model: model.clone(),
                deployment: deployment.clone(),
                artifact: ArtifactId::new("a"),
                config: serde_json::json!({}),
            };
            let timed = times.begin(&spec, clock.clone());
            clock.advance(61_000);
            drop(timed);
        }
        assert_eq!(times.take(&model, &BTreeSet::from([one.clone()])), BTreeMap::from([(other, 2)]));
        assert_eq!(times.take(&model, &BTreeSet::new()), BTreeMap::from([(one, 2)]));
        assert!(!times.has(&model));
    }
}

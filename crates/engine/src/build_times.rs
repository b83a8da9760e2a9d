//! How long builds took, until it is metered (semantics: Usage).

use std::collections::BTreeMap;
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

    pub fn take(&self, model: &ModelId) -> BTreeMap<DeploymentId, u64> {
        self.lock().remove(model).unwrap_or_default()
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

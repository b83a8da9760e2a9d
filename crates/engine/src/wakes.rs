use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use domain::{ModelId, Wake};
use tokio::sync::Notify;

/// Models that somebody asked to be looked at. Many wakes of one model are one.
#[derive(Debug, Default)]
pub struct Wakes {
    waiting: Mutex<BTreeSet<ModelId>>,
    woken: Notify,
}

impl Wakes {
    /// Takes all that are waiting.
    pub fn take(&self) -> BTreeSet<ModelId> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether somebody is waiting.
    pub fn any(&self) -> bool {
        !self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Waits until somebody wakes a model; at once if somebody did since the last wait.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }
}

impl Wake for Wakes {
    fn wake(&self, model: &ModelId) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(model.clone());
        self.woken.notify_one();
    }
}

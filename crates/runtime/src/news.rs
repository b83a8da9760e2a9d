//! Tells those who follow a log that something was written to it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use domain::DeploymentId;
use tokio::sync::watch;

/// The moment of the newest line of each log that is followed, 0 before anything was written.
#[derive(Default)]
pub(crate) struct News {
    followed: Mutex<HashMap<DeploymentId, watch::Sender<i64>>>,
}

impl News {
    /// From now on, whatever is written is told.
    pub fn listen(&self, deployment: &DeploymentId) -> watch::Receiver<i64> {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody is left at those: a page is closed far more often than a log is deleted.
        followed.retain(|id, sender| id == deployment || !sender.is_closed());
        followed.entry(deployment.clone()).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// Says up to which moment a log is written.
    pub fn tell(&self, deployment: &DeploymentId, nanos: i64) {
        let followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = followed.get(deployment) {
            sender.send_replace(nanos);
        }
    }

    /// Lets those who follow look again: the log is gone.
    pub fn forget(&self, deployment: &DeploymentId) {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner).remove(deployment);
    }
}

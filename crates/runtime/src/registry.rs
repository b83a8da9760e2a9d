//! What is known of each replica, in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{ModelId, ObservedReplica, ReplicaId};
use tokio::sync::watch;

use crate::ports::Ports;

/// How a replica was asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Run,
    /// TERM, then KILL after so many milliseconds.
    Stop {
        grace_ms: u64,
    },
    /// The server goes and leaves it running.
    Leave,
}

pub(crate) struct Entry {
    pub seen: ObservedReplica,
    pub order: watch::Sender<Order>,
}

#[derive(Default)]
pub(crate) struct State {
    pub replicas: BTreeMap<ReplicaId, Entry>,
    pub ports: Ports,
}

#[derive(Clone, Default)]
pub(crate) struct Registry(Arc<Mutex<State>>);

impl Registry {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a replica; false if it is not known.
    pub fn change(&self, id: &ReplicaId, change: impl FnOnce(&mut Entry)) -> bool {
        match self.lock().replicas.get_mut(id) {
            Some(entry) => {
                change(entry);
                true
            }
            None => false,
        }
    }

    pub fn of_model(&self, model: &ModelId) -> Vec<ObservedReplica> {
        let state = self.lock();
        state
            .replicas
            .values()
            .filter(|entry| &entry.seen.model == model)
            .map(|entry| entry.seen.clone())
            .collect()
    }
}

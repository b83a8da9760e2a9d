//! What is known of each replica, in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{Holding, ModelId, ObservedReplica, ReplicaId, Reserved};
use tokio::sync::watch;

use crate::ports::Ports;
use crate::slots::choose;

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
    pub reserved: Reserved,
    /// The numbers of its graphics cards.
    pub cards: Vec<u32>,
    /// The key of the environment it runs in.
    pub env: Option<String>,
    /// The process group of its program.
    pub group: u32,
    pub order: watch::Sender<Order>,
}

#[derive(Default)]
pub(crate) struct State {
    pub replicas: BTreeMap<ReplicaId, Entry>,
    pub ports: Ports,
    /// Graphics cards of those that are being started.
    pub coming: BTreeMap<ReplicaId, Vec<u32>>,
}

impl State {
    /// Chooses cards for a replica that is about to start, and keeps them for it; `None` if too few are free.
    pub fn take_cards(&mut self, id: &ReplicaId, cards: u32, wanted: u32) -> Option<Vec<u32>> {
        let alive = self.replicas.values().filter(|entry| entry.seen.is_alive());
        let taken = alive.flat_map(|entry| &entry.cards).chain(self.coming.values().flatten());
        let chosen = choose(cards, &taken.copied().collect(), wanted)?;
        self.coming.insert(id.clone(), chosen.clone());
        Some(chosen)
    }
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

    /// Forgets a replica that has ended, and takes its port back; false if it is not known or has not ended.
    pub fn forget(&self, id: &ReplicaId) -> bool {
        let mut state = self.lock();
        let Some(entry) = state.replicas.get(id).filter(|entry| !entry.seen.is_alive()) else { return false };
        let port = entry.seen.port;
        state.replicas.remove(id);
        state.ports.give_back(port);
        true
    }

    /// What every living replica holds.
    pub fn held(&self) -> Vec<Holding> {
        let state = self.lock();
        let alive = state.replicas.values().filter(|entry| entry.seen.is_alive());
        alive
            .map(|entry| Holding { deployment: entry.seen.deployment.clone(), reserved: entry.reserved })
            .collect()
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

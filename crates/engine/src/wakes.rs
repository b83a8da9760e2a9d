use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::{ModelId, Wake};
use tokio::sync::Notify;

/// How many of those that were asked for may go before the next one of the line.
const ASKED_AT_ONCE: usize = 16;

/// Models that wait to be looked at. Many wakes of one model are one.
#[derive(Debug, Default)]
pub struct Wakes {
    waiting: Mutex<Woken>,
    woken: Notify,
}

/// Models that were woken.
#[derive(Debug, Default)]
pub(crate) struct Woken {
    /// Something happened to them: somebody may wait for the look.
    pub asked: BTreeSet<ModelId>,
    /// A look of the engine found that another one is to follow.
    pub again: BTreeSet<ModelId>,
}

impl Wakes {
    fn waiting(&self) -> MutexGuard<'_, Woken> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all that are waiting.
    pub(crate) fn take(&self) -> Woken {
        std::mem::take(&mut *self.waiting())
    }

    /// Takes some of those that something happened to; the others stay for the next time. However many ask, whoever waits in line
    /// gets on.
    pub(crate) fn take_asked(&self) -> BTreeSet<ModelId> {
        let mut waiting = self.waiting();
        (0..ASKED_AT_ONCE).map_while(|_| waiting.asked.pop_first()).collect()
    }

    /// Asks for another look at a model once whoever waits has had one.
    pub(crate) fn again(&self, model: &ModelId) {
        self.waiting().again.insert(model.clone());
        self.woken.notify_one();
    }

    /// Whether somebody is waiting.
    pub fn any(&self) -> bool {
        let waiting = self.waiting();
        !waiting.asked.is_empty() || !waiting.again.is_empty()
    }

    /// Waits until somebody wakes a model; at once if somebody did since the last wait.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }
}

impl Wake for Wakes {
    fn wake(&self, model: &ModelId) {
        self.waiting().asked.insert(model.clone());
        self.woken.notify_one();
    }
}

//! How many connections of clients may be open at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::seldom::Seldom;

/// Places for connections, of all threads together.
#[derive(Debug)]
pub(crate) struct Places {
    /// `None` if nothing limits them.
    free: Option<Arc<Semaphore>>,
    most: usize,
    waiting: AtomicUsize,
    full: Seldom,
}

/// A connection's place, which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub fn new(most: Option<usize>) -> Self {
        let most = most.map(|most| most.min(Semaphore::MAX_PERMITS));
        Self {
            free: most.map(|most| Arc::new(Semaphore::new(most))),
            most: most.unwrap_or(usize::MAX),
            waiting: AtomicUsize::new(0),
            full: Seldom::default(),
        }
    }

    /// A place, if one is free.
    pub fn take(&self) -> Option<Place> {
        let permit = match &self.free {
            Some(free) => Some(free.clone().try_acquire_owned().ok()?),
            None => None,
        };
        Some(Place { _permit: permit })
    }

    /// Waits for a place; whoever came first has it first.
    pub async fn wait(&self) -> Place {
        let _waiting = Waiting::begins(&self.waiting);
        let permit = match &self.free {
            // Nobody closes it.
            Some(free) => free.clone().acquire_owned().await.ok(),
            None => None,
        };
        Place { _permit: permit }
    }

    /// Whether anybody waits.
    pub fn are_wanted(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// Logs that a connection found every place taken; once a minute at most.
    pub fn found_full(&self) {
        if let Some(waited) = self.full.counts(Instant::now()) {
            tracing::warn!(
                most = self.most,
                waited,
                "every connection of clients that may be open at once is; new ones wait until another ends \
                 (`gateway_connections`)"
            );
        }
    }
}

/// Somebody who waits, counted until this is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begins(all: &'a AtomicUsize) -> Self {
        all.fetch_add(1, Relaxed);
        Self(all)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_as_long_as_it_is_kept() {
        let places = Places::new(Some(2));
        let (first, second) = (places.take(), places.take());
        assert!(first.is_some() && second.is_some() && places.take().is_none());
        drop(first);
        assert!(places.take().is_some());
        drop(second);
    }

    #[test]
    fn without_a_limit_there_is_always_one() {
        let places = Places::new(None);
        let all: Vec<_> = (0..1000).map_while(|_| places.take()).collect();
        assert_eq!(all.len(), 1000);
    }

    #[tokio::test]
    async fn who_waits_gets_the_next_one() {
        let places = Places::new(Some(1));
        let only = places.take().unwrap();
        let mut waits = std::pin::pin!(places.wait());
        assert!(futures::poll!(waits.as_mut()).is_pending());
        drop(only);
        assert!(places.are_wanted() && places.take().is_none(), "it is meant for who waits");
        assert!(futures::poll!(waits.as_mut()).is_ready());
        assert!(!places.are_wanted());
    }
}

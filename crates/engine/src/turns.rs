//! Whose turn it is: as many at once as there may be, first come, first served.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::unconstrained;

/// Gives turns.
pub(crate) struct Turns(Arc<Semaphore>);

/// Whoever has it has the turn; nobody ever closes what it is from, so it is always there.
type Permit = Option<OwnedSemaphorePermit>;

/// A turn, or a place among those who wait for one. Dropping it gives it up.
pub(crate) enum Turn {
    Now(Permit),
    Later(Pin<Box<dyn Future<Output = Permit> + Send>>),
}

impl Turns {
    /// At least one at once.
    pub fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once.max(1))))
    }

    /// Takes the next place. It is taken here, and not when whoever got it runs first: tasks don't begin in the order in which they
    /// were spawned.
    pub fn take(&self) -> Turn {
        let turns = self.0.clone();
        // Where there is a turn this must say so, however much the task has done since it last paused.
        let mut place = Box::pin(unconstrained(async move { turns.acquire_owned().await.ok() }));
        match place.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Turn::Now(turn),
            Poll::Pending => Turn::Later(place),
        }
    }
}

impl Turn {
    /// Whether others are before it.
    pub fn is_later(&self) -> bool {
        matches!(self, Self::Later(_))
    }

    /// Waits for it. It lasts as long as what this returns is kept.
    pub async fn comes(self) -> Permit {
        match self {
            Self::Now(turn) => turn,
            Self::Later(place) => place.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_first_is_first_whoever_asks_first() {
        let turns = Turns::new(2);
        let (first, second) = (turns.take(), turns.take());
        assert!(!first.is_later() && !second.is_later());
        let (third, fourth, fifth) = (turns.take(), turns.take(), turns.take());
        assert!(third.is_later() && fourth.is_later() && fifth.is_later());
        let last = tokio::spawn(fifth.comes());
        drop(third);
        tokio::task::yield_now().await;
        drop(first);
        tokio::task::yield_now().await;
        assert!(!last.is_finished(), "it is the turn of one who came before it and has not asked yet");
        let fourth = fourth.comes().await;
        assert!(fourth.is_some());
        drop(second);
        assert!(last.await.unwrap().is_some());
        assert!(!turns.take().is_later(), "what was had is given back");
    }

    #[test]
    fn there_is_always_one() {
        assert!(!Turns::new(0).take().is_later());
    }
}

//! The memory of all requests that wait, for whichever deployment.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that requests may take together while they wait.
#[derive(Debug)]
pub(crate) struct Held(Arc<Semaphore>);

/// What one request takes of them; given back when dropped.
#[derive(Debug)]
pub(crate) struct Part {
    _bytes: OwnedSemaphorePermit,
}

impl Held {
    pub fn new(most: u64) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(most)))
    }

    /// A part of so many bytes; `None` if fewer are left.
    pub fn take(&self, bytes: u64) -> Option<Part> {
        let bytes = u32::try_from(bytes).ok()?;
        let taken = self.0.clone().try_acquire_many_owned(bytes).ok()?;
        Some(Part { _bytes: taken })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_taken_as_long_as_it_is_kept() {
        let held = Held::new(250);
        let (first, second) = (held.take(100), held.take(150));
        assert!(first.is_some() && second.is_some() && held.take(1).is_none());
        drop(first);
        assert!(held.take(101).is_none());
        let third = held.take(100);
        assert!(third.is_some());
        drop((second, third));
        assert!(held.take(250).is_some());
    }

    #[test]
    fn nothing_is_taken_beyond_what_can_be_counted() {
        assert!(Held::new(u64::MAX).take(u64::MAX).is_none());
        assert!(Held::new(0).take(0).is_some());
    }
}

//! What comes about often and is logged seldom.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long nothing is said after something was.
const PAUSE: Duration = Duration::from_secs(60);

/// Counts what comes about, and says once a minute at most how often it did.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    last: Option<Instant>,
    since: u64,
}

impl Seldom {
    /// It has come about: how often since it was last said, this time included; `None` if that was within the last minute.
    pub fn counts(&self, now: Instant) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.since += 1;
        if said.last.is_some_and(|last| now.duration_since(last) < PAUSE) {
            return None;
        }
        said.last = Some(now);
        Some(std::mem::take(&mut said.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_a_minute_with_how_often_it_was() {
        let (seldom, begin) = (Seldom::default(), Instant::now());
        let after = |seconds| seldom.counts(begin + Duration::from_secs(seconds));
        assert_eq!([0, 1, 59, 60, 61, 130].map(after), [Some(1), None, None, Some(3), None, Some(2)]);
    }
}

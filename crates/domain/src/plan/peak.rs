//! The greatest demand of the last while, so that what a burst needed does not end with it (semantics: Rolling).

use std::collections::VecDeque;

/// What was measured lately, as far as it can still be the greatest. Lost on a restart, which only ends it early.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Peak {
    /// Oldest first: (moment in monotonic ms, concurrent requests), each more than those that follow.
    samples: VecDeque<(i64, u32)>,
}

impl Peak {
    /// Takes note of the demand at a moment, and says the greatest that is less than `kept_ms` old, or this one. `at` and
    /// `kept_ms` are milliseconds, `at` monotonic.
    pub fn note(&mut self, at: i64, demand: u32, kept_ms: i64) -> u32 {
        while self.samples.back().is_some_and(|&(_, smaller)| smaller <= demand) {
            self.samples.pop_back();
        }
        self.samples.push_back((at, demand));
        while self.samples.len() > 1 && self.samples.front().is_some_and(|&(since, _)| at - since >= kept_ms)
        {
            self.samples.pop_front();
        }
        self.samples.front().map_or(demand, |&(_, greatest)| greatest)
    }

    /// When the greatest will be too old, in monotonic milliseconds; `None` if it is what there is now.
    pub fn ends_at(&self, kept_ms: i64) -> Option<i64> {
        let &(since, _) = self.samples.front()?;
        (self.samples.len() > 1).then_some(since + kept_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_counts_until_the_time_since_it_has_passed() {
        let mut peak = Peak::default();
        assert_eq!((peak.note(0, 16, 60_000), peak.ends_at(60_000)), (16, None));
        assert_eq!((peak.note(2_000, 0, 60_000), peak.ends_at(60_000)), (16, Some(60_000)));
        assert_eq!(peak.note(30_000, 5, 60_000), 16);
        assert_eq!(peak.note(32_000, 0, 60_000), 16);
        assert_eq!(peak.note(59_999, 0, 60_000), 16);
        // What came after it, and was less, has its own time.
        assert_eq!((peak.note(60_000, 0, 60_000), peak.ends_at(60_000)), (5, Some(90_000)));
        assert_eq!(peak.note(90_000, 0, 60_000), 0);
    }

    #[test]
    fn the_same_again_begins_its_time_anew() {
        let mut peak = Peak::default();
        peak.note(0, 16, 60_000);
        peak.note(2_000, 0, 60_000);
        peak.note(50_000, 16, 60_000);
        assert_eq!(peak.note(109_999, 0, 60_000), 16);
        assert_eq!(peak.note(110_000, 0, 60_000), 0);
    }

    #[test]
    fn without_time_only_the_present_counts_and_what_was_is_forgotten() {
        let mut peak = Peak::default();
        peak.note(0, 16, 60_000);
        assert_eq!((peak.note(2_000, 3, 0), peak.ends_at(0)), (3, None));
        assert_eq!(peak.note(4_000, 1, 60_000), 3);
    }
}

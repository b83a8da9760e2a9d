//! How fast somebody may ask: sign-ins that fail, and requests of a key (semantics: People; Rate limits).

use crate::Timestamp;

/// Failed attempts to prove who one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    pub count: u32,
    pub last: Timestamp,
}

/// Failures that cost nothing: people mistype.
const FREE_FAILURES: u32 = 5;
/// The longest wait between two attempts, in milliseconds.
const LONGEST_WAIT: i64 = 60_000;
/// After this long without a failure, in milliseconds, all is forgotten.
const FORGOTTEN_AFTER: i64 = 15 * 60_000;

impl Failures {
    /// One more failure.
    pub fn after(known: Option<Self>, now: Timestamp) -> Self {
        let count = known.filter(|known| !known.is_old(now)).map_or(0, |known| known.count);
        Self { count: count.saturating_add(1), last: now }
    }

    /// Milliseconds until the next attempt is looked at: none for five failures, then 1 s, 2 s, 4 s, up to a minute.
    pub fn wait(self, now: Timestamp) -> Option<i64> {
        if self.count < FREE_FAILURES || self.is_old(now) {
            return None;
        }
        let doublings = (self.count - FREE_FAILURES).min(6);
        let pause = (1000_i64 << doublings).min(LONGEST_WAIT);
        let left = pause - now.since(self.last);
        // A clock that was set back must not lock anybody out for longer than the pause.
        (left > 0).then_some(left.min(pause))
    }

    /// Whether it counts no more.
    pub fn is_old(self, now: Timestamp) -> bool {
        now.since(self.last) >= FORGOTTEN_AFTER
    }
}

/// So many requests in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub requests: u32,
    /// Milliseconds.
    pub within: i64,
}

impl Rate {
    pub const fn a_second(requests: u32) -> Self {
        Self { requests, within: 1000 }
    }

    pub const fn a_minute(requests: u32) -> Self {
        Self { requests, within: 60_000 }
    }

    /// Microseconds that one request takes up.
    fn each(self) -> i64 {
        self.within * 1000 / i64::from(self.requests.max(1))
    }
}

/// How much of a rate is used up: the moment, in microseconds of a clock that is never set, at which all of it is free again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Meter(i64);

impl Meter {
    /// Lets a request pass, or says after how many milliseconds the next one does. All requests of a rate may come at
    /// once; then they come back one by one. `now` is in monotonic milliseconds, here and below.
    ///
    /// # Errors
    /// The milliseconds to wait, at least 1.
    pub fn admit(&mut self, rate: Rate, now: i64) -> Result<(), i64> {
        let now = now * 1000;
        let full = rate.within * 1000;
        let used_until = self.0.max(now);
        let next = used_until + rate.each();
        if next > now + full {
            self.0 = used_until;
            return Err(((next - now - full) / 1000).max(1));
        }
        self.0 = next;
        Ok(())
    }

    /// Whether nothing of the rate is used, so that the meter need not be kept.
    pub fn is_empty(self, now: i64) -> bool {
        self.0 <= now * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn five_mistakes_are_free_and_then_each_costs_twice_as_much() {
        let mut failures = None;
        let mut waits = Vec::new();
        for _ in 0..13 {
            let known = Failures::after(failures, at(0));
            waits.push(known.wait(at(0)).unwrap_or(0) / 1000);
            failures = Some(known);
        }
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_wait_ends_and_failures_are_forgotten() {
        let known = Failures { count: 6, last: at(0) };
        assert_eq!(known.wait(at(500)), Some(1500));
        assert_eq!(known.wait(at(2000)), None);
        assert_eq!(Failures::after(Some(known), at(FORGOTTEN_AFTER)).count, 1);
        // Clocks are set back.
        assert_eq!(known.wait(at(-90_000_000)), Some(2000));
    }

    #[test]
    fn a_rate_lets_its_number_pass_and_no_more() {
        let mut meter = Meter::default();
        let passed = (0..200).filter(|_| meter.admit(Rate::a_second(100), 0).is_ok()).count();
        assert_eq!(passed, 100);
        assert_eq!(meter.admit(Rate::a_second(100), 0), Err(10));
        assert_eq!(meter.admit(Rate::a_second(100), 10), Ok(()));
        assert!(!meter.is_empty(1000) && meter.is_empty(1010));
    }

    #[test]
    fn a_steady_stream_below_the_rate_always_passes() {
        let mut meter = Meter::default();
        assert!((0..1000).all(|n| meter.admit(Rate::a_minute(20), n * 3000).is_ok()));
        let mut faster = Meter::default();
        let passed = (0..600).filter(|n| faster.admit(Rate::a_minute(20), n * 1000).is_ok()).count();
        assert!((215..=220).contains(&passed), "20 at once and 20 a minute for ten minutes: {passed}");
    }
}

//! Counters of one deployment. Adding to them is a few relaxed atomic steps.

use domain::SideCounts;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use tokio::time::Instant;

use crate::Gateway;
use crate::admission::Flight;

/// Each power of two of microseconds in four parts, so a percentile is within a fifth of the truth.
const PARTS: usize = 4;
const BUCKETS: usize = 40 * PARTS;
/// Two windows: the one that fills, and the one before it.
const WINDOW_MILLIS: i64 = 30_000;

/// Counts since the deployment was first seen.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Metrics {
    pub requests: AtomicU64,
    pub errors: AtomicU64,
    pub lost: AtomicU64,
    pub total_micros: AtomicU64,
    windows: [Window; 2],
}

#[derive(Debug)]
struct Window {
    epoch: AtomicI64,
    counts: [AtomicU32; BUCKETS],
}

impl Default for Window {
    fn default() -> Self {
        Self { epoch: AtomicI64::new(i64::MIN), counts: std::array::from_fn(|_| AtomicU32::new(0)) }
    }
}

impl Metrics {
    /// Counts a finished request. `now` is monotonic, in milliseconds.
    pub fn finished(&self, micros: u64, now: i64) {
        self.total_micros.fetch_add(micros, Relaxed);
        let epoch = now.div_euclid(WINDOW_MILLIS);
        let window = &self.windows[epoch.rem_euclid(2) as usize];
        let seen = window.epoch.load(Relaxed);
        if seen != epoch && window.epoch.compare_exchange(seen, epoch, Relaxed, Relaxed).is_ok() {
            window.counts.iter().for_each(|count| count.store(0, Relaxed));
        }
        window.counts[bucket(micros)].fetch_add(1, Relaxed);
    }

    /// Median and 95th percentile of the last 30 to 60 seconds, in microseconds; 0 if nothing finished.
    pub fn percentiles(&self, now: i64) -> (u64, u64) {
        let epoch = now.div_euclid(WINDOW_MILLIS);
        let mut counts = [0u64; BUCKETS];
        for window in &self.windows {
            if (epoch - 1..=epoch).contains(&window.epoch.load(Relaxed)) {
                for (sum, count) in counts.iter_mut().zip(&window.counts) {
                    *sum += u64::from(count.load(Relaxed));
                }
            }
        }
        (percentile(&counts, 50), percentile(&counts, 95))
    }
}

/// What came of the requests that reached a deployment by an environment's address.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Side {
    answered: AtomicU64,
    errors: AtomicU64,
}

impl Side {
    pub fn counts(&self) -> SideCounts {
        // Errors first: an answer is counted before it counts as an error.
        let errors = self.errors.load(Relaxed);
        SideCounts { answered: self.answered.load(Relaxed), errors }
    }

    /// An answer begins, or will not come.
    pub fn answered(&self) {
        self.answered.fetch_add(1, Relaxed);
    }

    /// It waited in vain.
    pub fn unserved(&self) {
        self.answered();
        self.errors.fetch_add(1, Relaxed);
    }
}

/// One request's account: what it holds, and how it ended.
pub(crate) struct Tally {
    pub flight: Flight,
    /// Where it is counted as well, if it came by an environment's address.
    pub side: Option<Arc<Side>>,
    pub gateway: Arc<Gateway>,
    /// When it arrived.
    pub started: Instant,
}

impl Tally {
    fn metrics(&self) -> &Metrics {
        &self.flight.deployment.metrics
    }

    /// The answer is complete.
    pub fn finished(self) {
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.metrics().finished(micros, self.gateway.clock.monotonic());
    }

    /// The replica answered 500 to 599, or too late.
    pub fn failed(&self) {
        self.metrics().errors.fetch_add(1, Relaxed);
        if let Some(side) = &self.side {
            side.errors.fetch_add(1, Relaxed);
        }
    }

    /// The replica broke off.
    pub fn lost(self) {
        self.failed();
        self.metrics().lost.fetch_add(1, Relaxed);
    }
}

fn percentile(counts: &[u64; BUCKETS], percent: u64) -> u64 {
    let all: u64 = counts.iter().sum();
    let mut missing = (all * percent).div_ceil(100);
    if missing == 0 {
        return 0;
    }
    for (index, count) in counts.iter().enumerate() {
        if *count >= missing {
            return middle(index);
        }
        missing -= count;
    }
    0
}

fn bucket(micros: u64) -> usize {
    if micros < PARTS as u64 {
        return micros as usize;
    }
    let power = micros.ilog2() as usize;
    let part = (micros >> (power - 2)) as usize & (PARTS - 1);
    ((power - 1) * PARTS + part).min(BUCKETS - 1)
}

fn middle(index: usize) -> u64 {
    if index < PARTS {
        return index as u64;
    }
    let (power, part) = (index / PARTS + 1, index % PARTS);
    let width = 1u64 << (power - 2);
    (PARTS + part) as u64 * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_near_the_truth() {
        let metrics = Metrics::default();
        for micros in 1..=10_000 {
            metrics.finished(micros, 0);
        }
        let (p50, p95) = metrics.percentiles(0);
        assert!(p50.abs_diff(5_000) < 700, "{p50}");
        assert!(p95.abs_diff(9_500) < 1_300, "{p95}");
    }

    #[test]
    fn old_answers_are_forgotten() {
        let metrics = Metrics::default();
        metrics.finished(100, 0);
        assert!(metrics.percentiles(WINDOW_MILLIS).0 > 0);
        assert_eq!(metrics.percentiles(2 * WINDOW_MILLIS), (0, 0));
        metrics.finished(5_000, 2 * WINDOW_MILLIS);
        assert!(metrics.percentiles(2 * WINDOW_MILLIS).0 > 4_000);
    }

    #[test]
    fn every_duration_has_a_bucket_that_holds_it() {
        for micros in [0, 1, 3, 4, 5, 7, 8, 9, 1_000, 123_456, 86_400_000_000, u64::MAX] {
            let index = bucket(micros);
            assert!(index < BUCKETS);
            if micros < 1 << 40 {
                assert!(middle(index).abs_diff(micros) <= micros / 4, "{micros} {}", middle(index));
            }
        }
    }
}

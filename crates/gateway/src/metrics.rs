//! Counters of one deployment. Adding to them is a few relaxed atomic steps.

use domain::{Counters, Outcome, Outcomes, SIZES, SideCounts, middle_of, size_of};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;

use crate::Gateway;
use crate::admission::Flight;

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
    /// Websockets that are open now.
    pub websockets: AtomicU32,
    /// Whether more is counted than the five above.
    measures: bool,
    windows: [Window; 2],
    /// Made with the first request: thousands of deployments never have one.
    series: OnceLock<Box<Series>>,
}

/// What the graphs are drawn from; it only grows.
#[derive(Debug)]
struct Series {
    fine: AtomicU64,
    client_errors: AtomicU64,
    server_errors: AtomicU64,
    end_to_end: [AtomicU64; SIZES],
    first_byte: [AtomicU64; SIZES],
    inference: [AtomicU64; SIZES],
    request_sizes: [AtomicU64; SIZES],
    response_sizes: [AtomicU64; SIZES],
}

impl Default for Series {
    fn default() -> Self {
        let none = || std::array::from_fn(|_| AtomicU64::new(0));
        Self {
            fine: AtomicU64::new(0),
            client_errors: AtomicU64::new(0),
            server_errors: AtomicU64::new(0),
            end_to_end: none(),
            first_byte: none(),
            inference: none(),
            request_sizes: none(),
            response_sizes: none(),
        }
    }
}

#[derive(Debug)]
struct Window {
    epoch: AtomicI64,
    counts: [AtomicU32; SIZES],
}

impl Default for Window {
    fn default() -> Self {
        Self { epoch: AtomicI64::new(i64::MIN), counts: std::array::from_fn(|_| AtomicU32::new(0)) }
    }
}

impl Metrics {
    pub fn new(measures: bool) -> Self {
        Self { measures, ..Self::default() }
    }

    fn series(&self) -> &Series {
        self.series.get_or_init(Box::default)
    }

    /// Counts what became of a request; once for each.
    pub fn ended(&self, outcome: Outcome) {
        if !self.measures {
            return;
        }
        let series = self.series();
        let counter = match outcome {
            Outcome::Fine => &series.fine,
            Outcome::ClientError => &series.client_errors,
            Outcome::ServerError => &series.server_errors,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// All that was counted for the graphs; `None` before the first request.
    pub fn counters(&self) -> Option<Counters> {
        let series = self.series.get()?;
        let read = |sizes: &[AtomicU64; SIZES]| {
            sizes.iter().enumerate().map(|(size, count)| (size as u16, count.load(Relaxed))).collect()
        };
        Some(Counters {
            outcomes: Outcomes {
                fine: series.fine.load(Relaxed),
                client_errors: series.client_errors.load(Relaxed),
                server_errors: series.server_errors.load(Relaxed),
            },
            end_to_end: read(&series.end_to_end),
            first_byte: read(&series.first_byte),
            inference: read(&series.inference),
            request_sizes: read(&series.request_sizes),
            response_sizes: read(&series.response_sizes),
            in_flight: 0,
            held: 0,
            websockets: self.websockets.load(Relaxed),
        })
    }

    /// Counts a finished request, of whose time it had `waited` for a replica. `now` is monotonic, in milliseconds.
    pub fn finished(&self, micros: u64, waited: u64, now: i64) {
        self.total_micros.fetch_add(micros, Relaxed);
        if !self.measures {
            return;
        }
        let epoch = now.div_euclid(WINDOW_MILLIS);
        let window = &self.windows[epoch.rem_euclid(2) as usize];
        let seen = window.epoch.load(Relaxed);
        if seen != epoch && window.epoch.compare_exchange(seen, epoch, Relaxed, Relaxed).is_ok() {
            window.counts.iter().for_each(|count| count.store(0, Relaxed));
        }
        let size = size_of(micros);
        window.counts[size].fetch_add(1, Relaxed);
        let series = self.series();
        series.end_to_end[size].fetch_add(1, Relaxed);
        series.inference[size_of(micros.saturating_sub(waited))].fetch_add(1, Relaxed);
    }

    /// Median and 95th percentile of the last 30 to 60 seconds, in microseconds; 0 if nothing finished.
    pub fn percentiles(&self, now: i64) -> (u64, u64) {
        let epoch = now.div_euclid(WINDOW_MILLIS);
        let mut counts = [0u64; SIZES];
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
    /// When it arrived, and how long it waited for a replica.
    pub started: Instant,
    pub waited: Duration,
    /// An answer that begins as an error and breaks off is one error.
    pub has_failed: Cell<bool>,
    /// What came of it was counted.
    pub is_known: Cell<bool>,
}

impl Tally {
    fn metrics(&self) -> &Metrics {
        &self.flight.deployment.metrics
    }

    /// The answer begins, and says what came of the request.
    pub fn begins(&self, status: u16) {
        self.first_byte();
        self.answered(status);
    }

    /// The answer begins.
    pub fn first_byte(&self) {
        let metrics = self.metrics();
        if metrics.measures {
            let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
            metrics.series().first_byte[size_of(micros)].fetch_add(1, Relaxed);
        }
    }

    /// It is known what came of the request; what is told later does not count.
    pub fn answered(&self, status: u16) {
        if !self.is_known.get() && status >= 500 {
            self.failed();
        }
        self.ends(Outcome::of_status(status));
    }

    /// There will be no answer.
    pub fn never_begins(&self) {
        self.ends(Outcome::ServerError);
    }

    fn ends(&self, outcome: Outcome) {
        if !self.is_known.replace(true) {
            self.metrics().ended(outcome);
        }
    }

    /// The bodies passed whole, with so many bytes; told before [`Self::finished`].
    pub fn passed(&self, received: u64, sent: u64) {
        let metrics = self.metrics();
        if metrics.measures {
            // One less, so that a power of two is among those that do not exceed it.
            let size = |bytes: u64| size_of(bytes.saturating_sub(1));
            let series = metrics.series();
            series.request_sizes[size(received)].fetch_add(1, Relaxed);
            series.response_sizes[size(sent)].fetch_add(1, Relaxed);
        }
    }

    /// The answer is complete.
    pub fn finished(self) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let (took, waited) = (micros(self.started.elapsed()), micros(self.waited));
        self.metrics().finished(took, waited, self.gateway.clock.monotonic());
    }

    /// The replica answered 500 to 599, or too late, or not to its end.
    pub fn failed(&self) {
        if self.has_failed.replace(true) {
            return;
        }
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

impl Drop for Tally {
    /// A client that leaves in the middle of an answer has had one.
    fn drop(&mut self) {
        self.ends(Outcome::Fine);
    }
}

fn percentile(counts: &[u64; SIZES], percent: u64) -> u64 {
    let all: u64 = counts.iter().sum();
    let mut missing = (all * percent).div_ceil(100);
    if missing == 0 {
        return 0;
    }
    for (index, count) in counts.iter().enumerate() {
        if *count >= missing {
            return middle_of(index);
        }
        missing -= count;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_near_the_truth() {
        let metrics = Metrics::new(true);
        for micros in 1..=10_000 {
            metrics.finished(micros, 0, 0);
        }
        let (p50, p95) = metrics.percentiles(0);
        assert!(p50.abs_diff(5_000) < 700, "{p50}");
        assert!(p95.abs_diff(9_500) < 1_300, "{p95}");
    }

    #[test]
    fn old_answers_are_forgotten() {
        let metrics = Metrics::new(true);
        metrics.finished(100, 0, 0);
        assert!(metrics.percentiles(WINDOW_MILLIS).0 > 0);
        assert_eq!(metrics.percentiles(2 * WINDOW_MILLIS), (0, 0));
        metrics.finished(5_000, 0, 2 * WINDOW_MILLIS);
        assert!(metrics.percentiles(2 * WINDOW_MILLIS).0 > 4_000);
    }
}

//! Counters of one deployment. Adding to them is a few relaxed atomic steps.

use domain::{Answers, Counters, Outcome, SIZES, SideCounts, middle_of, size_of};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;

use crate::Gateway;
use crate::admission::Flight;
use crate::statuses::Statuses;

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
    /// By outcome. Made with the first request that comes to it: thousands of deployments never have one, and most have
    /// one outcome.
    series: [OnceLock<Box<Series>>; 3],
}

/// What the graphs are drawn from; it only grows.
#[derive(Debug)]
struct Series {
    /// The requests, by the status that each was answered with.
    statuses: Statuses,
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
            statuses: Statuses::default(),
            end_to_end: none(),
            first_byte: none(),
            inference: none(),
            request_sizes: none(),
            response_sizes: none(),
        }
    }
}

impl Series {
    /// What was counted; adds how often each status was to `statuses`, ascending.
    fn read(&self, statuses: &mut Vec<(u16, u64)>) -> Answers {
        let before = statuses.len();
        let rest = self.statuses.read(statuses);
        let read = |sizes: &[AtomicU64; SIZES]| {
            sizes.iter().enumerate().map(|(size, count)| (size as u16, count.load(Relaxed))).collect()
        };
        Answers {
            requests: statuses[before..].iter().map(|(_, count)| count).sum::<u64>() + rest,
            end_to_end: read(&self.end_to_end),
            first_byte: read(&self.first_byte),
            inference: read(&self.inference),
            request_sizes: read(&self.request_sizes),
            response_sizes: read(&self.response_sizes),
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

    fn series(&self, outcome: Outcome) -> &Series {
        self.series[outcome as usize].get_or_init(Box::default)
    }

    /// Counts what became of a request, by the status that its client was told; once for each.
    pub fn ended(&self, status: u16) {
        if self.measures {
            self.series(Outcome::of_status(status)).statuses.count(status);
        }
    }

    /// All that was counted for the graphs; `None` before the first request.
    pub fn counters(&self) -> Option<Counters> {
        let had_one = self.requests.load(Relaxed) > 0 || self.series.iter().any(|one| one.get().is_some());
        if !self.measures || !had_one {
            return None;
        }
        let mut statuses = Vec::new();
        let mut read = |outcome: Outcome| {
            let series = self.series[outcome as usize].get();
            series.map(|series| series.read(&mut statuses)).unwrap_or_default()
        };
        let (fine, client_errors) = (read(Outcome::Fine), read(Outcome::ClientError));
        let server_errors = read(Outcome::ServerError);
        Some(Counters {
            fine,
            client_errors,
            server_errors,
            statuses,
            in_flight: 0,
            held: 0,
            websockets: self.websockets.load(Relaxed),
        })
    }

    /// Counts a finished request, of whose time it had `waited` for a replica. `now` is monotonic, in milliseconds.
    pub fn finished(&self, outcome: Outcome, micros: u64, waited: u64, now: i64) {
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
        let series = self.series(outcome);
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
    /// When its answer began, in microseconds after it arrived; taken once it is counted.
    pub first_byte: Cell<Option<u64>>,
    /// What came of it, once that is known and counted.
    pub outcome: Cell<Option<Outcome>>,
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

    /// The answer begins. It counts with what comes of the request, which an answer of gRPC says at its end.
    pub fn first_byte(&self) {
        if self.metrics().measures {
            self.first_byte.set(Some(micros(self.started.elapsed())));
        }
    }

    /// It is known what came of the request, or what the client is told in place of an answer; what is told later does not
    /// count.
    pub fn answered(&self, status: u16) {
        if self.outcome.get().is_none() && status >= 500 {
            self.failed();
        }
        self.ends(status);
    }

    fn ends(&self, status: u16) {
        if self.outcome.get().is_some() {
            return;
        }
        let outcome = Outcome::of_status(status);
        self.outcome.set(Some(outcome));
        let metrics = self.metrics();
        if let Some(micros) = self.first_byte.take() {
            metrics.series(outcome).first_byte[size_of(micros)].fetch_add(1, Relaxed);
        }
        metrics.ended(status);
    }

    /// What came of it; an answer that never says so is fine.
    fn came_to(&self) -> Outcome {
        self.outcome.get().unwrap_or(Outcome::Fine)
    }

    /// The bodies passed whole, with so many bytes; told before [`Self::finished`].
    pub fn passed(&self, received: u64, sent: u64) {
        let metrics = self.metrics();
        if metrics.measures {
            // One less, so that a power of two is among those that do not exceed it.
            let size = |bytes: u64| size_of(bytes.saturating_sub(1));
            let series = metrics.series(self.came_to());
            series.request_sizes[size(received)].fetch_add(1, Relaxed);
            series.response_sizes[size(sent)].fetch_add(1, Relaxed);
        }
    }

    /// The answer is complete.
    pub fn finished(self) {
        let (took, waited) = (micros(self.started.elapsed()), micros(self.waited));
        self.metrics().finished(self.came_to(), took, waited, self.gateway.clock.monotonic());
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
    /// A client that leaves in the middle of an answer has had one. Only a call of gRPC has not told its status by then, and
    /// its answer began with 200.
    fn drop(&mut self) {
        self.ends(200);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
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
            metrics.finished(Outcome::Fine, micros, 0, 0);
        }
        let (p50, p95) = metrics.percentiles(0);
        assert!(p50.abs_diff(5_000) < 700, "{p50}");
        assert!(p95.abs_diff(9_500) < 1_300, "{p95}");
    }

    #[test]
    fn old_answers_are_forgotten() {
        let metrics = Metrics::new(true);
        metrics.finished(Outcome::Fine, 100, 0, 0);
        assert!(metrics.percentiles(WINDOW_MILLIS).0 > 0);
        assert_eq!(metrics.percentiles(2 * WINDOW_MILLIS), (0, 0));
        metrics.finished(Outcome::Fine, 5_000, 0, 2 * WINDOW_MILLIS);
        assert!(metrics.percentiles(2 * WINDOW_MILLIS).0 > 4_000);
    }

    #[test]
    fn each_outcome_is_counted_by_itself_and_takes_room_once_it_was_seen() {
        let metrics = Metrics::new(true);
        assert_eq!(metrics.counters(), None);
        for status in [200, 200, 503] {
            metrics.ended(status);
            metrics.finished(Outcome::of_status(status), 100, 40, 0);
        }
        let seen = metrics.series.each_ref().map(|series| series.get().is_some());
        assert_eq!(seen, [true, false, true]);
        let counters = metrics.counters().unwrap();
        let outcomes = counters.outcomes();
        assert_eq!((outcomes.fine, outcomes.client_errors, outcomes.server_errors), (2, 0, 1));
        assert_eq!(counters.statuses, [(200, 2), (503, 1)]);
        let answers = [&counters.fine, &counters.client_errors, &counters.server_errors];
        assert_eq!(answers.map(|answers| answers.end_to_end.count()), [2, 0, 1]);
        assert_eq!(answers.map(|answers| answers.inference.count()), [2, 0, 1]);
    }
}

//! What was measured of a deployment's requests and processes over time (semantics: Metrics).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Attachment, DeploymentId, EnvironmentName, Histogram, ModelId, ReplicaCount, ReplicaId, ReplicaUse,
    Timestamp,
};

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 100 to 399.
    Fine,
    /// 400 to 499.
    ClientError,
    /// 500 to 599, or no answer at all.
    ServerError,
}

impl Outcome {
    pub fn of_status(status: u16) -> Self {
        match status {
            ..=399 => Self::Fine,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

/// Requests by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outcomes {
    pub fine: u64,
    pub client_errors: u64,
    pub server_errors: u64,
}

impl Outcomes {
    pub fn total(self) -> u64 {
        self.fine + self.client_errors + self.server_errors
    }

    fn add(&mut self, other: Self) {
        self.fine += other.fine;
        self.client_errors += other.client_errors;
        self.server_errors += other.server_errors;
    }
}

/// What was counted of the requests that came to one and the same outcome.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answers {
    pub requests: u64,
    /// From arrival to the answer's last byte, waiting included.
    pub end_to_end: Histogram,
    /// From arrival to the answer's first byte.
    pub first_byte: Histogram,
    /// At the replica: as `end_to_end`, without the wait for a free one.
    pub inference: Histogram,
    /// Bytes of bodies, one less than each has, of requests whose answers came to their end.
    pub request_sizes: Histogram,
    pub response_sizes: Histogram,
}

impl Answers {
    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.end_to_end.add(&other.end_to_end);
        self.first_byte.add(&other.first_byte);
        self.inference.add(&other.inference);
        self.request_sizes.add(&other.request_sizes);
        self.response_sizes.add(&other.response_sizes);
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            end_to_end: self.end_to_end.since(&before.end_to_end),
            first_byte: self.first_byte.since(&before.first_byte),
            inference: self.inference.since(&before.inference),
            request_sizes: self.request_sizes.since(&before.request_sizes),
            response_sizes: self.response_sizes.since(&before.response_sizes),
        }
    }
}

/// What the gateway has counted of a deployment since it first had a request. It begins anew with the gateway.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counters {
    pub fine: Answers,
    pub client_errors: Answers,
    pub server_errors: Answers,
    /// How often each status was told, ascending. Requests of an outcome that are not here had statuses that nobody tells apart.
    pub statuses: Vec<(u16, u64)>,
    /// Requests at replicas, and requests that wait, at the moment of reading.
    pub in_flight: u32,
    pub held: u32,
    /// Websockets that are open at the moment of reading.
    pub websockets: u32,
}

impl Counters {
    pub fn outcomes(&self) -> Outcomes {
        Outcomes {
            fine: self.fine.requests,
            client_errors: self.client_errors.requests,
            server_errors: self.server_errors.requests,
        }
    }

    /// Of all requests together, whatever became of them.
    pub fn all(&self) -> Answers {
        let mut all = self.fine.clone();
        all.add(&self.client_errors);
        all.add(&self.server_errors);
        all
    }
}

/// The counters of one deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct Counted {
    pub model: ModelId,
    pub deployment: DeploymentId,
    pub counters: Counters,
}

/// What was measured in a period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    pub from: Timestamp,
    pub to: Timestamp,
    /// What its deployment was attached to then.
    #[serde(default)]
    pub environment: Option<EnvironmentName>,
    pub outcomes: Outcomes,
    pub end_to_end: Histogram,
    pub first_byte: Histogram,
    #[serde(default, skip_serializing_if = "Histogram::is_empty")]
    pub inference: Histogram,
    #[serde(default, skip_serializing_if = "Histogram::is_empty")]
    pub request_sizes: Histogram,
    #[serde(default, skip_serializing_if = "Histogram::is_empty")]
    pub response_sizes: Histogram,
    /// The most that were under way at one of the looks, and the most that waited.
    pub in_flight: u32,
    pub held: u32,
    /// The most websockets that were open at one of the looks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub websockets: u32,
    /// What the processes of each replica used: the processor time of the period, and the most memory at one of the looks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub used: BTreeMap<ReplicaId, ReplicaUse>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Measured {
    /// What came between two looks at the same counters. Counters that are lower than they were have begun anew.
    pub fn between(before: &Counters, after: &Counters, from: Timestamp, to: Timestamp) -> Self {
        let anew = Counters::default();
        let before = if after.outcomes().total() < before.outcomes().total() { &anew } else { before };
        let news = Counters {
            fine: after.fine.since(&before.fine),
            client_errors: after.client_errors.since(&before.client_errors),
            server_errors: after.server_errors.since(&before.server_errors),
            ..Counters::default()
        };
        let Answers { requests: _, end_to_end, first_byte, inference, request_sizes, response_sizes } =
            news.all();
        Self {
            from,
            to,
            environment: None,
            outcomes: news.outcomes(),
            end_to_end,
            first_byte,
            inference,
            request_sizes,
            response_sizes,
            in_flight: after.in_flight,
            held: after.held,
            websockets: after.websockets,
            used: BTreeMap::new(),
        }
    }

    /// A period in which nothing happened.
    pub fn nothing(from: Timestamp, to: Timestamp) -> Self {
        Self::between(&Counters::default(), &Counters::default(), from, to)
    }

    pub fn is_nothing(&self) -> bool {
        self.outcomes.total() == 0
            && self.end_to_end.count() == 0
            && self.first_byte.count() == 0
            && self.in_flight == 0
            && self.held == 0
            && self.websockets == 0
            && self.used.is_empty()
    }

    /// Adds another of the same deployment, or of one beside it; the period grows over both.
    pub fn add(&mut self, other: &Self) {
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.outcomes.add(other.outcomes);
        self.end_to_end.add(&other.end_to_end);
        self.first_byte.add(&other.first_byte);
        self.inference.add(&other.inference);
        self.request_sizes.add(&other.request_sizes);
        self.response_sizes.add(&other.response_sizes);
        self.in_flight = self.in_flight.max(other.in_flight);
        self.held = self.held.max(other.held);
        self.websockets = self.websockets.max(other.websockets);
        for (replica, used) in &other.used {
            let sum = self.used.entry(replica.clone()).or_default();
            sum.cpu_ms += used.cpu_ms;
            sum.memory = sum.memory.max(used.memory);
        }
    }

    /// What all replicas used together.
    pub fn used_by_all(&self) -> Option<ReplicaUse> {
        let sum = |sum: ReplicaUse, one: &ReplicaUse| ReplicaUse {
            memory: sum.memory.saturating_add(one.memory),
            cpu_ms: sum.cpu_ms.saturating_add(one.cpu_ms),
        };
        (!self.used.is_empty()).then(|| self.used.values().fold(ReplicaUse::default(), sum))
    }
}

/// The periods that a page or an answer can show, with the length of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    pub start: Timestamp,
    pub end: Timestamp,
    /// Milliseconds.
    pub step: i64,
}

/// Points that one series has at most.
const MOST_POINTS: i64 = 120;
/// Lengths that a step may have, in milliseconds.
const STEPS: [i64; 8] = [10_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000];
const MINUTE: i64 = 60_000;
/// What is kept by the ten seconds, and what is kept at all, in milliseconds.
pub const KEPT_FINE: i64 = 20 * MINUTE;
pub const KEPT: i64 = 7 * 86_400_000;

impl Period {
    /// From `start` to `end` in steps of a round length: at most 120 of them, and none shorter than what is kept of that
    /// time. It begins and ends at a multiple of its step, so a step in it is the same whoever asks and when.
    pub fn new(start: Timestamp, end: Timestamp, now: Timestamp) -> Self {
        let start = start.max(now.plus(-KEPT));
        let end = end.max(start.plus(1));
        let fine = now.since(start) <= KEPT_FINE;
        let fits = |step: &&i64| end.since(start) <= **step * MOST_POINTS && (fine || **step >= MINUTE);
        let step = STEPS.iter().find(fits).copied().unwrap_or(STEPS[STEPS.len() - 1]);
        let floor = |at: Timestamp| at.millis().div_euclid(step) * step;
        let (first, last) = (floor(start), floor(end));
        let last = if last < end.millis() { last + step } else { last };
        Self { start: Timestamp::from_millis(first), end: Timestamp::from_millis(last), step }
    }

    /// The beginnings of its steps.
    pub fn steps(&self) -> impl Iterator<Item = Timestamp> + use<> {
        let (start, step) = (self.start, self.step);
        (0..self.end.since(start) / step).map(move |index| start.plus(index * step))
    }

    /// How many replicas there were at the end of each step; `None` before the first count, and in the future.
    ///
    /// `counts` are of one deployment, oldest first.
    pub fn replicas(&self, counts: &[ReplicaCount], now: Timestamp) -> Vec<Option<ReplicaCount>> {
        let at_end = |step: Timestamp| {
            let until = step.plus(self.step).min(now.plus(1));
            let known = counts.partition_point(|count| count.at < until);
            (step <= now).then(|| known.checked_sub(1).map(|last| counts[last])).flatten()
        };
        self.steps().map(at_end).collect()
    }

    /// As [`Self::replicas`], while the deployment was attached to an environment; `None` for steps that it was not at the
    /// end of.
    pub fn replicas_while(
        &self,
        attached: &Attachment,
        counts: &[ReplicaCount],
        now: Timestamp,
    ) -> Vec<Option<ReplicaCount>> {
        let mut replicas = self.replicas(counts, now);
        for (step, count) in self.steps().zip(&mut replicas) {
            let until = step.plus(self.step).min(now.plus(1));
            if attached.from >= until || attached.to.is_some_and(|to| to < until) {
                *count = None;
            }
        }
        replicas
    }

    /// Sums up what was measured, for each step; it counts where it began. `None` where nothing was.
    pub fn series(&self, measured: &[Measured]) -> Vec<Option<Measured>> {
        let mut series: Vec<Option<Measured>> = self.steps().map(|_| None).collect();
        for one in measured {
            let index = one.from.since(self.start).div_euclid(self.step);
            let Some(slot) = usize::try_from(index).ok().and_then(|index| series.get_mut(index)) else {
                continue;
            };
            match slot {
                Some(sum) => sum.add(one),
                None => *slot = Some(one.clone()),
            }
        }
        series
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + seconds * 1000)
    }

    fn measured(from: i64, to: i64, fine: u64) -> Measured {
        let mut one = Measured::nothing(at(from), at(to));
        one.outcomes.fine = fine;
        one
    }

    #[test]
    fn an_hour_has_a_point_each_minute_and_a_week_one_each_two_hours() {
        let hour = Period::new(at(-3600), at(0), at(0));
        assert_eq!((hour.step, hour.steps().count()), (60_000, 60));
        let week = Period::new(at(-7 * 86_400), at(0), at(0));
        assert_eq!((week.step, week.steps().count()), (7_200_000, 84));
        let now = Period::new(at(-900), at(0), at(0));
        assert_eq!((now.step, now.steps().count()), (10_000, 90));
    }

    #[test]
    fn what_is_older_than_the_fine_points_has_no_fine_step() {
        let past = Period::new(at(-7200), at(-6900), at(0));
        assert_eq!(past.step, 60_000);
    }

    #[test]
    fn a_step_does_not_depend_on_when_it_is_asked_for() {
        let (early, late) = (Period::new(at(-3601), at(1), at(1)), Period::new(at(-3571), at(31), at(31)));
        assert!(late.steps().all(|step| step.millis() % 60_000 == 0));
        assert_eq!(early.steps().last(), late.steps().last());
    }

    #[test]
    fn each_measurement_counts_once_and_where_it_began() {
        let period = Period::new(at(-3600), at(0), at(0));
        let all = [
            measured(-3600, -3590, 1),
            measured(-3590, -3580, 2),
            measured(-10, 0, 4),
            measured(-9000, -8990, 8),
        ];
        let series = period.series(&all);
        let fine: Vec<u64> = series.iter().flatten().map(|one| one.outcomes.fine).collect();
        assert_eq!(fine, [3, 4]);
        assert!(series[1].is_none(), "nothing was measured, which is not zero");
    }

    #[test]
    fn replicas_stay_until_the_next_count() {
        let count = |seconds, ready| ReplicaCount { at: at(seconds), wanted: 2, starting: 0, ready };
        let period = Period::new(at(-3600), at(0), at(-60));
        let replicas = period.replicas(&[count(-3500, 1), count(-90, 2)], at(-60));
        assert_eq!(replicas[0], None, "nobody counted yet");
        assert_eq!(replicas[1].map(|count| count.ready), Some(1));
        assert_eq!(replicas[58].map(|count| count.ready), Some(2));
        let past_now = period.steps().position(|step| step > at(-60));
        assert_eq!(past_now.and_then(|index| replicas[index]), None);
    }

    #[test]
    fn replicas_of_an_environment_are_those_of_what_was_attached_to_it() {
        let counts = [ReplicaCount { at: at(-9000), wanted: 1, starting: 0, ready: 1 }];
        let period = Period::new(at(-3600), at(0), at(0));
        let attached = |from, to: Option<i64>| {
            let attached = Attachment { deployment: DeploymentId::new("d"), from: at(from), to: to.map(at) };
            let replicas = period.replicas_while(&attached, &counts, at(0));
            replicas.iter().map(|count| usize::from(count.is_some())).collect::<Vec<_>>()
        };
        assert_eq!(attached(-9000, None), [1; 60], "it was there before");
        let came = attached(-90, None);
        assert_eq!((came[57], came[58], came[59]), (0, 1, 1), "from the end of the step it came in");
        let left = attached(-9000, Some(-90));
        assert_eq!((left[57], left[58], left[59]), (1, 0, 0), "not at the end of the step it left in");
        assert_eq!(attached(-3000, Some(-3000 + 120)).iter().sum::<usize>(), 2);
    }

    #[test]
    fn processor_time_adds_up_and_memory_is_the_most_of_each() {
        let using = |from, replica: &str, cpu_ms, memory| {
            let mut one = measured(from, from + 10, 0);
            one.used.insert(ReplicaId::new(replica), ReplicaUse { memory, cpu_ms });
            one
        };
        let period = Period::new(at(-3600), at(0), at(0));
        let all = [using(-60, "a", 500, 70), using(-50, "a", 100, 90), using(-40, "b", 1, 5)];
        assert!(!all[0].is_nothing(), "it ran, though nobody asked it anything");
        let series = period.series(&all);
        let last = series.last().cloned().flatten().unwrap();
        assert_eq!(last.used[&ReplicaId::new("a")], ReplicaUse { memory: 90, cpu_ms: 600 });
        assert_eq!(last.used_by_all(), Some(ReplicaUse { memory: 95, cpu_ms: 601 }));
        assert_eq!(measured(0, 10, 5).used_by_all(), None, "not seen is not zero");
    }

    #[test]
    fn counters_that_began_anew_count_from_zero() {
        let served =
            |requests| Counters { fine: Answers { requests, ..Answers::default() }, ..Counters::default() };
        assert_eq!(Measured::between(&served(9), &served(2), at(0), at(10)).outcomes.fine, 2);
    }

    #[test]
    fn what_is_measured_is_of_all_outcomes_together() {
        let answers = |requests, size| Answers {
            requests,
            end_to_end: [(size, requests)].into_iter().collect(),
            ..Answers::default()
        };
        let before = Counters { fine: answers(2, 7), ..Counters::default() };
        let after = Counters {
            fine: answers(5, 7),
            client_errors: answers(1, 3),
            server_errors: answers(4, 7),
            ..Counters::default()
        };
        let measured = Measured::between(&before, &after, at(0), at(10));
        assert_eq!(measured.outcomes, Outcomes { fine: 3, client_errors: 1, server_errors: 4 });
        let sizes: Vec<(u16, u64)> = measured.end_to_end.into();
        assert_eq!(sizes, [(3, 1), (7, 7)]);
        assert_eq!(after.all().requests, 10);
    }
}

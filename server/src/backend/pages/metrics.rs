//! From a series to the points of its charts.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use app::view::MetricPoint;
use control::MetricSeries;
use domain::{Histogram, MIB, Measured, ReplicaCount, ReplicaId, ReplicaUse, Timestamp};

/// Replicas that have a line of their own in a chart at most.
const MOST: usize = 8;

/// What the charts draw.
pub struct MetricLines {
    pub points: Vec<MetricPoint>,
    /// Whose processor time and whose memory the points tell of, after that of all replicas.
    pub cores_of: Vec<String>,
    pub memory_of: Vec<String>,
}

pub fn metric_lines(series: &MetricSeries) -> MetricLines {
    let cores = Told::new(series, |used| used.cpu_ms, u64::saturating_add);
    let memory = Told::new(series, |used| used.memory, u64::max);
    let known = series.points.iter().zip(&series.replicas).zip(&series.restarts);
    let points = series.period.steps().zip(known).map(|(at, ((measured, replicas), restarts))| {
        // The step under way has not had all its time yet.
        let seconds = series.step_seconds(at);
        let mut point = point(at, measured.as_ref(), *replicas, seconds);
        point.restarts = seconds.map(|_| [*restarts as f64]);
        if let (Some(measured), Some(seconds)) = (measured, seconds) {
            point.cores = cores.values(measured, 1000.0 * seconds);
            point.memory = memory.values(measured, MIB as f64);
        }
        point
    });
    MetricLines { points: points.collect(), cores_of: cores.names(), memory_of: memory.names() }
}

fn point(
    at: Timestamp,
    measured: Option<&Measured>,
    replicas: Option<ReplicaCount>,
    seconds: Option<f64>,
) -> MetricPoint {
    let rates = |measured: &Measured| {
        let all = measured.outcomes;
        let rate = |count: u64| Some(count as f64 / seconds?);
        Some([rate(all.fine)?, rate(all.client_errors)?, rate(all.server_errors)?])
    };
    MetricPoint {
        at,
        rates: measured.and_then(rates),
        end_to_end: measured.and_then(|measured| percentiles(&measured.end_to_end, 1000.0)),
        first_byte: measured.and_then(|measured| percentiles(&measured.first_byte, 1000.0)),
        inference: measured.and_then(|measured| percentiles(&measured.inference, 1000.0)),
        request_sizes: measured.and_then(|measured| percentiles(&measured.request_sizes, 1024.0)),
        response_sizes: measured.and_then(|measured| percentiles(&measured.response_sizes, 1024.0)),
        load: measured.map(|measured| [f64::from(measured.in_flight), f64::from(measured.held)]),
        replicas: replicas.map(|count| [count.wanted, count.starting, count.ready].map(f64::from)),
        ..MetricPoint::default()
    }
}

/// Which replicas a chart tells of by themselves: those that used the most of what it shows.
struct Told {
    of: fn(&ReplicaUse) -> u64,
    /// In the order in which they came.
    replicas: Vec<ReplicaId>,
    /// Whether there are more, which are told together.
    others: bool,
}

impl Told {
    /// `sum` makes one number of two steps.
    fn new(series: &MetricSeries, of: fn(&ReplicaUse) -> u64, sum: fn(u64, u64) -> u64) -> Self {
        let mut all: BTreeMap<&ReplicaId, (usize, u64)> = BTreeMap::new();
        for (replica, used) in series.points.iter().flatten().flat_map(|point| &point.used) {
            let came = all.len();
            let (_, most) = all.entry(replica).or_insert((came, 0));
            *most = sum(*most, of(used));
        }
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_key(|(_, (came, used))| (Reverse(*used), *came));
        let others = all.len() > MOST;
        all.truncate(MOST);
        all.sort_by_key(|(_, (came, _))| *came);
        Self { of, replicas: all.into_iter().map(|(replica, _)| replica.clone()).collect(), others }
    }

    fn names(&self) -> Vec<String> {
        let others = self.others.then(|| "others".to_owned());
        self.replicas.iter().map(ToString::to_string).chain(others).collect()
    }

    /// What all replicas used in a step, and each of those that are told; `None` if nothing was seen of any.
    fn values(&self, measured: &Measured, unit: f64) -> Option<Vec<Option<f64>>> {
        let number = |used: &ReplicaUse| (self.of)(used) as f64 / unit;
        let all = number(&measured.used_by_all()?);
        let each = self.replicas.iter().map(|replica| measured.used.get(replica).map(number));
        let mut values: Vec<Option<f64>> = std::iter::once(Some(all)).chain(each).collect();
        if self.others {
            let rest = measured.used.iter().filter(|(replica, _)| !self.replicas.contains(replica));
            values.push(rest.map(|(_, used)| number(used)).reduce(|sum, one| sum + one));
        }
        Some(values)
    }
}

/// In units of so many microseconds or bytes.
fn percentiles(found: &Histogram, unit: f64) -> Option<[f64; 4]> {
    let value = |percent| found.percentile(percent).map(|value| value as f64 / unit);
    Some([value(50)?, value(90)?, value(95)?, value(99)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Period;

    const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    /// Two steps of a minute, of which the second has had half; each replica was seen in those that it is given for.
    fn series(used: &[(&str, [Option<ReplicaUse>; 2])]) -> MetricSeries {
        let period = Period::new(START, START.plus(120_000), START.plus(7_200_000));
        let point = |step: usize| {
            let from = START.plus(60_000 * step as i64);
            let mut point = Measured::nothing(from, from.plus(30_000));
            let seen = used.iter().filter_map(|(id, steps)| Some((ReplicaId::new(*id), steps[step]?)));
            point.used = seen.collect();
            Some(point)
        };
        MetricSeries {
            period,
            points: vec![point(0), point(1)],
            replicas: vec![None; 2],
            restarts: vec![0; 2],
            complete_through: Some(START.plus(90_000)),
        }
    }

    #[test]
    fn each_replica_has_its_line_with_gaps_where_it_was_not_seen() {
        let used = |seconds: u64, mib: u64| Some(ReplicaUse { cpu_ms: seconds * 1000, memory: mib * MIB });
        let lines = metric_lines(&series(&[("b", [used(60, 5), None]), ("a", [None, used(15, 7)])]));
        assert_eq!(lines.cores_of, ["b", "a"], "as they came");
        assert_eq!(lines.memory_of, ["b", "a"]);
        assert_eq!(lines.points[0].cores, Some(vec![Some(1.0), Some(1.0), None]));
        assert_eq!(lines.points[1].cores, Some(vec![Some(0.5), None, Some(0.5)]), "of half a minute");
        assert_eq!(lines.points[1].memory, Some(vec![Some(7.0), None, Some(7.0)]));
        assert_eq!(lines.points[1].restarts, Some([0.0]));
    }

    #[test]
    fn of_many_replicas_the_ones_that_used_most_are_told_and_the_others_together() {
        let ids: Vec<String> = (0..10).map(|number| format!("r{number}")).collect();
        let used = |number: usize| ReplicaUse {
            cpu_ms: 60_000 * (number as u64 + 1),
            memory: (10 - number as u64) * MIB,
        };
        let all: Vec<_> =
            ids.iter().enumerate().map(|(n, id)| (id.as_str(), [Some(used(n)), None])).collect();
        let lines = metric_lines(&series(&all));
        assert_eq!(lines.cores_of, ["r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "others"]);
        assert_eq!(lines.memory_of, ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "others"]);
        let cores = lines.points[0].cores.clone().unwrap();
        assert_eq!((cores.len(), cores[0], cores[9]), (10, Some(55.0), Some(3.0)));
        assert_eq!(lines.points[1].cores, None, "nothing was seen, which is not zero");
    }
}

//! What the processes of replicas use, and which are ready, as values of the metrics API: one for each replica.

use std::collections::BTreeMap;

use control::MetricSeries;
use domain::{Measured, ReplicaId, ReplicaUse};

/// Replicas that a series or a summary tells of by themselves at most. A deployment that sleeps and wakes has many in a
/// week; what the rest of them used is told together.
const MOST: usize = 40;
const OTHERS: &str = "others";

/// How one replica is now, and what its processes use.
#[derive(Debug, Clone, PartialEq)]
pub struct Used {
    pub replica: String,
    pub is_ready: bool,
    /// Cores, over the last seconds.
    pub cores: Option<f64>,
    /// Bytes.
    pub memory: Option<f64>,
}

/// Whose processes an answer tells of.
pub enum Processes<'a> {
    Now(&'a [Used]),
    /// Those that used the most of the processor, by their id, and whether there are others.
    Measured(Vec<ReplicaId>, bool),
}

impl<'a> Processes<'a> {
    pub fn measured(series: &MetricSeries) -> Self {
        let mut all: BTreeMap<&ReplicaId, u64> = BTreeMap::new();
        for (replica, used) in series.points.iter().flatten().flat_map(|point| &point.used) {
            *all.entry(replica).or_default() += used.cpu_ms;
        }
        let mut by_time: Vec<_> = all.into_iter().collect();
        by_time.sort_by_key(|(replica, cpu_ms)| (std::cmp::Reverse(*cpu_ms), *replica));
        let others = by_time.len() > MOST;
        let mut told: Vec<ReplicaId> =
            by_time.into_iter().take(MOST).map(|(replica, _)| replica.clone()).collect();
        told.sort();
        Self::Measured(told, others)
    }

    pub fn labels(&self) -> Box<dyn Iterator<Item = String> + '_> {
        match self {
            Self::Now(used) => Box::new(used.iter().map(|of| of.replica.clone())),
            Self::Measured(told, others) => {
                let others = others.then(|| OTHERS.to_owned());
                Box::new(told.iter().map(ToString::to_string).chain(others))
            }
        }
    }

    /// A number for each of the labels: of what is so now, or of what was measured at a point.
    pub fn values(
        &self,
        point: Option<&Measured>,
        now: fn(&Used) -> Option<f64>,
        then: impl Fn(&ReplicaUse) -> Option<f64>,
    ) -> Vec<Option<f64>> {
        match self {
            Self::Now(used) => used.iter().map(now).collect(),
            Self::Measured(told, others) => {
                let of = |replica| point.and_then(|point| point.used.get(replica)).and_then(&then);
                let mut values: Vec<Option<f64>> = told.iter().map(of).collect();
                if *others {
                    let rest = point.into_iter().flat_map(|point| &point.used);
                    let rest = rest.filter(|(replica, _)| told.binary_search(replica).is_err());
                    values.push(rest.filter_map(|(_, used)| then(used)).reduce(|sum, one| sum + one));
                }
                values
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Period, Timestamp};

    #[test]
    fn a_week_of_short_lives_stays_an_answer_of_some_lines() {
        let at = Timestamp::from_millis(1_800_000_000_000);
        let mut point = Measured::nothing(at, at.plus(60_000));
        for n in 0..100 {
            let used = ReplicaUse { memory: 10, cpu_ms: 1000 + n };
            point.used.insert(ReplicaId::new(format!("r{n:03}")), used);
        }
        let period = Period::new(at, at.plus(120_000), at);
        let points = vec![Some(point.clone()), None];
        let series = MetricSeries {
            period,
            points,
            replicas: Vec::new(),
            restarts: Vec::new(),
            complete_through: None,
        };
        let processes = Processes::measured(&series);
        let labels: Vec<String> = processes.labels().collect();
        assert_eq!((labels.len(), labels[0].as_str(), labels[40].as_str()), (41, "r060", OTHERS));
        let memory = |point: Option<&Measured>| {
            processes.values(point, |now| now.memory, |used| Some(used.memory as f64))
        };
        assert_eq!(memory(Some(&point))[39..], [Some(10.0), Some(600.0)], "sixty others");
        assert!(memory(None).iter().all(Option::is_none), "not measured is not zero");
    }
}

//! How long starts took by phase (semantics: The record of scaling).

use crate::ColdStart;

/// The phases of a start by their names, in their order.
pub const START_PHASES: [&str; 5] = ["queue", "spawn", "load", "ready", "first_byte"];

/// How long one phase took over several starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseTimes {
    /// How many starts had the phase.
    pub starts: usize,
    /// Milliseconds that half of them did not exceed.
    pub median_ms: i64,
    /// Milliseconds that ninety of a hundred did not exceed.
    pub p90_ms: i64,
}

impl ColdStart {
    /// Milliseconds of each of [`START_PHASES`]; `None` for a first byte that nobody waited for.
    pub fn phases(&self) -> [Option<i64>; 5] {
        let Self { queue_ms, spawn_ms, load_ms, ready_ms, .. } = *self;
        [Some(queue_ms), Some(spawn_ms), Some(load_ms), Some(ready_ms), self.first_byte_ms]
    }
}

/// Each of [`START_PHASES`] over those of the starts that succeeded; `None` for a phase that none of them had.
pub fn phase_times(starts: &[ColdStart]) -> [Option<PhaseTimes>; 5] {
    let phases: Vec<_> = starts.iter().filter(|start| start.succeeded()).map(ColdStart::phases).collect();
    std::array::from_fn(|phase| times(phases.iter().filter_map(|of_start| of_start[phase]).collect()))
}

/// By the nearest rank, so each number is one that occurred.
fn times(mut millis: Vec<i64>) -> Option<PhaseTimes> {
    millis.sort_unstable();
    let starts = millis.len();
    let at = |percent: usize| millis.get((starts * percent).div_ceil(100).max(1) - 1).copied();
    Some(PhaseTimes { starts, median_ms: at(50)?, p90_ms: at(90)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeploymentId, ReplicaId, StartMoments, StartOutcome, Timestamp};

    /// A start that loaded for so long, and did nothing else.
    fn start(load_ms: i64, first_byte_ms: Option<i64>) -> ColdStart {
        let (began, ended) = (Timestamp::from_millis(0), Timestamp::from_millis(load_ms));
        let moments = StartMoments {
            wanted: began,
            started: began,
            spawned: Some(began),
            loaded: Some(ended),
            routed: ended,
        };
        let start = ColdStart::new(DeploymentId::new("d"), ReplicaId::new("r"), moments);
        ColdStart { first_byte_ms, ..start }
    }

    #[test]
    fn each_phase_has_its_median_and_what_ninety_of_a_hundred_did_not_exceed() {
        let mut starts: Vec<_> = (1..=10).rev().map(|n| start(n * 100, None)).collect();
        starts[3].first_byte_ms = Some(7);
        let [queue, _, load, _, first_byte] = phase_times(&starts);
        assert_eq!(queue, Some(PhaseTimes { starts: 10, median_ms: 0, p90_ms: 0 }));
        assert_eq!(load, Some(PhaseTimes { starts: 10, median_ms: 500, p90_ms: 900 }));
        let only = PhaseTimes { starts: 1, median_ms: 7, p90_ms: 7 };
        assert_eq!(first_byte, Some(only), "of those that somebody waited for");
    }

    #[test]
    fn a_start_that_came_to_nothing_says_nothing_of_how_long_one_takes() {
        let stalled = ColdStart { outcome: StartOutcome::Stalled, ..start(600_000, None) };
        let [.., load, _, _] = phase_times(&[stalled.clone(), start(100, None)]);
        assert_eq!(load, Some(PhaseTimes { starts: 1, median_ms: 100, p90_ms: 100 }));
        assert_eq!(phase_times(&[stalled]), [None; 5]);
        assert_eq!(phase_times(&[]), [None; 5]);
    }
}

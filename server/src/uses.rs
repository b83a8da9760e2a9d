//! What replicas use, measured when somebody looks.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use domain::{ReplicaId, ReplicaUse};

/// Processor time is a rate between two looks; looks nearer than this share one, in milliseconds.
const NEAREST: i64 = 900;
/// A look older than this says nothing of now, in milliseconds.
const OLDEST: i64 = 30_000;

/// Processor time of each replica at the looks before: the moment, monotonic, and milliseconds of processor.
#[derive(Default)]
pub struct Uses(Mutex<HashMap<ReplicaId, Looks>>);

#[derive(Clone, Copy)]
struct Looks {
    before: Option<(i64, u64)>,
    last: (i64, u64),
}

impl Uses {
    /// Percent of one core that a replica uses: since the look before, or since its start if there was none.
    ///
    /// `at` is monotonic milliseconds, `up_ms` how long it runs.
    pub fn percent(&self, replica: &ReplicaId, used: ReplicaUse, at: i64, up_ms: i64) -> f64 {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, looks| at - looks.last.0 <= OLDEST);
        let now = (at, used.cpu_ms);
        let looks = known.entry(replica.clone()).or_insert(Looks { before: None, last: now });
        if at - looks.last.0 >= NEAREST {
            *looks = Looks { before: Some(looks.last), last: now };
        }
        let (span, cpu) = match looks.before {
            Some((then, cpu)) => (at - then, used.cpu_ms.saturating_sub(cpu)),
            None => (up_ms, used.cpu_ms),
        };
        if span <= 0 { 0.0 } else { cpu as f64 * 100.0 / span as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percent(uses: &Uses, at: i64, cpu_ms: u64) -> i64 {
        let used = ReplicaUse { memory: 0, cpu_ms };
        uses.percent(&ReplicaId::new("r"), used, at, 100_000).min(9999.0) as i64
    }

    #[test]
    fn the_first_look_tells_the_average_and_later_ones_the_present() {
        let uses = Uses::default();
        assert_eq!(percent(&uses, 1_000_000, 10_000), 10);
        assert_eq!(percent(&uses, 1_002_000, 11_000), 50, "half a core in the last two seconds");
        assert_eq!(percent(&uses, 1_002_100, 11_050), 50, "two readers at once see the same");
        assert_eq!(percent(&uses, 1_004_000, 11_000), 0);
        assert_eq!(percent(&uses, 1_100_000, 20_000), 20, "an old look is forgotten");
    }
}

//! How long many things took, or how large they were, counted by size (semantics: Metrics).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Each power of two in four parts, so a percentile is within an eighth of the truth.
const PARTS: usize = 4;
/// How many sizes are told apart; the last one takes everything larger.
pub const SIZES: usize = 40 * PARTS;

/// The size of a number of microseconds, or of bytes, from 0 to [`SIZES`] - 1.
pub fn size_of(number: u64) -> usize {
    if number < PARTS as u64 {
        return number as usize;
    }
    let power = number.ilog2() as usize;
    let part = (number >> (power - 2)) as usize & (PARTS - 1);
    ((power - 1) * PARTS + part).min(SIZES - 1)
}

/// The number in the middle of a size.
pub fn middle_of(size: usize) -> u64 {
    if size < PARTS {
        return size as u64;
    }
    let (power, part) = (size / PARTS + 1, size % PARTS);
    let width = 1u64 << (power - 2);
    (PARTS + part) as u64 * width + width / 2
}

/// Counts by size; sizes that were never seen take no room.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<(u16, u64)>", into = "Vec<(u16, u64)>")]
pub struct Histogram {
    counts: BTreeMap<u16, u64>,
}

impl From<Vec<(u16, u64)>> for Histogram {
    fn from(pairs: Vec<(u16, u64)>) -> Self {
        pairs.into_iter().collect()
    }
}

impl From<Histogram> for Vec<(u16, u64)> {
    fn from(histogram: Histogram) -> Self {
        histogram.counts.into_iter().collect()
    }
}

/// Pairs of size and count.
impl FromIterator<(u16, u64)> for Histogram {
    fn from_iter<T: IntoIterator<Item = (u16, u64)>>(pairs: T) -> Self {
        Self { counts: pairs.into_iter().filter(|(_, count)| *count > 0).collect() }
    }
}

impl Histogram {
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    pub fn add(&mut self, other: &Self) {
        for (size, count) in &other.counts {
            *self.counts.entry(*size).or_default() += count;
        }
    }

    /// What was counted since `before`, an earlier state of the same counters.
    pub fn since(&self, before: &Self) -> Self {
        let former = |size: &u16| before.counts.get(size).copied().unwrap_or(0);
        self.counts.iter().map(|(size, count)| (*size, count.saturating_sub(former(size)))).collect()
    }

    /// What `percent` of them do not exceed; `None` without any.
    pub fn percentile(&self, percent: u64) -> Option<u64> {
        let mut missing = (self.count() * percent.min(100)).div_ceil(100).max(1);
        for (size, count) in &self.counts {
            if *count >= missing {
                return Some(middle_of(usize::from(*size)));
            }
            missing -= count;
        }
        None
    }

    /// How many were less than 2^`power`.
    pub fn below_power(&self, power: u32) -> u64 {
        let limit = size_of(1 << power.min(40)) as u16;
        self.counts.range(..limit).map(|(_, count)| count).sum()
    }

    /// All of them together, as near as the sizes tell.
    pub fn sum(&self) -> u64 {
        let sums =
            self.counts.iter().map(|(size, count)| middle_of(usize::from(*size)).saturating_mul(*count));
        sums.fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(all: impl IntoIterator<Item = u64>) -> Histogram {
        let mut sum = Histogram::default();
        for number in all {
            sum.add(&[(size_of(number) as u16, 1)].into_iter().collect());
        }
        sum
    }

    #[test]
    fn percentiles_are_near_the_truth() {
        let all = counted(1..=10_000);
        assert_eq!(all.count(), 10_000);
        assert!(all.percentile(50).unwrap_or(0).abs_diff(5_000) < 700);
        assert!(all.percentile(99).unwrap_or(0).abs_diff(9_900) < 1_300);
        assert_eq!(Histogram::default().percentile(50), None);
    }

    #[test]
    fn a_difference_is_what_came_since() {
        let before = counted([10, 200]);
        let mut after = before.clone();
        let news = counted([10, 5_000]);
        after.add(&news);
        assert_eq!(after.since(&before), news);
        assert_eq!(after.since(&after), Histogram::default());
    }

    #[test]
    fn every_number_has_a_size_that_holds_it() {
        for number in [0, 1, 3, 4, 5, 7, 8, 9, 1_000, 123_456, 86_400_000_000, u64::MAX] {
            let size = size_of(number);
            assert!(size < SIZES);
            if number < 1 << 40 {
                assert!(middle_of(size).abs_diff(number) <= number / 4, "{number} {}", middle_of(size));
            }
        }
    }

    #[test]
    fn powers_of_two_are_exact_limits() {
        let all = counted([1023, 1024, 2047, 2048]);
        assert_eq!((all.below_power(10), all.below_power(11), all.below_power(12)), (1, 3, 4));
    }

    #[test]
    fn what_is_written_is_read() {
        let all = counted([3, 77, 1_000_000]);
        let text = serde_json::to_string(&all).unwrap_or_default();
        assert_eq!(serde_json::from_str::<Histogram>(&text).ok(), Some(all));
    }
}

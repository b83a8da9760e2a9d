//! Exact shares: which deployment the n-th request of an environment goes to.

use std::sync::atomic::{AtomicU64, Ordering};

/// One turn of a split by weights; repeated for ever, it keeps every prefix of n within one request of each share.
///
/// Each share's j-th request has a window it must fall in to stay within one; taking the open window that ends
/// first always succeeds. Weight 0 never appears. Empty if all weights are 0.
pub fn sequence(weights: &[u16]) -> Vec<u16> {
    let divisor = weights.iter().fold(0, |a, b| gcd(a, u64::from(*b)));
    if divisor == 0 {
        return Vec::new();
    }
    let weights: Vec<u64> = weights.iter().map(|w| u64::from(*w) / divisor).collect();
    let turn: u64 = weights.iter().sum();
    let mut given = vec![0u64; weights.len()];
    let mut order = Vec::with_capacity(turn as usize);
    for place in 1..=turn {
        let next = (0..weights.len())
            .filter(|i| weights[*i] > 0 && given[*i] * turn / weights[*i] < place)
            .min_by_key(|i| ((given[*i] + 1) * turn).div_ceil(weights[*i]));
        // Windows never leave a place uncovered: the shares sum to the whole.
        let next = next.unwrap_or_default();
        given[next] += 1;
        order.push(next as u16);
    }
    order
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// One counter, shared by all threads, that walks through a [`sequence`].
#[derive(Debug)]
pub(crate) struct Split {
    turn: Turn,
    order: Vec<u16>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Turn(AtomicU64);

impl Split {
    /// `None` if nobody has a share.
    pub fn new(weights: &[u16]) -> Option<Self> {
        let order = sequence(weights);
        (!order.is_empty()).then(|| Self { turn: Turn::default(), order })
    }

    /// The position, among the weights, of the share whose turn it is.
    pub fn next(&self) -> usize {
        if self.order.len() == 1 {
            return usize::from(self.order[0]);
        }
        let n = self.turn.0.fetch_add(1, Ordering::Relaxed);
        usize::from(self.order[(n % self.order.len() as u64) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stays_within_one(weights: &[u16]) {
        let whole: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        let order = sequence(weights);
        let mut given = vec![0f64; weights.len()];
        for n in 0..order.len() * 2 {
            given[usize::from(order[n % order.len()])] += 1.0;
            for (i, weight) in weights.iter().enumerate() {
                let due = f64::from(*weight) / whole * (n + 1) as f64;
                assert!((given[i] - due).abs() <= 1.0 + 1e-9, "{weights:?} at {n}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn two_shares_are_exact_in_every_prefix(weight in 0u16..=10_000) {
            stays_within_one(&[10_000 - weight, weight]);
        }

        #[test]
        fn many_shares_are_exact_in_every_prefix(weights in prop::collection::vec(0u16..400, 1..7)) {
            prop_assume!(weights.iter().any(|w| *w > 0));
            stays_within_one(&weights);
        }
    }

    #[test]
    fn no_weight_no_request() {
        assert!(sequence(&[0, 10_000]).iter().all(|i| *i == 1));
        assert!(Split::new(&[0, 0]).is_none());
        assert!(Split::new(&[]).is_none());
    }
}

//! Which graphics cards are whose.

use std::collections::BTreeSet;

/// Chooses the lowest free cards; `None` if there are not as many. `taken` are those of living replicas.
pub(crate) fn choose(cards: u32, taken: &BTreeSet<u32>, wanted: u32) -> Option<Vec<u32>> {
    let free: Vec<u32> = (0..cards).filter(|card| !taken.contains(card)).take(wanted as usize).collect();
    (free.len() == wanted as usize).then_some(free)
}

/// What `CUDA_VISIBLE_DEVICES` says: `0,2`, or nothing for a replica without a card, which so takes none by accident.
pub(crate) fn visible(cards: &[u32]) -> String {
    cards.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_cards_are_taken() {
        let taken = BTreeSet::from([0, 2]);
        assert_eq!(choose(4, &taken, 2), Some(vec![1, 3]));
        assert_eq!(choose(4, &taken, 3), None);
        assert_eq!(choose(0, &taken, 0), Some(vec![]));
        assert_eq!((visible(&[1, 3]).as_str(), visible(&[]).as_str()), ("1,3", ""));
    }
}

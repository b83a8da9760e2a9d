//! How often each status was answered: a few atomic steps for each request, and as much room for many statuses as for few.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering::Relaxed};

/// Statuses of one class that are told apart.
const KINDS: usize = 16;

/// Counts by status, of one class. The first sixteen statuses have a place each, in the order in which they came, and keep it:
/// the most usual one is found at once.
#[derive(Debug, Default)]
pub(crate) struct Statuses {
    /// 0 where a place is free.
    kinds: [AtomicU16; KINDS],
    counts: [AtomicU64; KINDS],
    /// What found no place, or is none of 100 to 599.
    rest: AtomicU64,
}

impl Statuses {
    pub fn count(&self, status: u16) {
        self.place(status).fetch_add(1, Relaxed);
    }

    fn place(&self, status: u16) -> &AtomicU64 {
        if !(100..=599).contains(&status) {
            return &self.rest;
        }
        for (kind, count) in self.kinds.iter().zip(&self.counts) {
            let taken_by = match kind.load(Relaxed) {
                // Of two who want it at once, one gets it.
                0 => kind.compare_exchange(0, status, Relaxed, Relaxed).err().unwrap_or(status),
                taken_by => taken_by,
            };
            if taken_by == status {
                return count;
            }
        }
        &self.rest
    }

    /// Adds each status that was counted to `known`, ascending, and answers the count of the rest.
    pub fn read(&self, known: &mut Vec<(u16, u64)>) -> u64 {
        let counted = self.kinds.iter().zip(&self.counts);
        let mut counted: Vec<_> = counted
            .map(|(kind, count)| (kind.load(Relaxed), count.load(Relaxed)))
            .filter(|(kind, count)| *kind != 0 && *count > 0)
            .collect();
        counted.sort_unstable();
        known.append(&mut counted);
        self.rest.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_statuses_are_told_apart_and_none_is_lost() {
        let statuses = Statuses::default();
        for status in (400..=420).rev().chain([405, 420, 999, 0]) {
            statuses.count(status);
        }
        let mut known = Vec::new();
        // 400 to 404 found no place, and two are no statuses.
        assert_eq!(statuses.read(&mut known), 5 + 2);
        let times = |status: u16| if status == 405 || status == 420 { 2 } else { 1 };
        assert_eq!(known, (405..=420).map(|status| (status, times(status))).collect::<Vec<(u16, u64)>>());
    }

    #[test]
    fn many_who_count_at_once_share_the_places() {
        let statuses = Statuses::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let statuses = &statuses;
                scope.spawn(move || {
                    for number in 0..1_000 {
                        statuses.count(200 + (thread + number) % 10);
                    }
                });
            }
        });
        let mut known = Vec::new();
        assert_eq!(statuses.read(&mut known), 0);
        assert_eq!(known, (200..210).map(|status| (status, 400)).collect::<Vec<(u16, u64)>>());
    }
}

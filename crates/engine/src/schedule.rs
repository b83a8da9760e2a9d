use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use domain::{ModelId, SAMPLE_EVERY};

/// A model is looked at within this time of its last look, in milliseconds, so that no lost wake stays lost.
pub(crate) const SWEEP_EVERY: i64 = 600_000;
/// Models whose next samples are due within this time of one another are sampled at once, in milliseconds.
const TOGETHER: i64 = 100;

/// When to look at which model though nothing happens. Asking what is due costs what is due, however many models there
/// are.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    in_order: BTreeSet<(i64, ModelId)>,
    of: BTreeMap<ModelId, i64>,
}

impl Schedule {
    /// Sets a model's next look, in place of the one it had; monotonic milliseconds.
    pub fn set(&mut self, model: &ModelId, at: i64) {
        if self.of.get(model) == Some(&at) {
            return;
        }
        self.remove(model);
        self.in_order.insert((at, model.clone()));
        self.of.insert(model.clone(), at);
    }

    /// The model is gone.
    pub fn remove(&mut self, model: &ModelId) {
        if let Some(at) = self.of.remove(model) {
            self.in_order.remove(&(at, model.clone()));
        }
    }

    /// Takes the models whose time has come. They have no next look until one is set.
    pub fn take_due(&mut self, now: i64) -> Vec<ModelId> {
        let mut due = Vec::new();
        while let Some((at, _)) = self.in_order.first()
            && *at <= now
            && let Some((_, model)) = self.in_order.pop_first()
        {
            self.of.remove(&model);
            due.push(model);
        }
        due
    }

    /// When the next look is due.
    pub fn next(&self) -> Option<i64> {
        self.in_order.first().map(|(at, _)| *at)
    }

    pub fn knows(&self, model: &ModelId) -> bool {
        self.of.contains_key(model)
    }
}

/// When a model that needs nothing is looked at again: between three quarters and the whole of [`SWEEP_EVERY`] from now, by its
/// name, so that models which were looked at together do not stay together.
pub(crate) fn at_the_latest(model: &ModelId, now: i64) -> i64 {
    let mut hasher = DefaultHasher::new();
    model.as_str().hash(&mut hasher);
    let earlier = hasher.finish() % (SWEEP_EVERY as u64 / 4);
    now + SWEEP_EVERY - earlier as i64
}

/// When a model of which nothing was counted is sampled again: [`SAMPLE_EVERY`] from now at the latest.
pub(crate) fn sampled_again(now: i64) -> i64 {
    (now + SAMPLE_EVERY).div_euclid(TOGETHER) * TOGETHER
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(n: u128) -> ModelId {
        ModelId::new(format!("m{n}"))
    }

    #[test]
    fn what_is_due_comes_once_and_in_order() {
        let mut schedule = Schedule::default();
        schedule.set(&model(1), 30);
        schedule.set(&model(2), 10);
        schedule.set(&model(3), 20);
        assert_eq!(schedule.next(), Some(10));
        assert_eq!(schedule.take_due(20), [model(2), model(3)]);
        assert_eq!(schedule.take_due(20), []);
        assert_eq!(schedule.next(), Some(30));
    }

    #[test]
    fn a_new_time_takes_the_place_of_the_former_one() {
        let mut schedule = Schedule::default();
        schedule.set(&model(1), 10);
        schedule.set(&model(1), 50);
        assert_eq!(schedule.take_due(40), []);
        schedule.set(&model(1), 20);
        assert_eq!(schedule.take_due(40), [model(1)]);
        schedule.set(&model(2), 5);
        schedule.remove(&model(2));
        assert_eq!((schedule.next(), schedule.knows(&model(2))), (None, false));
    }

    #[test]
    fn samples_are_two_seconds_apart_at_most_and_come_together() {
        let times: BTreeSet<i64> = (7_000..9_000).map(sampled_again).collect();
        assert!((7_000..9_000).all(|now| (1_901..=2_000).contains(&(sampled_again(now) - now))));
        assert_eq!(times.len(), 20, "a server wakes up for them so often in two seconds");
    }

    #[test]
    fn idle_models_are_spread_over_time() {
        let times: BTreeSet<i64> = (0..100).map(|n| at_the_latest(&model(n), 1_000)).collect();
        assert!(times.iter().all(|at| (451_000..=601_000).contains(at)), "{times:?}");
        assert!(times.len() > 90, "{times:?}");
    }
}

//! How a rolling promotion carries traffic: replica by replica (semantics: Rolling).

use serde::{Deserialize, Serialize};

use crate::whole_number::{MAX_SURGE, MAX_UNAVAILABLE, REPLICA_OVERHEAD, STABILIZATION_TIME};
use crate::{Hold, Invalid, Position, Weight, WholeNumber};

/// How a rolling promotion goes, under the public names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollingConfig {
    /// Percent of the replicas that a step adds to the candidate before as many of the previous are removed, 0 to 50.
    pub max_surge_percent: u32,
    /// Percent of the replicas that a step removes from the previous before as many of the candidate start, 0 to 50.
    pub max_unavailable_percent: u32,
    /// Seconds between two steps, 0 to 3600.
    pub stabilization_time_seconds: u32,
    /// Percent of the replicas that the previous deployment has in addition while the rollout goes on, 0 to 500.
    pub replica_overhead_percent: u32,
}

impl Default for RollingConfig {
    fn default() -> Self {
        Self {
            max_surge_percent: 25,
            max_unavailable_percent: 0,
            stabilization_time_seconds: 0,
            replica_overhead_percent: 0,
        }
    }
}

/// A partial update: what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollingPatch {
    pub max_surge_percent: Option<i64>,
    pub max_unavailable_percent: Option<i64>,
    pub stabilization_time_seconds: Option<i64>,
    pub replica_overhead_percent: Option<i64>,
}

/// Replicas of both sides of a rolling promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sides {
    pub candidate: u32,
    pub previous: u32,
}

impl RollingConfig {
    /// The settings after a partial update, or the field that is out of range and its range. The two percentages of a
    /// step are judged together, after the update.
    pub fn patched(&self, patch: &RollingPatch) -> Result<Self, Invalid> {
        let take = |number: WholeNumber, value, now| {
            let within = |invalid: Invalid| {
                Invalid::new(format!("rolling_deploy_config.{}", invalid.field), invalid.problem)
            };
            number.changed(value, now).map_err(within)
        };
        let config = Self {
            max_surge_percent: take(MAX_SURGE, patch.max_surge_percent, self.max_surge_percent)?,
            max_unavailable_percent: take(
                MAX_UNAVAILABLE,
                patch.max_unavailable_percent,
                self.max_unavailable_percent,
            )?,
            stabilization_time_seconds: take(
                STABILIZATION_TIME,
                patch.stabilization_time_seconds,
                self.stabilization_time_seconds,
            )?,
            replica_overhead_percent: take(
                REPLICA_OVERHEAD,
                patch.replica_overhead_percent,
                self.replica_overhead_percent,
            )?,
        };
        let (surge, unavailable) = (config.max_surge_percent, config.max_unavailable_percent);
        if (surge == 0) == (unavailable == 0) {
            let problem = if surge == 0 {
                "and max_surge_percent are both 0, so no step would move anything; set one of them to 1 to 50"
                    .into()
            } else {
                format!("is {unavailable} while max_surge_percent is {surge}; set one of the two to 0")
            };
            return Err(Invalid::new("rolling_deploy_config.max_unavailable_percent", problem));
        }
        Ok(config)
    }

    /// Whether a step adds to the candidate before it removes from the previous.
    pub fn surges(&self) -> bool {
        self.max_surge_percent > 0
    }

    /// Replicas that one step moves of `total`: at least one.
    pub fn step(&self, total: u32) -> u32 {
        let percent = self.max_surge_percent.max(self.max_unavailable_percent);
        percent_of(total, percent).clamp(1, total.max(1))
    }

    /// Replicas that the previous deployment has beside its part of `total`.
    pub fn extra(&self, total: u32) -> u32 {
        percent_of(total, self.replica_overhead_percent)
    }

    /// Milliseconds between two steps.
    pub fn stabilization_ms(&self) -> i64 {
        i64::from(self.stabilization_time_seconds) * 1000
    }
}

/// Rounded up.
fn percent_of(total: u32, percent: u32) -> u32 {
    (u64::from(total) * u64::from(percent)).div_ceil(100).min(u64::from(u32::MAX)) as u32
}

/// How many of `total` replicas belong to each side at a share of the candidate: at least one each while both serve.
pub fn sides_of(share: Weight, total: u32) -> Sides {
    if share == Weight::ZERO {
        return Sides { candidate: 0, previous: total };
    }
    if share == Weight::WHOLE {
        return Sides { candidate: total, previous: 0 };
    }
    let part = (u64::from(total) * u64::from(share.basis_points()) + 5_000) / 10_000;
    let candidate = (part as u32).clamp(1, total.saturating_sub(1).max(1));
    Sides { candidate, previous: total.saturating_sub(candidate).max(1) }
}

/// The share that so many ready replicas of the candidate come to.
pub fn share_of_ready(ready: u32, total: u32) -> Weight {
    Weight::ratio(ready.min(total), total)
}

/// The replicas that each side should have while the next step is under way. The previous keeps one until the end.
pub fn targets(config: &RollingConfig, share: Weight, total: u32) -> Sides {
    let now = sides_of(share, total);
    let step = config.step(total).min(total - now.candidate.min(total));
    let removed = if config.surges() { 0 } else { step };
    let previous = now.previous.saturating_sub(removed).max(1);
    Sides { candidate: now.candidate + step, previous: previous + config.extra(total) }
}

/// The same while traffic goes back: the previous grows step by step, and the candidate keeps what its share needs.
pub fn targets_back(config: &RollingConfig, share: Weight, total: u32) -> Sides {
    let now = sides_of(share, total);
    let previous = (now.previous + config.step(total)).min(total) + config.extra(total);
    Sides { candidate: now.candidate.max(1), previous }
}

/// The share that the candidate keeps when so many of the previous deployment's replicas are ready.
pub fn share_kept(share: Weight, ready: u32, total: u32) -> Weight {
    share.min(share_of_ready(ready, total).rest())
}

/// What to do next in a rolling promotion that is past its gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RollingStep {
    /// Stay, and count `counted_ms` towards the time between two steps.
    Stay { counted_ms: i64 },
    /// The candidate's share becomes this one, and as many of the previous replicas may leave.
    Shift { share: Weight },
    /// Stay without counting time.
    Hold(Hold),
    /// Every replica has moved, and the last step has settled.
    Finish,
}

/// Decides the next step: the share follows the replicas that really became ready, never more than a step at once, and
/// never further than they carry. `capacity(weight)` says whether the candidate can carry a share.
pub fn next_rolling_step(
    config: &RollingConfig,
    position: Position,
    total: u32,
    ready: u32,
    passed_ms: i64,
    capacity: impl Fn(Weight) -> Result<(), Hold>,
) -> RollingStep {
    let share = position.weight();
    if let Err(hold) = capacity(share) {
        return RollingStep::Hold(hold);
    }
    let counted_ms = passed_ms.max(0);
    if position.elapsed_ms.saturating_add(counted_ms) < config.stabilization_ms() {
        return RollingStep::Stay { counted_ms };
    }
    if share == Weight::WHOLE {
        return RollingStep::Finish;
    }
    // The last ones may leave first, too, where the others carry everything: they may be what has the room.
    let last = !config.surges() && sides_of(share, total).previous <= config.step(total);
    if last && capacity(Weight::WHOLE).is_ok() {
        return RollingStep::Shift { share: Weight::WHOLE };
    }
    let asked = targets(config, share, total).candidate;
    let next = share_of_ready(ready.min(asked), total);
    if next <= share {
        return RollingStep::Hold(Hold::Step { ready, needed: asked, waiting: None });
    }
    match capacity(next) {
        Err(hold) => RollingStep::Hold(hold),
        Ok(()) => RollingStep::Shift { share: next },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surge(percent: u32) -> RollingConfig {
        RollingConfig { max_surge_percent: percent, ..RollingConfig::default() }
    }

    fn unavailable(percent: u32) -> RollingConfig {
        RollingConfig { max_surge_percent: 0, max_unavailable_percent: percent, ..RollingConfig::default() }
    }

    fn always(_: Weight) -> Result<(), Hold> {
        Ok(())
    }

    fn at(share: Weight) -> Position {
        Position { stage: 1, elapsed_ms: 0, share: Some(share) }
    }

    #[test]
    fn a_share_of_ready_replicas_comes_to_as_many_replicas() {
        for total in 1..=1000 {
            for ready in 0..=total {
                let sides = sides_of(share_of_ready(ready, total), total);
                assert_eq!(sides.candidate, ready, "{ready} of {total}");
                assert_eq!(sides.previous, total - ready, "{ready} of {total}");
            }
        }
    }

    #[test]
    fn both_sides_keep_a_replica_while_both_serve_and_their_sum_is_the_total() {
        for total in 2..=60 {
            for points in 1..100 {
                let sides = sides_of(Weight::percent(points), total);
                assert!(sides.candidate >= 1 && sides.previous >= 1, "{points} % of {total}: {sides:?}");
                assert_eq!(sides.candidate + sides.previous, total, "{points} % of {total}");
            }
        }
        assert_eq!(sides_of(Weight::percent(40), 1), Sides { candidate: 1, previous: 1 });
        // More load at 60 to 40: ten more are six and four.
        assert_eq!(sides_of(Weight::percent(40), 20), Sides { candidate: 8, previous: 12 });
        assert_eq!(sides_of(Weight::percent(40), 30), Sides { candidate: 12, previous: 18 });
    }

    #[test]
    fn a_surge_adds_first_and_the_other_way_removes_first() {
        let quarter = Weight::percent(25);
        assert_eq!(targets(&surge(25), quarter, 8), Sides { candidate: 4, previous: 6 });
        assert_eq!(targets(&unavailable(25), quarter, 8), Sides { candidate: 4, previous: 4 });
        let extra = RollingConfig { replica_overhead_percent: 50, ..surge(25) };
        assert_eq!(targets(&extra, quarter, 8), Sides { candidate: 4, previous: 10 });
        // The current deployment keeps one until the end.
        assert_eq!(targets(&unavailable(50), Weight::percent(50), 2), Sides { candidate: 2, previous: 1 });
        assert_eq!(targets(&surge(25), Weight::WHOLE, 8), Sides { candidate: 8, previous: 1 });
        assert_eq!(targets_back(&surge(25), quarter, 8), Sides { candidate: 2, previous: 8 });
    }

    #[test]
    fn what_became_ready_is_what_moves() {
        // Half of ten asked for, two ready: two move.
        let step = next_rolling_step(&surge(50), at(Weight::ZERO), 10, 2, 0, always);
        assert_eq!(step, RollingStep::Shift { share: Weight::percent(20) });
        // More ready than a step asks for: a step moves.
        let step = next_rolling_step(&surge(20), at(Weight::percent(20)), 10, 9, 0, always);
        assert_eq!(step, RollingStep::Shift { share: Weight::percent(40) });
        let step = next_rolling_step(&surge(20), at(Weight::percent(20)), 10, 2, 0, always);
        assert_eq!(step, RollingStep::Hold(Hold::Step { ready: 2, needed: 4, waiting: None }));
    }

    #[test]
    fn the_last_ones_leave_first_where_the_others_carry_everything() {
        let here = at(Weight::percent(75));
        let step = next_rolling_step(&unavailable(25), here, 4, 3, 0, always);
        assert_eq!(step, RollingStep::Shift { share: Weight::WHOLE });
        let full = |weight: Weight| {
            if weight > Weight::percent(75) {
                Err(Hold::Capacity { ready: 3, needed: 4, waiting: None })
            } else {
                Ok(())
            }
        };
        let step = next_rolling_step(&unavailable(25), here, 4, 3, 0, full);
        assert_eq!(step, RollingStep::Hold(Hold::Step { ready: 3, needed: 4, waiting: None }));
        let step = next_rolling_step(&surge(25), here, 4, 3, 0, always);
        assert_eq!(step, RollingStep::Hold(Hold::Step { ready: 3, needed: 4, waiting: None }));
    }

    #[test]
    fn steps_settle_before_the_next_one() {
        let config = RollingConfig { stabilization_time_seconds: 10, ..surge(25) };
        let here = Position { elapsed_ms: 4_000, ..at(Weight::percent(25)) };
        assert_eq!(
            next_rolling_step(&config, here, 4, 2, 5_999, always),
            RollingStep::Stay { counted_ms: 5_999 }
        );
        let shift = RollingStep::Shift { share: Weight::percent(50) };
        assert_eq!(next_rolling_step(&config, here, 4, 2, 6_000, always), shift);
        let whole = at(Weight::WHOLE);
        assert_eq!(
            next_rolling_step(&config, whole, 4, 4, 9_999, always),
            RollingStep::Stay { counted_ms: 9_999 }
        );
        assert_eq!(next_rolling_step(&config, whole, 4, 4, 10_000, always), RollingStep::Finish);
    }

    #[test]
    fn nothing_moves_without_capacity() {
        let short = |weight: Weight| {
            if weight > Weight::percent(25) {
                Err(Hold::Capacity { ready: 2, needed: 3, waiting: None })
            } else {
                Ok(())
            }
        };
        let step = next_rolling_step(&surge(25), at(Weight::percent(25)), 4, 2, 0, short);
        assert_eq!(step, RollingStep::Hold(Hold::Capacity { ready: 2, needed: 3, waiting: None }));
    }

    /// Whatever the settings, the number of replicas and how many start at a time: it moves forward only, ends, and never
    /// takes more from the current deployment than has moved and one step.
    #[test]
    fn every_rollout_ends_and_takes_no_more_than_it_may() {
        let mut state = 5_u64;
        let mut dice = move |sides: u32| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) as u32) % sides
        };
        for _ in 0..5_000 {
            let percent = 1 + dice(50);
            let config = if dice(2) == 0 { surge(percent) } else { unavailable(percent) };
            let mut total = 1 + dice(40);
            let (mut share, mut ready, mut steps) = (Weight::ZERO, 0, 0);
            loop {
                let targets = targets(&config, share, total);
                let now = sides_of(share, total);
                let removed = if config.surges() { 0 } else { config.step(total) };
                assert!(targets.previous + removed >= now.previous, "{config:?} {total} {share:?}");
                assert!(targets.previous >= 1);
                assert!(targets.candidate <= total.max(1), "{config:?} {total} {share:?}");
                ready = ready.min(targets.candidate) + dice(4);
                ready = ready.min(targets.candidate);
                match next_rolling_step(&config, at(share), total, ready, 0, always) {
                    RollingStep::Shift { share: next } => {
                        assert!(next > share, "{config:?} {total} {share:?}");
                        share = next;
                    }
                    RollingStep::Finish => break,
                    RollingStep::Hold(_) | RollingStep::Stay { .. } => {}
                }
                if dice(10) == 0 {
                    total = 1 + dice(40);
                }
                steps += 1;
                assert!(steps < 10_000, "{config:?} does not end");
            }
            assert_eq!(share, Weight::WHOLE);
        }
    }

    #[test]
    fn settings_are_judged_by_name_and_together() {
        let patch = |change: fn(&mut RollingPatch)| {
            let mut patch = RollingPatch::default();
            change(&mut patch);
            RollingConfig::default().patched(&patch)
        };
        let field = |change| patch(change).unwrap_err().field;
        assert_eq!(field(|p| p.max_surge_percent = Some(51)), "rolling_deploy_config.max_surge_percent");
        assert_eq!(
            field(|p| p.max_unavailable_percent = Some(-1)),
            "rolling_deploy_config.max_unavailable_percent"
        );
        assert_eq!(
            field(|p| p.replica_overhead_percent = Some(501)),
            "rolling_deploy_config.replica_overhead_percent"
        );
        assert_eq!(
            field(|p| p.stabilization_time_seconds = Some(3601)),
            "rolling_deploy_config.stabilization_time_seconds"
        );
        // The default surge is 25, so one of the two has to be said to be 0.
        let both = patch(|p| p.max_unavailable_percent = Some(10)).unwrap_err();
        assert!(both.to_string().contains("set one of the two to 0"), "{both}");
        assert!(patch(|p| p.max_surge_percent = Some(0)).unwrap_err().to_string().contains("both 0"));
        let other = patch(|p| {
            p.max_surge_percent = Some(0);
            p.max_unavailable_percent = Some(10);
        });
        assert_eq!(other.unwrap().max_unavailable_percent, 10);
    }
}

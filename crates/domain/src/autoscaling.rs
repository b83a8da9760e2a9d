//! How many replicas a deployment should have (semantics: Autoscaling).

use serde::{Deserialize, Serialize};

use crate::whole_number::{
    AUTOSCALING_WINDOW, CONCURRENCY_TARGET, MAX_REPLICA, MAX_SCALE_DOWN_RATE, MIN_REPLICA, SCALE_DOWN_DELAY,
    TARGET_UTILIZATION,
};
use crate::{Invalid, Timestamp};

/// The settings under their public names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoscalingSettings {
    /// 0 allows scaling to zero.
    pub min_replica: u32,
    /// At least 1 and at least `min_replica`.
    pub max_replica: u32,
    /// Seconds over which load is averaged, 10 to 3600.
    pub autoscaling_window: u32,
    /// Seconds that load must stay low before replicas are removed, 0 to 3600.
    pub scale_down_delay: u32,
    /// Requests one replica should carry, at least 1.
    pub concurrency_target: u32,
    /// Percent of the target that is aimed at, 1 to 100.
    pub target_utilization_percentage: u32,
    /// Percent of the running replicas that one step may remove, 1 to 50.
    pub max_scale_down_rate: u32,
}

impl Default for AutoscalingSettings {
    fn default() -> Self {
        Self {
            min_replica: 0,
            max_replica: 1,
            autoscaling_window: 60,
            scale_down_delay: 900,
            concurrency_target: 1,
            target_utilization_percentage: 70,
            max_scale_down_rate: 50,
        }
    }
}

/// A partial update: what is left out stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoscalingPatch {
    pub min_replica: Option<i64>,
    pub max_replica: Option<i64>,
    pub autoscaling_window: Option<i64>,
    pub scale_down_delay: Option<i64>,
    pub concurrency_target: Option<i64>,
    pub target_utilization_percentage: Option<i64>,
    pub max_scale_down_rate: Option<i64>,
}

impl AutoscalingSettings {
    /// The settings after a partial update, or the field that is out of range and its range.
    pub fn patched(&self, patch: &AutoscalingPatch) -> Result<Self, Invalid> {
        let settings = Self {
            min_replica: MIN_REPLICA.changed(patch.min_replica, self.min_replica)?,
            max_replica: MAX_REPLICA.changed(patch.max_replica, self.max_replica)?,
            autoscaling_window: AUTOSCALING_WINDOW
                .changed(patch.autoscaling_window, self.autoscaling_window)?,
            scale_down_delay: SCALE_DOWN_DELAY.changed(patch.scale_down_delay, self.scale_down_delay)?,
            concurrency_target: CONCURRENCY_TARGET
                .changed(patch.concurrency_target, self.concurrency_target)?,
            target_utilization_percentage: TARGET_UTILIZATION
                .changed(patch.target_utilization_percentage, self.target_utilization_percentage)?,
            max_scale_down_rate: MAX_SCALE_DOWN_RATE
                .changed(patch.max_scale_down_rate, self.max_scale_down_rate)?,
        };
        if settings.min_replica > settings.max_replica {
            return Err(Invalid::new(
                "min_replica",
                format!(
                    "{} is more than max_replica, {}; raise max_replica or lower min_replica",
                    settings.min_replica, settings.max_replica
                ),
            ));
        }
        Ok(settings)
    }
}

/// Replicas that carry `load` concurrent requests at the target utilisation: the formula alone, unclamped.
///
/// With a target of 10 at 70 %, a load of 25 needs 4.
pub fn replicas_for(load: f64, settings: &AutoscalingSettings) -> u32 {
    if load <= 0.0 {
        return 0;
    }
    let each =
        f64::from(settings.concurrency_target) * f64::from(settings.target_utilization_percentage) / 100.0;
    (load / each - 1e-9).ceil().clamp(1.0, f64::from(u32::MAX)) as u32
}

/// What the scaler of one deployment remembers between decisions. Lost on a restart, which only delays scaling down.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scaler {
    /// Load samples, oldest first: (moment in monotonic ms, concurrent requests).
    samples: std::collections::VecDeque<(i64, u32)>,
    /// Since when fewer replicas would do.
    low_since: Option<i64>,
    /// Requests that came between the last sample and the one before.
    arrived: u64,
}

impl Scaler {
    /// Adds a sample and forgets those that left the window. `at` is monotonic milliseconds.
    pub fn sample(&mut self, at: i64, load: u32, window_seconds: u32) {
        self.arrived = 0;
        self.samples.push_back((at, load));
        let horizon = at - i64::from(window_seconds) * 1000;
        // One sample before the horizon stays: it says what the load was when the window began.
        while self.samples.len() > 1 && self.samples[1].0 <= horizon {
            self.samples.pop_front();
        }
    }

    /// Says how many requests came between the sample before and the last one, ended ones included.
    ///
    /// They are no part of the average, which is of what is there at each look. But most looks find nothing of requests that take
    /// milliseconds, and a deployment that has them is not idle.
    pub fn note_arrivals(&mut self, requests: u64) {
        self.arrived = requests;
    }

    /// Time-weighted mean load over the window that ends at `at`.
    pub fn average(&self, at: i64, window_seconds: u32) -> f64 {
        let horizon = at - i64::from(window_seconds) * 1000;
        let Some(&(first, only)) = self.samples.front() else { return 0.0 };
        let begin = first.max(horizon);
        if at <= begin {
            return f64::from(self.samples.back().map_or(only, |&(_, load)| load));
        }
        let mut sum = 0.0;
        for (index, &(from, load)) in self.samples.iter().enumerate() {
            let to = self.samples.get(index + 1).map_or(at, |&(next, _)| next);
            let span = (to.min(at) - from.max(begin)).max(0);
            sum += span as f64 * f64::from(load);
        }
        sum / (at - begin) as f64
    }
}

/// What bound a scaling decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    None,
    Minimum,
    Maximum,
    /// Waiting for the scale-down delay.
    Delay,
    /// The scale-down rate.
    Rate,
    /// A promotion asks for at least this many.
    Floor,
}

/// One scaling decision with its inputs, so that it can be explained and recomputed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScaleDecision {
    pub at: Timestamp,
    /// `at` on the clock that measures, in milliseconds.
    #[serde(default)]
    pub monotonic: i64,
    /// Requests in flight or waiting, on average over the window.
    pub average_load: f64,
    /// Requests in flight or waiting at that moment.
    #[serde(default)]
    pub instant_load: u32,
    /// Requests that came since the look before, ended ones included: one replica is wanted for them, though none is there now.
    #[serde(default)]
    pub arrived: u64,
    pub current: u32,
    /// The formula's answer before any limit.
    pub wanted: u32,
    pub applied: u32,
    pub limit: Limit,
    /// Since when fewer replicas would do, in monotonic ms; `None` if they would not.
    #[serde(default)]
    pub low_since: Option<i64>,
    /// It became active so recently that it is not put to sleep yet.
    #[serde(default)]
    pub young: bool,
    /// When the decision may change by time alone, in monotonic ms.
    pub look_again: Option<i64>,
}

/// Decides how many replicas a deployment should have.
///
/// Scales up at once; scales down only after load stayed low for the whole delay, by at most the rate, and then waits
/// the delay again. `floor` is what a promotion or a wake needs at least. Exact in [`ScaleDecision`]'s fields.
pub fn decide(
    scaler: &mut Scaler,
    settings: &AutoscalingSettings,
    current: u32,
    floor: u32,
    now: Timestamp,
    monotonic: i64,
) -> ScaleDecision {
    let average = scaler.average(monotonic, settings.autoscaling_window);
    let instant = scaler.samples.back().map_or(0, |&(_, load)| load);
    let wanted = replicas_for(average, settings).max(u32::from(instant > 0 || scaler.arrived > 0));
    let low = settings.min_replica.max(floor);
    let high = settings.max_replica.max(floor);
    let goal = wanted.clamp(low, high);
    let bound = if wanted > high {
        Limit::Maximum
    } else if wanted < low {
        if floor > settings.min_replica { Limit::Floor } else { Limit::Minimum }
    } else {
        Limit::None
    };
    let mut decision = ScaleDecision {
        at: now,
        monotonic,
        average_load: average,
        instant_load: instant,
        arrived: scaler.arrived,
        current,
        wanted,
        applied: goal,
        limit: bound,
        low_since: None,
        young: false,
        look_again: None,
    };
    if goal >= current {
        scaler.low_since = None;
        return decision;
    }
    let delay = i64::from(settings.scale_down_delay) * 1000;
    let since = *scaler.low_since.get_or_insert(monotonic);
    decision.low_since = Some(since);
    if current > high {
        // Over the ceiling is not a matter of load: settings changed, so it is corrected without the delay.
        decision.applied = high;
        return decision;
    }
    if monotonic - since < delay {
        decision.applied = current;
        decision.limit = Limit::Delay;
        decision.look_again = Some(since + delay);
        return decision;
    }
    let step = ((f64::from(current) * f64::from(settings.max_scale_down_rate) / 100.0).floor() as u32).max(1);
    scaler.low_since = Some(monotonic);
    if current - goal > step {
        decision.applied = current - step;
        decision.limit = Limit::Rate;
    }
    decision.look_again = Some(monotonic + delay.max(1000));
    decision
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> AutoscalingSettings {
        AutoscalingSettings { max_replica: 10, concurrency_target: 10, ..AutoscalingSettings::default() }
    }

    fn at(scaler: &mut Scaler, settings: &AutoscalingSettings, current: u32, ms: i64) -> ScaleDecision {
        decide(scaler, settings, current, 0, Timestamp::from_millis(ms), ms)
    }

    #[test]
    fn twenty_five_in_flight_at_ten_and_seventy_percent_need_four() {
        assert_eq!(replicas_for(25.0, &settings()), 4);
        assert_eq!(replicas_for(0.0, &settings()), 0);
        assert_eq!(replicas_for(7.0, &settings()), 1);
        assert_eq!(replicas_for(7.1, &settings()), 2);
    }

    #[test]
    fn load_scales_up_at_once_and_down_after_the_delay() {
        let settings = settings();
        let mut scaler = Scaler::default();
        for second in 0..60 {
            scaler.sample(second * 1000, 56, settings.autoscaling_window);
        }
        assert_eq!(at(&mut scaler, &settings, 1, 60_000).applied, 8);
        scaler.sample(60_000, 0, settings.autoscaling_window);
        let waiting = at(&mut scaler, &settings, 8, 130_000);
        assert_eq!((waiting.applied, waiting.limit), (8, Limit::Delay));
        let first = at(&mut scaler, &settings, 8, 130_000 + 900_000);
        assert_eq!((first.applied, first.limit), (4, Limit::Rate));
        assert_eq!(at(&mut scaler, &settings, 4, 130_000 + 900_500).applied, 4);
        assert_eq!(at(&mut scaler, &settings, 4, 130_000 + 1_800_000).applied, 2);
        assert_eq!(at(&mut scaler, &settings, 2, 130_000 + 2_700_000).applied, 1);
        assert_eq!(at(&mut scaler, &settings, 1, 130_000 + 3_600_000).applied, 0);
    }

    #[test]
    fn recovery_resets_the_delay() {
        let settings = settings();
        let mut scaler = Scaler::default();
        scaler.sample(0, 14, 60);
        scaler.sample(60_000, 0, 60);
        assert_eq!(at(&mut scaler, &settings, 2, 121_000).limit, Limit::Delay);
        scaler.sample(500_000, 200, 60);
        assert!(at(&mut scaler, &settings, 2, 560_000).applied > 2);
        scaler.sample(561_000, 0, 60);
        assert_eq!(at(&mut scaler, &settings, 10, 1_100_000).limit, Limit::Delay);
    }

    #[test]
    fn a_single_request_wakes_one_replica() {
        let mut scaler = Scaler::default();
        scaler.sample(0, 0, 60);
        scaler.sample(59_999, 1, 60);
        assert_eq!(at(&mut scaler, &settings(), 0, 60_000).applied, 1);
    }

    #[test]
    fn requests_too_short_to_be_seen_keep_the_last_replica() {
        let settings = settings();
        let mut scaler = Scaler::default();
        let mut look = |seconds: i64, requests: u64, current: u32| {
            scaler.sample(seconds * 1000, 0, settings.autoscaling_window);
            scaler.note_arrivals(requests);
            at(&mut scaler, &settings, current, seconds * 1000)
        };
        for second in (0..3_600).step_by(2) {
            let decision = look(second, 20, 1);
            assert_eq!((decision.applied, decision.wanted, decision.arrived), (1, 1, 20), "at {second} s");
            assert_eq!((decision.average_load, decision.low_since), (0.0, None));
        }
        // From the first look on that finds none, the delay runs.
        assert_eq!(look(3_600, 0, 1).low_since, Some(3_600_000));
        assert_eq!(look(3_600 + 899, 0, 1).applied, 1);
        assert_eq!(look(3_600 + 900, 0, 1).applied, 0);
    }

    #[test]
    fn requests_too_short_to_be_seen_ask_for_no_more_than_one() {
        let settings = settings();
        let mut scaler = Scaler::default();
        let mut look = |seconds: i64, current: u32| {
            scaler.sample(seconds * 1000, 0, settings.autoscaling_window);
            scaler.note_arrivals(1_000);
            at(&mut scaler, &settings, current, seconds * 1000)
        };
        let waiting = look(0, 4);
        assert_eq!((waiting.wanted, waiting.applied, waiting.limit), (1, 4, Limit::Delay));
        assert_eq!(look(900, 4).applied, 2);
        assert_eq!(look(1_800, 2).applied, 1);
        assert_eq!(look(9_000, 1).applied, 1);
    }

    #[test]
    fn what_came_before_the_last_sample_does_not_count_again() {
        let mut scaler = Scaler::default();
        scaler.sample(0, 0, 60);
        scaler.note_arrivals(5);
        scaler.sample(1_000, 0, 60);
        let decision = at(&mut scaler, &settings(), 1, 1_000);
        assert_eq!((decision.arrived, decision.wanted, decision.low_since), (0, 0, Some(1_000)));
    }

    #[test]
    fn refusals_name_the_field_and_its_range() {
        let patch = AutoscalingPatch { autoscaling_window: Some(5), ..AutoscalingPatch::default() };
        let refusal = AutoscalingSettings::default().patched(&patch).unwrap_err();
        assert_eq!(refusal.to_string(), "autoscaling_window: 5 is not within 10 to 3600");
        let patch = AutoscalingPatch { min_replica: Some(4), ..AutoscalingPatch::default() };
        assert_eq!(AutoscalingSettings::default().patched(&patch).unwrap_err().field, "min_replica");
    }
}

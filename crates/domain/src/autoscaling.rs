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
    /// Seconds that load must stay low before replicas are removed, and nothing come before all stop, 0 to 3600.
    pub scale_down_delay: u32,
    /// Requests one replica should carry, at least 1.
    pub concurrency_target: u32,
    /// Percent of the target that is aimed at, 1 to 100.
    pub target_utilization_percentage: u32,
    /// Percent of the running replicas that one step may remove, 1 to 50. Where nothing comes at all, all stop together.
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
    /// Since when nothing asks for a replica: no load, no minimum, no promotion.
    idle_since: Option<i64>,
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

    /// Says that nobody has looked for this deployment's own requests, so how long it had none begins anew.
    pub fn was_not_looked_at(&mut self) {
        self.idle_since = None;
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
    /// Since when nothing asks for a replica, in monotonic ms; `None` if something does, or there is none.
    #[serde(default)]
    pub idle_since: Option<i64>,
    /// It became active so recently that it is not put to sleep yet.
    #[serde(default)]
    pub young: bool,
    /// When the decision may change by time alone, in monotonic ms.
    pub look_again: Option<i64>,
}

/// Decides how many replicas a deployment should have.
///
/// Scales up at once; scales down only after load stayed low for the whole delay, by at most the rate, and then waits
/// the delay again. Once nothing asked for a replica for the whole delay, all stop together; the last one never goes otherwise.
/// `floor` is what a promotion or a wake needs at least. Exact in [`ScaleDecision`]'s fields.
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
        idle_since: None,
        young: false,
        look_again: None,
    };
    if goal >= current {
        (scaler.low_since, scaler.idle_since) = (None, None);
        return decision;
    }
    let low_since = *scaler.low_since.get_or_insert(monotonic);
    scaler.idle_since = scaler.idle_since.or(Some(monotonic)).filter(|_| goal == 0);
    decision.low_since = Some(low_since);
    decision.idle_since = scaler.idle_since;
    if current > high {
        // Over the ceiling is not a matter of load: settings changed, so it is corrected without the delay.
        decision.applied = high;
        decision.limit = Limit::Maximum;
        return decision;
    }
    let delay = i64::from(settings.scale_down_delay) * 1000;
    let none_at = scaler.idle_since.map_or(i64::MAX, |since| since + delay);
    if monotonic >= none_at {
        return decision;
    }
    // The last one goes when nothing came for the whole delay, however long one would have done before.
    let fewer_at = if current == 1 { i64::MAX } else { low_since + delay };
    if monotonic < fewer_at {
        decision.applied = current;
        decision.limit = Limit::Delay;
        decision.look_again = Some(fewer_at.min(none_at));
        return decision;
    }
    let step = ((f64::from(current) * f64::from(settings.max_scale_down_rate) / 100.0).floor() as u32).max(1);
    scaler.low_since = Some(monotonic);
    if current - goal > step {
        decision.applied = current - step;
        decision.limit = Limit::Rate;
    }
    decision.look_again = Some((monotonic + delay.max(1000)).min(none_at));
    decision
}

#[cfg(test)]
mod tests;

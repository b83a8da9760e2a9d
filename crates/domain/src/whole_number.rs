//! Whole numbers that people set by name, and which ones they may be (semantics: Autoscaling, Rolling).

use std::fmt;

use crate::Invalid;

/// A number by its public name: a whole one from `least` to `most`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WholeNumber {
    pub name: &'static str,
    pub least: i64,
    pub most: i64,
}

/// More replicas than any machine of ours runs; guards the arithmetic, not the budget.
const MOST_REPLICAS: i64 = 1000;

pub(crate) const MIN_REPLICA: WholeNumber = WholeNumber::new("min_replica", 0, MOST_REPLICAS);
pub(crate) const MAX_REPLICA: WholeNumber = WholeNumber::new("max_replica", 1, MOST_REPLICAS);
pub(crate) const AUTOSCALING_WINDOW: WholeNumber = WholeNumber::new("autoscaling_window", 10, 3600);
pub(crate) const SCALE_DOWN_DELAY: WholeNumber = WholeNumber::new("scale_down_delay", 0, 3600);
pub(crate) const CONCURRENCY_TARGET: WholeNumber = WholeNumber::new("concurrency_target", 1, 1_000_000);
pub(crate) const TARGET_UTILIZATION: WholeNumber = WholeNumber::new("target_utilization_percentage", 1, 100);
pub(crate) const MAX_SCALE_DOWN_RATE: WholeNumber = WholeNumber::new("max_scale_down_rate", 1, 50);
/// Seconds; a week at most.
pub(crate) const RAMP_UP_DURATION: WholeNumber = WholeNumber::new("ramp_up_duration_seconds", 0, 604_800);
pub(crate) const MAX_SURGE: WholeNumber = WholeNumber::new("max_surge_percent", 0, 50);
pub(crate) const MAX_UNAVAILABLE: WholeNumber = WholeNumber::new("max_unavailable_percent", 0, 50);
pub(crate) const STABILIZATION_TIME: WholeNumber = WholeNumber::new("stabilization_time_seconds", 0, 3600);
pub(crate) const REPLICA_OVERHEAD: WholeNumber = WholeNumber::new("replica_overhead_percent", 0, 500);
pub const DEPLOY_TIMEOUT: WholeNumber = WholeNumber::new("deploy_timeout_minutes", 10, 1440);

const SETTINGS: [WholeNumber; 13] = [
    MIN_REPLICA,
    MAX_REPLICA,
    AUTOSCALING_WINDOW,
    SCALE_DOWN_DELAY,
    CONCURRENCY_TARGET,
    TARGET_UTILIZATION,
    MAX_SCALE_DOWN_RATE,
    RAMP_UP_DURATION,
    MAX_SURGE,
    MAX_UNAVAILABLE,
    STABILIZATION_TIME,
    REPLICA_OVERHEAD,
    DEPLOY_TIMEOUT,
];

impl WholeNumber {
    pub const fn new(name: &'static str, least: i64, most: i64) -> Self {
        Self { name, least, most }
    }

    /// The setting of this name, if it is a number.
    pub fn setting(name: &str) -> Option<Self> {
        SETTINGS.into_iter().find(|setting| setting.name == name)
    }

    /// # Errors
    /// It may not be this one; the field is its name.
    pub fn check(self, value: i64) -> Result<u32, Invalid> {
        let Self { name, least, most } = self;
        match u32::try_from(value) {
            Ok(number) if (least..=most).contains(&value) => Ok(number),
            _ => Err(Invalid::new(name, format!("{value} is not within {least} to {most}"))),
        }
    }

    /// As [`Self::check`], of a number in digits.
    ///
    /// # Errors
    /// It is no whole number, or may not be this one.
    pub fn read(self, text: &str) -> Result<u32, Invalid> {
        let problem = || Invalid::new(self.name, format!("`{text}` is not {self}"));
        self.check(text.parse::<i64>().map_err(|_| problem())?)
    }

    /// What it is after a change, which may leave it as it is `now`.
    pub(crate) fn changed(self, value: Option<i64>, now: u32) -> Result<u32, Invalid> {
        value.map_or(Ok(now), |value| self.check(value))
    }
}

/// In words, for who gave something else.
impl fmt::Display for WholeNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {} to {}", self.least, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_number_and_its_range() {
        assert_eq!([0, 50].map(|value| MAX_SURGE.check(value)), [Ok(0), Ok(50)]);
        let refused = |value| MAX_SURGE.check(value).unwrap_err().to_string();
        assert_eq!(refused(51), "max_surge_percent: 51 is not within 0 to 50");
        assert!(refused(-1).ends_with("-1 is not within 0 to 50") && MAX_SURGE.check(i64::MIN).is_err());
        assert_eq!(MAX_SURGE.read("7"), Ok(7));
        let refused = MAX_SURGE.read("many").unwrap_err().to_string();
        assert_eq!(refused, "max_surge_percent: `many` is not a whole number from 0 to 50");
    }

    #[test]
    fn each_setting_has_its_range_by_name() {
        assert_eq!(WholeNumber::setting("max_replica"), Some(MAX_REPLICA));
        assert_eq!(WholeNumber::setting("redeploy_on_promotion"), None);
        for setting in SETTINGS {
            assert_eq!(WholeNumber::setting(setting.name), Some(setting), "its name is its own");
            assert!(setting.check(setting.least).is_ok() && setting.check(setting.most).is_ok());
        }
    }
}

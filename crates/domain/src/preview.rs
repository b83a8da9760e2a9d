//! What scaling settings would do, before anybody saves them (semantics: Autoscaling).

use crate::{AutoscalingSettings, Limit, replicas_for};

/// The replicas that a steady load comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preview {
    /// The formula's answer before any limit.
    pub wanted: u32,
    /// What runs once the window has seen the load and, where fewer do, the delay is over.
    pub replicas: u32,
    /// [`Limit::Minimum`], [`Limit::Maximum`] or [`Limit::None`]: the others pass with time.
    pub limit: Limit,
}

/// What `in_flight` requests, in flight or waiting all the time, come to under `settings`.
///
/// With a target of 10 at 70 %, 25 in flight come to 4 replicas.
pub fn preview(in_flight: u32, settings: &AutoscalingSettings) -> Preview {
    let wanted = replicas_for(f64::from(in_flight), settings);
    let limit = if wanted > settings.max_replica {
        Limit::Maximum
    } else if wanted < settings.min_replica {
        Limit::Minimum
    } else {
        Limit::None
    };
    Preview { wanted, replicas: wanted.clamp(settings.min_replica, settings.max_replica), limit }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scaler, Timestamp, decide};

    fn settings(min_replica: u32, max_replica: u32) -> AutoscalingSettings {
        AutoscalingSettings {
            min_replica,
            max_replica,
            concurrency_target: 10,
            scale_down_delay: 0,
            ..AutoscalingSettings::default()
        }
    }

    #[test]
    fn twenty_five_in_flight_come_to_four() {
        assert_eq!(preview(25, &settings(0, 10)), Preview { wanted: 4, replicas: 4, limit: Limit::None });
        assert_eq!(preview(0, &settings(0, 10)).replicas, 0);
        assert_eq!(preview(0, &settings(2, 10)), Preview { wanted: 0, replicas: 2, limit: Limit::Minimum });
        assert_eq!(preview(25, &settings(0, 3)), Preview { wanted: 4, replicas: 3, limit: Limit::Maximum });
    }

    #[test]
    fn the_scaler_comes_to_the_same() {
        for (low, high) in [(0, 1), (0, 10), (1, 3), (5, 5)] {
            for load in [0, 1, 7, 8, 25, 70, 71, 500] {
                let settings = settings(low, high);
                let mut scaler = Scaler::default();
                let mut current = high;
                for second in 0..200 {
                    let at = second * 1000;
                    scaler.sample(at, load, settings.autoscaling_window);
                    current =
                        decide(&mut scaler, &settings, current, 0, Timestamp::from_millis(at), at).applied;
                }
                assert_eq!(current, preview(load, &settings).replicas, "{load} within {low} to {high}");
            }
        }
    }
}

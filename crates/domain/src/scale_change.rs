//! Changes of how many replicas a deployment should have, and what each is explained by (semantics: The record of scaling).

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::status::count;
use crate::{AutoscalingSettings, DeploymentName, ScaleDecision};

/// Why a deployment is to have another number of replicas, where the autoscaler did not compute it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleCause {
    /// It was built, and is started for the first time.
    Started,
    Activated,
    Deactivated,
    /// It had failed, and is tried again.
    Retried,
    /// The development deployment was pushed anew.
    Pushed,
    /// A change of the development deployment is put into service.
    Changed,
    /// A promotion needs so many of the candidate.
    Promotion,
    /// Both sides of a rolling promotion have their parts of one total.
    Rolling,
    /// Its promotion ended without success.
    NotPromoted,
    /// A rolling promotion had taken some away, and ended without success.
    Restored,
    /// Another deployment serves its environment now.
    Replaced,
    EnvironmentDeleted,
}

impl ScaleCause {
    /// To follow a colon.
    fn words(self) -> &'static str {
        match self {
            Self::Started => "it was built and starts",
            Self::Activated => "it was activated",
            Self::Deactivated => "it was deactivated",
            Self::Retried => "it is tried again",
            Self::Pushed => "it was pushed again and is built first",
            Self::Changed => "a change of it is put into service",
            Self::Promotion => "its promotion needs as many",
            Self::Rolling => "its part of the replicas in a rolling promotion",
            Self::NotPromoted => "its promotion ended without success",
            Self::Restored => "a rolling promotion that ended without success gives back what it took",
            Self::Replaced => "another deployment serves its environment now",
            Self::EnvironmentDeleted => "its environment was deleted",
        }
    }
}

/// A change that follows from something else than the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleChange {
    pub cause: ScaleCause,
    /// How many it was to have before.
    pub from: u32,
    pub to: u32,
}

impl ScaleChange {
    /// `None` if the number stays what it was.
    pub fn between(from: u32, to: u32, cause: ScaleCause) -> Option<Self> {
        (from != to).then_some(Self { cause, from, to })
    }

    /// What people read of it.
    pub fn sentence(self, name: &DeploymentName) -> String {
        let Self { cause, from, to } = self;
        format!("{name} goes from {from} to {}: {}", count(to, "replica"), cause.words())
    }

    /// What its event carries; [`Decided`] reads it.
    pub fn data(self) -> serde_json::Value {
        json!({ "change": self })
    }
}

/// What an event of kind [`crate::EventKind::ScalingDecision`] carries beside its sentence; and a step of a rolling promotion that
/// changes the total of both sides, which is computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Decided {
    /// The autoscaler did, by these inputs.
    Computed {
        decision: ScaleDecision,
        /// What a promotion or a wake asked for at least.
        floor: u32,
        /// The settings in force.
        settings: AutoscalingSettings,
    },
    /// It follows from something else.
    Caused { change: ScaleChange },
}

impl Decided {
    /// How many replicas it was before, and is from then on.
    pub fn numbers(&self) -> (u32, u32) {
        match self {
            Self::Computed { decision, .. } => (decision.current, decision.applied),
            Self::Caused { change } => (change.from, change.to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Scaler, Timestamp, decide};

    #[test]
    fn a_change_says_what_it_follows_from() {
        let name = DeploymentName::new("v2").unwrap();
        let change = ScaleChange::between(0, 1, ScaleCause::Activated).unwrap();
        assert_eq!(change.sentence(&name), "v2 goes from 0 to 1 replica: it was activated");
        assert_eq!(ScaleChange::between(2, 2, ScaleCause::Rolling), None);
    }

    #[test]
    fn both_kinds_are_read_as_they_were_written() {
        let change = ScaleChange::between(1, 3, ScaleCause::Rolling).unwrap();
        assert_eq!(change.data(), json!({ "change": { "cause": "rolling", "from": 1, "to": 3 } }));
        let caused: Decided = serde_json::from_value(change.data()).unwrap();
        assert_eq!(caused, Decided::Caused { change });
        assert_eq!(caused.numbers(), (1, 3));

        let (settings, mut scaler) = (AutoscalingSettings::default(), Scaler::default());
        scaler.sample(0, 1, settings.autoscaling_window);
        let decision = decide(&mut scaler, &settings, 0, 0, Timestamp::from_millis(0), 0);
        let data = json!({ "decision": decision, "floor": 0, "settings": settings });
        let computed: Decided = serde_json::from_value(data).unwrap();
        assert_eq!(computed.numbers(), (0, 1));
        assert_eq!(computed, Decided::Computed { decision, floor: 0, settings });
    }
}

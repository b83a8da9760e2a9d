//! The steps of the last twenty minutes as they are kept (semantics: Metrics).

use domain::{EnvironmentName, Measured, ReplicaId, ReplicaUse, Timestamp};

/// What was measured of a deployment in ten seconds. Most that run are called seldom, and have a step all the same: it takes
/// a fourth of what it takes as measured.
pub(crate) enum Point {
    Called(Box<Measured>),
    /// Nothing was counted: what the replicas used is all that there is to tell.
    Idle {
        from: Timestamp,
        to: Timestamp,
        environment: Option<EnvironmentName>,
        used: Box<[(ReplicaId, ReplicaUse)]>,
    },
}

impl Point {
    pub fn of(measured: &Measured) -> Self {
        let idle = Self::Idle {
            from: measured.from,
            to: measured.to,
            environment: measured.environment.clone(),
            used: measured.used.iter().map(|(replica, used)| (replica.clone(), *used)).collect(),
        };
        if idle.measured() == *measured { idle } else { Self::Called(Box::new(measured.clone())) }
    }

    /// As it was measured.
    pub fn measured(&self) -> Measured {
        match self {
            Self::Called(measured) => Measured::clone(measured),
            Self::Idle { from, to, environment, used } => Measured {
                environment: environment.clone(),
                used: used.iter().cloned().collect(),
                ..Measured::nothing(*from, *to)
            },
        }
    }

    pub fn began(&self) -> Timestamp {
        match self {
            Self::Called(measured) => measured.from,
            Self::Idle { from, .. } => *from,
        }
    }

    /// What its deployment was attached to.
    pub fn environment(&self) -> Option<&EnvironmentName> {
        match self {
            Self::Called(measured) => measured.environment.as_ref(),
            Self::Idle { environment, .. } => environment.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_as_it_was_measured() {
        let (from, to) = (Timestamp::from_millis(10_000), Timestamp::from_millis(20_000));
        let used = ["a", "b"].map(|id| (ReplicaId::new(id), ReplicaUse { memory: 64, cpu_ms: 3 }));
        let idle = Measured {
            environment: Some(EnvironmentName::production()),
            used: used.into(),
            ..Measured::nothing(from, to)
        };
        let open = Measured { websockets: 1, ..idle.clone() };
        let waits = Measured { held: 1, ..idle.clone() };
        let mut answered = idle.clone();
        answered.outcomes.fine = 1;
        for (measured, is_idle) in [(idle, true), (open, false), (waits, false), (answered, false)] {
            let point = Point::of(&measured);
            assert_eq!(matches!(point, Point::Idle { .. }), is_idle, "{measured:?}");
            assert_eq!((point.began(), point.environment()), (from, measured.environment.as_ref()));
            assert_eq!(point.measured(), measured);
        }
    }
}

//! Values for tests.

use domain::{DeploymentStatus, Phase, Timestamp};

use crate::view::{DeploymentRef, Replicas, Rollout, Served, Side};

fn side(name: &str, percent: u8) -> Side {
    Side {
        served: Served {
            deployment: DeploymentRef { id: name.into(), name: name.into() },
            status: DeploymentStatus::Active,
            sentence: "1 replica ready".into(),
            replicas: Replicas { ready: 1, starting: 0, wanted: 1 },
        },
        percent,
        counted: None,
    }
}

pub fn rollout() -> Rollout {
    Rollout {
        promotion_id: "p1".into(),
        phase: Phase::RampingUp,
        running: true,
        sentence: "40 % of traffic".into(),
        canary: true,
        moved: None,
        window_seconds: 600,
        percent: 40,
        stage: 4,
        reached: (0..4).map(|stage| Timestamp::from_millis(stage * 60_000)).collect(),
        next_stage_at: Some(Timestamp::from_millis(240_000)),
        finishes_at: Some(Timestamp::from_millis(600_000)),
        started_at: Timestamp::from_millis(0),
        started_by: Some("ada".into()),
        ended_at: None,
        previous: Some(side("deployment-1", 60)),
        candidate: side("deployment-2", 40),
        decisions: Vec::new(),
    }
}

//! What is kept of a deployment's scaling, so that every change can be explained (semantics: The record of scaling).

use serde::{Deserialize, Serialize};

use crate::{Decided, DeploymentId, EnvironmentName, ReplicaId, Timestamp};

/// How many replicas a deployment had from this moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaCount {
    pub at: Timestamp,
    /// As many as it should have.
    pub wanted: u32,
    /// Processes that are not ready yet.
    pub starting: u32,
    /// Replicas in the routes.
    pub ready: u32,
}

impl ReplicaCount {
    /// Whether the three numbers are the same, whenever they were.
    pub fn same_numbers(&self, other: &Self) -> bool {
        (self.wanted, self.starting, self.ready) == (other.wanted, other.starting, other.ready)
    }
}

/// What came of a start.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartOutcome {
    /// The gateway had it in its routes.
    #[default]
    Ready,
    /// Its process ended first.
    Failed { reason: String },
    /// It was given up because it took too long, or has taken long already and is not ready yet.
    Stalled,
}

/// How long one replica took from being wanted to its first answer, by phase, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdStart {
    /// When it was routed, or when it was seen that it was not going to be.
    pub at: Timestamp,
    /// Old rows are all of starts that succeeded.
    #[serde(default)]
    pub outcome: StartOutcome,
    pub deployment: DeploymentId,
    pub replica: ReplicaId,
    /// The environment that its deployment served or was to serve; unknown for old rows.
    #[serde(default)]
    pub environment: Option<EnvironmentName>,
    /// From the arrival of the request that waited longest, or from when the replica was wanted, to its process's start.
    pub queue_ms: i64,
    /// From the process's start until its model began to load or its port answered.
    pub spawn_ms: i64,
    /// From there until it could answer.
    pub load_ms: i64,
    /// From there until the gateway had it in its routes.
    pub ready_ms: i64,
    /// From there to the first byte of the first request that had waited for it; `None` if none had.
    pub first_byte_ms: Option<i64>,
}

/// The moments of a replica's way into the routes, as they were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartMoments {
    pub wanted: Timestamp,
    pub started: Timestamp,
    /// Its model began to load, or its port answered.
    pub spawned: Option<Timestamp>,
    /// It could answer.
    pub loaded: Option<Timestamp>,
    /// The gateway had it, or the attempt was over.
    pub routed: Timestamp,
}

impl ColdStart {
    /// Phases from moments. What was not seen counts to the phase before it, so that the phases always add up to the
    /// whole; a clock that was set meanwhile makes no phase negative.
    pub fn new(deployment: DeploymentId, replica: ReplicaId, moments: StartMoments) -> Self {
        let StartMoments { wanted, started, spawned, loaded, routed } = moments;
        let started = started.max(wanted);
        let routed = routed.max(started);
        let loaded = loaded.unwrap_or(routed).clamp(started, routed);
        let spawned = spawned.unwrap_or(loaded).clamp(started, loaded);
        Self {
            at: routed,
            outcome: StartOutcome::Ready,
            deployment,
            replica,
            environment: None,
            queue_ms: started.since(wanted),
            spawn_ms: spawned.since(started),
            load_ms: loaded.since(spawned),
            ready_ms: routed.since(loaded),
            first_byte_ms: None,
        }
    }

    /// Whether requests ever reached it.
    pub fn succeeded(&self) -> bool {
        self.outcome == StartOutcome::Ready
    }

    /// Whether its model had begun to load, or its port to answer, when the start ended.
    pub fn had_spawned(&self) -> bool {
        self.load_ms + self.ready_ms > 0
    }

    /// All phases together.
    pub fn total_ms(&self) -> i64 {
        self.queue_ms + self.spawn_ms + self.load_ms + self.ready_ms + self.first_byte_ms.unwrap_or(0)
    }
}

/// One change of how many replicas are wanted, with everything it was decided by, or what it followed from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionRow {
    pub at: Timestamp,
    pub sentence: String,
    pub decided: Decided,
}

/// The record of a deployment's scaling, oldest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ScalingHistory {
    /// The first may be from before the period: it says what was so when the period began.
    pub counts: Vec<ReplicaCount>,
    pub decisions: Vec<DecisionRow>,
    pub cold_starts: Vec<ColdStart>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phases(spawned: Option<i64>, loaded: Option<i64>) -> (i64, i64, i64, i64) {
        let at = Timestamp::from_millis;
        let moments = StartMoments {
            wanted: at(100),
            started: at(110),
            spawned: spawned.map(at),
            loaded: loaded.map(at),
            routed: at(1_000),
        };
        let cold = ColdStart::new(DeploymentId::new("d"), ReplicaId::new("r"), moments);
        assert_eq!(cold.total_ms(), 900);
        (cold.queue_ms, cold.spawn_ms, cold.load_ms, cold.ready_ms)
    }

    #[test]
    fn phases_add_up_whatever_was_seen() {
        assert_eq!(phases(Some(300), Some(990)), (10, 190, 690, 10));
        assert_eq!(phases(None, Some(990)), (10, 880, 0, 10));
        assert_eq!(phases(Some(300), None), (10, 190, 700, 0));
        assert_eq!(phases(None, None), (10, 890, 0, 0));
        // The clock was set back while it loaded.
        assert_eq!(phases(Some(300), Some(50)), (10, 0, 0, 890));
    }
}

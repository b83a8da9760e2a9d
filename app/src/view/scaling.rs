//! How a deployment scaled, and why.

use domain::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScalingPage {
    pub as_of: Timestamp,
    pub model_id: String,
    pub deployment_id: String,
    /// How many hours were asked for: 1 to 168.
    pub hours: u32,
    /// The first moment of what is shown: not before the deployment was made.
    pub since: Timestamp,
    /// Each change of the counts, oldest first; the first one may be what held when the time began.
    pub counts: Vec<CountsAt>,
    /// Oldest first.
    pub decisions: Vec<ScalingDecision>,
    /// How long starts that got ready took: queue, spawn, load, ready and, if somebody waited for one, first byte; nothing without
    /// any.
    pub start_phases: Vec<StartPhase>,
    /// The last starts, newest first.
    pub cold_starts: Vec<ColdStartRow>,
}

/// Replicas from a moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsAt {
    pub at: Timestamp,
    pub wanted: u32,
    pub starting: u32,
    pub ready: u32,
}

/// One change of how many replicas there should be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScalingDecision {
    pub at: Timestamp,
    pub sentence: String,
    /// How many replicas it came to.
    pub applied: u32,
    /// What it was computed from, as name and value; nothing if it followed from something else than load.
    pub inputs: Vec<(String, String)>,
}

/// One phase over several starts, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartPhase {
    /// How many starts had it.
    pub starts: u32,
    pub median_ms: i64,
    /// Ninety of a hundred took no longer.
    pub p90_ms: i64,
}

/// One start by its phases, in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdStartRow {
    pub at: Timestamp,
    pub replica: String,
    /// Why it never got ready, if it did not.
    pub failed: Option<String>,
    pub queue_ms: i64,
    pub spawn_ms: i64,
    pub load_ms: i64,
    pub ready_ms: i64,
    /// Nothing if no request waited for it.
    pub first_byte_ms: Option<i64>,
}

impl ColdStartRow {
    /// The phases in their order, those that did not happen left out.
    pub fn phases(&self) -> Vec<(&'static str, i64)> {
        [
            ("Queue", Some(self.queue_ms)),
            ("Spawn", Some(self.spawn_ms)),
            ("Load", Some(self.load_ms)),
            ("Ready", Some(self.ready_ms)),
            ("First byte", self.first_byte_ms),
        ]
        .into_iter()
        .filter_map(|(name, millis)| millis.map(|millis| (name, millis.max(0))))
        .collect()
    }

    pub fn total_ms(&self) -> i64 {
        self.phases().iter().map(|(_, millis)| millis).sum()
    }
}

//! What was measured of requests and processes over time.

use domain::Timestamp;
use serde::{Deserialize, Serialize};

/// The times to choose from, shortest first: as it stands in the address, and in words.
pub const PERIODS: [(&str, &str); 5] = [
    ("15m", "Last 15 minutes"),
    ("1h", "Last hour"),
    ("6h", "Last 6 hours"),
    ("24h", "Last day"),
    ("7d", "Last 7 days"),
];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricsPage {
    pub as_of: Timestamp,
    pub model_id: String,
    pub model_name: String,
    /// Whose: `deployments` or `environments`, as in the address.
    pub scope: String,
    /// The deployment's id or the environment's name.
    pub id: String,
    pub name: String,
    pub headline: String,
    /// One of [`PERIODS`].
    pub period: String,
    pub start: Timestamp,
    pub end: Timestamp,
    /// Milliseconds from one point to the next.
    pub step: i64,
    /// Everything that ended before is counted; nothing was looked at yet if it is missing.
    pub complete_through: Option<Timestamp>,
    pub points: Vec<MetricPoint>,
    /// Promotions and their ends, and scaling decisions, oldest first.
    pub marks: Vec<MetricMark>,
}

/// One step. Numbers that nobody measured are missing, which is not zero.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MetricPoint {
    pub at: Timestamp,
    /// Requests a second: answered, refused as the caller's mistake, failed.
    pub rates: Option<[f64; 3]>,
    /// Milliseconds that 50, 90, 95 and 99 of a hundred did not exceed.
    pub end_to_end: Option<[f64; 4]>,
    pub first_byte: Option<[f64; 4]>,
    /// The most requests at replicas, and the most that waited.
    pub load: Option<[f64; 2]>,
    /// Replicas wanted, starting, ready.
    pub replicas: Option<[f64; 3]>,
    /// Cores that all replicas kept busy, and the busiest one.
    #[serde(default)]
    pub cores: Option<[f64; 2]>,
    /// MiB of memory of all replicas, and of the largest one.
    #[serde(default)]
    pub memory: Option<[f64; 2]>,
    /// Replicas that ended of themselves; nothing in steps that are still to come.
    #[serde(default)]
    pub restarts: Option<[f64; 1]>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricMark {
    pub at: Timestamp,
    pub sentence: String,
    /// Of a promotion; else of scaling.
    pub is_promotion: bool,
}

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
    /// The replicas that have a line of their own in the chart of the processor, by id, in the order of the lines; `others`
    /// stands for the rest of them together.
    #[serde(default)]
    pub cores_of: Vec<String>,
    /// As `cores_of`, in the chart of the memory.
    #[serde(default)]
    pub memory_of: Vec<String>,
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
    /// As `end_to_end`, without the wait for a replica.
    #[serde(default)]
    pub inference: Option<[f64; 4]>,
    /// KiB of bodies that 50, 90, 95 and 99 of a hundred did not exceed.
    #[serde(default)]
    pub request_sizes: Option<[f64; 4]>,
    #[serde(default)]
    pub response_sizes: Option<[f64; 4]>,
    /// The most requests at replicas, and the most that waited.
    pub load: Option<[f64; 2]>,
    /// Replicas wanted, starting, ready.
    pub replicas: Option<[f64; 3]>,
    /// Cores that all replicas kept busy, and each of [`MetricsPage::cores_of`].
    #[serde(default)]
    pub cores: Option<Vec<Option<f64>>>,
    /// MiB of memory of all replicas, and of each of [`MetricsPage::memory_of`].
    #[serde(default)]
    pub memory: Option<Vec<Option<f64>>>,
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

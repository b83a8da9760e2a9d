//! What was used, also by what is gone.

use domain::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsagePage {
    pub as_of: Timestamp,
    pub from: Timestamp,
    pub to: Timestamp,
    /// How many days `from` to `to` span: 1 to 31.
    pub days: u32,
    pub headline: String,
    /// One for each day of the period, the first one first, also where nothing ran.
    pub by_day: Vec<UsageDay>,
    /// Most minutes first.
    pub rows: Vec<UsageRow>,
}

/// What all deployments used on one day, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageDay {
    /// Its first moment.
    pub day: Timestamp,
    /// Of builds and of replicas, together.
    pub minutes: u64,
    pub requests: u64,
}

/// One deployment's use in the period; it outlives the deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsageRow {
    pub model_id: String,
    pub model_name: String,
    pub deployment_id: String,
    pub deployment_name: String,
    pub environment: Option<String>,
    pub is_deleted: bool,
    /// Of its builds and its replicas.
    pub minutes: u64,
    pub requests: u64,
    /// What the minutes cost; nothing where no price is configured, nor of development.
    #[serde(default)]
    pub cost: Option<f64>,
}

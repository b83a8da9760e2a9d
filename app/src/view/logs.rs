//! The log of a deployment or of an environment, by pages and as it is written.

use domain::{LogLevel, LogPlaces, LogSource, Timestamp};
use serde::{Deserialize, Serialize};

use super::DeploymentRef;

/// Whose log, as it stands in an address: a deployment's or an environment's, and the other of the two is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogScope {
    pub model_id: String,
    pub deployment_id: String,
    /// Its log has the lines of all deployments that it had, each for the time that it was there.
    pub environment: String,
}

impl LogScope {
    pub fn deployment(model_id: String, deployment_id: String) -> Self {
        Self { model_id, deployment_id, environment: String::new() }
    }

    pub fn environment(model_id: String, environment: String) -> Self {
        Self { model_id, deployment_id: String::new(), environment }
    }

    /// Whether its lines come from several deployments.
    pub fn is_environment(&self) -> bool {
        !self.environment.is_empty()
    }
}

/// Where a reader of the log is: everything up to this line was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogCursor(pub i64);

/// Which lines somebody wants to see, as it stands in the address; empty parts let everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogFilter {
    /// The least level: DEBUG, INFO, WARNING or ERROR.
    pub level: String,
    /// Words, `"texts"`, `-without`, `replica:ID`, `request:ID`, `/expression/`.
    pub search: String,
}

/// Some lines, and where to go on in both directions.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LogPage {
    pub scope: LogScope,
    pub filter: LogFilter,
    /// Oldest first.
    pub lines: Vec<LogRow>,
    /// Lines between those before and these that are left out, because too many were written at once.
    #[serde(default)]
    pub left_out: u64,
    /// Where to go on with newer lines: a number, and behind it the places in other deployments' logs.
    pub next: LogPlaces,
    /// Whether older lines may be there.
    pub older: bool,
    /// The line that the search stopped before; older ones were not looked at yet.
    #[serde(default)]
    pub searched_to: Option<LogCursor>,
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogRow {
    /// Nanoseconds since 1970, as text: it names the line, and JavaScript's numbers would round it.
    pub id: String,
    pub at: Timestamp,
    pub level: Option<LogLevel>,
    pub source: LogSource,
    pub replica: Option<String>,
    #[serde(default)]
    pub request_id: Option<String>,
    pub message: String,
    /// Whose line it is, in the log of an environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentRef>,
}

impl LogRow {
    /// Nanoseconds since 1970.
    pub fn nanos(&self) -> i64 {
        self.id.parse().unwrap_or_default()
    }

    /// What no other line of the same page has: two deployments may have written at the same moment.
    pub fn key(&self) -> String {
        match &self.deployment {
            Some(deployment) => format!("{}.{}", self.id, deployment.id),
            None => self.id.clone(),
        }
    }
}

/// A piece of the log as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    pub text: String,
    /// Where the next piece begins; nothing after the last one.
    pub next: Option<LogCursor>,
}

//! A deployment's log, by pages and as it is written.

use domain::{LogLevel, LogSource, Timestamp};
use serde::{Deserialize, Serialize};

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
    pub model_id: String,
    pub deployment_id: String,
    pub filter: LogFilter,
    /// Oldest first.
    pub lines: Vec<LogRow>,
    /// Lines between those before and these that are left out, because too many were written at once.
    #[serde(default)]
    pub left_out: u64,
    /// Where to go on with newer lines.
    pub next: LogCursor,
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
}

/// A piece of the log as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    pub text: String,
    /// Where the next piece begins; nothing after the last one.
    pub next: Option<LogCursor>,
}

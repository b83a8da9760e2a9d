use serde::{Deserialize, Serialize};

use crate::{ReplicaId, Timestamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LogLevel {
    Debug,
    Info,
    Warning,
    Error,
}

/// What wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSource {
    Build,
    /// Slipway itself: starts, stops, crashes.
    Platform,
    Replica,
}

impl LogSource {
    pub const ALL: [Self; 3] = [Self::Build, Self::Platform, Self::Replica];

    /// Its name as a component, in queries and in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Platform => "platform",
            Self::Replica => "replica",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == text)
    }
}

/// One line of a deployment's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Nanoseconds since 1970; lines of one deployment never share one, so it also names the line.
    pub nanos: i64,
    pub message: String,
    pub level: Option<LogLevel>,
    pub source: LogSource,
    pub replica: Option<ReplicaId>,
    pub request_id: Option<String>,
}

/// Which lines to read (semantics: Logs).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogQuery {
    pub start: Option<Timestamp>,
    pub end: Option<Timestamp>,
    /// Only lines after this nanosecond, for following.
    pub after_nanos: Option<i64>,
    /// Only lines before this nanosecond, for reading back page by page.
    #[serde(default)]
    pub before_nanos: Option<i64>,
    /// 1 to 1000.
    pub limit: usize,
    /// Oldest first if true.
    pub ascending: bool,
    /// Drops lines below this level, and lines without one.
    pub min_level: Option<LogLevel>,
    pub replica: Option<String>,
    pub request_id: Option<String>,
    /// Only lines that this wrote.
    #[serde(default)]
    pub component: Option<LogSource>,
    /// A regular expression a message must match.
    pub search_pattern: Option<String>,
    pub includes: Vec<String>,
    pub excludes: Vec<String>,
    /// Takes upper and lower case for the same, in the pattern and the texts.
    #[serde(default)]
    pub ignore_case: bool,
}

/// What a search of a log came to (semantics: Logs).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LogFound {
    /// In the order that was asked for.
    pub lines: Vec<LogLine>,
    /// The line that it stopped after to keep its answer quick; nothing if it came to an end or found as many as were asked
    /// for. What lies beyond, in the order that was asked for, was not looked at.
    pub searched_to: Option<i64>,
}

impl LogFound {
    /// The question for what was not looked at yet, or was not asked for by its limit.
    pub fn rest(&self, query: &LogQuery) -> Option<LogQuery> {
        Some(query.beyond(self.searched_to?, self.lines.len()))
    }
}

impl LogQuery {
    /// The same question for what lies beyond a line, in the order that is asked for, once so many lines were found.
    pub fn beyond(&self, nanos: i64, found: usize) -> Self {
        let limit = self.limit.saturating_sub(found);
        match self.ascending {
            true => Self { after_nanos: Some(nanos), limit, ..self.clone() },
            false => Self { before_nanos: Some(nanos), limit, ..self.clone() },
        }
    }
}

/// What was written to a log after a moment (semantics: Logs).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LogNews {
    /// Oldest first.
    pub lines: Vec<LogLine>,
    /// Lines before these that were asked for, too, and are left out: the reader was too far behind.
    pub left_out: u64,
    /// Everything up to this nanosecond has been looked at; here reading goes on.
    pub read_to: i64,
    /// Whether there was more to read already.
    pub more: bool,
}

impl Default for LogQuery {
    fn default() -> Self {
        Self {
            start: None,
            end: None,
            after_nanos: None,
            before_nanos: None,
            limit: 500,
            ascending: false,
            min_level: None,
            replica: None,
            request_id: None,
            component: None,
            search_pattern: None,
            includes: Vec::new(),
            excludes: Vec::new(),
            ignore_case: false,
        }
    }
}

//! What a replica writes, line by line.

use domain::{LogLevel, LogSource, ReplicaId};
use serde_json::Value;

/// The longest message kept, in bytes.
const LONGEST: usize = 16 * 1024;

/// What a traceback of Python begins with.
pub(crate) const TRACEBACK: &str = "Traceback (most recent call last):";
/// Where loggers that write JSON put the level.
const LEVELS: [&str; 4] = ["levelname", "level", "severity", "lvl"];

/// What the Truss server's lines have; a line with more is somebody else's.
const OWN: [&str; 10] = [
    "asctime",
    "levelname",
    "message",
    "request_id",
    "startup",
    "exc_info",
    "stack_info",
    "taskName",
    "color_message",
    "name",
];

/// A line that has no time yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parsed {
    pub message: String,
    pub level: Option<LogLevel>,
    pub source: LogSource,
    pub replica: Option<ReplicaId>,
    pub request_id: Option<String>,
}

impl Parsed {
    pub fn plain(source: LogSource, level: Option<LogLevel>, message: &str) -> Self {
        Self { message: cut(message), level, source, replica: None, request_id: None }
    }
}

/// Reads a line of a replica: the Truss server's JSON, or plain text.
pub(crate) fn parse(line: &str, replica: &ReplicaId) -> Parsed {
    let mut parsed = Parsed::plain(LogSource::Replica, None, line);
    parsed.replica = Some(replica.clone());
    let Some(Value::Object(fields)) =
        line.starts_with('{').then(|| serde_json::from_str(line).ok()).flatten()
    else {
        parsed.level = level_of_text(line);
        return parsed;
    };
    let text = |key: &str| fields.get(key).and_then(Value::as_str);
    parsed.level = LEVELS.iter().find_map(|key| text(key).and_then(level));
    parsed.request_id = text("request_id").map(str::to_owned);
    // Other loggers' lines stay as they are, with whatever else is in them.
    let is_own = fields.keys().all(|key| OWN.contains(&key.as_str()));
    if let Some(message) = text("message").filter(|_| is_own) {
        let trace = text("exc_info").filter(|trace| !trace.is_empty());
        parsed.message = cut(&trace.map_or(message.to_owned(), |trace| format!("{message}\n{trace}")));
    }
    parsed
}

fn level(name: &str) -> Option<LogLevel> {
    match name.to_ascii_uppercase().as_str() {
        "DEBUG" => Some(LogLevel::Debug),
        "INFO" => Some(LogLevel::Info),
        "WARN" | "WARNING" => Some(LogLevel::Warning),
        "ERROR" | "CRITICAL" | "FATAL" => Some(LogLevel::Error),
        _ => None,
    }
}

/// The level that plain text begins with, as in `WARNING: …`.
fn level_of_text(line: &str) -> Option<LogLevel> {
    if line.starts_with(TRACEBACK) {
        return Some(LogLevel::Error);
    }
    let word: String = line.chars().take_while(|c| c.is_ascii_alphabetic()).take(10).collect();
    level(&word).filter(|_| word.chars().all(|c| c.is_ascii_uppercase()))
}

fn cut(message: &str) -> String {
    if message.len() <= LONGEST {
        return message.to_owned();
    }
    let mut end = LONGEST;
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} … ({} bytes more)", &message[..end], message.len() - end)
}

/// The line of a traceback that says what went wrong: the last that reads like `SomeError: what happened`.
pub(crate) fn cause(lines: &[String]) -> Option<String> {
    let named = |line: &str| {
        let name = line.split([':', ' ']).next().unwrap_or_default();
        let last = name.rsplit('.').next().unwrap_or_default();
        !line.starts_with(char::is_whitespace)
            && last.starts_with(|c: char| c.is_ascii_uppercase())
            && ["Error", "Exception", "Interrupt", "Exit", "Warning"].iter().any(|end| last.ends_with(end))
            && !last.ends_with("Warning")
    };
    lines
        .iter()
        .rev()
        .flat_map(|message| message.lines().rev())
        .find(|line| named(line))
        .map(|line| line.trim().chars().take(300).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ReplicaId {
        ReplicaId::new("abcde")
    }

    #[test]
    fn the_truss_servers_lines_are_taken_apart() {
        let line = r#"{"asctime":"x","levelname":"ERROR","message":"Exception while loading model","exc_info":"Traceback\nValueError: no weights","request_id":"r1"}"#;
        let parsed = parse(line, &id());
        assert_eq!(parsed.level, Some(LogLevel::Error));
        assert_eq!(parsed.request_id.as_deref(), Some("r1"));
        assert_eq!(parsed.message, "Exception while loading model\nTraceback\nValueError: no weights");
        assert_eq!(cause(&[parsed.message]).as_deref(), Some("ValueError: no weights"));
    }

    #[test]
    fn other_text_stays_as_it_is() {
        assert_eq!(parse("hello {", &id()).message, "hello {");
        assert_eq!(parse("{\"a\": 1}", &id()).message, "{\"a\": 1}");
        assert_eq!(parse("WARNING: disk", &id()).level, Some(LogLevel::Warning));
        assert_eq!(parse("Information", &id()).level, None);
    }

    #[test]
    fn other_loggers_json_has_its_level_and_stays_whole() {
        let line = r#"{"level": "warn", "message": "slow", "took_ms": 812}"#;
        let parsed = parse(line, &id());
        assert_eq!((parsed.level, parsed.message.as_str()), (Some(LogLevel::Warning), line));
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let parsed = parse(&"ä".repeat(20_000), &id());
        assert!(parsed.message.len() < LONGEST + 40 && parsed.message.ends_with("bytes more)"));
    }

    #[test]
    fn a_cause_is_the_last_error_of_the_last_lines() {
        let lines =
            ["ValueError: first".to_owned(), "at\n  KeyError: indented\nmodel.BadThing: no".to_owned()];
        assert_eq!(cause(&lines).as_deref(), Some("ValueError: first"));
        assert_eq!(cause(&["nothing here".to_owned()]), None);
    }
}

//! Log lines as the page shows them.

use app::view::{DeploymentRef, LogRow};
use domain::{LogLine, Timestamp};
use serde_json::{Map, Value};

/// What a line of JSON says, by the names that loggers give it.
const TEXTS: [&str; 4] = ["message", "msg", "event", "text"];
/// What a line of JSON says besides, which the page shows at its own place.
const KNOWN: [&str; 12] = [
    "level",
    "levelname",
    "severity",
    "lvl",
    "time",
    "ts",
    "timestamp",
    "asctime",
    "@timestamp",
    "request_id",
    "trace_id",
    "replica",
];
/// Where loggers put a traceback.
const TRACES: [&str; 5] = ["exc_info", "exception", "traceback", "stack", "stack_info"];

/// A line; `deployment` is whose it is, where the log has those of several.
pub fn log_row(line: LogLine, deployment: Option<DeploymentRef>) -> LogRow {
    LogRow {
        id: line.nanos.to_string(),
        at: Timestamp::from_millis(line.nanos / 1_000_000),
        level: line.level,
        source: line.source,
        replica: line.replica.map(|replica| replica.to_string()),
        request_id: line.request_id,
        message: readable(line.message),
        deployment,
    }
}

/// A line of JSON as `what it says  name=value …`, with its traceback below; any other line as it is.
fn readable(message: String) -> String {
    if !message.starts_with('{') {
        return message;
    }
    let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(&message) else { return message };
    let mut told = text_of(&fields, &TEXTS).unwrap_or_default().to_owned();
    for (name, value) in &fields {
        let shown = |names: &[&str]| names.contains(&name.as_str());
        // Only what is a text is shown elsewhere.
        if shown(&KNOWN) || (value.is_string() && shown(&TRACES)) || is_told(&told, value, shown(&TEXTS)) {
            continue;
        }
        if !told.is_empty() {
            told.push_str("  ");
        }
        match value {
            Value::String(text) if is_plain(text) => told.push_str(&format!("{name}={text}")),
            other => told.push_str(&format!("{name}={other}")),
        }
    }
    if told.is_empty() {
        return message;
    }
    if let Some(trace) = text_of(&fields, &TRACES) {
        told = format!("{told}\n{}", trace.trim_end());
    }
    told
}

fn text_of<'a>(fields: &'a Map<String, Value>, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| fields.get(*name)?.as_str()).filter(|text| !text.trim().is_empty())
}

/// Whether this is the text that the line begins with.
fn is_told(told: &str, value: &Value, is_text: bool) -> bool {
    is_text && value.as_str().is_some_and(|text| told.starts_with(text))
}

/// Whether a text can stand after `=` without quotes.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(message: &str) -> String {
        readable(message.to_owned())
    }

    #[test]
    fn a_line_of_json_is_told_in_words() {
        let line = r#"{"ts": 1.5, "level": "info", "event": "request done", "took_ms": 12, "path": "/a b", "user": "x"}"#;
        assert_eq!(shown(line), r#"request done  path="/a b"  took_ms=12  user=x"#);
        assert_eq!(shown(r#"{"rows": 3, "ok": true}"#), "ok=true  rows=3");
    }

    #[test]
    fn a_traceback_stands_below() {
        let line = r#"{"msg": "failed", "exception": "Traceback:\n  File x\nValueError: no\n"}"#;
        assert_eq!(shown(line), "failed\nTraceback:\n  File x\nValueError: no");
    }

    #[test]
    fn what_is_no_object_stays_as_it_is() {
        for line in ["plain", "{not json}", "{}", "[1, 2]", r#"{"level": "info"}"#, ""] {
            assert_eq!(shown(line), line);
        }
    }
}

//! A log as a file: text, a table, or a line of JSON for each line; written while it is sent.

use app::backend::LogFormat;
use app::view::{LogCursor, LogPiece};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::{DeploymentId, LogFound, LogLevel, LogLine, LogQuery, LogSource, Timestamp};
use futures::{Stream, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};

use crate::csv;
use crate::rest::contract::Log;

/// Lines in one piece of a file.
const PIECE: usize = 1000;

/// What a table's columns are called, and those that an environment's log has more.
const COLUMNS: [&str; 5] = ["timestamp", "message", "replica", "request_id", "level"];
const MORE_COLUMNS: [&str; 2] = ["deployment_id", "deployment"];

/// How the file's name ends, and its media type.
fn kind(format: LogFormat) -> (&'static str, &'static str) {
    match format {
        LogFormat::Text => ("log", "text/plain; charset=utf-8"),
        LogFormat::Csv => ("csv", "text/csv; charset=utf-8; header=present"),
        LogFormat::JsonLines => ("jsonl", "application/jsonl; charset=utf-8"),
    }
}

/// The file's name without its ending: whose log, of a deployment or an environment, and until when.
pub fn name(model: &str, whose: &str, now: Timestamp) -> String {
    let moment = now.rfc3339().replace(':', "");
    let moment = moment.split('.').next().unwrap_or_default().trim_end_matches('Z');
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect()
    };
    format!("{}-{}-{moment}Z", plain(model), plain(whose))
}

/// The question for the next piece: what `query` asks for after a line, up to the moment that the file began.
pub fn next_lines(query: LogQuery, after: LogCursor, until: Timestamp) -> LogQuery {
    let end = until.millis().saturating_add(1).saturating_mul(1_000_000);
    LogQuery {
        after_nanos: Some(after.0),
        before_nanos: Some(query.before_nanos.unwrap_or(i64::MAX).min(end)),
        limit: PIECE,
        ascending: true,
        ..query
    }
}

/// Lines of a deployment's log as they stand in the file.
pub fn piece(found: &LogFound, format: LogFormat) -> LogPiece {
    let lines = &found.lines;
    let text = lines.iter().map(|line| line_of(line, None, format)).collect();
    let last = lines.last().filter(|_| lines.len() == PIECE).map(|line| line.nanos);
    LogPiece { text, next: found.searched_to.or(last).map(LogCursor) }
}

/// What stands above the lines of a file; `has_sides` where the log has those of several deployments.
fn head(format: LogFormat, has_sides: bool) -> String {
    let more: &[&str] = if has_sides { &MORE_COLUMNS } else { &[] };
    match format {
        LogFormat::Csv => csv::line(COLUMNS.iter().chain(more).copied()),
        LogFormat::Text | LogFormat::JsonLines => String::new(),
    }
}

/// A line as it stands in the file, with the id and the name of its deployment where the log has those of several.
pub fn line_of(line: &LogLine, whose: Option<(&DeploymentId, &str)>, format: LogFormat) -> String {
    match format {
        LogFormat::Text => text(line, whose.map(|(_, name)| name)),
        LogFormat::Csv => row(line, whose),
        LogFormat::JsonLines => {
            let deployment_id = whose.map(|(id, _)| id.to_string());
            let log = Log { deployment_id, ..line.clone().into() };
            serde_json::to_string(&log).unwrap_or_default() + "\n"
        }
    }
}

fn row(line: &LogLine, whose: Option<(&DeploymentId, &str)>) -> String {
    let (second, nanos) = second(line.nanos);
    let moment = format!("{second}.{nanos:09}Z");
    let fields = [
        moment.as_str(),
        &line.message,
        line.replica.as_ref().map(|replica| replica.as_str()).unwrap_or_default(),
        line.request_id.as_deref().unwrap_or_default(),
        line.level.map(name_of).unwrap_or_default(),
    ];
    let whose = whose.map(|(id, name)| [id.as_str(), name]);
    csv::line(fields.into_iter().chain(whose.into_iter().flatten()))
}

fn text(line: &LogLine, deployment: Option<&str>) -> String {
    let (second, nanos) = second(line.nanos);
    let millis = nanos / 1_000_000;
    let level = line.level.map_or("-", name_of);
    let from = match (line.source, &line.replica) {
        (LogSource::Build, _) => "build",
        (LogSource::Platform, _) => "slipway",
        (LogSource::Replica, Some(replica)) => replica.as_str(),
        (LogSource::Replica, None) => "-",
    };
    // What belongs to a line is indented, so that each line that is not begins with a moment.
    let message = line.message.replace('\n', "\n    ");
    let deployment = deployment.map(|name| format!("{name:<12} ")).unwrap_or_default();
    // As wide as the widest, so that texts stand below each other.
    format!("{second}.{millis:03}Z {level:<7} {deployment}{from:<7} {message}\n")
}

fn name_of(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "DEBUG",
        LogLevel::Info => "INFO",
        LogLevel::Warning => "WARNING",
        LogLevel::Error => "ERROR",
    }
}

/// The second of a moment, `2026-11-26T01:02:03`, and the nanoseconds beyond it.
fn second(nanos: i64) -> (String, i64) {
    let second = Timestamp::from_millis(nanos.div_euclid(1_000_000_000) * 1000).rfc3339();
    (second.trim_end_matches('Z').to_owned(), nanos.rem_euclid(1_000_000_000))
}

/// The answer that saves a file. Pieces are asked for as fast as they are taken; one that can't be read breaks it off.
pub fn answer<F, E>(
    name: &str,
    format: LogFormat,
    has_sides: bool,
    mut first: LogPiece,
    next: impl Fn(LogCursor) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = Result<LogPiece, E>> + Send + 'static,
    E: std::fmt::Display + Send + 'static,
{
    let (ending, media_type) = kind(format);
    first.text.insert_str(0, &head(format, has_sides));
    let headers = [
        (CONTENT_TYPE, media_type.to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.{ending}\"")),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, Body::from_stream(pieces(first, next))).into_response()
}

fn pieces<F, E>(
    first: LogPiece,
    next: impl Fn(LogCursor) -> F + Send + 'static,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send
where
    F: Future<Output = Result<LogPiece, E>> + Send + 'static,
    E: std::fmt::Display + Send + 'static,
{
    let rest = futures::stream::try_unfold((first.next, next), |(cursor, next)| async move {
        let Some(cursor) = cursor else { return Ok(None) };
        match next(cursor).await {
            Ok(piece) => Ok(Some((Bytes::from(piece.text), (piece.next, next)))),
            Err(error) => Err(std::io::Error::other(error.to_string())),
        }
    });
    let first = futures::stream::once(async move { Ok(Bytes::from(first.text)) });
    first.chain(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(nanos: i64, message: &str) -> LogLine {
        LogLine {
            nanos,
            message: message.into(),
            level: Some(LogLevel::Error),
            source: LogSource::Replica,
            replica: Some(domain::ReplicaId::new("abcde")),
            request_id: Some("r1".into()),
        }
    }

    fn of(line: LogLine, format: LogFormat) -> LogPiece {
        piece(&LogFound { lines: vec![line], searched_to: None }, format)
    }

    #[test]
    fn a_piece_in_which_little_was_found_is_not_the_last_one() {
        assert_eq!(of(line(7, "x"), LogFormat::Text).next, None);
        let early = LogFound { lines: vec![line(7, "x")], searched_to: Some(9) };
        assert_eq!(piece(&early, LogFormat::Text).next, Some(LogCursor(9)));
    }

    #[test]
    fn each_line_begins_with_its_moment_and_what_belongs_to_it_is_indented() {
        let text = of(line(1_500_000_000, "failed\nTraceback"), LogFormat::Text).text;
        assert_eq!(text, "1970-01-01T00:00:01.500Z ERROR   abcde   failed\n    Traceback\n");
    }

    #[test]
    fn a_line_of_an_environment_says_whose_it_is() {
        let id = DeploymentId::new("d2");
        let of = |format| line_of(&line(7_000_000, "x"), Some((&id, "deployment-2")), format);
        assert_eq!(of(LogFormat::Text), "1970-01-01T00:00:00.007Z ERROR   deployment-2 abcde   x\n");
        let row = "1970-01-01T00:00:00.007000000Z,x,abcde,r1,ERROR,d2,deployment-2\r\n";
        assert_eq!(of(LogFormat::Csv), row);
        let value: serde_json::Value = serde_json::from_str(&of(LogFormat::JsonLines)).unwrap();
        assert_eq!(value["deployment_id"], "d2");
        assert_eq!(
            head(LogFormat::Csv, true),
            "timestamp,message,replica,request_id,level,deployment_id,deployment\r\n"
        );
    }

    #[test]
    fn a_row_has_the_nanosecond_and_nothing_that_a_spreadsheet_computes() {
        let text = of(line(1_000_000_007, "=1+1\nsaid \"x\""), LogFormat::Csv).text;
        assert_eq!(text, "1970-01-01T00:00:01.000000007Z,\"'=1+1\nsaid \"\"x\"\"\",abcde,r1,ERROR\r\n");
        let bare = LogLine { level: None, replica: None, request_id: None, ..line(0, "x") };
        assert_eq!(of(bare, LogFormat::Csv).text, "1970-01-01T00:00:00.000000000Z,x,,,\r\n");
    }

    #[test]
    fn json_has_the_shape_of_the_api() {
        let text = of(line(7, "x"), LogFormat::JsonLines).text;
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((value["timestamp"].as_str(), value["request_id"].as_str()), (Some("7"), Some("r1")));
    }

    #[test]
    fn a_name_has_no_signs_that_files_do_not() {
        let name = name("a/b \"c\"", "v1.2", Timestamp::from_millis(0));
        assert_eq!(name, "a-b--c--v1.2-1970-01-01T000000Z");
    }

    #[tokio::test]
    async fn pieces_follow_until_there_are_no_more() {
        let first = LogPiece { text: "a".into(), next: Some(LogCursor(1)) };
        let all = pieces(first, |cursor| async move {
            let next = (cursor.0 < 3).then_some(LogCursor(cursor.0 + 1));
            Ok::<_, std::convert::Infallible>(LogPiece { text: cursor.0.to_string(), next })
        });
        let all: Vec<Bytes> = all.map(Result::unwrap).collect().await;
        assert_eq!(all.concat(), b"a123");
    }
}

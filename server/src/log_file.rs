//! A log as a file: text, or a line of JSON for each line; written while it is sent.

use app::view::{LogCursor, LogPiece};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::{LogFound, LogLevel, LogLine, LogQuery, LogSource, Timestamp};
use futures::{Stream, StreamExt};
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};

use crate::rest::contract::Log;

/// Lines in one piece of a file.
const PIECE: usize = 1000;

/// How a file has its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    JsonLines,
}

impl Format {
    /// As it is named in a query.
    pub fn of(name: &str) -> Result<Self, domain::Invalid> {
        match name {
            "text" => Ok(Self::Text),
            "jsonl" => Ok(Self::JsonLines),
            other => Err(domain::Invalid::new("format", format!("`{other}` is not one of text, jsonl"))),
        }
    }

    fn ending(self) -> &'static str {
        match self {
            Self::Text => "log",
            Self::JsonLines => "jsonl",
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::JsonLines => "application/jsonl; charset=utf-8",
        }
    }
}

/// The file's name: whose log, of a deployment or an environment, and until when.
pub fn name(model: &str, whose: &str, now: Timestamp, format: Format) -> String {
    let moment = now.rfc3339().replace(':', "");
    let moment = moment.split('.').next().unwrap_or_default().trim_end_matches('Z');
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect()
    };
    format!("{}-{}-{moment}Z.{}", plain(model), plain(whose), format.ending())
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

/// Lines as they stand in the file.
pub fn piece(found: &LogFound, format: Format) -> LogPiece {
    let lines = &found.lines;
    let text = lines.iter().map(|line| written(line, format)).collect();
    let last = lines.last().filter(|_| lines.len() == PIECE).map(|line| line.nanos);
    LogPiece { text, next: found.searched_to.or(last).map(LogCursor) }
}

fn written(line: &LogLine, format: Format) -> String {
    if format == Format::JsonLines {
        let text = serde_json::to_string(&Log::from(line.clone())).unwrap_or_default();
        return format!("{text}\n");
    }
    text_of(line, None)
}

/// A line as it stands in a file of text, with the name of its deployment where the log has those of several.
pub fn text_of(line: &LogLine, deployment: Option<&str>) -> String {
    let moment = moment(line.nanos);
    // As wide as the widest, so that texts stand below each other.
    let level = match line.level {
        Some(LogLevel::Debug) => "DEBUG  ",
        Some(LogLevel::Info) => "INFO   ",
        Some(LogLevel::Warning) => "WARNING",
        Some(LogLevel::Error) => "ERROR  ",
        None => "-      ",
    };
    let from = match (line.source, &line.replica) {
        (LogSource::Build, _) => "build",
        (LogSource::Platform, _) => "slipway",
        (LogSource::Replica, Some(replica)) => replica.as_str(),
        (LogSource::Replica, None) => "-",
    };
    // What belongs to a line is indented, so that each line that is not begins with a moment.
    let message = line.message.replace('\n', "\n    ");
    let deployment = deployment.map(|name| format!("{name:<12} ")).unwrap_or_default();
    format!("{moment} {level} {deployment}{from:<7} {message}\n")
}

/// A moment to the millisecond, always as wide: `2026-11-26T01:02:03.004Z`.
fn moment(nanos: i64) -> String {
    let millis = nanos.div_euclid(1_000_000);
    let second = Timestamp::from_millis(millis.div_euclid(1000) * 1000).rfc3339();
    format!("{}.{:03}Z", second.trim_end_matches('Z'), millis.rem_euclid(1000))
}

/// The answer that saves a file. Pieces are asked for as fast as they are taken; one that can't be read breaks it off.
pub fn answer<F, E>(
    name: &str,
    format: Format,
    first: LogPiece,
    next: impl Fn(LogCursor) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = Result<LogPiece, E>> + Send + 'static,
    E: std::fmt::Display + Send + 'static,
{
    let head = [
        (CONTENT_TYPE, format.media_type().to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    (head, Body::from_stream(pieces(first, next))).into_response()
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

    fn of(line: LogLine, format: Format) -> LogPiece {
        piece(&LogFound { lines: vec![line], searched_to: None }, format)
    }

    #[test]
    fn a_piece_in_which_little_was_found_is_not_the_last_one() {
        assert_eq!(of(line(7, "x"), Format::Text).next, None);
        let early = LogFound { lines: vec![line(7, "x")], searched_to: Some(9) };
        assert_eq!(piece(&early, Format::Text).next, Some(LogCursor(9)));
    }

    #[test]
    fn each_line_begins_with_its_moment_and_what_belongs_to_it_is_indented() {
        let text = of(line(1_500_000_000, "failed\nTraceback"), Format::Text).text;
        assert_eq!(text, "1970-01-01T00:00:01.500Z ERROR   abcde   failed\n    Traceback\n");
    }

    #[test]
    fn a_line_of_an_environment_says_whose_it_is() {
        let text = text_of(&line(7_000_000, "x"), Some("deployment-2"));
        assert_eq!(text, "1970-01-01T00:00:00.007Z ERROR   deployment-2 abcde   x\n");
    }

    #[test]
    fn json_has_the_shape_of_the_api() {
        let text = of(line(7, "x"), Format::JsonLines).text;
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((value["timestamp"].as_str(), value["request_id"].as_str()), (Some("7"), Some("r1")));
    }

    #[test]
    fn a_name_has_no_signs_that_files_do_not() {
        let name = name("a/b \"c\"", "v1.2", Timestamp::from_millis(0), Format::Text);
        assert_eq!(name, "a-b--c--v1.2-1970-01-01T000000Z.log");
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

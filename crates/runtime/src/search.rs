//! Finds lines in the segments of a log, beginning at the moment a question is about.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use domain::{LogLine, LogQuery, Timestamp};
use regex::{Regex, RegexBuilder};

/// What every line begins with; its moment follows.
const HEAD: &[u8] = b"{\"nanos\":";

/// The lines of `segments` (oldest first) that `query` asks for and `takes` agrees to; `Err` is a sentence about the
/// query's pattern.
pub(crate) fn search(
    segments: &[PathBuf],
    query: &LogQuery,
    takes: impl Fn(&LogLine) -> bool,
) -> Result<Vec<LogLine>, String> {
    let filter = Filter::new(query)?;
    let span = Span::of(query);
    let mut found = Vec::new();
    let mut take = |line: LogLine| {
        if filter.takes(&line) && takes(&line) {
            found.push(line);
        }
        found.len() < query.limit
    };
    let first = |path: &PathBuf| first_moment(path).unwrap_or(i64::MAX);
    if query.ascending {
        let begin = segments.partition_point(|path| first(path) <= span.from).saturating_sub(1);
        for path in &segments[begin..] {
            let bytes = std::fs::read(path).unwrap_or_default();
            let lines = bytes[seek(&bytes, span.from)..].split(|byte| *byte == b'\n');
            if !each(lines, |line| line.nanos < span.to && take(line)) {
                break;
            }
        }
    } else {
        for path in segments.iter().rev().filter(|path| first(path) < span.to) {
            let bytes = std::fs::read(path).unwrap_or_default();
            let lines = bytes[..seek(&bytes, span.to)].rsplit(|byte| *byte == b'\n');
            if !each(lines, |line| line.nanos >= span.from && take(line)) {
                break;
            }
        }
    }
    Ok(found)
}

/// Hands on each line that can be read; one that a crash cut short can't. False once `go_on` said so.
fn each<'a>(lines: impl Iterator<Item = &'a [u8]>, mut go_on: impl FnMut(LogLine) -> bool) -> bool {
    lines.filter_map(|line| serde_json::from_slice(line).ok()).all(&mut go_on)
}

/// The moments a question is about: `from` is among them, `to` is not.
pub(crate) struct Span {
    pub from: i64,
    pub to: i64,
}

impl Span {
    pub fn of(query: &LogQuery) -> Self {
        let nanos = |at: Timestamp| at.millis().saturating_mul(1_000_000);
        let start = query.start.map_or(i64::MIN, nanos);
        let after = query.after_nanos.map_or(i64::MIN, |after| after.saturating_add(1));
        Self { from: start.max(after), to: query.end.map_or(i64::MAX, nanos) }
    }
}

fn moment(line: &[u8]) -> Option<i64> {
    let digits = line.strip_prefix(HEAD)?;
    // A number without its comma may be cut short.
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).filter(|end| digits[*end] == b',')?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

fn first_moment(path: &Path) -> Option<i64> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(64).read_to_end(&mut head).ok()?;
    moment(&head)
}

/// Where the first line begins whose moment is `nanos` or later.
fn seek(bytes: &[u8], nanos: i64) -> usize {
    let line_at = |at: usize| bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let next = |at: usize| {
        bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| at + end + 1)
    };
    let (mut low, mut high) = (0, bytes.len());
    while low < high {
        let line = line_at(low + (high - low) / 2);
        // What has no moment, as after a crash, goes with what follows it.
        let mut at = line;
        let mut found = moment(&bytes[at..]);
        while found.is_none() && at < high {
            at = next(at);
            found = moment(&bytes[at..]);
        }
        match found {
            Some(found) if found < nanos => low = next(at),
            _ => high = line,
        }
    }
    low
}

struct Filter<'a> {
    query: &'a LogQuery,
    pattern: Option<Regex>,
}

impl<'a> Filter<'a> {
    fn new(query: &'a LogQuery) -> Result<Self, String> {
        let pattern = query.search_pattern.as_deref().filter(|text| !text.is_empty()).map(|text| {
            RegexBuilder::new(text)
                .size_limit(1 << 20)
                .build()
                .map_err(|error| format!("`search_pattern` is no regular expression: {error}"))
        });
        Ok(Self { query, pattern: pattern.transpose()? })
    }

    fn takes(&self, line: &LogLine) -> bool {
        let query = self.query;
        let is_of = |id: &str| line.replica.as_ref().is_some_and(|replica| replica.as_str() == id);
        query.min_level.is_none_or(|least| line.level.is_some_and(|level| level >= least))
            && query.replica.as_deref().is_none_or(is_of)
            && query.request_id.as_deref().is_none_or(|id| line.request_id.as_deref() == Some(id))
            && query.includes.iter().all(|text| line.message.contains(text))
            && !query.excludes.iter().any(|text| line.message.contains(text))
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&line.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(moments: &[i64]) -> Vec<u8> {
        moments
            .iter()
            .flat_map(|nanos| {
                format!("{{\"nanos\":{nanos},\"message\":\"m\",\"level\":null,\"source\":\"replica\",\"replica\":null,\"request_id\":null}}\n")
                    .into_bytes()
            })
            .collect()
    }

    #[test]
    fn every_place_is_found() {
        let moments: Vec<i64> = (1..60).map(|n| n * 10).collect();
        let bytes = bytes(&moments);
        for nanos in 0..=601 {
            let wanted = moments.iter().find(|found| **found >= nanos);
            assert_eq!(moment(&bytes[seek(&bytes, nanos)..]), wanted.copied(), "{nanos}");
        }
        assert_eq!(seek(b"", 5), 0);
    }

    #[test]
    fn a_line_cut_short_by_a_crash_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0");
        let text = [bytes(&[10, 20]), b"\n{\"nanos\":2\n\n".to_vec(), bytes(&[30, 40])].concat();
        std::fs::write(&path, text).unwrap();
        for (after, wanted) in [(0, 4), (10, 3), (20, 2), (30, 1), (40, 0)] {
            for ascending in [true, false] {
                let query = LogQuery { after_nanos: Some(after), ascending, ..LogQuery::default() };
                assert_eq!(search(std::slice::from_ref(&path), &query, |_| true).unwrap().len(), wanted);
            }
        }
    }

    #[test]
    fn any_span_over_segments_is_answered_in_both_directions() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = ["0", "1", "2"].iter().map(|name| folder.path().join(name)).collect();
        for (path, moments) in paths.iter().zip([[10, 20, 30], [40, 50, 60], [70, 80, 90]]) {
            std::fs::write(path, bytes(&moments)).unwrap();
        }
        let all: Vec<i64> = (1..10).map(|n| n * 10).collect();
        for after in 0..100 {
            for (limit, ascending) in [(1, true), (100, true), (1, false), (4, false), (100, false)] {
                let query = LogQuery { after_nanos: Some(after), limit, ascending, ..LogQuery::default() };
                let found = search(&paths, &query, |_| true).unwrap();
                let found: Vec<i64> = found.iter().map(|line| line.nanos).collect();
                let mut wanted: Vec<i64> = all.iter().copied().filter(|nanos| *nanos > after).collect();
                if !ascending {
                    wanted.reverse();
                }
                wanted.truncate(limit);
                assert_eq!(found, wanted, "after {after}, {limit}, {ascending}");
            }
        }
    }
}

//! Finds lines in the segments of a log, beginning at the moment a question is about.

use std::collections::VecDeque;
use std::path::PathBuf;

use domain::{LogFound, LogLine, LogNews, LogQuery, Timestamp};
use regex::{Regex, RegexBuilder, RegexSetBuilder};

use crate::segment::{Segment, moment};

/// A reader of news who is further behind than this many lines, which are more than a page keeps, gets the newest.
const BEHIND: u64 = 100_000;
/// Bytes of messages that one piece of news has, at most.
const NEWS_BYTES: usize = 1 << 20;
/// Bytes of a log that one answer of a search looks at, at most: a few tenths of a second where the machine is busy.
const LOOKED_AT: usize = 8 << 20;
/// Bytes that an expression may take once it is compiled.
const PATTERN: usize = 1 << 20;

/// The lines of `segments` (oldest first) that `query` asks for and `takes` agrees to, as far as one answer looks; `Err`
/// is a sentence about the query's pattern.
pub(crate) fn search(
    segments: &[PathBuf],
    query: &LogQuery,
    takes: impl Fn(&LogLine) -> bool,
) -> Result<LogFound, String> {
    search_within(LOOKED_AT, segments, query, takes)
}

fn search_within(
    bytes: usize,
    segments: &[PathBuf],
    query: &LogQuery,
    takes: impl Fn(&LogLine) -> bool,
) -> Result<LogFound, String> {
    let filter = Filter::new(query)?;
    let span = Span::of(query);
    let mut found = LogFound::default();
    let mut left = bytes;
    let mut take = |line: LogLine, bytes: usize| {
        let nanos = line.nanos;
        if filter.takes(&line) && takes(&line) {
            found.lines.push(line);
        }
        left = left.saturating_sub(bytes);
        let enough = found.lines.len() >= query.limit;
        found.searched_to = (left == 0 && !enough).then_some(nanos);
        left > 0 && !enough
    };
    if query.ascending {
        forward(segments, &span, take);
    } else {
        for segment in segments.iter().rev().filter_map(|path| Segment::open(path).ok()) {
            if segment.first_moment().is_none_or(|first| first >= span.to) {
                continue;
            }
            let go_on = segment.backward(span.to, |line| {
                let bytes = line.len();
                read(line).is_none_or(|line| line.nanos >= span.from && take(line, bytes))
            });
            if !go_on.unwrap_or(true) {
                break;
            }
        }
    }
    Ok(found)
}

/// What `query` asks for of what was written after its moment.
pub(crate) fn news(segments: &[PathBuf], query: &LogQuery) -> Result<LogNews, String> {
    let filter = Filter::new(query)?;
    let mut gathered = Gathered { limit: query.limit, ..Gathered::default() };
    let mut read_to = query.after_nanos.unwrap_or_default();
    forward(segments, &Span::of(query), |line, _| {
        read_to = line.nanos;
        if filter.takes(&line) {
            gathered.take(line);
        }
        true
    });
    Ok(gathered.into_news(read_to))
}

/// Hands on each line of a span, with its length, oldest first, until `go_on` says no.
fn forward(segments: &[PathBuf], span: &Span, mut go_on: impl FnMut(LogLine, usize) -> bool) {
    let first = |path: &PathBuf| Segment::open(path).ok().and_then(|segment| segment.first_moment());
    let later = segments.partition_point(|path| first(path).is_some_and(|first| first <= span.from));
    for path in &segments[later.saturating_sub(1)..] {
        // One that has just been removed had the oldest lines.
        let Ok(segment) = Segment::open(path) else { continue };
        let whole = segment.forward(span.from, |line| {
            let bytes = line.len();
            read(line).is_none_or(|line| line.nanos < span.to && go_on(line, bytes))
        });
        if !whole.unwrap_or(true) {
            return;
        }
    }
}

/// A line as it was written; one that a crash cut short can't be read, and one without its moment in its place was found
/// where it does not belong.
fn read(line: &[u8]) -> Option<LogLine> {
    moment(line)?;
    serde_json::from_slice(line).ok()
}

/// Lines for a reader of news: the first ones, and the last ones for the case that there are too many.
#[derive(Default)]
struct Gathered {
    limit: usize,
    first: Vec<LogLine>,
    first_bytes: usize,
    is_full: bool,
    last: VecDeque<LogLine>,
    last_bytes: usize,
    all: u64,
}

impl Gathered {
    fn take(&mut self, line: LogLine) {
        self.all += 1;
        let bytes = line.message.len();
        let fits = self.first.len() < self.limit && self.first_bytes + bytes <= NEWS_BYTES;
        if !self.is_full && (fits || self.first.is_empty()) {
            self.first_bytes += bytes;
            self.first.push(line);
            return;
        }
        self.is_full = true;
        self.last_bytes += bytes;
        self.last.push_back(line);
        while self.last.len() > self.limit || (self.last_bytes > NEWS_BYTES && self.last.len() > 1) {
            self.last_bytes -= self.last.pop_front().map_or(0, |line| line.message.len());
        }
    }

    fn into_news(self, read_to: i64) -> LogNews {
        let waiting = self.all - self.first.len() as u64;
        if waiting > BEHIND {
            let left_out = self.all - self.last.len() as u64;
            return LogNews { lines: self.last.into(), left_out, read_to, more: false };
        }
        let more = waiting > 0;
        let read_to = if more { self.first.last().map_or(read_to, |line| line.nanos) } else { read_to };
        LogNews { lines: self.first, left_out: 0, read_to, more }
    }
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
        let end = query.end.map_or(i64::MAX, nanos);
        Self { from: start.max(after), to: end.min(query.before_nanos.unwrap_or(i64::MAX)) }
    }
}

struct Filter<'a> {
    query: &'a LogQuery,
    pattern: Option<Regex>,
    /// The texts, where their case is ignored.
    includes: Vec<Regex>,
    excludes: Option<regex::RegexSet>,
}

impl<'a> Filter<'a> {
    fn new(query: &'a LogQuery) -> Result<Self, String> {
        let refused = |error: regex::Error| format!("`search_pattern` is no regular expression: {error}");
        let compiled = |text: &str| {
            RegexBuilder::new(text).case_insensitive(query.ignore_case).size_limit(PATTERN).build()
        };
        let pattern = query.search_pattern.as_deref().filter(|text| !text.is_empty()).map(compiled);
        let (mut includes, mut excludes) = (Vec::new(), None);
        if query.ignore_case {
            for text in &query.includes {
                includes.push(compiled(&regex::escape(text)).map_err(refused)?);
            }
            let texts = query.excludes.iter().map(|text| regex::escape(text));
            excludes = Some(RegexSetBuilder::new(texts).case_insensitive(true).build().map_err(refused)?);
        }
        Ok(Self { query, pattern: pattern.transpose().map_err(refused)?, includes, excludes })
    }

    fn takes(&self, line: &LogLine) -> bool {
        let query = self.query;
        let is_of = |id: &str| line.replica.as_ref().is_some_and(|replica| replica.as_str() == id);
        query.min_level.is_none_or(|least| line.level.is_some_and(|level| level >= least))
            && query.replica.as_deref().is_none_or(is_of)
            && query.request_id.as_deref().is_none_or(|id| line.request_id.as_deref() == Some(id))
            && query.component.is_none_or(|component| line.source == component)
            && self.texts_agree(&line.message)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(&line.message))
    }

    fn texts_agree(&self, message: &str) -> bool {
        match &self.excludes {
            Some(excludes) => {
                self.includes.iter().all(|text| text.is_match(message)) && !excludes.is_match(message)
            }
            None => {
                self.query.includes.iter().all(|text| message.contains(text))
                    && !self.query.excludes.iter().any(|text| message.contains(text))
            }
        }
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
    fn a_line_cut_short_by_a_crash_hides_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0");
        let text = [bytes(&[10, 20]), b"\n{\"nanos\":2\n\n".to_vec(), bytes(&[30, 40])].concat();
        std::fs::write(&path, text).unwrap();
        for (after, wanted) in [(0, 4), (10, 3), (20, 2), (30, 1), (40, 0)] {
            for ascending in [true, false] {
                let query = LogQuery { after_nanos: Some(after), ascending, ..LogQuery::default() };
                assert_eq!(
                    search(std::slice::from_ref(&path), &query, |_| true).unwrap().lines.len(),
                    wanted
                );
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
                let found: Vec<i64> = found.lines.iter().map(|line| line.nanos).collect();
                let mut wanted: Vec<i64> = all.iter().copied().filter(|nanos| *nanos > after).collect();
                if !ascending {
                    wanted.reverse();
                }
                wanted.truncate(limit);
                assert_eq!(found, wanted, "after {after}, {limit}, {ascending}");
            }
        }
    }

    #[test]
    fn a_search_that_stops_early_says_where_and_goes_on_there() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = ["0", "1", "2"].iter().map(|name| folder.path().join(name)).collect();
        for (path, moments) in paths.iter().zip([[10, 20, 30], [40, 50, 60], [70, 80, 90]]) {
            std::fs::write(path, bytes(&moments)).unwrap();
        }
        let matches = |line: &LogLine| line.nanos == 20 || line.nanos == 90;
        for (room, ascending) in [(1, true), (1, false), (250, true), (250, false), (10_000, true)] {
            let (mut asked, mut found) = (0, Vec::new());
            let all = LogQuery { ascending, ..LogQuery::default() };
            let mut query = Some(all.clone());
            while let Some(next) = query {
                let part = search_within(room, &paths, &next, matches).unwrap();
                asked += 1;
                query = part.rest(&next);
                found.extend(part.lines.into_iter().map(|line| line.nanos));
            }
            assert_eq!(found, if ascending { [20, 90] } else { [90, 20] }, "{room}");
            assert!(if room == 1 { asked == 10 } else { asked <= 6 }, "{asked} answers");
        }
        let one = LogQuery { limit: 1, ..LogQuery::default() };
        let enough = search_within(1, &paths, &one, |_| true).unwrap();
        assert_eq!((enough.lines.len(), enough.searched_to), (1, None), "as many as were asked for");
    }

    #[test]
    fn news_goes_on_where_it_stopped_and_leaves_out_what_is_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0");
        let write = |last: i64| std::fs::write(&path, bytes(&(1..=last).collect::<Vec<_>>())).unwrap();
        let ask = |after: i64, replica: Option<&str>| {
            let replica = replica.map(str::to_owned);
            let query = LogQuery { after_nanos: Some(after), limit: 10, replica, ..LogQuery::default() };
            news(std::slice::from_ref(&path), &query).unwrap()
        };
        let moments =
            |news: &LogNews| (news.lines[0].nanos, news.lines[news.lines.len() - 1].nanos, news.lines.len());
        write(25);
        let first = ask(0, None);
        assert_eq!((moments(&first), first.read_to, first.more), ((1, 10, 10), 10, true));
        let last = ask(20, None);
        assert_eq!((moments(&last), last.read_to, last.more), ((21, 25, 5), 25, false));
        let nothing = ask(25, None);
        assert_eq!(nothing, LogNews { read_to: 25, ..LogNews::default() });
        // What is not asked for has been looked at all the same.
        assert_eq!(ask(0, Some("other")), LogNews { read_to: 25, ..LogNews::default() });
        write(110_000);
        let behind = ask(5_000, None);
        assert_eq!((moments(&behind), behind.read_to), ((109_991, 110_000, 10), 110_000));
        assert_eq!(behind.left_out, 105_000 - 10);
    }

    #[test]
    fn case_is_ignored_where_it_is_asked() {
        let line = LogLine {
            nanos: 1,
            message: "Disk is FULL (100%)".into(),
            level: None,
            source: domain::LogSource::Replica,
            replica: None,
            request_id: None,
        };
        let takes = |text: &str| Filter::new(&LogQuery::default().searching(text)).unwrap().takes(&line);
        assert!(takes("disk full") && takes("(100%)") && takes("/disk.*full/") && takes("-empty"));
        assert!(!takes("disk empty") && !takes("-full"));
        let exactly = LogQuery { includes: vec!["disk".into()], ..LogQuery::default() };
        assert!(!Filter::new(&exactly).unwrap().takes(&line));
    }
}

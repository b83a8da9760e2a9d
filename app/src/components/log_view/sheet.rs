//! Lines with their heights, and which of them a window shows. Nothing here knows a browser.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::view::LogRow;

/// The lines that are here, oldest first, and how many rows of text each takes.
#[derive(Default)]
pub struct Sheet {
    lines: VecDeque<Arc<LogRow>>,
    /// Where each line ends, in rows counted from a beginning that stays when lines come or go in front.
    ends: VecDeque<i64>,
    /// Where the first line begins.
    begin: i64,
    /// Characters in a row; without it long lines go on to the side.
    columns: Option<usize>,
}

impl Sheet {
    pub fn of(lines: Vec<LogRow>) -> Self {
        let mut sheet = Self::default();
        sheet.append(lines);
        sheet
    }

    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn rows(&self) -> i64 {
        self.ends.back().map_or(0, |end| end - self.begin)
    }

    /// The name of the oldest line.
    pub fn first_id(&self) -> Option<&str> {
        self.lines.front().map(|line| line.id.as_str())
    }

    /// Adds newer lines. Of several logs, lines of one may come after later ones of another; they go where they belong.
    pub fn append(&mut self, lines: Vec<LogRow>) {
        let mut new: Vec<Arc<LogRow>> = lines.into_iter().map(Arc::new).collect();
        let (came, first) = (new.len(), new.first().map_or(i64::MAX, |line| line.nanos()));
        while self.lines.back().is_some_and(|line| line.nanos() > first) {
            self.ends.pop_back();
            new.extend(self.lines.pop_back());
        }
        if new.len() > came {
            new.sort_by_key(|line| line.nanos());
        }
        for line in new {
            let end = self.ends.back().copied().unwrap_or(self.begin);
            self.ends.push_back(end + height(&line.message, self.columns));
            self.lines.push_back(line);
        }
    }

    /// Adds older lines; answers their rows.
    pub fn prepend(&mut self, lines: Vec<LogRow>) -> i64 {
        let before = self.begin;
        for line in lines.into_iter().rev() {
            self.ends.push_front(self.begin);
            self.begin -= height(&line.message, self.columns);
            self.lines.push_front(Arc::new(line));
        }
        before - self.begin
    }

    /// Lets go of the oldest lines beyond `kept`; answers their rows.
    pub fn forget(&mut self, kept: usize) -> i64 {
        let before = self.begin;
        while self.lines.len() > kept {
            self.lines.pop_front();
            self.begin = self.ends.pop_front().unwrap_or(self.begin);
        }
        self.begin - before
    }

    /// Takes another width; false if it is the same.
    pub fn wrap(&mut self, columns: Option<usize>) -> bool {
        if self.columns == columns {
            return false;
        }
        self.columns = columns;
        let mut end = self.begin;
        for (line, place) in self.lines.iter().zip(self.ends.iter_mut()) {
            end += height(&line.message, columns);
            *place = end;
        }
        true
    }

    /// The lines that have a part between these rows.
    pub fn between(&self, from: i64, to: i64) -> Range<usize> {
        let first = self.ends.partition_point(|end| end - self.begin <= from);
        let beyond = self.ends.partition_point(|end| end - self.begin < to);
        first..(beyond + 1).min(self.lines.len()).max(first)
    }

    /// The row at which a line begins.
    pub fn top_of(&self, index: usize) -> i64 {
        if index == 0 { 0 } else { self.ends.get(index - 1).map_or(self.rows(), |end| end - self.begin) }
    }

    pub fn lines(&self, range: Range<usize>) -> Vec<Arc<LogRow>> {
        self.lines.range(range).cloned().collect()
    }
}

/// Rows that a message takes.
fn height(message: &str, columns: Option<usize>) -> i64 {
    let rows = |line: &str| match columns {
        Some(columns) => width(line).div_ceil(columns.max(1)).max(1),
        None => 1,
    };
    message.split('\n').map(rows).sum::<usize>() as i64
}

/// Columns that a text takes: a tab goes to the next fourth one, and signs as wide as they are high take two.
fn width(line: &str) -> usize {
    if line.is_ascii() && !line.contains('\t') {
        return line.len();
    }
    line.chars().fold(0, |width, c| match c {
        '\t' => width + 4 - width % 4,
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => width,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => width + 2,
        _ => width + 1,
    })
}

#[cfg(test)]
mod tests {
    use domain::{LogSource, Timestamp};

    use super::*;

    fn line(number: usize, message: &str) -> LogRow {
        LogRow {
            id: number.to_string(),
            at: Timestamp::default(),
            level: None,
            source: LogSource::Replica,
            replica: None,
            request_id: None,
            message: message.into(),
            deployment: None,
        }
    }

    fn lines(numbers: Range<usize>) -> Vec<LogRow> {
        numbers.map(|number| line(number, "x")).collect()
    }

    fn ids(sheet: &Sheet, from: i64, to: i64) -> Vec<String> {
        sheet.lines(sheet.between(from, to)).iter().map(|line| line.id.clone()).collect()
    }

    #[test]
    fn a_window_shows_what_is_in_it() {
        let mut sheet = Sheet::of(lines(0..10));
        assert_eq!(ids(&sheet, 2, 5), ["2", "3", "4"]);
        assert_eq!(ids(&sheet, 8, 99), ["8", "9"]);
        assert_eq!(ids(&sheet, 99, 120), Vec::<String>::new());
        assert_eq!((sheet.rows(), sheet.top_of(3), sheet.top_of(10)), (10, 3, 10));
        sheet.append(vec![line(10, "three\nrows\nhigh"), line(11, "x")]);
        assert_eq!(ids(&sheet, 11, 12), ["10"]);
        assert_eq!((sheet.top_of(11), sheet.rows()), (13, 14));
    }

    #[test]
    fn lines_come_and_go_in_front() {
        let mut sheet = Sheet::of(lines(10..20));
        assert_eq!(sheet.prepend(vec![line(8, "a\nb"), line(9, "x")]), 3);
        assert_eq!((ids(&sheet, 0, 3), sheet.first_id()), (vec!["8".to_owned(), "9".to_owned()], Some("8")));
        assert_eq!(sheet.top_of(2), 3);
        assert_eq!((sheet.forget(11), sheet.len(), sheet.rows()), (2, 11, 11));
        assert_eq!(ids(&sheet, 0, 2), ["9", "10"]);
    }

    #[test]
    fn a_line_that_comes_late_goes_where_it_belongs() {
        let mut sheet = Sheet::of(lines(0..3));
        sheet.append(vec![line(5, "two\nrows"), line(8, "x")]);
        sheet.append(vec![line(4, "x"), line(7, "three\nrows\nhigh"), line(9, "x")]);
        assert_eq!(ids(&sheet, 0, 99), ["0", "1", "2", "4", "5", "7", "8", "9"]);
        assert_eq!((sheet.top_of(4), sheet.top_of(5), sheet.top_of(6), sheet.rows()), (4, 6, 9, 11));
    }

    #[test]
    fn long_lines_take_as_many_rows_as_they_need() {
        let mut sheet = Sheet::of(vec![line(0, &"x".repeat(25)), line(1, ""), line(2, "ab\n0123456789")]);
        assert_eq!(sheet.rows(), 4);
        assert!(sheet.wrap(Some(10)));
        assert_eq!((sheet.top_of(1), sheet.top_of(2), sheet.rows()), (3, 4, 6));
        assert!(!sheet.wrap(Some(10)));
        assert!(sheet.wrap(None) && sheet.rows() == 4);
    }

    #[test]
    fn wide_signs_and_tabs_are_counted() {
        assert_eq!((width("ab\tc"), width("日本"), width("e\u{301}")), (5, 4, 1));
    }

    #[test]
    fn a_hundred_thousand_lines_are_placed_in_a_moment() {
        let mut sheet = Sheet::of(lines(0..100_000));
        sheet.wrap(Some(80));
        assert_eq!(ids(&sheet, 99_990, 99_992), ["99990", "99991"]);
        assert_eq!(sheet.forget(50_000), 50_000);
        assert_eq!(ids(&sheet, 0, 1), ["50000"]);
    }
}

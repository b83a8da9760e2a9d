//! Logs in files: segments of one JSON line each, appended, bounded, read backwards.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use domain::{Clock, DeploymentId, LogFound, LogLine, LogNews, LogQuery, LogSource, RuntimeError, Timestamp};

use crate::files::{Files, make_private};
use crate::news::News;
use crate::parse::Parsed;
use crate::search::{Span, news, search};

/// A segment is closed beyond this many bytes.
const SEGMENT: u64 = 8 << 20;
/// The oldest segments go beyond this many of a deployment.
const SEGMENTS: usize = 8;

/// The logs of all deployments.
pub(crate) struct Logs {
    files: Files,
    clock: Arc<dyn Clock>,
    open: Mutex<HashMap<DeploymentId, Arc<Mutex<Log>>>>,
    news: News,
}

struct Log {
    folder: PathBuf,
    file: File,
    number: u64,
    size: u64,
    last_nanos: i64,
}

impl Logs {
    pub fn new(files: Files, clock: Arc<dyn Clock>) -> Self {
        Self { files, clock, open: Mutex::default(), news: News::default() }
    }

    /// Appends lines. A full disk loses lines of the log and nothing else.
    pub fn append(&self, deployment: &DeploymentId, lines: impl IntoIterator<Item = Parsed>) {
        let log = match self.log(deployment) {
            Ok(log) => log,
            Err(error) => {
                tracing::warn!(%deployment, %error, "could not open a deployment's log; lines are lost");
                return;
            }
        };
        let now = self.clock.now().millis().saturating_mul(1_000_000);
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        match log.append(lines, now) {
            Ok(()) => self.news.tell(deployment, log.last_nanos),
            Err(error) => {
                tracing::warn!(%deployment, %error, "could not write a deployment's log; lines are lost")
            }
        }
    }

    /// Waits until something is written after the query's moment, and answers what it asks for of that.
    pub async fn follow(
        self: Arc<Self>,
        deployment: &DeploymentId,
        query: &LogQuery,
    ) -> Result<LogNews, RuntimeError> {
        let after = query.after_nanos.unwrap_or_default();
        let mut written = self.news.listen(deployment);
        loop {
            // What is written while we read is told afterwards.
            written.mark_unchanged();
            let (logs, of, query) = (self.clone(), deployment.clone(), query.clone());
            let read = tokio::task::spawn_blocking(move || news(&logs.paths(&of), &query));
            let read = read.await.map_err(|error| RuntimeError::Retryable(error.to_string()))?;
            let found = read.map_err(RuntimeError::Refused)?;
            if found.read_to > after {
                return Ok(found);
            }
            if written.changed().await.is_err() {
                return Ok(LogNews { read_to: after, ..LogNews::default() });
            }
        }
    }

    fn log(&self, deployment: &DeploymentId) -> io::Result<Arc<Mutex<Log>>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = open.get(deployment) {
            return Ok(log.clone());
        }
        let log = Arc::new(Mutex::new(Log::open(self.files.logs(deployment))?));
        open.insert(deployment.clone(), log.clone());
        Ok(log)
    }

    /// Removes segments whose newest line is older than `before`. A deployment without a log is fine.
    pub fn expire(&self, deployment: &DeploymentId, before: Timestamp) -> io::Result<()> {
        if !self.files.logs(deployment).is_dir() {
            return Ok(());
        }
        let log = self.log(deployment)?;
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.expire(before.millis().saturating_mul(1_000_000))
    }

    pub fn forget(&self, deployment: &DeploymentId) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(deployment);
        self.news.forget(deployment);
    }

    /// Lines that a question asks for; `Err` is a sentence about its pattern.
    pub fn read(&self, deployment: &DeploymentId, query: &LogQuery) -> Result<LogFound, String> {
        if query.ascending && self.newest(deployment).is_some_and(|newest| Span::of(query).from > newest) {
            // Only the pattern is looked at.
            return search(&[], query, |_| true);
        }
        search(&self.paths(deployment), query, |_| true)
    }

    /// The last messages that replicas wrote, oldest first.
    pub fn last_of_replicas(&self, deployment: &DeploymentId, lines: usize) -> Vec<String> {
        let query = LogQuery { limit: lines.clamp(1, 1000), ..LogQuery::default() };
        let found = search(&self.paths(deployment), &query, |line| line.source == LogSource::Replica);
        found.unwrap_or_default().lines.into_iter().rev().map(|line| line.message).collect()
    }

    fn paths(&self, deployment: &DeploymentId) -> Vec<PathBuf> {
        let found = segments(&self.files.logs(deployment)).unwrap_or_default();
        found.into_iter().map(|(_, path)| path).collect()
    }

    /// The moment of the newest line, where it is known without reading.
    fn newest(&self, deployment: &DeploymentId) -> Option<i64> {
        let log = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(deployment).cloned()?;
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        Some(log.last_nanos)
    }
}

impl Log {
    fn open(folder: PathBuf) -> io::Result<Self> {
        make_private(&folder)?;
        let (number, path) = segments(&folder)?.pop().unwrap_or_else(|| (0, folder.join(name(0))));
        let last_nanos = newest(&path);
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        let mut size = file.metadata()?.len();
        if size > 0 && !ends_whole(&path)? {
            // A line that a crash cut short ends here.
            file.write_all(b"\n")?;
            size += 1;
        }
        Ok(Self { folder, file, number, size, last_nanos })
    }

    fn append(&mut self, lines: impl IntoIterator<Item = Parsed>, now: i64) -> io::Result<()> {
        let mut text = Vec::new();
        for parsed in lines {
            // Two lines never share a moment, so a moment names a line.
            self.last_nanos = now.max(self.last_nanos + 1);
            let line = LogLine {
                nanos: self.last_nanos,
                message: parsed.message,
                level: parsed.level,
                source: parsed.source,
                replica: parsed.replica,
                request_id: parsed.request_id,
            };
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        if text.is_empty() {
            return Ok(());
        }
        if self.size > 0 && self.size + text.len() as u64 > SEGMENT {
            self.rotate()?;
        }
        if let Err(error) = self.file.write_all(&text) {
            // What a full disk took of a line would run into the next one.
            self.file.set_len(self.size)?;
            return Err(error);
        }
        self.size += text.len() as u64;
        Ok(())
    }

    fn expire(&mut self, before: i64) -> io::Result<()> {
        if self.size > 0 && self.last_nanos < before {
            self.rotate()?;
        }
        for (number, path) in segments(&self.folder)? {
            if number < self.number && newest(&path) < before {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.number += 1;
        self.file = OpenOptions::new().create(true).append(true).open(self.folder.join(name(self.number)))?;
        self.size = 0;
        let all = segments(&self.folder)?;
        for (_, path) in all.iter().take(all.len().saturating_sub(SEGMENTS)) {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// The moment of a segment's newest line; 0 if it has none.
fn newest(path: &PathBuf) -> i64 {
    let last = LogQuery { limit: 1, ..LogQuery::default() };
    let found = search(std::slice::from_ref(path), &last, |_| true).unwrap_or_default();
    found.lines.first().map_or(0, |line| line.nanos)
}

/// Whether a file's last line has its end.
fn ends_whole(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn name(number: u64) -> String {
    format!("{number:08}.jsonl")
}

/// Segments by age, oldest first.
fn segments(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found: Vec<(u64, PathBuf)> = std::fs::read_dir(folder)?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_suffix(".jsonl")?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use domain::{LogLevel, ManualClock};

    use super::*;

    fn logs(folder: &Path) -> Logs {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_000)));
        Logs::new(Files::new(folder).unwrap(), clock)
    }

    fn line(message: &str) -> Parsed {
        Parsed::plain(LogSource::Platform, Some(LogLevel::Info), message)
    }

    fn messages(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.message.as_str()).collect()
    }

    #[test]
    fn lines_are_found_newest_first_and_followed_oldest_first() {
        let folder = tempfile::tempdir().unwrap();
        let logs = logs(folder.path());
        let id = DeploymentId::new("d");
        logs.append(&id, ["one", "two", "three"].map(line));
        let newest = logs.read(&id, &LogQuery { limit: 2, ..LogQuery::default() }).unwrap().lines;
        assert_eq!(messages(&newest), ["three", "two"]);
        let after = Some(newest[1].nanos - 1);
        let followed = logs
            .read(&id, &LogQuery { after_nanos: after, ascending: true, ..LogQuery::default() })
            .unwrap()
            .lines;
        assert_eq!(messages(&followed), ["two", "three"]);
    }

    #[test]
    fn moments_stay_unique_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let id = DeploymentId::new("d");
        logs(folder.path()).append(&id, [line("before")]);
        let logs = logs(folder.path());
        logs.append(&id, [line("after")]);
        let all = logs.read(&id, &LogQuery { ascending: true, ..LogQuery::default() }).unwrap().lines;
        assert!(all[0].nanos < all[1].nanos);
    }

    #[test]
    fn filters_hold_together() {
        let folder = tempfile::tempdir().unwrap();
        let logs = logs(folder.path());
        let id = DeploymentId::new("d");
        let mut error = line("disk failed 42");
        error.level = Some(LogLevel::Error);
        let mut plain = line("disk is fine");
        plain.level = None;
        logs.append(&id, [error, plain, line("net failed 7")]);
        let ask = |query: LogQuery| logs.read(&id, &query).map(|found| found.lines.len());
        let query = LogQuery::default;
        assert_eq!(ask(LogQuery { min_level: Some(LogLevel::Info), ..query() }), Ok(2));
        assert_eq!(ask(LogQuery { search_pattern: Some(r"failed \d\d$".into()), ..query() }), Ok(1));
        assert_eq!(
            ask(LogQuery { includes: vec!["failed".into()], excludes: vec!["net".into()], ..query() }),
            Ok(1)
        );
        assert_eq!(ask(LogQuery { start: Some(Timestamp::from_millis(2_000)), ..query() }), Ok(0));
        assert_eq!(ask(LogQuery { component: Some(LogSource::Platform), ..query() }), Ok(3));
        assert_eq!(ask(LogQuery { component: Some(LogSource::Build), ..query() }), Ok(0));
        assert!(ask(LogQuery { search_pattern: Some("(".into()), ..query() }).is_err());
    }

    #[test]
    fn the_disk_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let logs = logs(folder.path());
        let id = DeploymentId::new("d");
        let big = "x".repeat(15_000);
        for _ in 0..700 {
            logs.append(&id, std::iter::repeat_n(line(&big), 10));
        }
        let size = crate::files::size(&folder.path().join("logs"));
        assert!(size <= SEGMENT * (SEGMENTS as u64 + 1), "{size}");
        assert_eq!(logs.read(&id, &LogQuery::default()).unwrap().lines.len(), 500);
    }

    #[test]
    fn lines_go_when_they_are_too_old() {
        let temp = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(1_000)));
        let logs = Logs::new(Files::new(temp.path()).unwrap(), clock.clone());
        let id = DeploymentId::new("d1");
        logs.expire(&id, Timestamp::from_millis(9_000)).unwrap();
        assert!(!temp.path().join("logs/d1").exists(), "a question makes no log");
        logs.append(&id, [line("old")]);
        logs.expire(&id, Timestamp::from_millis(1_000)).unwrap();
        let all = || logs.read(&id, &LogQuery { ascending: true, ..LogQuery::default() }).unwrap();
        assert_eq!(messages(&all().lines), ["old"], "as old as that is not older");
        clock.set(Timestamp::from_millis(5_000));
        logs.expire(&id, Timestamp::from_millis(2_000)).unwrap();
        logs.append(&id, [line("new")]);
        assert_eq!(messages(&all().lines), ["new"]);
        logs.expire(&id, Timestamp::from_millis(2_000)).unwrap();
        assert_eq!(messages(&all().lines), ["new"]);
    }

    #[tokio::test]
    async fn who_follows_hears_at_once_and_each_line_once() {
        let temp = tempfile::tempdir().unwrap();
        let logs = Arc::new(logs(temp.path()));
        let id = DeploymentId::new("d");
        let mut heard = Vec::new();
        let mut query = LogQuery { after_nanos: Some(0), limit: 2, ..LogQuery::default() };
        // A log that does not exist yet can be followed.
        for wave in ["one", "two", "three"] {
            let following = logs.clone().follow(&id, &query);
            let writing = async {
                tokio::task::yield_now().await;
                logs.append(&id, (0..3).map(|n| line(&format!("{wave} {n}"))));
            };
            let (found, ()) = tokio::join!(following, writing);
            let mut found = found.unwrap();
            loop {
                query.after_nanos = Some(found.read_to);
                heard.extend(found.lines.into_iter().map(|line| line.message));
                if !found.more {
                    break;
                }
                found = logs.clone().follow(&id, &query).await.unwrap();
            }
        }
        let wanted: Vec<String> = ["one", "two", "three"]
            .iter()
            .flat_map(|wave| (0..3).map(move |n| format!("{wave} {n}")))
            .collect();
        assert_eq!(heard, wanted);
        // A log that is deleted lets go of who follows it.
        let following = logs.clone().follow(&id, &query);
        let (gone, ()) = tokio::join!(following, async {
            tokio::task::yield_now().await;
            logs.forget(&id);
        });
        assert_eq!(gone.unwrap().lines.len(), 0);
    }
}

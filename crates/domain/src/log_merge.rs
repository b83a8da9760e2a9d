//! Several logs as one (semantics: Logs).

use crate::{DeploymentId, EnvironmentLogFound, LogFound, LogLine, LogQuery};

/// Searches several logs with one question, one after the other: each is asked only for what can still be in the answer.
#[derive(Debug)]
pub struct LogMerge {
    asked: LogQuery,
    lines: Vec<(DeploymentId, LogLine)>,
    /// The first moment, in the order that was asked for, after which a search stopped early.
    stopped: Option<i64>,
}

impl LogMerge {
    pub fn new(query: &LogQuery) -> Self {
        Self { asked: query.clone(), lines: Vec::new(), stopped: None }
    }

    /// What to ask of the next log.
    pub fn query(&self) -> &LogQuery {
        &self.asked
    }

    /// Takes what a log answered to [`LogMerge::query`].
    pub fn add(&mut self, deployment: &DeploymentId, found: LogFound) {
        self.lines.extend(found.lines.into_iter().map(|line| (deployment.clone(), line)));
        if let Some(at) = found.searched_to {
            self.stop(at);
        }
        // Two logs may share a moment; then it is the deployment that decides.
        self.lines.sort_by(|(a_id, a), (b_id, b)| (a.nanos, a_id).cmp(&(b.nanos, b_id)));
        if !self.asked.ascending {
            self.lines.reverse();
        }
        self.lines.truncate(self.asked.limit);
        let enough = self.lines.len() == self.asked.limit;
        if let Some(last) = self.lines.last().filter(|_| enough).map(|(_, line)| line.nanos) {
            self.narrow(last);
        }
    }

    /// Leaves what lies beyond this moment, in the order that was asked for, to the next question: not every log was asked.
    pub fn stop(&mut self, at: i64) {
        let nearer = |known: i64| if self.asked.ascending { known.min(at) } else { known.max(at) };
        self.stopped = Some(self.stopped.map_or(at, nearer));
        self.narrow(at);
    }

    /// What all of them answered.
    pub fn found(self) -> EnvironmentLogFound {
        let enough = self.lines.len() >= self.asked.limit;
        EnvironmentLogFound { lines: self.lines, searched_to: self.stopped.filter(|_| !enough) }
    }

    /// Nothing beyond this moment, which is itself within, is in the answer any more.
    fn narrow(&mut self, at: i64) {
        if self.asked.ascending {
            let before = at.saturating_add(1);
            self.asked.before_nanos = Some(self.asked.before_nanos.map_or(before, |known| known.min(before)));
            self.lines.retain(|(_, line)| line.nanos <= at);
        } else {
            let after = at.saturating_sub(1);
            self.asked.after_nanos = Some(self.asked.after_nanos.map_or(after, |known| known.max(after)));
            self.lines.retain(|(_, line)| line.nanos >= at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attachment, LogSource, Timestamp, in_reading_order};

    /// Answers as a log does that looks at `room` lines at once.
    fn search(log: &[i64], query: &LogQuery, room: usize) -> LogFound {
        let mut lines: Vec<i64> = log
            .iter()
            .copied()
            .filter(|nanos| query.after_nanos.is_none_or(|after| *nanos > after))
            .filter(|nanos| query.before_nanos.is_none_or(|before| *nanos < before))
            .collect();
        if !query.ascending {
            lines.reverse();
        }
        let stops = lines.len() > room && room < query.limit;
        lines.truncate(room.min(query.limit));
        let searched_to = lines.last().copied().filter(|_| stops);
        LogFound { lines: lines.into_iter().map(line).collect(), searched_to }
    }

    fn line(nanos: i64) -> LogLine {
        LogLine {
            nanos,
            message: String::new(),
            level: None,
            source: LogSource::Replica,
            replica: None,
            request_id: None,
        }
    }

    #[test]
    fn lines_of_several_logs_are_one_log_in_either_direction() {
        let logs: [(&str, Vec<i64>); 3] = [
            ("a", (0..40).map(|n| n * 10).collect()),
            ("b", (0..90).map(|n| 200 + n).collect()),
            ("c", vec![5, 210, 600]),
        ];
        let mut whole: Vec<(i64, DeploymentId)> = logs
            .iter()
            .flat_map(|(id, log)| log.iter().map(move |nanos| (*nanos, DeploymentId::new(*id))))
            .collect();
        whole.sort();
        for (ascending, room, limit) in [false, true].into_iter().flat_map(|ascending| {
            [(ascending, 1000, 1000), (ascending, 7, 1000), (ascending, 7, 20), (ascending, 1000, 20)]
        }) {
            let mut wanted = whole.clone();
            if !ascending {
                wanted.reverse();
            }
            wanted.truncate(limit);
            let mut query = LogQuery { ascending, limit, ..LogQuery::default() };
            let mut seen = Vec::new();
            loop {
                let mut merge = LogMerge::new(&query);
                for (id, log) in &logs {
                    let found = search(log, merge.query(), room);
                    merge.add(&DeploymentId::new(*id), found);
                }
                let found = merge.found();
                let next = found.searched_to.map(|to| query.beyond(to, found.lines.len()));
                seen.extend(found.lines.into_iter().map(|(id, line)| (line.nanos, id)));
                match next {
                    Some(next) => query = next,
                    None => break,
                }
            }
            assert_eq!(seen, wanted, "{ascending} {room} {limit}");
        }
    }

    #[test]
    fn a_search_without_time_left_stops_between_logs_and_goes_on_there() {
        let one = |id: &str, from: i64, to: Option<i64>| Attachment {
            deployment: DeploymentId::new(id),
            from: Timestamp::from_millis(from * 1000),
            to: to.map(|to| Timestamp::from_millis(to * 1000)),
        };
        let newest_first =
            vec![one("d", 60, None), one("c", 40, Some(50)), one("b", 20, Some(70)), one("a", 0, Some(20))];
        // A line each second that it was attached.
        let log = |one: &Attachment| -> Vec<i64> {
            let to = one.to.map_or(90_000, Timestamp::millis);
            (one.from.millis() / 1000..to / 1000).map(|second| second * 1_000_000_000).collect()
        };
        let mut whole: Vec<(i64, DeploymentId)> = newest_first
            .iter()
            .flat_map(|one| log(one).into_iter().map(move |nanos| (nanos, one.deployment.clone())))
            .collect();
        whole.sort();
        for ascending in [true, false] {
            let mut query = LogQuery { ascending, limit: 1000, ..LogQuery::default() };
            let order = in_reading_order(newest_first.clone(), &query);
            let (mut seen, mut answers) = (Vec::new(), 0);
            loop {
                let mut merge = LogMerge::new(&query);
                for one in &order {
                    // There is never any time left.
                    if let Some(at) = one.answered_before(&query) {
                        merge.stop(at);
                        break;
                    }
                    let found = search(&log(one), &one.within(merge.query()), 1000);
                    merge.add(&one.deployment, found);
                }
                let found = merge.found();
                let next = found.searched_to.map(|to| query.beyond(to, found.lines.len()));
                seen.extend(found.lines.into_iter().map(|(id, line)| (line.nanos, id)));
                answers += 1;
                match next {
                    Some(next) => query = next,
                    None => break,
                }
            }
            assert_eq!(seen, whole, "ascending: {ascending}");
            assert!((3..=5).contains(&answers), "{answers} answers");
            whole.reverse();
        }
    }
}

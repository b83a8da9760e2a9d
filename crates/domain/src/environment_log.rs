//! The log of an environment: whose lines it has, and those of several logs as one (semantics: Logs).

use std::cmp::Reverse;

use crate::{DeploymentId, Environment, LogFound, LogLine, LogQuery, Promotion, Timestamp};

/// The deployments that were an environment's own between two moments, both included: what served it, and both sides of
/// every promotion that ran, whether traffic came to them or not. Each once; what served last first.
///
/// `promotions` are those that began in between, the last one before and the first one after, in any order.
pub fn attached_within(
    environment: &Environment,
    promotions: &[Promotion],
    start: Timestamp,
    end: Timestamp,
) -> Vec<DeploymentId> {
    if end < environment.created_at {
        return Vec::new();
    }
    // An environment of the same name may have been here before, and is another one.
    let own = promotions.iter().filter(|promotion| promotion.started_at >= environment.created_at);
    let (later, mut ran): (Vec<_>, Vec<_>) = own.partition(|promotion| promotion.started_at > end);
    ran.retain(|promotion| promotion.ended_at.is_none_or(|ended| ended >= start));
    ran.sort_by_key(|promotion| Reverse(promotion.started_at));
    // The first promotion that began later knows what served until then.
    let served = match later.into_iter().min_by_key(|promotion| promotion.started_at) {
        Some(next) => next.previous.as_ref(),
        None => environment.current.as_ref(),
    };
    let sides = ran
        .into_iter()
        .flat_map(|promotion| std::iter::once(&promotion.candidate).chain(promotion.previous.as_ref()));
    let mut attached: Vec<DeploymentId> = Vec::new();
    for id in served.into_iter().chain(sides) {
        if !attached.contains(id) {
            attached.push(id.clone());
        }
    }
    attached
}

/// What a search of an environment's log came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EnvironmentLogFound {
    /// In the order that was asked for, each with the deployment whose log it is of.
    pub lines: Vec<(DeploymentId, LogLine)>,
    /// As [`LogFound::searched_to`]: every log was looked at as far as this.
    pub searched_to: Option<i64>,
}

/// Searches several logs with one question, one after the other: each is asked only for what can still be in the answer.
#[derive(Debug)]
pub struct LogMerge {
    asked: LogQuery,
    lines: Vec<(DeploymentId, LogLine)>,
    /// The first line, in the order that was asked for, after which a search stopped early.
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
            self.stopped = Some(at);
            self.narrow(at);
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
    use crate::{
        CleanupStrategy, EnvironmentName, LogSource, ModelId, Phase, Position, PromotionId, Strategy,
    };

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn promotion(candidate: &str, previous: Option<&str>, began: i64, ended: Option<i64>) -> Promotion {
        Promotion {
            id: PromotionId::new(candidate),
            model: ModelId::new("model"),
            environment: EnvironmentName::production(),
            candidate: DeploymentId::new(candidate),
            previous: previous.map(DeploymentId::new),
            strategy: Strategy::Direct,
            cleanup: CleanupStrategy::Keep,
            phase: if ended.is_some() { Phase::Succeeded } else { Phase::RampingUp },
            position: Position::default(),
            counted_at: at(began),
            started_at: at(began),
            started_by: "ada".into(),
            gate_passed_at: None,
            ended_at: ended.map(at),
            gate_deadline: at(began),
            total: 0,
            previous_floor: 0,
            stop_on_errors: true,
            evidence: Default::default(),
            hold: None,
            candidate_down_since: None,
            signal: None,
            signal_by: None,
            signal_at: None,
            paused_at: None,
            failing: None,
            reason: None,
            version: 0,
            settings_update: None,
        }
    }

    #[test]
    fn a_window_has_what_served_in_it_and_the_candidates_of_its_time() {
        let mut environment = Environment::new(ModelId::new("model"), EnvironmentName::production(), at(0));
        environment.current = Some(DeploymentId::new("c"));
        let promotions = [
            // Of an environment of this name that was here before.
            promotion("x", None, -50, Some(-40)),
            promotion("a", None, 10, Some(20)),
            promotion("b", Some("a"), 100, Some(200)),
            promotion("c", Some("b"), 300, Some(400)),
            promotion("d", Some("c"), 500, None),
        ];
        let attached = |start: i64, end: i64| -> Vec<String> {
            let all = attached_within(&environment, &promotions, at(start), at(end));
            all.iter().map(ToString::to_string).collect()
        };
        assert_eq!(attached(450, 460), ["c"], "between two promotions, what the one has brought");
        assert_eq!(attached(600, 700), ["c", "d"], "while a canary runs, both sides");
        assert_eq!(attached(150, 160), ["b", "a"]);
        assert_eq!(attached(250, 260), ["b"], "what served then, and not what does now");
        assert_eq!(attached(390, 600), ["c", "d", "b"]);
        assert_eq!(attached(-100, 5), [""; 0], "nothing served yet");
        assert_eq!(attached(-100, -10), [""; 0], "it was not there yet");
        assert_eq!(attached(-100, 1000), ["c", "d", "b", "a"], "each once");
        environment.current = Some(DeploymentId::new("first"));
        assert_eq!(attached_within(&environment, &[], at(0), at(9)), [DeploymentId::new("first")]);
    }

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
        let line = |nanos| LogLine {
            nanos,
            message: String::new(),
            level: None,
            source: LogSource::Replica,
            replica: None,
            request_id: None,
        };
        LogFound { lines: lines.into_iter().map(line).collect(), searched_to }
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
}

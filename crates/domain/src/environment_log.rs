//! The log of an environment: whose lines it has, and those of several logs as one (semantics: Logs).

use std::cmp::Reverse;

use crate::{
    Attachment, DeploymentId, Environment, LogLine, LogNews, LogPlaces, LogQuery, Promotion, Timestamp,
    attachments, served_first,
};

/// Which deployments were an environment's own between two moments, both included, and when: what served it, and both sides of
/// every promotion that ran, whether traffic came to them or not. What came last is first.
///
/// What served before all promotions ([`served_first_until`]) counts from when it was `given` the environment, if it was, and
/// otherwise from the environment's beginning: nothing else was there.
/// `promotions` are those that began in between, the last one before and the first one after, in any order.
pub fn attached_within(
    environment: &Environment,
    promotions: &[Promotion],
    given: Option<Timestamp>,
    start: Timestamp,
    end: Timestamp,
) -> Vec<Attachment> {
    let (by_then, ran) = until(environment, promotions, end);
    let first_from = given.unwrap_or(environment.created_at).max(environment.created_at);
    let mut attached = attachments(&by_then, &ran, Some(first_from), start);
    attached.retain(|one| one.from <= end);
    attached.sort_by_key(|one| Reverse(one.from));
    attached
}

/// What served an environment before any of these promotions succeeded, as far as that was by `end`; `promotions` are as for
/// [`attached_within`].
pub fn served_first_until(
    environment: &Environment,
    promotions: &[Promotion],
    end: Timestamp,
) -> Option<DeploymentId> {
    let (by_then, ran) = until(environment, promotions, end);
    served_first(&by_then, &ran).cloned()
}

/// An environment as it was at `end`, and the promotions that had begun by then.
fn until(
    environment: &Environment,
    promotions: &[Promotion],
    end: Timestamp,
) -> (Environment, Vec<Promotion>) {
    let (later, ran): (Vec<Promotion>, Vec<Promotion>) =
        promotions.iter().cloned().partition(|promotion| promotion.started_at > end);
    let mut by_then = environment.clone();
    // The first promotion that began later knows what served until then.
    if let Some(next) = later.into_iter().min_by_key(|promotion| promotion.started_at) {
        by_then.current = next.previous;
    }
    (by_then, ran)
}

/// The order in which to ask logs for lines: that of the answer, by the moment from which each can have any. What the first ones
/// have narrows what is asked of the rest.
pub fn in_reading_order(mut newest_first: Vec<Attachment>, query: &LogQuery) -> Vec<Attachment> {
    if query.ascending {
        newest_first.reverse();
    } else {
        newest_first.sort_by_key(|one| Reverse(one.to.map_or(i64::MAX, Timestamp::millis)));
    }
    newest_first
}

/// Nanoseconds that an answer has to bring who asks on: more than is lost where a moment is rounded to milliseconds.
const PROGRESS: i64 = 1_000_000_000;

impl Attachment {
    /// The same question of this deployment's log, for this time alone.
    pub fn within(&self, query: &LogQuery) -> LogQuery {
        let before_it = nanos(self.from).saturating_sub(1);
        LogQuery {
            after_nanos: query.after_nanos.max(Some(before_it)),
            before_nanos: query.before_nanos.into_iter().chain(self.to.map(nanos)).min(),
            ..query.clone()
        }
    }

    /// How far a question is answered, that moment included, once all logs that come before this one [`in_reading_order`] were
    /// asked; nothing if that is hardly farther than where the question begins.
    pub fn answered_before(&self, query: &LogQuery) -> Option<i64> {
        if query.ascending {
            let last = nanos(self.from).saturating_sub(1);
            let begin = query.after_nanos.into_iter().chain(query.start.map(nanos)).max();
            return begin.is_none_or(|begin| last > begin.saturating_add(PROGRESS)).then_some(last);
        }
        let last = nanos(self.to?);
        let begin = query.before_nanos.into_iter().chain(query.end.map(nanos)).min();
        begin.is_none_or(|begin| last < begin.saturating_sub(PROGRESS)).then_some(last)
    }
}

/// Nanoseconds since 1970, as lines are named by.
pub(crate) fn nanos(at: Timestamp) -> i64 {
    at.millis().saturating_mul(1_000_000)
}

/// What a search of an environment's log came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EnvironmentLogFound {
    /// In the order that was asked for, each with the deployment whose log it is of.
    pub lines: Vec<(DeploymentId, LogLine)>,
    /// As [`crate::LogFound::searched_to`]: every log was looked at as far as this.
    pub searched_to: Option<i64>,
}

impl EnvironmentLogFound {
    /// Leaves the last moment to the next question, if there may be more than these `limit` lines: logs may share a moment, and
    /// who goes on from one is to find all of its lines on one side of it.
    pub fn between_moments(mut self, limit: usize) -> Self {
        if self.lines.len() >= limit
            && let [(_, first), .., (_, last)] = self.lines.as_slice()
            && first.nanos != last.nanos
        {
            let last = last.nanos;
            self.lines.retain(|(_, line)| line.nanos != last);
        }
        self
    }
}

/// What was written to an environment's log after some places.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EnvironmentLogNews {
    /// Oldest first, each with the deployment whose log it is of.
    pub lines: Vec<(DeploymentId, LogLine)>,
    /// As [`LogNews::left_out`], of all logs together.
    pub left_out: u64,
    /// Here reading goes on.
    pub read_to: LogPlaces,
    /// Whether there was more to read already.
    pub more: bool,
}

impl EnvironmentLogNews {
    /// Takes what came to a deployment's log.
    pub fn add(&mut self, deployment: &DeploymentId, part: LogNews) {
        self.lines.extend(part.lines.into_iter().map(|line| (deployment.clone(), line)));
        self.left_out += part.left_out;
        self.more |= part.more;
        self.read_to.go_on(deployment, part.read_to);
    }

    /// Puts the lines of all logs in the order of time.
    pub fn sorted(mut self) -> Self {
        self.lines.sort_by(|(a_id, a), (b_id, b)| (a.nanos, a_id).cmp(&(b.nanos, b_id)));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EnvironmentName, LogSource, ModelId, Phase, PromotionId, Strategy};

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn promotion(candidate: &str, previous: Option<&str>, began: i64, ended: Option<i64>) -> Promotion {
        let environment = Environment::new(ModelId::new("model"), EnvironmentName::production(), at(began));
        let (id, candidate) = (PromotionId::new(candidate), DeploymentId::new(candidate));
        Promotion {
            previous: previous.map(DeploymentId::new),
            phase: if ended.is_some() { Phase::Succeeded } else { Phase::RampingUp },
            ended_at: ended.map(at),
            ..Promotion::new(id, &environment, candidate, Strategy::Direct, "ada", at(began), at(began))
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
        let attached = |start: i64, end: i64| -> Vec<(String, i64, Option<i64>)> {
            let all = attached_within(&environment, &promotions, None, at(start), at(end));
            all.iter()
                .map(|one| (one.deployment.to_string(), one.from.millis(), one.to.map(Timestamp::millis)))
                .collect()
        };
        let one = |id: &str, from: i64, to: Option<i64>| (id.to_owned(), from, to);
        assert_eq!(attached(450, 460), [one("c", 300, None)], "between two promotions, what one has brought");
        let (both, served) = (attached(600, 700), attached(150, 160));
        assert_eq!(both, [one("d", 500, None), one("c", 300, None)], "while a canary runs, both sides");
        assert_eq!(served, [one("b", 100, None), one("a", 10, Some(200))], "as it was seen then");
        assert_eq!(attached(250, 260), [one("b", 100, None)], "what served then, and not what does now");
        assert_eq!(
            attached(390, 600),
            [one("d", 500, None), one("c", 300, None), one("b", 100, Some(400))],
            "what left, up to then"
        );
        assert!(attached(-100, 5).is_empty(), "nothing served yet");
        assert!(attached(-100, -10).is_empty(), "it was not there yet");
        assert_eq!(
            attached(-100, 1000),
            [one("d", 500, None), one("c", 300, None), one("b", 100, Some(400)), one("a", 10, Some(200))]
        );
        environment.current = Some(DeploymentId::new("first"));
        let alone = attached_within(&environment, &[], None, at(0), at(9));
        assert_eq!(alone, [Attachment { deployment: DeploymentId::new("first"), from: at(0), to: None }]);
    }

    #[test]
    fn what_was_given_the_environment_counts_from_that_moment() {
        let mut environment = Environment::new(ModelId::new("model"), EnvironmentName::production(), at(0));
        environment.current = Some(DeploymentId::new("second"));
        let promotions = [promotion("second", Some("first"), 100, Some(200))];
        let first = Some(DeploymentId::new("first"));
        for end in [50, 300] {
            assert_eq!(served_first_until(&environment, &promotions, at(end)), first);
        }
        let attached = |start: i64, end: i64| -> Vec<(String, i64, Option<i64>)> {
            let all = attached_within(&environment, &promotions, Some(at(30)), at(start), at(end));
            all.iter()
                .map(|one| (one.deployment.to_string(), one.from.millis(), one.to.map(Timestamp::millis)))
                .collect()
        };
        assert!(attached(0, 20).is_empty(), "it was built and started, and the environment had nothing yet");
        assert_eq!(attached(0, 50), [("first".to_owned(), 30, None)]);
        assert_eq!(attached(0, 300), [("second".to_owned(), 100, None), ("first".to_owned(), 30, Some(200))]);
    }

    #[test]
    fn logs_are_asked_in_the_order_of_the_answer() {
        let one = |id: &str, from: i64| {
            let deployment = DeploymentId::new(id);
            Attachment { deployment, from: at(from), to: None }
        };
        let order = |ascending: bool| -> Vec<i64> {
            let query = LogQuery { ascending, ..LogQuery::default() };
            let all = in_reading_order(vec![one("new", 9), one("old", 1)], &query);
            all.iter().map(|one| one.from.millis()).collect()
        };
        assert_eq!((order(false), order(true)), (vec![9, 1], vec![1, 9]));
    }

    #[test]
    fn a_log_is_asked_for_the_time_of_the_attachment_alone() {
        let asked = |from: i64, to: Option<i64>, after: Option<i64>, before: Option<i64>| {
            let one = Attachment { deployment: DeploymentId::new("d"), from: at(from), to: to.map(at) };
            let query = LogQuery { after_nanos: after, before_nanos: before, ..LogQuery::default() };
            let within = one.within(&query);
            (within.after_nanos, within.before_nanos)
        };
        assert_eq!(asked(5, None, None, None), (Some(4_999_999), None));
        assert_eq!(asked(5, Some(9), None, None), (Some(4_999_999), Some(9_000_000)));
        assert_eq!(asked(5, Some(9), Some(6_000_000), Some(7_000_000)), (Some(6_000_000), Some(7_000_000)));
        assert_eq!(asked(5, Some(9), Some(1), Some(10_000_000)), (Some(4_999_999), Some(9_000_000)));
    }

    #[test]
    fn news_of_several_logs_come_in_the_order_of_time() {
        let mut news = EnvironmentLogNews { read_to: LogPlaces::at(3), ..EnvironmentLogNews::default() };
        let part = |moments: &[i64], left_out: u64, more: bool| LogNews {
            lines: moments.iter().copied().map(line).collect(),
            left_out,
            read_to: moments.last().copied().unwrap_or_default(),
            more,
        };
        news.add(&DeploymentId::new("b"), part(&[4, 6], 0, true));
        news.add(&DeploymentId::new("a"), part(&[4, 5, 9], 7, false));
        let news = news.sorted();
        let order: Vec<(&str, i64)> = news.lines.iter().map(|(id, line)| (id.as_str(), line.nanos)).collect();
        assert_eq!(order, [("a", 4), ("b", 4), ("a", 5), ("b", 6), ("a", 9)]);
        assert_eq!((news.left_out, news.more), (7, true));
        assert_eq!(news.read_to.to_string(), "3~b.6~a.9");
    }

    #[test]
    fn a_full_answer_ends_between_two_moments() {
        let found = |moments: &[i64], limit: usize| -> Vec<i64> {
            let lines = moments.iter().map(|nanos| (DeploymentId::new("d"), line(*nanos))).collect();
            let found = EnvironmentLogFound { lines, searched_to: None }.between_moments(limit);
            found.lines.into_iter().map(|(_, line)| line.nanos).collect()
        };
        assert_eq!(found(&[9, 8, 7], 4), [9, 8, 7], "it has all there is");
        assert_eq!(found(&[9, 8, 7], 3), [9, 8], "another log may have a line at 7");
        assert_eq!(found(&[9, 8, 8], 3), [9]);
        assert_eq!(found(&[8, 8], 2), [8, 8], "there is something in any case");
        assert_eq!(found(&[8], 1), [8]);
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
}

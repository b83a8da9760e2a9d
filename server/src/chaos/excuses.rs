//! Which requests had to fail. Each failure has a reason of three, or none.

use std::time::Duration;

use tokio::time::Instant;

use super::report::Requests;
use super::show::CONCURRENCY;
use crate::load::{Failure, Totals};

/// What was lost is known to the sender within this, however busy the machine is.
const KNOWN_WITHIN: Duration = Duration::from_millis(500);
/// A gateway has seen that a replica's connections are closed this long after its process has ended.
const SEEN_WITHIN: Duration = Duration::from_millis(10);
/// What an answer of a toy may take before it is the machine that is measured.
const QUICK: Duration = Duration::from_millis(20);
/// What a gateway answers of a replica that took a request and died.
const LOST: u16 = 502;

/// A time that begins just before something is killed.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub from: Instant,
    /// For a server, when a model answered again; for a replica, when its process had ended, and with it its connections.
    /// `None` while that is waited for.
    pub until: Option<Instant>,
}

impl Span {
    /// One that begins now.
    pub fn begin() -> Self {
        Self { from: Instant::now(), until: None }
    }
}

/// What was done that makes requests fail.
pub struct Excuses<'a> {
    /// When the traffic began, and when it ended.
    pub begun: Instant,
    pub over: Instant,
    /// Requests a second.
    pub rate: u32,
    /// Times without a server, which was killed.
    pub dead: &'a [Span],
    /// Times from the moment in which a server was asked to end.
    pub away: &'a [Span],
    /// Ends of replicas.
    pub killed: &'a [Span],
}

impl Excuses<'_> {
    /// Finds the reason of each failure.
    pub fn sort(&self, totals: &Totals) -> Requests {
        let mut requests = Requests { sent: totals.sent, good: good(totals), ..Requests::default() };
        let usual = Duration::from_secs_f64(totals.percentile_ms(99).unwrap_or(0.0) / 1000.0);
        let mut left: Vec<usize> = self.killed.iter().map(|span| self.in_hand(usual, span)).collect();
        for failure in &totals.failures {
            let with = self.killed.iter().position(|span| self.with_replica(failure, span));
            if self.dead.iter().any(|span| self.while_dead(failure, span)) {
                requests.while_dead += 1;
            } else if self.away.iter().any(|span| self.while_away(failure, span)) {
                requests.while_away += 1;
            } else if let Some(which) = with
                && left[which] > 0
            {
                left[which] -= 1;
                requests.on_killed_replicas += 1;
            } else {
                requests.unexplained.push((failure.ended.duration_since(self.begun), said(failure)));
            }
        }
        let listed = totals.failures.len() as u64;
        let end = self.over.duration_since(self.begun);
        if totals.failed() > listed {
            let more = format!("{} more, which are not listed", totals.failed() - listed);
            requests.unexplained.push((end, more));
        }
        if totals.open() > 0 {
            let open = format!("{} had no answer long after the last was sent", totals.open());
            requests.unexplained.push((end, open));
        }
        requests
    }

    /// Nobody was there to answer. Whoever does answer lives, and has no excuse.
    fn while_dead(&self, failure: &Failure, span: &Span) -> bool {
        let until = span.until.unwrap_or(self.over);
        failure.status.is_none()
            && failure.sent <= until
            && failure.ended >= span.from
            && failure.ended <= until + KNOWN_WITHIN
    }

    /// Nobody listened, because the server had been asked to end. Whatever it has let in it has to answer.
    fn while_away(&self, failure: &Failure, span: &Span) -> bool {
        let until = span.until.unwrap_or(self.over);
        failure.refused && failure.sent <= until && failure.ended >= span.from
    }

    /// It had been given to a replica that died, and is not sent a second time, because it may have had its effect.
    fn with_replica(&self, failure: &Failure, span: &Span) -> bool {
        let gone = span.until.unwrap_or(self.over);
        failure.status.is_none_or(|status| status == LOST)
            && failure.sent <= gone + SEEN_WITHIN
            && failure.ended >= span.from
            && failure.ended <= gone + KNOWN_WITHIN
    }

    /// Most requests that a replica may have had: half of the traffic, because at least one other was ready, for as long as answers
    /// take here (`usual`) and its process took to end.
    fn in_hand(&self, usual: Duration, span: &Span) -> usize {
        let dying = span.until.unwrap_or(self.over).duration_since(span.from);
        let seconds = (usual.max(QUICK) + dying + SEEN_WITHIN).as_secs_f64();
        ((f64::from(self.rate) / 2.0 * seconds).ceil() as usize).min(CONCURRENCY)
    }
}

/// Requests that were answered with success.
pub fn good(totals: &Totals) -> u64 {
    totals.answers.iter().filter(|(status, _)| (200..300).contains(*status)).map(|(_, count)| count).sum()
}

fn said(failure: &Failure) -> String {
    format!("{}, after {} ms", failure.what, (failure.ended - failure.sent).as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that was dead from 1.0 to 2.0 s, and a replica that ended from 3.99 to 4.0 s.
    fn sorted(rate: u32, failures: &[(u64, u64, Option<u16>)]) -> Requests {
        let begun = Instant::now();
        let at = |millis: u64| begun + Duration::from_millis(millis);
        let span = |from, until| Span { from: at(from), until: Some(at(until)) };
        let mut totals = Totals { sent: failures.len() as u64, ..Totals::default() };
        for (sent, ended, status) in failures {
            match status {
                Some(status) => *totals.answers.entry(*status).or_default() += 1,
                None => totals.broken += 1,
            }
            let (sent, ended, what) = (at(*sent), at(*ended), format!("{status:?}"));
            totals.failures.push(Failure { sent, ended, status: *status, refused: false, what });
        }
        let (dead, killed) = ([span(1_000, 2_000)], [span(3_990, 4_000)]);
        Excuses { begun, over: at(9_000), rate, dead: &dead, away: &[], killed: &killed }.sort(&totals)
    }

    fn unexplained(failures: &[(u64, u64, Option<u16>)]) -> usize {
        sorted(1_000, failures).unexplained.len()
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_server_excuses_what_nobody_answered() {
        // Under way when it died, and sent while it was dead.
        let requests = sorted(1_000, &[(999, 1_000, None), (1_500, 1_500, None), (2_000, 2_003, None)]);
        assert_eq!((requests.while_dead, requests.unexplained.len()), (3, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_server_excuses_nothing_that_a_living_one_says() {
        assert_eq!(unexplained(&[(1_900, 1_990, Some(500)), (1_990, 1_995, Some(404))]), 2);
        // Hung for seconds after it was back, or sent after that.
        assert_eq!(unexplained(&[(1_900, 6_000, None), (2_001, 2_002, None)]), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_killed_replica_excuses_what_it_had_in_hand() {
        let requests = sorted(1_000, &[(3_985, 4_001, Some(502)), (3_995, 4_002, None)]);
        assert_eq!((requests.on_killed_replicas, requests.unexplained.len()), (2, 0));
        // Other errors, what was sent after its connections were closed, and what was known before it was killed.
        let others = [
            (3_985, 4_001, Some(500)),
            (3_985, 4_001, Some(429)),
            (4_050, 4_060, Some(502)),
            (3_900, 3_980, Some(502)),
        ];
        assert_eq!(unexplained(&others), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_killed_replica_had_no_more_in_hand_than_the_rate_gives_it() {
        let failures = [(3_995, 4_001, Some(502)); 40];
        // Half of 100 a second for 40 ms; of 3,400 as many as it takes at a time.
        assert_eq!(sorted(100, &failures).on_killed_replicas, 2);
        assert_eq!(sorted(3_400, &failures).on_killed_replicas, CONCURRENCY as u64);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_ended_in_order_excuses_what_it_did_not_let_in() {
        let begun = Instant::now();
        let at = |millis: u64| begun + Duration::from_millis(millis);
        let away = [Span { from: at(1_000), until: Some(at(2_000)) }];
        let failures = [(1_000, true), (1_500, true), (1_500, false), (2_001, true)];
        let failures = failures.map(|(sent, refused)| Failure {
            sent: at(sent),
            ended: at(sent),
            status: None,
            refused,
            what: String::new(),
        });
        let failures = failures.to_vec();
        let totals = Totals { sent: 4, broken: 4, failures, ..Totals::default() };
        let excuses = Excuses { begun, over: at(9_000), rate: 10, dead: &[], away: &away, killed: &[] };
        let requests = excuses.sort(&totals);
        assert_eq!((requests.while_away, requests.unexplained.len()), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_ends_is_told() {
        let begun = Instant::now();
        let totals = Totals { sent: 3, ..Totals::default() };
        let excuses = Excuses { begun, over: begun, rate: 10, dead: &[], away: &[], killed: &[] };
        let requests = excuses.sort(&totals);
        assert_eq!(requests.unexplained[0].1, "3 had no answer long after the last was sent");
    }
}

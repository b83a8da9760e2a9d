//! How use is counted (semantics: Usage).

use crate::{Deployment, ObservedReplica, Timestamp};

/// Minutes of a time in milliseconds: a started minute counts whole.
pub fn started_minutes(millis: i64) -> u64 {
    u64::try_from((millis.max(0).saturating_add(59_999)) / 60_000).unwrap_or(0)
}

/// How long a replica has been up, and how many of its minutes are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpTime {
    millis: i64,
    counted: u64,
    ended: bool,
}

impl UpTime {
    /// Of a replica that is seen for the first time. `counted_to` says up to when a former server counted it, if it was started
    /// before this one.
    pub fn first_seen(replica: &ObservedReplica, now: Timestamp, counted_to: Option<Timestamp>) -> Self {
        // One that was not ready by then was not counted at all.
        let before = counted_to.filter(|to| replica.ready_at.is_some_and(|ready| ready <= *to));
        let counted = before.map_or(0, |to| started_minutes(to.since(replica.started_at)));
        // Nobody knows when one ended that a former server started.
        let millis = match (replica.is_alive(), counted_to) {
            (false, Some(_)) => 0,
            _ => now.since(replica.started_at).max(0),
        };
        Self { millis, counted, ended: !replica.is_alive() }
    }

    /// It was up until now, for so many milliseconds more. Nothing is added to one that has ended.
    pub fn go_on(&mut self, replica: &ObservedReplica, millis: i64) {
        if !self.ended {
            self.millis += millis.max(0);
            self.ended = !replica.is_alive();
        }
    }

    /// The minutes it began since it was asked last; they count as counted.
    pub fn take_minutes(&mut self) -> u64 {
        let begun = started_minutes(self.millis);
        let new = begun.saturating_sub(self.counted);
        self.counted = self.counted.max(begun);
        new
    }
}

/// Whether a replica's time counts: development is free, and so is a start that never became ready. Once it is ready, the time in
/// which its model was loaded counts as well.
pub fn is_metered(deployment: &Deployment, replica: &ObservedReplica) -> bool {
    !deployment.is_development() && replica.ready_at.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeploymentId, ModelId, ReplicaId, ReplicaState};

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    fn up(ready_after: i64) -> ObservedReplica {
        ObservedReplica {
            id: ReplicaId::new("r"),
            model: ModelId::new("m"),
            deployment: DeploymentId::new("d"),
            state: ReplicaState::Ready,
            port: 1,
            pid: None,
            started_at: START,
            spawned_at: None,
            loaded_at: None,
            ready_at: Some(START.plus(ready_after)),
            unready_since: None,
            artifact: None,
            refused: None,
            environment: None,
        }
    }

    fn gone(replica: &ObservedReplica) -> ObservedReplica {
        let state = ReplicaState::Exited { code: Some(1), signal: None, reason: "crashed".into() };
        ObservedReplica { state, ..replica.clone() }
    }

    #[test]
    fn a_started_minute_counts_whole() {
        assert_eq!([0, 1, 60_000, 60_001].map(started_minutes), [0, 1, 1, 2]);
        assert_eq!(started_minutes(-5), 0);
    }

    #[test]
    fn each_minute_counts_once_when_it_begins() {
        let replica = up(20_000);
        let mut time = UpTime::first_seen(&replica, START.plus(30_000), None);
        let mut counted = vec![time.take_minutes()];
        for millis in [29_999, 1, 1, 59_999, 180_000] {
            time.go_on(&replica, millis);
            counted.push(time.take_minutes());
        }
        assert_eq!(counted, [1, 0, 0, 1, 0, 3]);
    }

    #[test]
    fn it_counts_until_it_ends() {
        let replica = up(20_000);
        let mut time = UpTime::first_seen(&replica, START.plus(30_000), None);
        time.go_on(&gone(&replica), 40_000);
        time.go_on(&gone(&replica), 600_000);
        assert_eq!(time.take_minutes(), 2);
        let mut short = UpTime::first_seen(&gone(&replica), START.plus(70_000), None);
        short.go_on(&gone(&replica), 600_000);
        assert_eq!(short.take_minutes(), 2);
    }

    #[test]
    fn the_next_server_goes_on_where_the_last_one_stopped() {
        let after = START.plus(300_000);
        let minutes = |replica: &ObservedReplica, counted_to: i64| {
            UpTime::first_seen(replica, after, Some(START.plus(counted_to))).take_minutes()
        };
        assert_eq!(minutes(&up(20_000), 130_000), 2, "three of five were counted");
        assert_eq!(minutes(&up(150_000), 130_000), 5, "it was not ready then, so nothing was");
        assert_eq!(minutes(&up(20_000), 900_000), 0, "a clock that was set back counts nothing twice");
        assert_eq!(minutes(&gone(&up(20_000)), 130_000), 0, "nobody knows when it ended");
    }
}

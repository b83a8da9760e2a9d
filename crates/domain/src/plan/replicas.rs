//! Which processes to start and stop. Capacity leaves after traffic does, never with it.

use std::collections::BTreeMap;

use super::scale::SAMPLE_EVERY;
use super::{Start, Stop, Tell, Work};
use crate::{Deployment, Lifecycle, ObservedReplica, PREDICT_TIMEOUT, ReplicaId, ReplicaState, StopReason};

/// A replica out of the routes that nothing is wrong with has as long for its last requests as requests may take, in milliseconds.
const DRAIN_LIMIT: i64 = PREDICT_TIMEOUT.as_millis() as i64;
/// One that is to be gone, because a person said so, it hangs or newer code takes its place, has so long; milliseconds.
const SHORT_DRAIN_LIMIT: i64 = 30_000;
/// How soon a draining replica's last requests are looked at, in milliseconds; later, after a tenth of the time it has drained.
const DRAIN_LOOK: i64 = 100;
/// A replica that was ready and then fails its health check this long is replaced, in milliseconds.
const UNREADY_LIMIT: i64 = 1_800_000;

impl Work<'_> {
    /// Takes replicas that a person asked to end out of the routes, and drops the names of those that are gone.
    ///
    /// Before anything is decided: whoever counts ready replicas in this look leaves them out, and since the target
    /// stays, another one starts.
    pub(super) fn end_what_was_asked(&mut self) {
        let (replicas, at) = (self.replicas, self.at);
        let alive = |id: &ReplicaId| replicas.iter().find(|replica| &replica.id == id && replica.is_alive());
        for deployment in &mut self.deployments {
            deployment.terminating.retain(|id| alive(id).is_some());
            for id in &deployment.terminating {
                let leaves = alive(id).is_some_and(|replica| replica.state == ReplicaState::Stopping);
                if !leaves && !self.memory.stopping.contains(id) {
                    let asked = (at.monotonic, StopReason::Asked);
                    let entry = self.memory.draining.entry(id.clone()).or_insert(asked);
                    if entry.1 != StopReason::Asked {
                        *entry = asked;
                    }
                }
            }
        }
    }

    pub(super) fn adjust_replicas(&mut self) -> Vec<Start> {
        let mut starts = Vec::new();
        for index in 0..self.deployments.len() {
            let deployment = self.deployments[index].clone();
            self.replace_unready(&deployment);
            let wanted = if deployment.may_run() { deployment.target } else { 0 };
            self.retire_outdated(&deployment, wanted);
            let mut have = self.serving(&deployment).len() as u32;
            if have < wanted && self.reload_in_place(&deployment) {
                continue;
            }
            have += self.take_back(&deployment, wanted.saturating_sub(have));
            let serving = self.serving(&deployment);
            if have < wanted {
                match deployment.retry_at {
                    Some(at) if at > self.at.now => self.look_when(at),
                    _ => starts.push(Start {
                        deployment: deployment.id.clone(),
                        count: wanted - have,
                        environment: deployment.environment.clone(),
                    }),
                }
            } else if have > wanted {
                let reason = why_fewer(&deployment);
                for id in victims(serving, (have - wanted) as usize, &self.seen.in_flight) {
                    self.memory.draining.insert(id, (self.at.monotonic, reason));
                }
            }
        }
        self.stop_drained();
        starts
    }

    /// Has up to `missing` replicas serve again that were to go because fewer were wanted, and says how many: they are ready, and
    /// hold the room that others would wait for. Not those of a deployment that was deactivated: activating it starts anew.
    fn take_back(&mut self, deployment: &Deployment, missing: u32) -> u32 {
        let leaves = |id: &ReplicaId| {
            self.memory.draining.get(id).is_some_and(|(_, reason)| *reason == StopReason::ScaleDown)
        };
        let mine = self.replicas.iter().filter(|replica| replica.deployment == deployment.id);
        let able = mine.filter(|replica| replica.is_ready() && replica.runs(&deployment.artifact));
        let back: Vec<ReplicaId> = able
            .filter(|replica| leaves(&replica.id))
            .map(|replica| replica.id.clone())
            .take(missing as usize)
            .collect();
        for id in &back {
            self.memory.draining.remove(id);
        }
        back.len() as u32
    }

    /// Former code serves until the present code is ready, and no longer.
    fn retire_outdated(&mut self, deployment: &Deployment, wanted: u32) {
        let replaced = self.serving(deployment).iter().any(|replica| replica.is_ready());
        if wanted > 0 && !replaced {
            // One that never became ready has nothing to serve until then.
            let useless = self.outdated(deployment).into_iter().filter(|replica| replica.is_starting());
            let useless: Vec<ReplicaId> = useless.map(|replica| replica.id.clone()).collect();
            for id in useless {
                self.memory.draining.insert(id, (self.at.monotonic, StopReason::Replaced));
            }
            return;
        }
        let reason = if wanted == 0 { why_fewer(deployment) } else { StopReason::Replaced };
        let old: Vec<ReplicaId> =
            self.outdated(deployment).iter().map(|replica| replica.id.clone()).collect();
        for id in old {
            self.memory.draining.insert(id, (self.at.monotonic, reason));
        }
    }

    /// Alive replicas with the present code that are not on their way out.
    fn serving(&self, deployment: &Deployment) -> Vec<&ObservedReplica> {
        self.replicas
            .iter()
            .filter(|replica| {
                replica.deployment == deployment.id
                    && replica.is_serving_or_coming()
                    && replica.runs(&deployment.artifact)
                    && !self.memory.draining.contains_key(&replica.id)
                    && !self.memory.stopping.contains(&replica.id)
            })
            .collect()
    }

    /// Replicas whose deployment serves another environment than their code knows of (semantics: Environments).
    pub(super) fn told_of_their_environment(&self) -> Vec<Tell> {
        let environment_of =
            |replica: &ObservedReplica| Some(&self.deployment(&replica.deployment)?.environment);
        self.replicas
            .iter()
            .filter(|replica| replica.is_serving_or_coming())
            .filter_map(|replica| Some((replica, environment_of(replica)?)))
            .filter(|(replica, environment)| &replica.environment != *environment)
            .map(|(replica, environment)| Tell {
                replica: replica.id.clone(),
                environment: environment.clone(),
            })
            .collect()
    }

    fn replace_unready(&mut self, deployment: &Deployment) {
        for replica in self.replicas.iter().filter(|replica| replica.deployment == deployment.id) {
            let Some(since) = replica.unready_since.filter(|_| replica.state == ReplicaState::Unready) else {
                continue;
            };
            if self.at.now.since(since) < UNREADY_LIMIT {
                self.look_when(since.plus(UNREADY_LIMIT));
            } else if !self.memory.stopping.contains(&replica.id) {
                let entry = (self.at.monotonic, StopReason::Unhealthy);
                self.memory.draining.entry(replica.id.clone()).or_insert(entry);
            }
        }
    }

    /// Stops draining replicas that have nothing left to finish, or had long enough.
    fn stop_drained(&mut self) {
        let draining = std::mem::take(&mut self.memory.draining);
        for (id, (since, reason)) in draining {
            let Some(replica) = self.replicas.iter().find(|replica| replica.id == id && replica.is_alive())
            else {
                continue;
            };
            let busy = self.seen.in_flight.get(&id).copied().unwrap_or(0) > 0;
            // What was ready at the last look may still get requests until the table made by this one is published.
            let out_of_routes = since < self.at.monotonic || !replica.is_ready();
            let reason = self.why_by_now(replica, reason);
            let (passed, limit) = (self.at.monotonic - since, drain_limit(reason));
            if out_of_routes && (!busy || passed >= limit) {
                self.stop.push(Stop { replica: id.clone(), deployment: replica.deployment.clone(), reason });
                self.memory.stopping.insert(id);
            } else {
                self.memory.draining.insert(id, (since, reason));
                let soon = (passed / 10).clamp(DRAIN_LOOK, SAMPLE_EVERY).min((limit - passed).max(1));
                self.look_by(self.at.monotonic + soon);
            }
        }
    }

    /// Why a replica is to end that drains: its deployment may have been deactivated, deleted or pushed again since.
    fn why_by_now(&self, replica: &ObservedReplica, reason: StopReason) -> StopReason {
        let deployment = self.deployment(&replica.deployment);
        let now = deployment.map_or(StopReason::Deleted, why_fewer);
        let is_former = deployment.is_some_and(|deployment| !replica.runs(&deployment.artifact));
        match (reason, now) {
            (StopReason::ScaleDown | StopReason::Deactivated, StopReason::Deleted) => StopReason::Deleted,
            // It may hold the room that the newer code waits for.
            (StopReason::ScaleDown | StopReason::Deactivated, _) if is_former => StopReason::Replaced,
            (StopReason::ScaleDown, now) => now,
            (reason, _) => reason,
        }
    }
}

/// How long a replica's last requests may take once it is out of the routes, in milliseconds (semantics: Replicas).
fn drain_limit(reason: StopReason) -> i64 {
    match reason {
        StopReason::ScaleDown | StopReason::Deactivated => DRAIN_LIMIT,
        _ => SHORT_DRAIN_LIMIT,
    }
}

fn why_fewer(deployment: &Deployment) -> StopReason {
    if deployment.deleted_at.is_some() {
        StopReason::Deleted
    } else if deployment.lifecycle == Lifecycle::Inactive {
        StopReason::Deactivated
    } else {
        StopReason::ScaleDown
    }
}

/// Chooses whom to stop: those that serve nothing yet, then those with the fewest requests, then the youngest.
fn victims(
    mut replicas: Vec<&ObservedReplica>,
    count: usize,
    in_flight: &BTreeMap<ReplicaId, u32>,
) -> Vec<ReplicaId> {
    replicas.sort_by_key(|replica| {
        let busy = in_flight.get(&replica.id).copied().unwrap_or(0);
        (replica.is_ready(), busy, std::cmp::Reverse(replica.started_at), replica.id.clone())
    });
    replicas.into_iter().take(count).map(|replica| replica.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeploymentId, ModelId, Timestamp};

    fn replica(id: &str, state: ReplicaState, started: i64) -> ObservedReplica {
        ObservedReplica {
            id: ReplicaId::new(id),
            model: ModelId::new("m"),
            deployment: DeploymentId::new("d"),
            state,
            port: 1,
            pid: None,
            started_at: Timestamp::from_millis(started),
            spawned_at: None,
            loaded_at: None,
            ready_at: None,
            unready_since: None,
            artifact: None,
            refused: None,
            environment: None,
        }
    }

    #[test]
    fn whoever_has_the_least_to_finish_goes_first() {
        let all = [
            replica("old-and-busy", ReplicaState::Ready, 1),
            replica("old", ReplicaState::Ready, 2),
            replica("young", ReplicaState::Ready, 3),
            replica("young-and-busy", ReplicaState::Ready, 4),
            replica("loading", ReplicaState::Loading, 0),
        ];
        let in_flight = [("old-and-busy", 2), ("young-and-busy", 1), ("young", 0)];
        let in_flight: BTreeMap<ReplicaId, u32> =
            in_flight.into_iter().map(|(id, count)| (ReplicaId::new(id), count)).collect();
        let order = ["loading", "young", "old", "young-and-busy", "old-and-busy"].map(ReplicaId::new);
        for count in 0..=all.len() {
            assert_eq!(victims(all.iter().collect(), count, &in_flight), order[..count]);
        }
    }
}

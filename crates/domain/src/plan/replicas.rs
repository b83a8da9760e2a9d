//! Which processes to start and stop. Capacity leaves after traffic does, never with it.

use super::{Start, Stop, Tell, Work};
use crate::{Deployment, Lifecycle, ObservedReplica, ReplicaId, ReplicaState, StopReason};

/// A replica out of the routes that still serves requests is stopped after this long, in milliseconds.
const DRAIN_LIMIT: i64 = 30_000;
/// How often a draining replica's last requests are looked at, in milliseconds.
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
                    let entry = (at.monotonic, StopReason::Asked);
                    self.memory.draining.entry(id.clone()).or_insert(entry);
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
            let have = self.serving(&deployment).len() as u32;
            if have < wanted && self.reload_in_place(&deployment) {
                continue;
            }
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
                for id in victims(serving, (have - wanted) as usize) {
                    self.memory.draining.insert(id, (self.at.monotonic, reason));
                }
            }
        }
        self.stop_drained();
        starts
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
            let over = self.at.monotonic - since >= DRAIN_LIMIT;
            if out_of_routes && (!busy || over) {
                self.stop.push(Stop { replica: id.clone(), deployment: replica.deployment.clone(), reason });
                self.memory.stopping.insert(id);
            } else {
                self.memory.draining.insert(id, (since, reason));
                self.look_by(self.at.monotonic + DRAIN_LOOK);
            }
        }
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

/// Chooses whom to stop: those that serve nothing yet, then the youngest.
fn victims(mut replicas: Vec<&ObservedReplica>, count: usize) -> Vec<ReplicaId> {
    replicas.sort_by_key(|replica| {
        (replica.is_ready(), std::cmp::Reverse(replica.started_at), replica.id.clone())
    });
    replicas.into_iter().take(count).map(|replica| replica.id.clone()).collect()
}

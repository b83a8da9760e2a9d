//! Builds, first starts, crashes, deadlines.

use serde_json::json;

use super::Work;
use crate::{
    Build, DeploymentId, DeploymentKind, EnvironmentName, EventKind, Lifecycle, ObservedReplica, ReplicaId,
    ReplicaState, ScaleCause,
};

/// Starts that may fail in a row before a deployment that never served counts as failed.
const STARTS_BEFORE_FAILURE: u32 = 2;
/// A replica that was ready this long makes earlier failures forgotten, in milliseconds.
const PROVEN_AFTER: i64 = 60_000;
const LONGEST_BACKOFF: i64 = 60_000;

/// Milliseconds to wait before the next start after `failures` in a row.
fn backoff(failures: u32) -> i64 {
    (500_i64 << failures.saturating_sub(1).min(10)).min(LONGEST_BACKOFF)
}

impl Work<'_> {
    /// Accounts for exited replicas, once each.
    pub(super) fn forget_the_gone(&mut self) {
        let replicas = self.replicas;
        for replica in replicas {
            let ReplicaState::Exited { reason, .. } = &replica.state else { continue };
            self.forget.push(replica.id.clone());
            self.memory.draining.remove(&replica.id);
            // What a person asked for is remembered by the store, also across a restart in between.
            let asked = self
                .deployment(&replica.deployment)
                .is_some_and(|deployment| deployment.terminating.contains(&replica.id));
            let expected = self.memory.stopping.remove(&replica.id) || asked;
            if !expected {
                self.count_crash(replica, reason);
            }
        }
        let known = |id: &ReplicaId| replicas.iter().any(|replica| &replica.id == id);
        self.memory.draining.retain(|id, _| known(id));
        self.memory.stopping.retain(|id| known(id));
    }

    fn count_crash(&mut self, replica: &ObservedReplica, reason: &str) {
        let now = self.at.now;
        let Some(deployment) = self.deployment_mut(&replica.deployment) else { return };
        if deployment.deleted_at.is_some() || !deployment.may_run() || !replica.runs(&deployment.artifact) {
            return;
        }
        if deployment.starts_change() {
            // A change that fails to load is reported at once, not tried again: somebody waits for the answer.
            let id = deployment.id.clone();
            return self.change_failed(&id, Some(&replica.id), reason);
        }
        let proven = replica.ready_at.is_some_and(|at| now.since(at) >= PROVEN_AFTER);
        deployment.failed_starts = if proven { 1 } else { deployment.failed_starts + 1 };
        deployment.last_exit = Some(reason.to_owned());
        let failures = deployment.failed_starts;
        let gives_up = deployment.active_since.is_none() && failures >= STARTS_BEFORE_FAILURE;
        let (kind, sentence);
        if gives_up {
            deployment.failure = Some(reason.to_owned());
            deployment.retry_at = None;
            deployment.deadline = None;
            kind = EventKind::ModelDeploymentFailed;
            sentence = format!("{} failed to deploy: {reason}", deployment.name);
        } else {
            deployment.retry_at = Some(now.plus(backoff(failures)));
            kind = EventKind::ReplicaCrashed;
            sentence = format!("replica {} of {} ended: {reason}", replica.id, deployment.name);
        }
        let id = deployment.id.clone();
        self.note_tried(&id);
        self.record(kind, Some(&id), None, sentence, json!({ "replica": replica.id, "reason": reason }));
    }

    /// Moves each deployment through its own life: first start, readiness, deadline.
    pub(super) fn follow_lifecycles(&mut self) {
        for index in 0..self.deployments.len() {
            self.begin_when_built(index);
            self.notice_readiness(index);
            self.enforce_deadline(index);
        }
    }

    fn begin_when_built(&mut self, index: usize) {
        let minimum = self.deployments[index].effective_autoscaling(&self.environments).min_replica;
        let now = self.at.now;
        let deployment = &mut self.deployments[index];
        if deployment.may_run() && deployment.active_since.is_none() && deployment.deadline.is_none() {
            let replicas = match deployment.kind {
                DeploymentKind::Development => 1,
                DeploymentKind::Published => minimum.max(1),
            };
            let (id, before) = (deployment.id.clone(), deployment.target);
            deployment.begin_deploying(replicas, now);
            self.explain(&id, before, ScaleCause::Started);
        }
    }

    fn notice_readiness(&mut self, index: usize) {
        let now = self.at.now;
        let id = self.deployments[index].id.clone();
        let first_ready = self.ready_replicas(&id).filter_map(|replica| replica.ready_at).min();
        let proven_at = first_ready.map(|at| at.plus(PROVEN_AFTER));
        let proven = proven_at.is_some_and(|at| at <= now);
        let ready = self.ready(&id);
        let deployment = &mut self.deployments[index];
        if ready == 0 || !deployment.may_run() {
            return;
        }
        if proven && deployment.failed_starts > 0 {
            deployment.failed_starts = 0;
            deployment.retry_at = None;
            deployment.last_exit = None;
        }
        if deployment.active_since.is_none() {
            deployment.active_since = Some(now);
            deployment.deadline = None;
            deployment.failed_starts = 0;
            deployment.retry_at = None;
            deployment.last_exit = None;
            let sentence = format!("{} became ready", deployment.name);
            self.record(EventKind::ModelDeploymentActive, Some(&id), None, sentence, json!({}));
        }
        if self.deployments[index].failed_starts > 0
            && let Some(proven_at) = proven_at
        {
            self.look_when(proven_at);
        }
    }

    fn enforce_deadline(&mut self, index: usize) {
        let now = self.at.now;
        let deployment = &mut self.deployments[index];
        let Some(deadline) = deployment.deadline else { return };
        if !deployment.may_run() || deployment.active_since.is_some() {
            return;
        }
        if now < deadline {
            self.look_when(deadline);
            return;
        }
        let last = deployment.last_exit.as_ref().map(|exit| format!("; its last process: {exit}"));
        let last = last.or_else(|| deployment.waiting.as_ref().map(|waiting| format!("; it was {waiting}")));
        let reason = format!(
            "no replica was ready within {} minutes{}",
            deployment.deploy_timeout_minutes,
            last.unwrap_or_default()
        );
        deployment.failure = Some(reason.clone());
        deployment.deadline = None;
        let id = deployment.id.clone();
        let sentence = format!("{} failed to deploy: {reason}", deployment.name);
        self.record(EventKind::ModelDeploymentFailed, Some(&id), None, sentence, json!({ "reason": reason }));
    }

    /// Production goes to the first published deployment that becomes active; never to one that failed.
    pub(super) fn give_production_to_the_first(&mut self) {
        let production = EnvironmentName::production();
        let taken = self.promotions.iter().any(|promotion| promotion.environment == production);
        let empty = self
            .environments
            .iter()
            .any(|environment| environment.name == production && environment.current.is_none());
        if taken || !empty {
            return;
        }
        let before = |id: &DeploymentId| self.seen.deployments.iter().find(|deployment| &deployment.id == id);
        let first = self
            .deployments
            .iter()
            .filter(|deployment| {
                deployment.kind == DeploymentKind::Published
                    && deployment.environment.is_none()
                    && deployment.active_since.is_some()
                    && before(&deployment.id).is_some_and(|before| before.active_since.is_none())
            })
            .min_by_key(|deployment| (deployment.created_at, deployment.id.clone()))
            .map(|deployment| deployment.id.clone());
        let Some(first) = first else { return };
        if let Some(environment) = self.environment_mut(&production) {
            environment.current = Some(first.clone());
        }
        if let Some(deployment) = self.deployment_mut(&first) {
            deployment.environment = Some(production.clone());
        }
        let sentence = format!(
            "{} serves production: it is the first deployment that became active",
            self.name_of(&first)
        );
        self.record(
            EventKind::ModelDeploymentPromoted,
            Some(&first),
            Some(&production),
            sentence,
            json!({ "automatic": true }),
        );
    }

    /// Deployments whose build should be running now.
    pub(super) fn builds(&self) -> Vec<DeploymentId> {
        self.deployments
            .iter()
            .filter(|deployment| {
                deployment.deleted_at.is_none()
                    && deployment.lifecycle == Lifecycle::Active
                    && (matches!(deployment.build, Build::Queued | Build::Running { .. })
                        || deployment.prepares_change())
            })
            .map(|deployment| deployment.id.clone())
            .collect()
    }

    /// Deleted deployments none of whose processes is left.
    pub(super) fn purgeable(&self) -> Vec<DeploymentId> {
        self.deployments
            .iter()
            .filter(|deployment| {
                deployment.deleted_at.is_some()
                    && !self
                        .replicas
                        .iter()
                        .any(|replica| replica.deployment == deployment.id && replica.is_alive())
            })
            .map(|deployment| deployment.id.clone())
            .collect()
    }
}

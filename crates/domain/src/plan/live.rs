//! A change of the development deployment on its way into service, or back (semantics: Live reload).

use serde_json::json;

use super::{Reload, Work};
use crate::{ArtifactId, Deployment, DeploymentId, EventKind, ObservedReplica, ReplicaId, SyncState};

impl Work<'_> {
    /// Notices that a change runs, or that it does not come up.
    pub(super) fn follow_changes(&mut self) {
        for index in 0..self.deployments.len() {
            let deployment = &self.deployments[index];
            let Some(live) = &deployment.live else { continue };
            let since = match &live.sync {
                Some(SyncState::Starting { since }) => Some(*since),
                // It goes on though a newer change is prepared, or failed: there is nothing else that runs.
                _ if live.starts.is_some() => None,
                _ => continue,
            };
            let (id, artifact) = (deployment.id.clone(), deployment.artifact.clone());
            let limit = i64::from(deployment.deploy_timeout_minutes) * 60_000;
            let runs = self.ready_replicas(&id).any(|replica| replica.artifact.as_ref() == Some(&artifact));
            if runs {
                self.change_runs(index);
                continue;
            }
            let Some(since) = since else { continue };
            if let Some((replica, reason)) = self.refusal(&id, &artifact) {
                self.change_failed(&id, Some(&replica), &reason);
            } else if self.at.now.since(since) >= limit {
                let minutes = self.deployments[index].deploy_timeout_minutes;
                let reason = format!("it was not ready within {minutes} minutes");
                let replica = self.starting_with(&id, &artifact);
                self.change_failed(&id, replica.as_ref(), &reason);
            } else {
                self.look_when(since.plus(limit));
            }
        }
        let replicas = self.replicas;
        self.memory.reloading.retain(|id, artifact| {
            replicas.iter().any(|replica| {
                &replica.id == id && replica.artifact.as_ref() != Some(artifact) && replica.is_alive()
            })
        });
    }

    fn change_runs(&mut self, index: usize) {
        let now = self.at.now;
        self.deployments[index].started_runs(now);
        let (id, name) = (self.deployments[index].id.clone(), self.deployments[index].name.clone());
        let sentence = format!("the change of {name} runs");
        self.record(EventKind::ModelDeploymentPatched, Some(&id), None, sentence, json!({}));
    }

    /// What ran before does again; without anything before, the deployment has failed. `replica` is the one that did.
    pub(super) fn change_failed(&mut self, id: &DeploymentId, replica: Option<&ReplicaId>, reason: &str) {
        let now = self.at.now;
        let Some(deployment) = self.deployment_mut(id) else { return };
        deployment.staged_failed(reason.to_owned(), replica.cloned(), now);
        let sentence = format!("the change of {} did not come up: {reason}", deployment.name);
        let data = json!({ "reason": reason });
        self.record(EventKind::ModelDeploymentPatchFailed, Some(id), None, sentence, data);
    }

    /// The replica that could not swap its class for this code, and why.
    fn refusal(&self, id: &DeploymentId, artifact: &ArtifactId) -> Option<(ReplicaId, String)> {
        self.replicas
            .iter()
            .filter(|replica| &replica.deployment == id && replica.is_alive())
            .filter_map(|replica| Some((&replica.id, replica.refused.as_ref()?)))
            .find(|(_, (refused, _))| refused == artifact)
            .map(|(replica, (_, reason))| (replica.clone(), reason.clone()))
    }

    /// The replica that has been started from this code.
    fn starting_with(&self, id: &DeploymentId, artifact: &ArtifactId) -> Option<ReplicaId> {
        self.replicas
            .iter()
            .find(|replica| {
                &replica.deployment == id
                    && replica.is_starting()
                    && replica.artifact.as_ref() == Some(artifact)
            })
            .map(|replica| replica.id.clone())
    }

    /// Replicas with code that is not wanted any more, and not on their way out.
    pub(super) fn outdated(&self, deployment: &Deployment) -> Vec<&ObservedReplica> {
        self.replicas
            .iter()
            .filter(|replica| {
                replica.deployment == deployment.id
                    && replica.is_serving_or_coming()
                    && !replica.runs(&deployment.artifact)
                    && !self.memory.draining.contains_key(&replica.id)
                    && !self.memory.stopping.contains(&replica.id)
            })
            .collect()
    }

    /// Swaps the class in the running process where the change permits it; true if that is under way.
    pub(super) fn reload_in_place(&mut self, deployment: &Deployment) -> bool {
        let Some(live) = &deployment.live else { return false };
        let hot = live
            .staged
            .as_ref()
            .is_some_and(|staged| staged.hot && staged.revision.artifact == deployment.artifact);
        let before = live.fallback.as_ref().map(|before| &before.artifact);
        if !hot || !matches!(live.sync, Some(SyncState::Starting { .. })) {
            return false;
        }
        // Only from the code that the change was made against: another process lacks what came between.
        let able = self
            .outdated(deployment)
            .into_iter()
            .find(|replica| replica.is_ready() && replica.artifact.as_ref() == before && before.is_some())
            .map(|replica| replica.id.clone());
        let Some(replica) = able else { return false };
        let artifact = deployment.artifact.clone();
        if self.memory.reloading.insert(replica.clone(), artifact.clone()).as_ref() != Some(&artifact) {
            self.reloads.push(Reload { replica, artifact });
        }
        true
    }
}

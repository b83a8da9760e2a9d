//! Live reload: how a change of the development deployment comes into service (semantics: Live reload).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{ArtifactId, Build, Deployment, DeploymentKind, Lifecycle, ReplicaId, Timestamp};

/// A state of the Truss that client and server agree on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchPoint {
    /// Opaque to the server but for equality.
    pub hash: String,
    /// JSON text from which the client computes the next change.
    pub signature: String,
}

/// The code and configuration that replicas are started from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    pub point: PatchPoint,
    pub artifact: ArtifactId,
    /// The full configuration as JSON.
    pub config: serde_json::Value,
    /// The configuration file as it was written.
    pub raw_config: Option<String>,
}

/// The newest change that was accepted. It stays when it runs: the next change builds on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Staged {
    pub revision: Revision,
    /// The class may be swapped in the running process, without a new start: this change and all before it that never ran
    /// are model code alone.
    pub hot: bool,
    pub at: Timestamp,
    pub by: String,
}

/// How far bringing the staged change into service is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SyncState {
    /// Its Python environment is looked for, or made. `step` is a sentence for people.
    Preparing { step: String },
    /// Its process starts, or its class is swapped; what ran before serves on.
    Starting { since: Timestamp },
    /// It did not come up; what ran before serves on where there was something.
    Failed(FailedChange),
}

/// How a change did not come up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedChange {
    pub reason: String,
    pub at: Timestamp,
    /// Whose output tells more; `None` if it failed before there was one.
    #[serde(default)]
    pub replica: Option<ReplicaId>,
    /// The hash of the state it leads to, which is not the newest if another was received while it started; `None` in rows
    /// from before this was kept.
    #[serde(default)]
    pub hash: Option<String>,
    /// When it began to start; `None` if it failed before that.
    #[serde(default)]
    pub since: Option<Timestamp>,
}

/// The chain of changes since the last push.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveReload {
    /// What the last push brought.
    pub pushed: PatchPoint,
    /// What runs, or ran last: as pushed or patched.
    pub running: PatchPoint,
    /// What replicas are started from now, until it is known to run; `None` once it is [`LiveReload::running`].
    #[serde(default)]
    pub starts: Option<PatchPoint>,
    /// Whether the staged change may swap its class in the process that starts now, once that runs: nothing but model code
    /// lies between the two.
    #[serde(default)]
    pub hot_once_started: bool,
    /// When a change last came into service; `None` if the last push runs as it was pushed.
    pub patched_at: Option<Timestamp>,
    pub staged: Option<Staged>,
    /// The code of the changes before the staged one, oldest first, as far as it was not removed: also of what runs.
    #[serde(default)]
    pub former: Vec<ArtifactId>,
    pub sync: Option<SyncState>,
    /// What to go back to if the change that starts now does not come up; `None` if nothing has ever run.
    pub fallback: Option<Revision>,
}

/// Changes whose code is kept after newer ones were accepted, though nothing starts from it any more: whoever still reads
/// it, such as a backup, is not overtaken by the next change at once.
pub const FORMER_CHANGES: usize = 16;

const RECEIVED: &str = "a change was received and waits to be put into service";

impl LiveReload {
    pub fn as_pushed(pushed: PatchPoint) -> Self {
        Self {
            running: pushed.clone(),
            pushed,
            starts: None,
            hot_once_started: false,
            patched_at: None,
            staged: None,
            former: Vec::new(),
            sync: None,
            fallback: None,
        }
    }

    /// The state the next change must build on.
    pub fn base(&self) -> &PatchPoint {
        self.staged.as_ref().map_or(&self.pushed, |staged| &staged.revision.point)
    }

    /// Whether what was staged last is what runs.
    pub fn is_in_sync(&self) -> bool {
        self.base() == &self.running && self.starts.is_none() && self.sync.is_none()
    }

    /// Keeps a change that was made against [`LiveReload::base`].
    pub fn stage(&mut self, change: Staged) {
        // A running process lacks what a change before this one brought that was more than code and never ran.
        let of_code = self.is_in_sync() || self.staged.as_ref().is_some_and(|before| before.hot);
        let onto_start =
            self.starts.as_ref().is_some_and(|starts| starts == self.base() || self.hot_once_started);
        self.hot_once_started = change.hot && onto_start;
        let before = self.staged.replace(Staged { hot: change.hot && of_code, ..change });
        self.former.extend(before.map(|before| before.revision.artifact));
        // What did not come up is history once something newer is there.
        if !matches!(self.sync, Some(SyncState::Starting { .. })) {
            self.sync = None;
        }
    }

    /// How the change that leads to the state `hash` failed, if it was the last one to.
    pub fn failure_of(&self, hash: &str) -> Option<&FailedChange> {
        let Some(SyncState::Failed(failed)) = &self.sync else { return None };
        let of = failed.hash.as_ref().unwrap_or(&self.base().hash);
        (of == hash).then_some(failed)
    }

    /// How live reload stands, as one sentence.
    pub fn sentence(&self) -> String {
        match (&self.sync, &self.patched_at) {
            (Some(SyncState::Preparing { step }), _) => format!("a change is on its way: {step}"),
            (Some(SyncState::Starting { .. }), _) => {
                "a change starts; what ran before serves until it is ready".into()
            }
            (Some(SyncState::Failed(failed)), _) if self.failure_of(&self.base().hash).is_none() => {
                format!("{RECEIVED}; the one before it did not come up: {}", failed.reason)
            }
            (Some(SyncState::Failed(failed)), _) => {
                format!("the last change did not come up: {}", failed.reason)
            }
            (None, _) if !self.is_in_sync() => RECEIVED.into(),
            (None, Some(_)) => "the last change runs".into(),
            (None, None) => "runs as it was pushed; truss watch brings changes in place".into(),
        }
    }
}

/// Whether a change may be applied to a deployment now; `Err` says why not and what to do.
pub fn may_patch(deployment: &Deployment) -> Result<(), String> {
    if deployment.kind != DeploymentKind::Development {
        return Err(format!(
            "{} is not the development deployment; only that one takes changes",
            deployment.name
        ));
    }
    match &deployment.build {
        Build::Done { .. } => {}
        Build::Queued | Build::Running { .. } => {
            return Err("it is still being built; try again when it is active".into());
        }
        Build::Failed { .. } | Build::Stopped { .. } => {
            return Err("its build failed; push it again with `truss push --watch`".into());
        }
    }
    if deployment.lifecycle == Lifecycle::Inactive {
        return Err("it is deactivated; activate it first".into());
    }
    if deployment.live.is_none() {
        return Err(
            "it was pushed by a version without live reload; push it again with `truss push --watch`".into(),
        );
    }
    Ok(())
}

impl Deployment {
    /// Whether a staged change needs its Python environment before it can start.
    pub fn prepares_change(&self) -> bool {
        self.live.as_ref().is_some_and(|live| matches!(live.sync, Some(SyncState::Preparing { .. })))
    }

    /// Whether a change starts, or its class is swapped.
    pub fn starts_change(&self) -> bool {
        self.live.as_ref().is_some_and(|live| matches!(live.sync, Some(SyncState::Starting { .. })))
    }

    /// What replicas are started from now.
    pub fn revision(&self) -> Option<Revision> {
        let live = self.live.as_ref()?;
        Some(Revision {
            point: live.starts.as_ref().unwrap_or(&live.running).clone(),
            artifact: self.artifact.clone(),
            config: self.config.clone(),
            raw_config: self.raw_config.clone(),
        })
    }

    /// The code and configuration that a copy takes: what runs, not a change that may still fail.
    pub fn proven(&self) -> Revision {
        let before = self.live.as_ref().and_then(|live| live.fallback.clone());
        before.unwrap_or_else(|| Revision {
            point: PatchPoint { hash: String::new(), signature: String::new() },
            artifact: self.artifact.clone(),
            config: self.config.clone(),
            raw_config: self.raw_config.clone(),
        })
    }

    /// The code of former changes that neither this deployment nor another one of its model starts from, oldest first. `all`
    /// are the model's deployments.
    pub fn idle_changes(&self, all: &[Deployment]) -> Vec<&ArtifactId> {
        let others = all.iter().filter(|other| other.id != self.id && other.deleted_at.is_none());
        let sources = others.chain([self]).flat_map(Deployment::sources);
        let used: BTreeSet<&ArtifactId> = sources.map(|(artifact, _)| artifact).collect();
        let former = self.live.iter().flat_map(|live| &live.former);
        former.filter(|artifact| !used.contains(*artifact)).collect()
    }

    /// Forgets former changes, all but the newest [`FORMER_CHANGES`] and what it may start from, and answers the code of
    /// those that nothing starts from: it may be removed. `all` are the model's deployments.
    pub fn forget_former(&mut self, all: &[Deployment]) -> Vec<ArtifactId> {
        let mut unused: Vec<ArtifactId> = self.idle_changes(all).into_iter().cloned().collect();
        let mut kept = unused.split_off(unused.len().saturating_sub(FORMER_CHANGES));
        kept.extend(self.sources().into_iter().map(|(artifact, _)| artifact.clone()));
        if let Some(live) = &mut self.live {
            // Those in use last: of what is idle, what was used last stays longest. What only copies start from goes with the last
            // of them.
            kept.retain(|artifact| live.former.contains(artifact));
            live.former = kept;
        }
        unused
    }

    fn take_revision(&mut self, revision: Revision) {
        self.artifact = revision.artifact;
        self.config = revision.config;
        self.raw_config = revision.raw_config;
        self.failed_starts = 0;
        self.retry_at = None;
        self.last_exit = None;
    }

    /// The staged change is to be put into service. One that starts still gives way: until this one is prepared, replicas
    /// start from what ran before both.
    pub fn prepare_staged(&mut self, step: String) {
        let Some(live) = &mut self.live else { return };
        live.sync = Some(SyncState::Preparing { step });
        if let Some(before) = live.fallback.take() {
            live.starts = None;
            self.take_revision(before);
        }
    }

    /// The staged change is prepared: it is what replicas start from.
    pub fn start_staged(&mut self, now: Timestamp) {
        let before = self.revision().filter(|_| self.active_since.is_some());
        let Some(live) = &mut self.live else { return };
        let Some(staged) = live.staged.clone() else { return };
        // Nothing takes the place of what ran last but what ran since.
        live.fallback = live.fallback.take().or(before);
        live.starts = Some(staged.revision.point.clone());
        live.sync = Some(SyncState::Starting { since: now });
        self.take_revision(staged.revision);
        if self.failure.take().is_some() || self.active_since.is_none() {
            self.begin_deploying(1, now);
        }
        self.target = 1;
    }

    /// What was started is ready. A newer change, received or prepared meanwhile, is as far as it was.
    pub fn started_runs(&mut self, now: Timestamp) {
        let Self { live: Some(live), artifact, .. } = self else { return };
        if let Some(point) = live.starts.take() {
            live.running = point;
        }
        live.patched_at = Some(now);
        live.fallback = None;
        let is_newest = live.staged.as_ref().is_some_and(|staged| staged.revision.artifact == *artifact);
        if !is_newest && let Some(newer) = &mut live.staged {
            newer.hot = live.hot_once_started;
        }
        if is_newest || matches!(live.sync, Some(SyncState::Starting { .. })) {
            live.sync = None;
        }
    }

    /// The change does not come up: what ran before does again. `replica` is the one that failed, if there was one.
    pub fn staged_failed(&mut self, reason: String, replica: Option<ReplicaId>, now: Timestamp) {
        let Some(live) = &mut self.live else { return };
        let since = match &live.sync {
            Some(SyncState::Starting { since }) => Some(*since),
            _ => None,
        };
        let of = live.starts.as_ref().filter(|_| since.is_some()).unwrap_or_else(|| live.base());
        let hash = Some(of.hash.clone());
        let failed = FailedChange { reason: reason.clone(), at: now, replica, hash, since };
        live.sync = Some(SyncState::Failed(failed));
        match live.fallback.take() {
            Some(before) => {
                live.starts = None;
                self.take_revision(before);
            }
            None if since.is_some() => {
                self.failure = Some(reason);
                self.retry_at = None;
                self.deadline = None;
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;

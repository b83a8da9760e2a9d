//! Live reload: how a change of the development deployment comes into service (semantics: Live reload).

use serde::{Deserialize, Serialize};

use crate::{ArtifactId, Build, Deployment, DeploymentKind, Lifecycle, Timestamp};

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
    /// The class may be swapped in the running process, without a new start.
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
    Failed { reason: String, at: Timestamp },
}

/// The chain of changes since the last push.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveReload {
    /// What the last push brought.
    pub pushed: PatchPoint,
    /// What runs, or ran last: as pushed or patched.
    pub running: PatchPoint,
    /// When a change last came into service; `None` if the last push runs as it was pushed.
    pub patched_at: Option<Timestamp>,
    pub staged: Option<Staged>,
    pub sync: Option<SyncState>,
    /// What to go back to if the change that starts now does not come up; `None` if nothing has ever run.
    pub fallback: Option<Revision>,
}

impl LiveReload {
    pub fn as_pushed(pushed: PatchPoint) -> Self {
        Self { running: pushed.clone(), pushed, patched_at: None, staged: None, sync: None, fallback: None }
    }

    /// The state the next change must build on.
    pub fn base(&self) -> &PatchPoint {
        self.staged.as_ref().map_or(&self.pushed, |staged| &staged.revision.point)
    }

    /// Whether what was staged last is what runs.
    pub fn is_in_sync(&self) -> bool {
        self.base() == &self.running && self.sync.is_none()
    }

    /// How live reload stands, as one sentence.
    pub fn sentence(&self) -> String {
        match (&self.sync, &self.patched_at) {
            (Some(SyncState::Preparing { step }), _) => format!("a change is on its way: {step}"),
            (Some(SyncState::Starting { .. }), _) => {
                "a change starts; what ran before serves until it is ready".into()
            }
            (Some(SyncState::Failed { reason, .. }), _) => {
                format!("the last change did not come up: {reason}")
            }
            (None, _) if self.base() != &self.running => {
                "a change was received and waits to be put into service".into()
            }
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

    /// What replicas are started from now.
    pub fn revision(&self) -> Option<Revision> {
        let live = self.live.as_ref()?;
        Some(Revision {
            point: live.running.clone(),
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

    fn take_revision(&mut self, revision: Revision) {
        self.artifact = revision.artifact;
        self.config = revision.config;
        self.raw_config = revision.raw_config;
    }

    /// The staged change is prepared: it is what replicas start from.
    pub fn start_staged(&mut self, now: Timestamp) {
        let before = self.revision().filter(|_| self.active_since.is_some());
        let Some(live) = &mut self.live else { return };
        let Some(staged) = live.staged.clone() else { return };
        // One that starts already gives way; what it would have gone back to is still what ran.
        if !matches!(live.sync, Some(SyncState::Starting { .. })) {
            live.fallback = before;
        }
        live.sync = Some(SyncState::Starting { since: now });
        self.take_revision(staged.revision);
        self.failed_starts = 0;
        self.retry_at = None;
        self.last_exit = None;
        if self.failure.take().is_some() || self.active_since.is_none() {
            self.begin_deploying(1, now);
        }
        self.target = 1;
    }

    /// The change that started is ready.
    pub fn staged_runs(&mut self, now: Timestamp) {
        let Some(live) = &mut self.live else { return };
        if let Some(staged) = &live.staged {
            live.running = staged.revision.point.clone();
        }
        live.patched_at = Some(now);
        live.sync = None;
        live.fallback = None;
    }

    /// The change does not come up: what ran before does again.
    pub fn staged_failed(&mut self, reason: String, now: Timestamp) {
        let Some(live) = &mut self.live else { return };
        let started = matches!(live.sync, Some(SyncState::Starting { .. }));
        live.sync = Some(SyncState::Failed { reason: reason.clone(), at: now });
        match live.fallback.take() {
            Some(before) => {
                self.take_revision(before);
                self.failed_starts = 0;
                self.retry_at = None;
                self.last_exit = None;
            }
            None if started => {
                self.failure = Some(reason);
                self.retry_at = None;
                self.deadline = None;
            }
            None => {}
        }
    }
}

//! Changes of the development deployment in place: received, then put into service (semantics: Live reload).

use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::{
    Action, Actor, ArtifactId, Deployment, DeploymentId, EventKind, FailedChange, LogQuery, ModelId,
    PatchPoint, ReplicaId, Revision, Staged, SyncState, may_patch,
};
use serde_json::json;
use tokio::time::Instant;
use truss::patch::{Op, PatchError, Patched};
use truss::{Config, Signature};

use crate::parts::{MOVED_WITHIN, persist};
use crate::{ControlPlane, Error};

/// A change as a client sends it.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeSet {
    /// The hash of the state the change was made against.
    pub base: String,
    /// The state it leads to.
    pub next: PatchPoint,
    pub ops: Vec<serde_json::Value>,
}

/// What became of a change that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// It is kept, and is the base of the next one.
    Staged,
    /// Nothing but a push can do it; says why.
    NeedsPush(String),
    /// It is wrong in itself, whatever it was made against; says why. Nothing was changed.
    Wrong(String),
    /// It can't be taken as things are; says why. Nothing was changed.
    Refused(String),
}

/// What putting the newest change into service came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Synced {
    /// The newest code serves.
    Runs,
    /// It did not come up; what ran before serves on where there was something.
    Failed(String),
    /// It still starts.
    Starting,
}

/// The states a client compares its files with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchState {
    pub pushed: PatchPoint,
    /// The newest change, if there was one since the last push.
    pub staged: Option<PatchPoint>,
    pub running: PatchPoint,
    /// No change came into service since the last push.
    pub runs_as_pushed: bool,
}

/// How often the outcome is looked at though nothing was heard.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How much later than a failure lines may be read that were written before it, in milliseconds.
const READ_LATER: i64 = 1_000;

impl ControlPlane {
    /// The states of a model's development deployment; nothing if it has none, or one from before live reload.
    pub async fn watch_state(&self, actor: &Actor, model: &ModelId) -> Result<Option<WatchState>, Error> {
        self.may(actor, Action::View)?;
        let state = self.parts.store.load_model(model).await?.filter(|state| !state.deleted);
        let state = state.ok_or_else(|| crate::parts::no_model(model))?;
        let live = development(&state.deployments).and_then(|draft| draft.live.clone());
        Ok(live.map(|live| WatchState {
            staged: live.staged.as_ref().map(|staged| staged.revision.point.clone()),
            runs_as_pushed: live.patched_at.is_none(),
            pushed: live.pushed,
            running: live.running,
        }))
    }

    /// Takes a change of the development deployment and keeps it; [`ControlPlane::sync_changes`] puts it into service.
    pub async fn stage_change(
        &self,
        actor: &Actor,
        model: &ModelId,
        change: ChangeSet,
    ) -> Result<Received, Error> {
        self.may(actor, Action::Deploy)?;
        let base = match self.base(model, &change).await? {
            Ok(base) => base,
            Err(reason) => return Ok(Received::Refused(reason)),
        };
        let artifact = ArtifactId::from_random(self.random_bytes());
        let artifacts = self.parts.data_dir.join("artifacts");
        let folder = artifacts.join(artifact.as_str());
        let from = artifacts.join(base.artifact.as_str());
        let patched = patch(from.clone(), folder.clone(), base, &change).await?;
        let patched = match patched {
            Ok(patched) => patched,
            Err(error) => {
                discard(&folder).await;
                return match error {
                    PatchError::NeedsPush(reason) => Ok(Received::NeedsPush(reason)),
                    PatchError::Refused(reason) => Ok(Received::Wrong(reason)),
                    PatchError::File { ref source, .. } => {
                        // Its base may have been removed, with newer changes accepted meanwhile.
                        if let Err(reason) = self.base(model, &change).await? {
                            return Ok(Received::Refused(reason));
                        }
                        if !from.is_dir() {
                            // As after a backup that came back without it.
                            let reason = "the code that it changes is no longer on this machine";
                            return Ok(Received::NeedsPush(reason.into()));
                        }
                        Err(Error::disk(source, || Error::Internal(error.to_string())))
                    }
                };
            }
        };
        if patched.config.build.no_cache
            && let Err(error) = note_push(&from, &folder).await
        {
            discard(&folder).await;
            return Err(Error::disk(&error, || {
                Error::Internal(format!("the change could not be kept: {error}"))
            }));
        }
        let staged = Staged {
            revision: Revision {
                point: change.next.clone(),
                artifact,
                config: patched.config.full(),
                raw_config: Some(patched.raw_config),
            },
            hot: patched.hot,
            at: self.now(),
            by: actor.name.clone(),
        };
        let (plane, actor, model) = (self.clone(), actor.clone(), model.clone());
        let recorded = tokio::spawn(async move {
            let recorded = persist!(plane.try_stage(&actor, &model, &change, &staged).await);
            if !matches!(recorded, Ok(Received::Staged)) {
                discard(&folder).await;
            }
            recorded
        });
        recorded.await.map_err(|error| Error::Internal(format!("the change was interrupted: {error}")))?
    }

    /// The code that a change is made against, or why it can't be.
    async fn base(&self, model: &ModelId, change: &ChangeSet) -> Result<Result<Revision, String>, Error> {
        let state = self.parts.store.load_model(model).await?.filter(|state| !state.deleted);
        let state = state.ok_or_else(|| crate::parts::no_model(model))?;
        match development(&state.deployments) {
            Some(draft) => Ok(base_of(draft, change)),
            None => Err(no_development(&state.model.name)),
        }
    }

    async fn try_stage(
        &self,
        actor: &Actor,
        model: &ModelId,
        change: &ChangeSet,
        staged: &Staged,
    ) -> Result<Received, Error> {
        let mut held = self.hold(model).await?;
        let Some(mut draft) = development(&held.state.deployments).cloned() else {
            return Err(no_development(&held.state.model.name));
        };
        if let Err(reason) = base_of(&draft, change) {
            held.tx.rollback().await?;
            return Ok(Received::Refused(reason));
        }
        let mut hot = false;
        if let Some(live) = &mut draft.live {
            live.stage(staged.clone());
            hot = live.staged.as_ref().is_some_and(|staged| staged.hot);
        }
        let unused = draft.forget_former(&held.state.deployments);
        let id = draft.id.clone();
        let steps = change.ops.len();
        let plural = if steps == 1 { "step" } else { "steps" };
        held.save_deployment(draft).await?;
        let sentence = format!("a change of the development deployment was sent ({steps} {plural})");
        let data = json!({ "steps": steps, "hot_reload": hot });
        held.record(self, actor, EventKind::ModelDeploymentPatched, Some(&id), None, sentence, data).await?;
        self.finish(held).await?;
        self.remove_former(&id, unused).await;
        Ok(Received::Staged)
    }

    /// Removes the code of former changes. It was forgotten before, so what is left here, as by a kill, is upkeep's.
    async fn remove_former(&self, draft: &DeploymentId, unused: Vec<ArtifactId>) {
        for artifact in unused {
            if let Err(error) = self.parts.runtime.discard_former(&artifact).await {
                tracing::warn!(deployment = %draft, %error, "could not remove a former change; upkeep tries again");
            }
        }
    }

    /// Puts the newest change into service and waits, at most `within`, for what comes of it and until requests meet it.
    pub async fn sync_changes(
        &self,
        actor: &Actor,
        model: &ModelId,
        within: Duration,
    ) -> Result<Synced, Error> {
        self.may(actor, Action::Deploy)?;
        let end = Instant::now() + within;
        let mut news = self.parts.changes.subscribe();
        let hash = match persist!(self.try_sync(model).await)? {
            Asked::InSync => return Ok(Synced::Runs),
            Asked::Refused(reason) => return Ok(Synced::Failed(reason)),
            Asked::For(hash) => hash,
        };
        loop {
            if let Some(outcome) = self.outcome(model, &hash).await? {
                if outcome == Synced::Runs {
                    self.wait_published(model, end).await;
                }
                return Ok(outcome);
            }
            tokio::select! {
                // Missed nudges are fine: the state itself is read.
                _ = news.recv() => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                () = tokio::time::sleep_until(end) => return Ok(Synced::Starting),
            }
        }
    }

    /// Waits, within bounds and until `end` at most, until requests meet what runs: it is saved before it is published. It runs
    /// all the same where the wait can't be written down, as on a full disk.
    async fn wait_published(&self, model: &ModelId, end: Instant) {
        let held = self.hold(model).await;
        let done = match held {
            Ok(held) => self.finish(held).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(done) => {
                let left = end.saturating_duration_since(Instant::now()).min(MOVED_WITHIN);
                self.parts.applied.wait_applied(&done.model, done.generation, left).await;
            }
            Err(error) => {
                tracing::warn!(%model, %error, "a change runs; whether requests meet it is not waited for");
            }
        }
    }

    async fn try_sync(&self, model: &ModelId) -> Result<Asked, Error> {
        let mut held = self.hold(model).await?;
        let Some(mut draft) = development(&held.state.deployments).cloned() else {
            return Err(no_development(&held.state.model.name));
        };
        if let Err(reason) = may_patch(&draft) {
            held.tx.rollback().await?;
            return Ok(Asked::Refused(reason));
        }
        let Some(live) = &draft.live else { return Ok(Asked::InSync) };
        let hash = live.base().hash.clone();
        let newest = live.staged.as_ref().map(|staged| &staged.revision.artifact);
        let under_way = match &live.sync {
            Some(SyncState::Preparing { .. }) => true,
            Some(SyncState::Starting { .. }) => newest == Some(&draft.artifact),
            _ => false,
        };
        if live.is_in_sync() || under_way {
            let asked = match (live.is_in_sync(), &draft.failure) {
                (false, _) => Asked::For(hash),
                (true, None) => Asked::InSync,
                (true, Some(reason)) => {
                    Asked::Refused(format!("no change was received since it failed: {reason}"))
                }
            };
            held.tx.rollback().await?;
            return Ok(asked);
        }
        draft.prepare_staged("looking for its Python environment".into());
        held.save_deployment(draft).await?;
        self.finish(held).await?;
        Ok(Asked::For(hash))
    }

    /// Why the newest change of a model's development deployment did not come up, with its traceback; nothing if it did.
    pub async fn change_failure(&self, actor: &Actor, model: &ModelId) -> Result<Option<String>, Error> {
        self.may(actor, Action::View)?;
        let state = self.parts.store.load_model(model).await?;
        let Some(draft) = state.as_ref().and_then(|state| development(&state.deployments)) else {
            return Ok(None);
        };
        match draft.live.as_ref().and_then(|live| live.sync.as_ref()) {
            Some(SyncState::Failed(failed)) => Ok(Some(self.explained(draft, failed).await)),
            _ => Ok(None),
        }
    }

    /// A reason with the traceback of the replica that failed; a build's reason is its own last words.
    async fn explained(&self, draft: &Deployment, failed: &FailedChange) -> String {
        let reason = &failed.reason;
        let Some(replica) = &failed.replica else { return reason.clone() };
        let trace = self.traceback(draft, failed, replica).await;
        match trace.filter(|trace| !reason.contains(trace.as_str())) {
            Some(trace) => format!("{reason}\n{trace}"),
            None => reason.clone(),
        }
    }

    /// What came of the change with this hash, if it is decided.
    async fn outcome(&self, model: &ModelId, hash: &str) -> Result<Option<Synced>, Error> {
        let state = self.parts.store.load_model(model).await?;
        let draft = state.as_ref().and_then(|state| development(&state.deployments));
        let Some((draft, live)) = draft.and_then(|draft| Some((draft, draft.live.as_ref()?))) else {
            return Ok(Some(Synced::Failed("the development deployment is gone".into())));
        };
        // First: another may have been received since.
        if let Some(failed) = live.failure_of(hash) {
            return Ok(Some(Synced::Failed(self.explained(draft, failed).await)));
        }
        if live.running.hash == hash && live.starts.is_none() && live.sync.is_none() {
            return Ok(Some(Synced::Runs));
        }
        let starts = live.starts.as_ref().is_some_and(|point| point.hash == hash);
        // One that is only received lets this one come up.
        if live.base().hash != hash && !(starts && draft.starts_change()) {
            return Ok(Some(Synced::Failed("a newer change took its place".into())));
        }
        // A push came in between.
        if live.sync.is_none() && live.staged.is_none() {
            return Ok(Some(Synced::Failed("it was pushed anew meanwhile".into())));
        }
        Ok(None)
    }

    /// The newest traceback that a replica wrote from when the change began to start to its failure. One whose class was to
    /// be swapped had served requests before, and has served others since.
    async fn traceback(
        &self,
        draft: &Deployment,
        failed: &FailedChange,
        replica: &ReplicaId,
    ) -> Option<String> {
        let staged = draft.live.as_ref()?.staged.as_ref()?;
        let query = LogQuery {
            start: Some(failed.since.unwrap_or(staged.at)),
            end: Some(failed.at.plus(READ_LATER)),
            replica: Some(replica.to_string()),
            limit: 1,
            includes: vec!["Traceback".into()],
            ..LogQuery::default()
        };
        let found = self.parts.runtime.logs(&draft.id, &query).await.ok()?;
        Some(found.lines.into_iter().next()?.message)
    }
}

/// What a request to put the newest change into service came to.
enum Asked {
    InSync,
    Refused(String),
    /// The change with this hash is on its way.
    For(String),
}

fn development(deployments: &[Deployment]) -> Option<&Deployment> {
    deployments.iter().find(|deployment| deployment.is_development() && deployment.deleted_at.is_none())
}

fn no_development(model: &domain::ModelName) -> Error {
    Error::NotFound(format!("{model} has no development deployment; push one with `truss push --watch`"))
}

/// The code a change is made against, or why it can't be.
fn base_of(draft: &Deployment, change: &ChangeSet) -> Result<Revision, String> {
    may_patch(draft)?;
    let live = draft.live.as_ref().ok_or("it has no state to change")?;
    if live.base().hash != change.base {
        return Err("the change was made against another state than the newest one here; read the state again and send it anew".into());
    }
    let newest = live.staged.as_ref().map(|staged| staged.revision.clone());
    newest.or_else(|| draft.revision()).ok_or_else(|| "it has no state to change".into())
}

async fn patch(
    base: PathBuf,
    folder: PathBuf,
    revision: Revision,
    change: &ChangeSet,
) -> Result<Result<Patched, PatchError>, Error> {
    let change = change.clone();
    let work = move || {
        let config =
            Config::from_json(&revision.config).map_err(|error| PatchError::Refused(error.to_string()))?;
        let signature: Signature = serde_json::from_str(&change.next.signature).map_err(|error| {
            PatchError::Refused(format!("the state the change leads to can't be read: {error}"))
        })?;
        let ops: Vec<Op> = change.ops.iter().map(Op::read).collect::<Result<_, _>>()?;
        let patched = truss::patch::apply(&base, &folder, &config, &ops, &signature)?;
        let mut verdict = truss::validate(&patched.config);
        verdict.errors.extend(truss::validate_files(&patched.config, &folder).errors);
        match verdict.errors.is_empty() {
            true => Ok(patched),
            false => Err(PatchError::Refused(verdict.errors.join("; "))),
        }
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Internal(format!("the change was interrupted: {error}")))
}

/// Notes beside a change whose push it goes on with: what that installed without a cache is not installed anew for each
/// change. The runtime reads it.
async fn note_push(from: &Path, folder: &Path) -> std::io::Result<()> {
    let own = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let push = tokio::fs::read_to_string(from.with_extension("push")).await.unwrap_or(own);
    tokio::fs::write(folder.with_extension("push"), push).await
}

/// Leaves nothing of a refused change on the disk.
async fn discard(folder: &Path) {
    let _ = tokio::fs::remove_file(folder.with_extension("push")).await;
    let _ = tokio::fs::remove_dir_all(folder).await;
}

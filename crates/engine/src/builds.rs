//! Builds run beside the looks: one task for each deployment, whose result is written like any other change. So many run at
//! once, and the others wait for their turn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::{
    Actor, ArtifactId, Build, BuildFailure, BuildSpec, Change, ChangeKind, Deployment, DeploymentId, Event,
    EventId, EventKind, Lifecycle, ModelId, ScaleCause, ScaleChange, SyncState, Wake,
};
use tokio::task::{AbortHandle, JoinSet};

use crate::build_times::{BuildTimes, Timed};
use crate::caught::caught;
use crate::engine::Parts;
use crate::turns::{Turn, Turns};

/// What is said of a staged change that waits for its turn; of a deployment it is said by its standing.
const WAITS: &str = "waiting for its turn to build";
/// Why a build failed that panicked. What exactly it was says nothing to whoever pushed.
const FAULT: &str = "it was ended by a fault of the server, whose log says what went wrong; retry the deployment, \
                     or push again";
/// How soon it is tried again to write how a build ended, after several tries in a row.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How often a simulation looks whether a build that it waits for has ended, and that can't be written.
const GLANCE: Duration = Duration::from_millis(10);

/// The builds that run now, or wait for their turn.
pub struct Builds {
    parts: Parts,
    turns: Turns,
    known: Known,
    times: BuildTimes,
    tasks: JoinSet<()>,
}

/// Builds by whom they are for and what they build.
#[derive(Clone, Default)]
struct Known(Arc<Mutex<BTreeMap<(DeploymentId, ArtifactId), Job>>>);

/// A build that runs or waits.
struct Job {
    model: ModelId,
    /// It prepares a staged change, and not the deployment as it runs.
    change: bool,
    /// It had its turn.
    began: bool,
    /// Nobody waits for it any more, and it goes on.
    left: bool,
    /// It has ended, which can't be written now.
    unwritten: bool,
    /// Its time, which counts when this goes.
    timed: Option<Timed>,
    task: AbortHandle,
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(DeploymentId, ArtifactId), Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Builds that have ended, which can't be written now.
    fn unwritten(&self) -> usize {
        self.lock().values().filter(|job| job.unwritten).count()
    }
}

impl Builds {
    pub(crate) fn new(parts: Parts) -> Self {
        let turns = Turns::new(parts.builds_at_once);
        Self { parts, turns, known: Known::default(), times: BuildTimes::default(), tasks: JoinSet::new() }
    }

    /// Sees to it that the build of a deployment, or of its staged change, runs when it is its turn. After a restart of the
    /// server it starts again and finds what is done.
    pub(crate) fn start(&mut self, deployment: &Deployment) {
        while self.tasks.try_join_next().is_some() {}
        let staged = deployment.live.as_ref().and_then(|live| live.staged.as_ref());
        let change = staged.filter(|_| deployment.prepares_change()).map(|staged| &staged.revision);
        let (artifact, config) = match change {
            Some(revision) => (&revision.artifact, &revision.config),
            None => (&deployment.artifact, &deployment.config),
        };
        let key = (deployment.id.clone(), artifact.clone());
        let mut known = self.known.lock();
        if known.contains_key(&key) {
            return;
        }
        let build = OneBuild {
            parts: self.parts.clone(),
            known: self.known.clone(),
            times: self.times.clone(),
            spec: BuildSpec {
                model: deployment.model.clone(),
                deployment: deployment.id.clone(),
                artifact: artifact.clone(),
                config: config.clone(),
            },
            change: change.is_some(),
        };
        // With the lock held, so that it is not over before it is known.
        let task = self.tasks.spawn(build.run(self.turns.take()));
        let model = deployment.model.clone();
        let job = Job {
            model,
            change: change.is_some(),
            began: false,
            left: false,
            unwritten: false,
            timed: None,
            task,
        };
        known.insert(key, job);
    }

    /// Ends builds of a model that its deployments don't wait for any more, so that others get their turn.
    pub(crate) fn keep(&self, model: &ModelId, deployments: &[Deployment]) {
        let mut known = self.known.lock();
        let before = known.len();
        let left = known.iter().filter(|(_, job)| job.left).map(|((id, _), _)| id.clone());
        let mut left: BTreeSet<DeploymentId> = left.collect();
        known.retain(|(id, artifact), job| {
            if &job.model != model {
                return true;
            }
            let found = deployments.iter().find(|deployment| &deployment.id == id);
            let stays = match found.filter(|deployment| deployment.deleted_at.is_none()) {
                None => false,
                Some(deployment) if waits_for(deployment, artifact, job.change) => {
                    job.began || deployment.lifecycle == Lifecycle::Active
                }
                // It is over, or code was pushed since. That may want the same environment: ended by each change anew, it would
                // never be made.
                Some(_) => {
                    job.left |= job.began && left.insert(id.clone());
                    job.left
                }
            };
            if !stays {
                job.task.abort();
            }
            stays
        });
        if known.len() < before {
            // What one of them had just written it may not have told yet.
            tell(&self.parts, model);
        }
    }

    /// Whether builds of a model have ended whose time is not counted yet.
    pub(crate) fn has_minutes(&self, model: &ModelId) -> bool {
        self.times.has(model)
    }

    /// The minutes of each deployment's builds that have ended, or were ended, since this was asked last. Those of deployments
    /// that are to `wait` are told the next time.
    pub(crate) fn take_minutes(
        &self,
        model: &ModelId,
        wait: &BTreeSet<DeploymentId>,
    ) -> BTreeMap<DeploymentId, u64> {
        self.times.take(model, wait)
    }

    /// Waits for all of them, but for those that have ended and can't be written now: that may be so for ever.
    pub(crate) async fn finish(&mut self) {
        while self.tasks.len() > self.known.unwritten() {
            let _ = tokio::time::timeout(GLANCE, self.tasks.join_next()).await;
        }
    }

    /// Ends all of them; whoever looks next begins them anew.
    pub(crate) async fn end(&mut self) {
        self.tasks.shutdown().await;
        self.known.lock().clear();
    }
}

/// Whether a deployment still waits for the build of this code, for itself or for its staged `change`; it may have been deleted,
/// stopped or pushed again.
fn waits_for(deployment: &Deployment, artifact: &ArtifactId, change: bool) -> bool {
    let staged = deployment.live.as_ref().and_then(|live| live.staged.as_ref());
    deployment.deleted_at.is_none()
        && match change {
            true => {
                deployment.prepares_change()
                    && staged.is_some_and(|staged| &staged.revision.artifact == artifact)
            }
            false => {
                &deployment.artifact == artifact
                    && matches!(deployment.build, Build::Queued | Build::Running { .. })
            }
        }
}

fn tell(parts: &Parts, model: &ModelId) {
    (parts.changes)(Change { kind: ChangeKind::Model, id: model.to_string(), generation: 0 });
}

struct OneBuild {
    parts: Parts,
    known: Known,
    times: BuildTimes,
    spec: BuildSpec,
    /// It prepares a staged change, and not the deployment as it runs.
    change: bool,
}

impl OneBuild {
    /// Builds when it is its turn. One that panics has failed; else its deployment would be `BUILDING` until the server starts anew.
    /// One that is aborted has not: nobody waits for it, or the next server begins it again.
    async fn run(self, turn: Turn) {
        let Err(said) = caught(self.take(turn)).await else { return };
        let deployment = &self.spec.deployment;
        tracing::error!(%deployment, %said, "a build met a defect of the server, and has failed");
        self.parts.runtime.note(deployment, &format!("the build failed: {FAULT}")).await;
        self.end(Build::Failed { reason: FAULT.into() }).await;
    }

    async fn take(&self, turn: Turn) {
        if turn.is_later() {
            self.wait().await;
        }
        let turn = turn.comes().await;
        self.note(|job| {
            job.began = true;
            job.timed = Some(self.times.begin(&self.spec, self.parts.clock.clone()));
        });
        let outcome = match self.build().await {
            Ok(()) => Build::Done { at: self.parts.clock.now() },
            Err(failure) => Build::Failed { reason: failure.reason },
        };
        // Others build, however long it takes to write that.
        drop(turn);
        self.end(outcome).await;
    }

    /// Builds, and writes each step that this says it takes.
    async fn build(&self) -> Result<(), BuildFailure> {
        let (steps, mut told) = tokio::sync::mpsc::unbounded_channel::<String>();
        let progress = move |step: String| {
            // The receiver lives as long as the build; after it nobody wants to know.
            let _ = steps.send(step);
        };
        self.set(Build::Running { step: "preparing the build".into(), since: self.parts.clock.now() }).await;
        let build = self.parts.runtime.build(&self.spec, &progress);
        tokio::pin!(build);
        loop {
            tokio::select! {
                result = &mut build => return result,
                Some(mut step) = told.recv() => {
                    // Only the newest step is worth a write.
                    while let Ok(newer) = told.try_recv() {
                        step = newer;
                    }
                    self.set(Build::Running { step, since: self.parts.clock.now() }).await;
                }
            }
        }
    }

    /// Counts its time, writes how it ended, and lets another build of the same begin. Until that is written it stays known: who
    /// looks meanwhile reads that it is to be built, and would begin it anew, and count it again.
    async fn end(&self, outcome: Build) {
        self.note(|job| drop(job.timed.take()));
        while !self.set(outcome.clone()).await {
            self.note(|job| job.unwritten = true);
            tokio::time::sleep(AFTER_FAILURE).await;
        }
        self.known.lock().remove(&self.key());
        self.parts.wakes.wake(&self.spec.model);
    }

    fn note(&self, note: impl FnOnce(&mut Job)) {
        if let Some(job) = self.known.lock().get_mut(&self.key()) {
            note(job);
        }
    }

    fn key(&self) -> (DeploymentId, ArtifactId) {
        (self.spec.deployment.clone(), self.spec.artifact.clone())
    }

    /// Says that others are before it.
    async fn wait(&self) {
        let line = format!(
            "the build waits for its turn; {} may run at once (`machine.builds_at_once`)",
            self.parts.builds_at_once
        );
        self.parts.runtime.note(&self.spec.deployment, &line).await;
        self.set(Build::Queued).await;
    }

    /// Writes how far the build is, unless the deployment has moved on (deleted, stopped, pushed again). False if that could not
    /// be done in several tries.
    async fn set(&self, build: Build) -> bool {
        let mut failure = None;
        for pause in [0, 5, 20, 50, 200, 1000] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            match self.try_set(&build).await {
                Ok(true) => {
                    tell(&self.parts, &self.spec.model);
                    return true;
                }
                Ok(false) => {}
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            tracing::warn!(deployment = %self.spec.deployment, %error, "could not record a build's progress");
        }
        false
    }

    /// False if another writer came first.
    async fn try_set(&self, build: &Build) -> Result<bool, store::Error> {
        let Some(state) = self.parts.store.load_model(&self.spec.model).await? else { return Ok(true) };
        let current = state.deployments.into_iter().find(|deployment| deployment.id == self.spec.deployment);
        let waits = |deployment: &Deployment| waits_for(deployment, &self.spec.artifact, self.change);
        let Some(before) = current.filter(waits) else { return Ok(true) };
        let mut deployment = before.clone();
        match self.change {
            true => self.note_change(&mut deployment, build),
            false => deployment.build = build.clone(),
        }
        if deployment == before {
            return Ok(true);
        }
        let mut tx = self.parts.store.begin().await?;
        if !tx.save_deployment(&mut deployment).await? {
            tx.rollback().await?;
            return Ok(false);
        }
        if let Build::Failed { reason } = build {
            let (kind, what) = match self.change {
                true => (EventKind::ModelDeploymentPatchFailed, "the change of"),
                false => (EventKind::ModelDeploymentFailed, "the build of"),
            };
            let sentence = format!("{what} {} failed: {reason}", deployment.name);
            let data = serde_json::json!({ "reason": reason });
            let environment = deployment.environment.clone();
            tx.append(&Event { environment, ..self.event(&deployment, kind, sentence, data) }).await?;
        }
        if let Some(change) = ScaleChange::between(before.target, deployment.target, ScaleCause::Changed) {
            let sentence = change.sentence(&deployment.name);
            let kind = EventKind::ScalingDecision;
            tx.append(&self.event(&deployment, kind, sentence, change.data())).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    fn event(
        &self,
        deployment: &Deployment,
        kind: EventKind,
        sentence: String,
        data: serde_json::Value,
    ) -> Event {
        let now = self.parts.clock.now();
        let mut random = [0; 16];
        (self.parts.random)(&mut random);
        Event {
            id: EventId::ordered(now, 0, random),
            at: now,
            kind,
            model: Some(deployment.model.clone()),
            deployment: Some(deployment.id.clone()),
            environment: None,
            model_name: None,
            deployment_name: Some(deployment.name.to_string()),
            actor: Actor::system(),
            sentence,
            data,
        }
    }

    fn note_change(&self, deployment: &mut Deployment, build: &Build) {
        let now = self.parts.clock.now();
        match build {
            Build::Done { .. } => deployment.start_staged(now),
            Build::Failed { reason } => deployment.staged_failed(reason.clone(), None, now),
            Build::Running { step, .. } => prepares(deployment, step),
            Build::Queued => prepares(deployment, WAITS),
            Build::Stopped { .. } => {}
        }
    }
}

fn prepares(deployment: &mut Deployment, step: &str) {
    if let Some(live) = &mut deployment.live {
        live.sync = Some(SyncState::Preparing { step: step.to_owned() });
    }
}

#[cfg(all(test, feature = "simulation"))]
mod tests {
    use crate::simulation::{Script, World};

    #[tokio::test]
    async fn a_server_that_ends_has_ended_its_builds() {
        let mut world = World::new(1).await.unwrap();
        let script = Script { build_is_held: true, ..Script::default() };
        world.deploy("v1", script).await.unwrap();
        while world.machine.building().is_empty() {
            world.tick().await;
            tokio::task::yield_now().await;
        }
        let World { engine, machine, .. } = world;
        engine.run(std::future::ready(())).await;
        assert!(machine.building().is_empty());
    }
}

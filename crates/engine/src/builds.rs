//! Builds run beside the looks: one task for each deployment, whose result is written like any other change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::{
    Actor, ArtifactId, Build, BuildSpec, Change, ChangeKind, Deployment, DeploymentId, Event, EventId,
    EventKind, ModelId, SyncState, Wake,
};
use tokio::task::JoinSet;

use crate::engine::Parts;

/// The builds that run now.
pub struct Builds {
    parts: Parts,
    running: Arc<Mutex<BTreeMap<DeploymentId, ArtifactId>>>,
    tasks: JoinSet<()>,
}

impl Builds {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { parts, running: Arc::default(), tasks: JoinSet::new() }
    }

    /// Sees to it that the build of a deployment, or of its staged change, runs. After a restart of the server it starts
    /// again and finds what is done.
    pub(crate) fn start(&mut self, deployment: &Deployment) {
        while self.tasks.try_join_next().is_some() {}
        let staged = deployment.live.as_ref().and_then(|live| live.staged.as_ref());
        let change = staged.filter(|_| deployment.prepares_change()).map(|staged| &staged.revision);
        let (artifact, config) = match change {
            Some(revision) => (&revision.artifact, &revision.config),
            None => (&deployment.artifact, &deployment.config),
        };
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.get(&deployment.id) == Some(artifact) {
            return;
        }
        running.insert(deployment.id.clone(), artifact.clone());
        drop(running);
        let build = OneBuild {
            parts: self.parts.clone(),
            running: self.running.clone(),
            spec: BuildSpec {
                model: deployment.model.clone(),
                deployment: deployment.id.clone(),
                artifact: artifact.clone(),
                config: config.clone(),
            },
            change: change.is_some(),
        };
        self.tasks.spawn(build.run());
    }

    pub(crate) async fn finish(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

struct OneBuild {
    parts: Parts,
    running: Arc<Mutex<BTreeMap<DeploymentId, ArtifactId>>>,
    spec: BuildSpec,
    /// It prepares a staged change, and not the deployment as it runs.
    change: bool,
}

impl OneBuild {
    async fn run(self) {
        let (steps, mut told) = tokio::sync::mpsc::unbounded_channel::<String>();
        let progress = move |step: String| {
            // The receiver lives as long as the build; after it nobody wants to know.
            let _ = steps.send(step);
        };
        self.set(Build::Running { step: "preparing the build".into(), since: self.parts.clock.now() }).await;
        let result = {
            let build = self.parts.runtime.build(&self.spec, &progress);
            tokio::pin!(build);
            loop {
                tokio::select! {
                    result = &mut build => break result,
                    Some(mut step) = told.recv() => {
                        // Only the newest step is worth a write.
                        while let Ok(newer) = told.try_recv() {
                            step = newer;
                        }
                        self.set(Build::Running { step, since: self.parts.clock.now() }).await;
                    }
                }
            }
        };
        let outcome = match result {
            Ok(()) => Build::Done { at: self.parts.clock.now() },
            Err(failure) => Build::Failed { reason: failure.reason },
        };
        self.set(outcome).await;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.get(&self.spec.deployment) == Some(&self.spec.artifact) {
            running.remove(&self.spec.deployment);
        }
        drop(running);
        self.parts.wakes.wake(&self.spec.model);
    }

    /// Writes how far the build is, unless the deployment has moved on (deleted, stopped, pushed again).
    async fn set(&self, build: Build) {
        for pause in [0_u64, 5, 20, 50, 200, 1000] {
            tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
            match self.try_set(&build).await {
                Ok(true) => {
                    self.tell(&self.spec.model);
                    return;
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(deployment = %self.spec.deployment, %error, "could not record a build's progress");
                }
            }
        }
    }

    /// False if another writer came first.
    async fn try_set(&self, build: &Build) -> Result<bool, store::Error> {
        let Some(state) = self.parts.store.load_model(&self.spec.model).await? else { return Ok(true) };
        let current = state.deployments.into_iter().find(|deployment| deployment.id == self.spec.deployment);
        let Some(mut deployment) = current.filter(|deployment| self.is_of(deployment)) else {
            return Ok(true);
        };
        match self.change {
            true => self.note_change(&mut deployment, build),
            false => deployment.build = build.clone(),
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
            let now = self.parts.clock.now();
            let mut random = [0; 16];
            (self.parts.random)(&mut random);
            tx.append(&Event {
                id: EventId::ordered(now, 0, random),
                at: now,
                kind,
                model: Some(deployment.model.clone()),
                deployment: Some(deployment.id.clone()),
                environment: deployment.environment.clone(),
                model_name: None,
                deployment_name: Some(deployment.name.to_string()),
                actor: Actor::system(),
                sentence: format!("{what} {} failed: {reason}", deployment.name),
                data: serde_json::json!({ "reason": reason }),
            })
            .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Whether the deployment still waits for this build; it may have been deleted, stopped or pushed again.
    fn is_of(&self, deployment: &Deployment) -> bool {
        let staged = deployment.live.as_ref().and_then(|live| live.staged.as_ref());
        deployment.deleted_at.is_none()
            && match self.change {
                true => {
                    deployment.prepares_change()
                        && staged.is_some_and(|staged| staged.revision.artifact == self.spec.artifact)
                }
                false => {
                    deployment.artifact == self.spec.artifact
                        && matches!(deployment.build, Build::Queued | Build::Running { .. })
                }
            }
    }

    fn note_change(&self, deployment: &mut Deployment, build: &Build) {
        let now = self.parts.clock.now();
        match build {
            Build::Done { .. } => deployment.start_staged(now),
            Build::Failed { reason } => deployment.staged_failed(reason.clone(), now),
            Build::Running { step, .. } => {
                if let Some(live) = &mut deployment.live {
                    live.sync = Some(SyncState::Preparing { step: step.clone() });
                }
            }
            Build::Queued | Build::Stopped { .. } => {}
        }
    }

    fn tell(&self, model: &ModelId) {
        (self.parts.changes)(Change { kind: ChangeKind::Model, id: model.to_string(), generation: 0 });
    }
}

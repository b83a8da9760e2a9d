//! A deployment: one immutable, built version of a model; the development one excepted.

use serde::{Deserialize, Serialize};

use crate::{
    ArtifactId, AutoscalingSettings, Backpressure, Compute, DeploymentId, DeploymentName, Environment,
    EnvironmentName, LiveReload, ModelId, Promotion, ReplicaId, Timestamp,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentKind {
    /// The one mutable slot of a model.
    Development,
    Published,
}

/// How far a deployment's build is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Build {
    Queued,
    /// `step` is a sentence for people.
    Running {
        step: String,
        since: Timestamp,
    },
    Done {
        at: Timestamp,
    },
    Failed {
        reason: String,
    },
    Stopped {
        by: String,
    },
}

/// Whether a deployment may use compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    Active,
    Inactive,
}

/// One version of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    pub id: DeploymentId,
    pub model: ModelId,
    pub name: DeploymentName,
    pub kind: DeploymentKind,
    pub created_at: Timestamp,
    /// Who pushed or promoted it into being.
    pub created_by: String,
    pub artifact: ArtifactId,
    /// The full configuration as JSON, every default filled in.
    pub config: serde_json::Value,
    /// The configuration file as it was pushed, if the client sent it.
    pub raw_config: Option<String>,
    pub labels: Option<serde_json::Value>,
    pub build: Build,
    pub lifecycle: Lifecycle,
    /// The environment it serves as current one, or is on its way to.
    pub environment: Option<EnvironmentName>,
    /// Its own settings; those of its environment win while it is attached to one.
    pub autoscaling: AutoscalingSettings,
    /// What becomes of requests that find every place taken; its environment's choice wins while it is attached to one.
    #[serde(default)]
    pub backpressure: Option<Backpressure>,
    /// Replicas wanted now.
    pub target: u32,
    /// When it first became ready since it was last activated.
    pub active_since: Option<Timestamp>,
    /// When it must be ready by, or it counts as failed; set when it starts to deploy.
    pub deadline: Option<Timestamp>,
    /// Minutes it may take to become ready, 10 to 1440.
    pub deploy_timeout_minutes: u32,
    /// Starts that failed in a row.
    pub failed_starts: u32,
    /// Not before this moment is another process started.
    pub retry_at: Option<Timestamp>,
    /// How the last process ended, as a sentence.
    pub last_exit: Option<String>,
    /// Replicas that a person asked to end, each until it is gone (semantics: Replicas).
    #[serde(default)]
    pub terminating: Vec<ReplicaId>,
    /// Why it will not be tried again by itself.
    pub failure: Option<String>,
    /// What it was given of the machine when it was pushed.
    #[serde(default)]
    pub compute: Compute,
    /// What its next replica waits for, while the machine has no room for it.
    #[serde(default)]
    pub waiting: Option<String>,
    /// The hash and signature the push client gave, for development deployments.
    pub truss_hash: Option<String>,
    pub truss_signature: Option<String>,
    /// Changes in place since the last push, for development deployments.
    #[serde(default)]
    pub live: Option<LiveReload>,
    /// The deployment this one is a copy of.
    #[serde(default)]
    pub copied_from: Option<DeploymentId>,
    pub deleted_at: Option<Timestamp>,
    /// Written only over the version that was read.
    pub version: u64,
}

impl Deployment {
    pub fn is_development(&self) -> bool {
        self.kind == DeploymentKind::Development
    }

    pub fn is_built(&self) -> bool {
        matches!(self.build, Build::Done { .. })
    }

    /// What it was or will be started from, each with its configuration: the present code first, then, in the development
    /// slot, the newest change and what to go back to.
    pub fn sources(&self) -> Vec<(&ArtifactId, &serde_json::Value)> {
        let live = self.live.iter();
        let changes = live.flat_map(|live| {
            live.staged.as_ref().map(|staged| &staged.revision).into_iter().chain(&live.fallback)
        });
        let present = std::iter::once((&self.artifact, &self.config));
        present.chain(changes.map(|revision| (&revision.artifact, &revision.config))).collect()
    }

    /// Whether processes may be started for it.
    pub fn may_run(&self) -> bool {
        self.is_built()
            && self.lifecycle == Lifecycle::Active
            && self.failure.is_none()
            && self.deleted_at.is_none()
    }

    /// The settings in force: those of the environment it is attached to, or its own.
    pub fn effective_autoscaling<'a>(&'a self, environments: &'a [Environment]) -> &'a AutoscalingSettings {
        self.served(environments).map_or(&self.autoscaling, |environment| &environment.autoscaling)
    }

    /// The choice in force: that of the environment it is attached to, or its own.
    pub fn effective_backpressure(&self, environments: &[Environment]) -> Option<Backpressure> {
        self.served(environments).map_or(self.backpressure, |environment| environment.backpressure)
    }

    /// The environment it is attached to.
    fn served<'a>(&self, environments: &'a [Environment]) -> Option<&'a Environment> {
        let name = self.environment.as_ref()?;
        environments.iter().find(|environment| &environment.name == name)
    }

    /// What was built is gone: it is to be built again. False if nothing was built, or was being built.
    pub fn build_again(&mut self) -> bool {
        let built = matches!(self.build, Build::Done { .. } | Build::Running { .. });
        if built {
            self.build = Build::Queued;
        }
        built
    }

    /// Begins, again, to deploy what is built: used by activation and retry.
    pub fn begin_deploying(&mut self, replicas: u32, now: Timestamp) {
        self.lifecycle = Lifecycle::Active;
        self.failure = None;
        self.failed_starts = 0;
        self.retry_at = None;
        self.last_exit = None;
        self.active_since = None;
        self.target = replicas.max(1);
        self.deadline = Some(now.plus(i64::from(self.deploy_timeout_minutes) * 60_000));
    }
}

/// Whether a deployment may be deleted; `Err` says why not and the way out (semantics: Delete).
///
/// Every door and the menu's sentence ask this one function.
pub fn may_delete(
    deployment: &Deployment,
    environments: &[Environment],
    running: &[Promotion],
) -> Result<(), String> {
    if let Some(promotion) = running.iter().find(|promotion| promotion.involves(&deployment.id)) {
        return Err(format!(
            "{} takes part in the promotion to {}; cancel the promotion or let it finish first",
            deployment.name, promotion.environment
        ));
    }
    let current_of =
        environments.iter().find(|environment| environment.current.as_ref() == Some(&deployment.id));
    match current_of {
        Some(environment) if environment.name.is_production() => Err(format!(
            "{} serves production; promote another deployment first, or deactivate it to free its compute",
            deployment.name
        )),
        Some(environment) => Err(format!(
            "{} serves {name}; promote another deployment to {name} first, or delete the environment",
            deployment.name,
            name = environment.name
        )),
        None => Ok(()),
    }
}

/// Whether a deployment may be deactivated; `Err` says why not and the way out.
pub fn may_deactivate(deployment: &Deployment, running: &[Promotion]) -> Result<(), String> {
    match running.iter().find(|promotion| promotion.involves(&deployment.id)) {
        Some(promotion) => Err(format!(
            "{} takes part in the promotion to {}; cancel the promotion first",
            deployment.name, promotion.environment
        )),
        None => Ok(()),
    }
}

/// Whether a deployment may become one without an environment by a copy; `Err` says why not.
pub fn may_publish(deployment: &Deployment) -> Result<(), String> {
    if !deployment.is_development() {
        return Err(format!("{} is a deployment of its own already", deployment.name));
    }
    if !deployment.is_built() {
        return Err("the development deployment is not built; publish it when it is active".into());
    }
    Ok(())
}

/// Whether a deployment may be renamed; `Err` says why not.
pub fn may_rename(deployment: &Deployment) -> Result<(), String> {
    if deployment.is_development() {
        return Err("the development deployment keeps its name; promote it to get one you can name".into());
    }
    Ok(())
}

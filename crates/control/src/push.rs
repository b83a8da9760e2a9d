//! A Truss arrives: check, unpack, record; the engine builds it.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{
    Action, Actor, ArtifactId, AutoscalingPatch, AutoscalingSettings, Backpressure, Build, Compute,
    Deployment, DeploymentId, DeploymentKind, DeploymentName, Environment, EnvironmentName, EnvironmentPatch,
    EventKind, Invalid, Lifecycle, LiveReload, Model, ModelId, ModelName, PatchPoint, PromotionRequest,
    Strategy, Timestamp,
};
use serde_json::{Value, json};
use truss::{Config, Limits, Validation};

use crate::parts::{Held, persist};
use crate::{ControlPlane, Error};

/// Whose deployment a push becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushTarget {
    /// A new model; one of that name must not exist.
    NewModel { name: String },
    /// Another deployment of a model.
    Version { model: ModelId },
    /// The development deployment of the model of that name, both made if missing.
    Development { name: String },
}

/// A push as a client sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    pub target: PushTarget,
    /// The key of the upload with the archive.
    pub upload_key: String,
    /// Base64 of the configuration as JSON, every default filled in.
    pub config: String,
    pub deployment_name: Option<String>,
    /// Promote it to this environment once it is ready.
    pub environment: Option<String>,
    /// Make that environment if the model has none of that name; otherwise such a push is refused.
    pub create_environment: bool,
    /// How it scales, and what becomes of requests that find every place taken: the environment's settings are changed
    /// so, or those of the deployment where it is pushed to none.
    pub autoscaling: AutoscalingPatch,
    pub backpressure: Option<Option<Backpressure>>,
    /// How it is promoted, in place of what the environment says.
    pub strategy: Option<Strategy>,
    pub scale_down_previous: bool,
    pub allow_download: bool,
    /// 10 to 1440.
    pub deploy_timeout_minutes: Option<i64>,
    /// A JSON object as text.
    pub labels: Option<String>,
    /// Base64 of the configuration file as it was written.
    pub raw_config: Option<String>,
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    pub model: ModelId,
    pub deployment: DeploymentId,
}

/// A push whose values are known to be good.
struct Checked {
    artifact: ArtifactId,
    config: Value,
    compute: Compute,
    raw_config: Option<String>,
    name: Option<DeploymentName>,
    environment: Option<EnvironmentName>,
    labels: Option<Value>,
    timeout: u32,
    signature: Option<(String, String)>,
}

impl ControlPlane {
    /// What is wrong with a configuration, and what of it is ignored here. `config` is base64 of JSON.
    pub async fn validate(&self, actor: &Actor, config: &str) -> Result<Validation, Error> {
        self.may(actor, Action::Deploy)?;
        let (config, _) = read_config(config)?;
        let mut verdict = truss::validate(&config);
        verdict.errors.extend(self.room_for(&config).err().unwrap_or_default());
        Ok(verdict)
    }

    /// Takes an uploaded archive and makes it a deployment, which is then built.
    pub async fn push(&self, actor: &Actor, push: Push) -> Result<Pushed, Error> {
        let (config, mut checked) = self.checked(actor, &push).await?;
        let archive = self.take_upload(&push.upload_key).await?;
        let folder = self.parts.data_dir.join("artifacts").join(checked.artifact.as_str());
        let development = matches!(push.target, PushTarget::Development { .. });
        let unpacked = unpack(archive.clone(), folder.clone(), config, development).await;
        match unpacked {
            Ok(signature) => checked.signature = signature,
            Err(error) => {
                discard(&archive, &folder).await;
                return Err(error);
            }
        }
        keep_archive(&archive, &folder).await?;
        // Whatever happens to the connection now, the push is recorded whole or not at all.
        let (plane, actor) = (self.clone(), actor.clone());
        let recorded = tokio::spawn(async move {
            let pushed = persist!(plane.try_record(&actor, &push, &checked).await);
            if pushed.is_err() {
                discard(&folder.with_extension("tar"), &folder).await;
            }
            pushed
        });
        recorded.await.map_err(|error| Error::Internal(format!("the push was interrupted: {error}")))?
    }

    /// Everything that can be said of a push before its archive is there.
    pub async fn check_push(&self, actor: &Actor, push: &Push) -> Result<(), Error> {
        self.checked(actor, push).await.map(|_| ())
    }

    async fn checked(&self, actor: &Actor, push: &Push) -> Result<(Config, Checked), Error> {
        self.may(actor, Action::Deploy)?;
        let (config, value) = read_config(&push.config)?;
        let mut errors = truss::validate(&config).errors;
        let compute = self.room_for(&config).unwrap_or_else(|beyond| {
            errors.extend(beyond);
            Compute::default()
        });
        if !errors.is_empty() {
            return Err(Invalid::new("config", errors.join("; ")).into());
        }
        let mut checked = self.check(push, value)?;
        checked.compute = compute;
        self.check_target(actor, push, &checked).await?;
        Ok((config, checked))
    }

    fn check(&self, push: &Push, config: Value) -> Result<Checked, Error> {
        let name = push.deployment_name.as_deref().map(|name| {
            DeploymentName::new(name).map_err(|invalid| Invalid::new("deployment_name", invalid.problem))
        });
        let environment = push.environment.as_deref().map(|name| {
            EnvironmentName::new(name).map_err(|invalid| Invalid::new("environment_name", invalid.problem))
        });
        let labels = push.labels.as_deref().map(read_labels).transpose()?.flatten();
        let timeout = match push.deploy_timeout_minutes {
            None => 30,
            Some(minutes) if (10..=1440).contains(&minutes) => minutes as u32,
            Some(minutes) => {
                let problem = format!("{minutes} is not within 10 to 1440");
                return Err(Invalid::new("deploy_timeout_minutes", problem).into());
            }
        };
        let raw_config = push.raw_config.as_deref().map(|text| decode("raw_config", text)).transpose()?;
        Ok(Checked {
            artifact: ArtifactId::from_random(self.random_bytes()),
            config,
            compute: Compute::default(),
            raw_config: raw_config.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            name: name.transpose()?,
            environment: environment.transpose()?,
            labels,
            timeout,
            signature: None,
        })
    }

    /// Refuses what can be refused before anything is unpacked.
    async fn check_target(&self, actor: &Actor, push: &Push, checked: &Checked) -> Result<(), Error> {
        let store = &self.parts.store;
        let model = match &push.target {
            PushTarget::NewModel { name } => {
                let name = ModelName::new(name.as_str())?;
                if store.find_model_by_name(&name).await?.is_some() {
                    return Err(Invalid::new("name", format!("a model named `{name}` exists already")).into());
                }
                None
            }
            PushTarget::Development { name } => {
                store.find_model_by_name(&ModelName::new(name.as_str())?).await?
            }
            PushTarget::Version { model } => {
                let state = store.load_model(model).await?.filter(|state| !state.deleted);
                Some(state.ok_or_else(|| crate::parts::no_model(model))?.model)
            }
        };
        let Some(asked) = &checked.environment else { return Ok(()) };
        self.may_change(actor, asked)?;
        let exists = match &model {
            None => asked.is_production(),
            Some(model) => store
                .load_model(&model.id)
                .await?
                .is_some_and(|state| state.environments.iter().any(|environment| &environment.name == asked)),
        };
        if exists || push.create_environment {
            return Ok(());
        }
        Err(Error::NotFound(format!(
            "there is no environment `{asked}`; create it first, from the model's page in the dashboard, and push again"
        )))
    }

    async fn take_upload(&self, key: &str) -> Result<PathBuf, Error> {
        let row = self.parts.store.find_upload(key).await?;
        let good = row.is_some_and(|row| !row.used && row.expires_at > self.now());
        let path = self.upload_path(key);
        if !good || !tokio::fs::try_exists(&path).await.unwrap_or(false) {
            let problem = "no archive was uploaded under this key, or it was used already; push again";
            return Err(Invalid::new("s3_key", problem).into());
        }
        let mut tx = self.parts.store.begin().await?;
        let mine = tx.use_upload(key).await?;
        tx.commit().await?;
        if mine { Ok(path) } else { Err(Invalid::new("s3_key", "another push took this archive").into()) }
    }

    async fn try_record(&self, actor: &Actor, push: &Push, checked: &Checked) -> Result<Pushed, Error> {
        let mut held = self.hold_target(push).await?;
        let deployment = match push.target {
            PushTarget::Development { .. } => {
                self.record_development(&mut held, actor, push, checked).await?
            }
            _ => self.record_published(&mut held, actor, push, checked).await?,
        };
        let done = self.finish(held).await?;
        Ok(Pushed { model: done.model, deployment })
    }

    /// The model a push is for, made now if it is new.
    async fn hold_target(&self, push: &Push) -> Result<Held, Error> {
        let (name, may_exist) = match &push.target {
            PushTarget::Version { model } => return self.hold(model).await,
            PushTarget::NewModel { name } => (name, false),
            PushTarget::Development { name } => (name, true),
        };
        let name = ModelName::new(name.as_str())?;
        if let Some(model) = self.parts.store.find_model_by_name(&name).await? {
            if may_exist {
                return self.hold(&model.id).await;
            }
            return Err(Invalid::new("name", format!("a model named `{name}` exists already")).into());
        }
        let now = self.now();
        let model = Model {
            id: ModelId::from_random(self.random_bytes()),
            name,
            created_at: now,
            next_number: 1,
            generation: 1,
            allow_download: push.allow_download,
        };
        let production = Environment::new(model.id.clone(), EnvironmentName::production(), now);
        let mut tx = self.parts.store.begin().await?;
        match tx.insert_model(&model).await {
            Ok(()) => {}
            // Somebody pushed a model of this name at the same moment.
            Err(store::Error::Taken { .. }) => return Err(Error::Busy),
            Err(error) => return Err(error.into()),
        }
        tx.insert_environment(&production).await?;
        let state = tx.load_model(&model.id).await?.ok_or_else(|| crate::parts::no_model(&model.id))?;
        Ok(Held::new(tx, state, model.generation, now))
    }

    async fn record_published(
        &self,
        held: &mut Held,
        actor: &Actor,
        push: &Push,
        checked: &Checked,
    ) -> Result<DeploymentId, Error> {
        let taken: Vec<DeploymentName> = held
            .state
            .deployments
            .iter()
            .filter(|d| d.deleted_at.is_none())
            .map(|d| d.name.clone())
            .collect();
        let name = match &checked.name {
            Some(name) if taken.contains(name) => {
                let problem =
                    format!("another deployment of {} is named `{name}` already", held.state.model.name);
                return Err(Invalid::new("deployment_name", problem).into());
            }
            Some(name) => name.clone(),
            None => {
                let name = held.state.model.take_name(|name| taken.contains(name));
                let model = held.state.model.clone();
                held.tx.save_model(&model).await?;
                name
            }
        };
        let mut deployment = self.new_deployment(held, actor, checked, name, DeploymentKind::Published);
        let id = deployment.id.clone();
        let pushed_name = deployment.name.clone();
        let Some(environment) = &checked.environment else {
            own_settings(&mut deployment, push)?;
            held.insert_deployment(deployment).await?;
            self.record_push(held, actor, push, &id, None, format!("{pushed_name} was pushed")).await?;
            return Ok(id);
        };
        // Asked before it was unpacked, too; access may have ended meanwhile.
        self.may_change(actor, environment)?;
        if let Some(running) = held.running(environment) {
            let sentence = format!(
                "{pushed_name} was pushed and left unpromoted: {environment} has a promotion in progress ({} %)",
                running.percent()
            );
            held.insert_deployment(deployment).await?;
            self.record_push(held, actor, push, &id, None, sentence).await?;
            return Ok(id);
        }
        prepare_environment(held, push, environment).await?;
        let request =
            PromotionRequest { strategy: push.strategy, scale_down_previous: push.scale_down_previous };
        self.begin_promotion(held, actor, deployment, environment, &request, true).await?;
        let sentence = format!("{pushed_name} was pushed to {environment}");
        self.record_push(held, actor, push, &id, Some(environment), sentence).await?;
        Ok(id)
    }

    /// A push leaves one row, whatever it makes: a model, a deployment, a promotion.
    async fn record_push(
        &self,
        held: &mut Held,
        actor: &Actor,
        push: &Push,
        id: &DeploymentId,
        environment: Option<&EnvironmentName>,
        sentence: String,
    ) -> Result<(), Error> {
        let new_model = held.state.deployments.len() == 1 && held.generation == 1;
        let sentence = match new_model {
            true => format!("{sentence}, the first of the new model {}", held.state.model.name),
            false => sentence,
        };
        let data = json!({
            "publish": !matches!(push.target, PushTarget::Development { .. }),
            "scale_previous_to_zero": environment.is_some() && push.scale_down_previous,
            "new_model": new_model,
        });
        held.record(self, actor, EventKind::ModelDeployed, Some(id), environment, sentence, data).await
    }

    /// Fills the one development slot, in place if there is one.
    async fn record_development(
        &self,
        held: &mut Held,
        actor: &Actor,
        push: &Push,
        checked: &Checked,
    ) -> Result<DeploymentId, Error> {
        let existing =
            held.state.deployments.iter().find(|d| d.is_development() && d.deleted_at.is_none()).cloned();
        let name = DeploymentName::development();
        let mut fresh = self.new_deployment(held, actor, checked, name, DeploymentKind::Development);
        if let Some(slot) = &existing {
            fresh.autoscaling = slot.autoscaling.clone();
            fresh.backpressure = slot.backpressure;
        }
        own_settings(&mut fresh, push)?;
        let id = match existing {
            None => {
                let id = fresh.id.clone();
                held.insert_deployment(fresh).await?;
                id
            }
            Some(slot) => {
                fresh.id = slot.id.clone();
                fresh.created_at = slot.created_at;
                fresh.version = slot.version;
                held.save_deployment(fresh).await?;
                slot.id
            }
        };
        let sentence = "the development deployment was pushed".into();
        self.record_push(held, actor, push, &id, None, sentence).await?;
        Ok(id)
    }

    fn new_deployment(
        &self,
        held: &Held,
        actor: &Actor,
        checked: &Checked,
        name: DeploymentName,
        kind: DeploymentKind,
    ) -> Deployment {
        let (hash, signature) = checked.signature.clone().unzip();
        let pushed = checked.signature.clone().map(|(hash, signature)| PatchPoint { hash, signature });
        let live = pushed.map(LiveReload::as_pushed);
        Deployment {
            id: DeploymentId::from_random(self.random_bytes()),
            model: held.state.model.id.clone(),
            name,
            kind,
            created_at: after_others(held),
            created_by: actor.name.clone(),
            artifact: checked.artifact.clone(),
            config: checked.config.clone(),
            raw_config: checked.raw_config.clone(),
            labels: checked.labels.clone(),
            build: Build::Queued,
            lifecycle: Lifecycle::Active,
            environment: None,
            autoscaling: AutoscalingSettings::default(),
            target: 0,
            active_since: None,
            deadline: None,
            deploy_timeout_minutes: checked.timeout,
            failed_starts: 0,
            retry_at: None,
            last_exit: None,
            terminating: Vec::new(),
            failure: None,
            compute: checked.compute.clone(),
            waiting: None,
            backpressure: None,
            truss_hash: hash,
            truss_signature: signature,
            live,
            copied_from: None,
            deleted_at: None,
            version: 0,
        }
    }
}

/// Settings that a push brings for a deployment without an environment.
fn own_settings(deployment: &mut Deployment, push: &Push) -> Result<(), Invalid> {
    let patch = &push.autoscaling;
    if deployment.is_development() && (patch.min_replica.is_some() || patch.max_replica.is_some()) {
        let problem = "a development deployment has 0 to 1 replicas; leave min_replica and max_replica out";
        return Err(Invalid::new("autoscaling_settings", problem));
    }
    deployment.autoscaling = deployment.autoscaling.patched(patch)?;
    deployment.backpressure = push.backpressure.unwrap_or(deployment.backpressure);
    Ok(())
}

/// The environment that a push is for, made if it is to be, with the settings that the push brings.
async fn prepare_environment(held: &mut Held, push: &Push, name: &EnvironmentName) -> Result<(), Error> {
    if push.create_environment && held.environment(name).is_err() {
        let environment = Environment::new(held.state.model.id.clone(), name.clone(), held.now);
        held.tx.insert_environment(&environment).await?;
        held.state.environments.push(environment);
    }
    let before = held.environment(name)?.clone();
    let mut after = before.clone();
    after.patch(&EnvironmentPatch {
        autoscaling: push.autoscaling.clone(),
        backpressure: push.backpressure,
        ..EnvironmentPatch::default()
    })?;
    if after != before {
        held.save_environment(after).await?;
    }
    Ok(())
}

/// Now, and in any case after every other deployment, so that sorting by age keeps the order of pushes.
fn after_others(held: &Held) -> Timestamp {
    let last = held.state.deployments.iter().map(|deployment| deployment.created_at.plus(1)).max();
    last.map_or(held.now, |last| last.max(held.now))
}

fn decode(field: &str, text: &str) -> Result<Vec<u8>, Invalid> {
    STANDARD.decode(text.trim()).map_err(|error| Invalid::new(field, format!("this is no base64: {error}")))
}

fn read_config(text: &str) -> Result<(Config, Value), Error> {
    let bytes = decode("config", text)?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Invalid::new("config", format!("this is no JSON: {error}")))?;
    let config = Config::from_json(&value).map_err(|error| Invalid::new("config", error.to_string()))?;
    let full = config.full();
    Ok((config, full))
}

fn read_labels(text: &str) -> Result<Option<Value>, Invalid> {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Null) => Ok(None),
        Ok(value @ Value::Object(_)) => Ok(Some(value)),
        _ => Err(Invalid::new("labels", "labels are a JSON object, such as {\"team\": \"search\"}")),
    }
}

/// Unpacks an archive and checks what is in it; for a development deployment it also says its hash and signature.
async fn unpack(
    archive: PathBuf,
    folder: PathBuf,
    config: Config,
    development: bool,
) -> Result<Option<(String, String)>, Error> {
    let work = move || -> Result<Option<(String, String)>, Error> {
        let file = std::fs::File::open(&archive)
            .map_err(|error| Error::Internal(format!("the uploaded archive can't be read: {error}")))?;
        if let Some(parent) = folder.parent() {
            std::fs::create_dir_all(parent).map_err(|error| {
                Error::disk(&error, || Error::Internal(format!("the data folder can't be written: {error}")))
            })?;
        }
        truss::unpack(std::io::BufReader::new(file), &folder, &Limits::default()).map_err(|error| {
            let refused = || Invalid::new("archive", error.to_string()).into();
            match &error {
                truss::ArchiveError::Write { source, .. } => Error::disk(source, refused),
                _ => refused(),
            }
        })?;
        let verdict = truss::validate_files(&config, &folder);
        if !verdict.errors.is_empty() {
            return Err(Invalid::new("archive", verdict.errors.join("; ")).into());
        }
        if !development {
            return Ok(None);
        }
        let rules = truss::IgnoreRules::of_truss(&folder, "").map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => Invalid::new("archive", error.to_string()).into(),
            _ => Error::Internal(format!("the archive's ignore list can't be read: {error}")),
        })?;
        let signature = truss::Signature::of_truss(&folder, &rules)
            .map_err(|error| Error::Internal(format!("the archive can't be hashed: {error}")))?;
        let text = serde_json::to_string(&signature).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Some((signature.hash().to_string(), text)))
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Internal(format!("unpacking was interrupted: {error}")))?
}

/// Keeps the archive beside its folder, for downloads.
async fn keep_archive(archive: &Path, folder: &Path) -> Result<(), Error> {
    tokio::fs::rename(archive, folder.with_extension("tar"))
        .await
        .map_err(|error| Error::Internal(format!("the archive could not be kept: {error}")))
}

/// Leaves nothing of a refused push on the disk.
async fn discard(archive: &Path, folder: &Path) {
    let _ = tokio::fs::remove_file(archive).await;
    let _ = tokio::fs::remove_dir_all(folder).await;
}

//! A Truss arrives: check, unpack, record (`record_push`); the engine builds it.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{
    Action, Actor, ArtifactId, AutoscalingPatch, Backpressure, Compute, DEPLOY_TIMEOUT, DeploymentId,
    DeploymentName, Environment, EnvironmentName, EnvironmentPatch, Invalid, ModelId, ModelName,
    PromotionPatch, PromotionRequest,
};
use serde_json::Value;
use truss::{Config, Validation};

use crate::archive::{discard, keep_archive, unpack};
use crate::parts::persist;
use crate::pushes::{Entered, Sent, once_taken};
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
    /// How it is promoted, over what the environment says.
    pub settings_override: PromotionPatch,
    pub scale_down_previous: bool,
    /// Whether it gets the instance type that the environment has, as far as that has what it asks for.
    pub preserve_instance_type: bool,
    pub allow_download: bool,
    /// 10 to 1440.
    pub deploy_timeout_minutes: Option<i64>,
    /// A JSON object as text.
    pub labels: Option<String>,
    /// Base64 of the configuration file as it was written.
    pub raw_config: Option<String>,
}

impl Push {
    /// What it changes of the environment that it is for.
    pub(crate) fn environment_patch(&self) -> EnvironmentPatch {
        EnvironmentPatch {
            autoscaling: self.autoscaling.clone(),
            backpressure: self.backpressure,
            ..EnvironmentPatch::default()
        }
    }

    /// How it asks to be promoted.
    pub(crate) fn promotion_request(&self) -> PromotionRequest {
        PromotionRequest {
            settings_override: self.settings_override.clone(),
            scale_down_previous: self.scale_down_previous,
            preserve_instance_type: self.preserve_instance_type,
            ..PromotionRequest::default()
        }
    }
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    pub model: ModelId,
    pub deployment: DeploymentId,
}

/// A push whose values are known to be good.
pub(crate) struct Checked {
    pub artifact: ArtifactId,
    pub config: Value,
    pub compute: Compute,
    pub raw_config: Option<String>,
    pub name: Option<DeploymentName>,
    pub environment: Option<EnvironmentName>,
    pub labels: Option<Value>,
    pub timeout: u32,
    pub signature: Option<(String, String)>,
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
    ///
    /// Unpacking a large one takes longer than some clients wait. Whoever sends the same push again, while it is under way
    /// or within an hour, hears what comes of the first, as long as this server lives.
    pub async fn push(&self, actor: &Actor, push: Push) -> Result<Pushed, Error> {
        self.may(actor, Action::Deploy)?;
        let sent = Sent::new(actor, &push);
        if let Some(outcome) = self.pushes.find(&sent) {
            return outcome.wait().await;
        }
        let checked = self.checked(actor, &push).await;
        if let Some(outcome) = self.pushes.find(&sent) {
            // What was checked may be what the first has just made.
            return outcome.wait().await;
        }
        let (config, checked) = checked?;
        match self.pushes.enter(sent, self.now())? {
            Entered::Again(outcome) => outcome.wait().await,
            Entered::First(mine, outcome) => {
                // Whatever happens to the connection now, the push is recorded whole or not at all.
                let (plane, actor) = (self.clone(), actor.clone());
                self.pushes.carry(async move {
                    let archive = plane.take_upload(&push.upload_key).await;
                    let taken = archive.is_ok();
                    let done = match archive {
                        Ok(archive) => plane.carry_out(&actor, &push, config, checked, archive).await,
                        Err(error) => Err(error),
                    };
                    plane.pushes.leave(mine, done, taken);
                });
                outcome.wait().await
            }
        }
    }

    /// Waits until every push that this server has begun is recorded or has failed, also those whose clients do not wait
    /// any more, but for no longer than `within`; for a server that ends, and begins none any more.
    pub async fn pushes_end(&self, within: Duration) {
        if tokio::time::timeout(within, self.pushes.end()).await.is_err() {
            tracing::warn!("a push was not done after {within:?} and is broken off; push it again");
        }
    }

    async fn carry_out(
        &self,
        actor: &Actor,
        push: &Push,
        config: Config,
        mut checked: Checked,
        archive: PathBuf,
    ) -> Result<Pushed, Error> {
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
        let pushed = persist!(self.try_record(actor, push, &checked).await);
        if pushed.is_err() {
            discard(&folder.with_extension("tar"), &folder).await;
        }
        pushed.map_err(once_taken)
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
        let timeout = DEPLOY_TIMEOUT.check(push.deploy_timeout_minutes.unwrap_or(30))?;
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
        let environments = match &model {
            None => Vec::new(),
            Some(model) => {
                store.load_model(&model.id).await?.map(|state| state.environments).unwrap_or_default()
            }
        };
        let known = environments.into_iter().find(|environment| &environment.name == asked);
        let of_new_model = model.is_none() && asked.is_production();
        if known.is_none() && !of_new_model && !push.create_environment {
            return Err(Error::NotFound(format!(
                "there is no environment `{asked}`; create it first, from the model's page in the dashboard, and push again"
            )));
        }
        // One that is to be made has the defaults, whatever its model will be called.
        let fresh = || Environment::new(ModelId::new(""), asked.clone(), self.now());
        let mut environment = known.unwrap_or_else(fresh);
        push.promotion_request().settings(&environment)?;
        environment.patch(&push.environment_patch())?;
        Ok(())
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

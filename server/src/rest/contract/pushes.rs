//! Pushes: what clients send of a deployment, and where its archive goes.

use control::Upload;
use domain::Invalid;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::requests::{UpdateBackpressure, absent, yes};
use super::{Deployment, Model, REGION, UpdateAutoscaling, UpdatePromotion};

/// What a deployment is made of, beside its archive.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeploymentArchivePayload)]
pub struct Payload {
    /// `config.yaml` as JSON.
    #[schema(value_type = Object)]
    pub config: Map<String, Value>,
    /// `config.yaml` as it was written.
    pub raw_config: Option<String>,
    /// What the client says of itself; it is not kept.
    #[serde(rename = "user_env")]
    #[schema(value_type = Option<Object>)]
    pub _user_env: Option<Map<String, Value>>,
    /// Promote it to this environment once it is ready.
    pub environment_name: Option<String>,
    /// Make that environment if there is none of that name; otherwise the push is refused.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub create_environment_if_missing: bool,
    /// There is one region; anything but `local` is refused.
    pub region: Option<String>,
    /// It gets the instance type of the environment's current deployment, unless that has less than its configuration asks
    /// for; with `false` it has the one that its configuration asks for.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub preserve_env_instance_type: bool,
    /// 30 if left out.
    #[schema(minimum = 10, maximum = 1440)]
    pub deploy_timeout_minutes: Option<i64>,
    #[schema(min_length = 1, max_length = 255)]
    pub deployment_name: Option<String>,
    #[schema(value_type = Option<Object>)]
    pub labels: Option<Map<String, Value>>,
    /// It fills the model's development slot; then it has no name and no environment.
    #[serde(default)]
    #[schema(default = false)]
    pub is_development: bool,
    /// The environment's settings are changed so, or those of the deployment where it is pushed to none.
    pub autoscaling_settings: Option<UpdateAutoscaling>,
    /// As `autoscaling_settings`.
    pub request_backpressure_settings: Option<UpdateBackpressure>,
    /// Not available; refused unless null.
    #[schema(value_type = Option<Object>)]
    pub autoscaling_schedule_settings: Option<Value>,
    /// For the promotion that this push begins, only.
    pub promotion_settings_override: Option<UpdatePromotion>,
    /// Not to be chosen here: `resources` in its configuration and `preserve_env_instance_type` say which it gets. Anything
    /// but `local` is refused.
    pub instance_type_id: Option<String>,
}

impl Payload {
    /// Refuses what is not available, and what does not go together.
    pub fn check(&self) -> Result<(), Invalid> {
        absent("region", self.region.as_deref().is_some_and(|region| region != REGION))?;
        absent("autoscaling_schedule_settings", self.autoscaling_schedule_settings.is_some())?;
        absent("instance_type_id", self.instance_type_id.as_deref().is_some_and(|id| id != domain::LOCAL))?;
        if self.is_development {
            let refuse =
                |field: &str| Err(Invalid::new(field, "a development deployment has none; leave it out"));
            if self.environment_name.is_some() {
                return refuse("environment_name");
            }
            if self.deployment_name.is_some() {
                return refuse("deployment_name");
            }
            if !self.preserve_env_instance_type {
                let problem = "a development deployment has no environment; leave it out";
                return Err(Invalid::new("preserve_env_instance_type", problem));
            }
        }
        if self.promotion_settings_override.is_some() && self.environment_name.is_none() {
            let problem = "there is a promotion only with an environment_name";
            return Err(Invalid::new("promotion_settings_override", problem));
        }
        Ok(())
    }
}

/// A new model.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateModel {
    pub source: ModelSource,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ModelArchiveSource)]
pub struct ModelSource {
    /// `model_archive`, the only one.
    #[schema(default = "model_archive")]
    pub kind: Option<String>,
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
    pub deployment: Payload,
    /// The key of the archive.
    pub s3_key: Option<String>,
    #[serde(default)]
    #[schema(default = false)]
    pub disable_archive_download: bool,
}

/// Another deployment of a model.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDeployment {
    pub source: DeploymentSource,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeploymentArchiveSource)]
pub struct DeploymentSource {
    /// `model_archive`, the only one.
    #[schema(default = "model_archive")]
    pub kind: Option<String>,
    pub deployment: Payload,
    /// The key of the archive.
    pub s3_key: Option<String>,
}

/// A push that is to be checked: of a new model by `name`, or of a further deployment by `model_id`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PrepareUpload {
    pub deployment: Payload,
    #[schema(min_length = 1, max_length = 255)]
    pub name: Option<String>,
    /// The only one is `default`.
    pub team_id: Option<String>,
    pub model_id: Option<String>,
    /// Check only.
    #[serde(default)]
    #[schema(default = false)]
    pub dry_run: bool,
}

/// What came of a push.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreatedModelDeployment)]
pub struct CreatedDeployment {
    pub model: Model,
    pub deployment: Deployment,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AWSCredentials)]
pub struct Keys {
    aws_access_key_id: String,
    aws_secret_access_key: String,
    aws_session_token: String,
}

/// Leave to upload one archive.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BlobCredentials)]
pub struct Credentials {
    creds: Keys,
    s3_key: String,
    s3_bucket: String,
    s3_region: &'static str,
    /// Ours: what an S3 client is to take for its endpoint.
    s3_endpoint_url: String,
}

impl Credentials {
    /// `public_url` has no slash at its end.
    pub fn new(upload: Upload, public_url: &str) -> Self {
        Self {
            creds: Keys {
                aws_access_key_id: upload.access_key,
                aws_secret_access_key: upload.secret,
                aws_session_token: upload.session_token,
            },
            s3_key: upload.key,
            s3_bucket: crate::uploads::BUCKET.into(),
            s3_region: "us-east-1",
            s3_endpoint_url: format!("{public_url}/s3"),
        }
    }
}

/// The same, or nothing where a push was only checked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PreparedUpload)]
pub struct UploadPlace {
    #[schema(required)]
    creds: Option<Keys>,
    #[schema(required)]
    s3_bucket: Option<String>,
    #[schema(required)]
    s3_key: Option<String>,
    #[schema(required)]
    s3_region: Option<&'static str>,
    /// Ours: what an S3 client is to take for its endpoint.
    #[schema(required)]
    s3_endpoint_url: Option<String>,
}

impl UploadPlace {
    pub fn none() -> Self {
        Self { creds: None, s3_bucket: None, s3_key: None, s3_region: None, s3_endpoint_url: None }
    }

    pub fn new(upload: Upload, public_url: &str) -> Self {
        let all = Credentials::new(upload, public_url);
        Self {
            creds: Some(all.creds),
            s3_bucket: Some(all.s3_bucket),
            s3_key: Some(all.s3_key),
            s3_region: Some(all.s3_region),
            s3_endpoint_url: Some(all.s3_endpoint_url),
        }
    }
}

//! The objects that the push client asks for.

use async_graphql::{Enum, ID, InputValueError, InputValueResult, Scalar, ScalarType, SimpleObject, Value};

use crate::rest::contract::TEAM;

/// Text that holds JSON; the client declares its variables with this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText(pub String);

#[Scalar(name = "JSONString")]
impl ScalarType for JsonText {
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(text)),
            other => Err(InputValueError::expected_type(other)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum ModelOrigin {
    Baseten,
    Chains,
}

#[derive(SimpleObject)]
#[graphql(rename_fields = "snake_case")]
pub struct Organization {
    pub id: ID,
    pub workspace_name: String,
    pub aws_customer_access_role_arn: Option<String>,
    pub aws_external_id: Option<String>,
}

#[derive(SimpleObject)]
pub struct User {
    /// The client prints it; without people's addresses it is the key's name.
    pub email: String,
}

#[derive(SimpleObject)]
pub struct Team {
    pub id: ID,
    pub name: String,
    #[graphql(name = "default")]
    pub is_default: bool,
}

impl Team {
    /// The one team there is.
    pub fn only() -> Self {
        Self { id: TEAM.into(), name: TEAM.into(), is_default: true }
    }
}

#[derive(SimpleObject)]
#[graphql(rename_fields = "snake_case")]
pub struct Oracle {
    pub id: ID,
    pub name: String,
    /// A URL prefix with its scheme: everything about calling the model begins with it.
    pub hostname: String,
    pub team: Team,
    pub versions: Vec<OracleVersion>,
    pub primary_version: Option<Box<OracleVersion>>,
}

#[derive(Clone, SimpleObject)]
#[graphql(rename_fields = "snake_case")]
pub struct OracleVersion {
    pub id: ID,
    pub semver: Option<String>,
    pub truss_hash: Option<String>,
    pub truss_signature: Option<String>,
    pub is_draft: bool,
    pub is_primary: bool,
    pub current_model_deployment_status: Option<DeploymentStatus>,
    pub oracle: OracleRef,
    pub instance_type: InstanceTypeRef,
}

/// The model of a version: what is asked of it there.
#[derive(Clone, SimpleObject)]
pub struct OracleRef {
    pub id: ID,
    pub name: String,
    pub hostname: String,
}

#[derive(Clone, SimpleObject)]
pub struct DeploymentStatus {
    /// In the client's own vocabulary, such as `MODEL_READY`.
    pub status: String,
}

#[derive(Clone, SimpleObject)]
pub struct InstanceTypeRef {
    pub name: String,
}

#[derive(SimpleObject)]
#[graphql(rename_fields = "snake_case")]
pub struct VersionPayload {
    pub model_version: OracleVersion,
}

#[derive(SimpleObject)]
#[graphql(rename_fields = "snake_case")]
pub struct PatchPayload {
    pub id: Option<ID>,
    pub name: Option<String>,
    pub version_id: Option<ID>,
    pub succeeded: bool,
    pub needs_full_deploy: Option<bool>,
    pub error: Option<String>,
}

#[derive(SimpleObject)]
#[graphql(rename_fields = "snake_case")]
pub struct PatchPoint {
    pub current_hash: String,
    pub current_signature: String,
}

impl From<domain::PatchPoint> for PatchPoint {
    fn from(point: domain::PatchPoint) -> Self {
        Self { current_hash: point.hash, current_signature: point.signature }
    }
}

#[derive(SimpleObject)]
#[graphql(rename_fields = "snake_case")]
pub struct TrussWatchState {
    pub is_container_built_from_push: bool,
    pub django_patch_state: Option<PatchPoint>,
    pub container_patch_state: Option<PatchPoint>,
}

#[derive(SimpleObject)]
pub struct TrussValidation {
    pub success: bool,
    /// JSON text: `{"errors": […], "warnings": […]}`.
    pub details: Option<String>,
}

#[derive(SimpleObject)]
#[graphql(rename_fields = "snake_case")]
pub struct UploadCredentials {
    #[graphql(name = "s3_bucket")]
    pub s3_bucket: String,
    #[graphql(name = "s3_key")]
    pub s3_key: String,
    pub aws_access_key_id: String,
    pub aws_secret_access_key: String,
    pub aws_session_token: String,
}

/// Chains are not served; the client asks whether there are any.
#[derive(SimpleObject)]
pub struct Chain {
    pub id: ID,
    pub name: String,
    pub team: Team,
}

#[derive(SimpleObject)]
#[graphql(rename_fields = "snake_case")]
pub struct ListedInstance {
    pub id: ID,
    pub name: String,
    pub millicpu_limit: i32,
    pub memory_limit: i32,
    pub gpu_count: i32,
    pub gpu_type: Option<String>,
    pub gpu_memory: Option<i32>,
    #[graphql(name = "default")]
    pub is_default: bool,
    pub display_name: String,
    pub node_count: i32,
    pub price: Option<f64>,
    pub limited_capacity: Option<bool>,
}

impl ListedInstance {
    pub fn all(host: &domain::Host) -> Vec<Self> {
        let whole = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
        let default = host.default_type().map(|known| &known.id);
        let listed = host.types.iter().map(|known| Self {
            id: known.id.as_str().into(),
            name: known.name.clone(),
            millicpu_limit: whole(known.milli_cpu),
            memory_limit: whole(known.memory / domain::MIB),
            gpu_count: whole(known.gpus.into()),
            gpu_type: known.gpu_type.clone(),
            gpu_memory: None,
            is_default: default == Some(&known.id),
            display_name: match host.whole {
                true => format!("This machine ({})", known.name),
                false => known.name.clone(),
            },
            node_count: 1,
            price: known.price.map(domain::Price::as_per_minute),
            limited_capacity: None,
        });
        listed.collect()
    }
}

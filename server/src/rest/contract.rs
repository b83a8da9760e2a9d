//! The shapes of the management API, as its clients know them.

mod audit;
mod metrics;
mod processes;
mod pushes;
mod requests;
mod settings;
mod startups;
pub mod words;

use domain::{DeploymentKind, Host, MIB, Standing, Strategy, Timestamp};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::picture::Picture;

pub use audit::{AuditLog, AuditLogEntry, Pagination};
pub use metrics::{Metrics, MetricsRequest};
pub use processes::Used;
pub use pushes::{
    CreateDeployment, CreateModel, CreatedDeployment, Credentials, Payload, PrepareUpload, UploadPlace,
};
pub use requests::{
    CreateEnvironment, EnvironmentSettingsUpdate, LogsRequest, PromoteDeployment, PromoteToEnvironment,
    Rename, UpdateBackpressure, UpdateEnvironment,
};
pub use settings::{AutoscalingSettings, PromotionSettings, UpdateAutoscaling, UpdatePromotion};
pub use startups::{StartupAttempts, StartupSummary, StartupsQuery, StartupsWindow};

/// Everything runs in one team.
pub const TEAM: &str = "default";
/// And in one region.
pub const REGION: &str = "local";

/// Where things run.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Region {
    pub slug: &'static str,
    pub display_name: &'static str,
}

impl Region {
    pub fn only() -> Self {
        Self { slug: REGION, display_name: "This machine" }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Model {
    pub id: String,
    #[schema(format = DateTime)]
    pub created_at: String,
    pub name: String,
    pub deployments_count: u64,
    #[schema(required)]
    pub production_deployment_id: Option<String>,
    #[schema(required)]
    pub development_deployment_id: Option<String>,
    pub instance_type_name: String,
    pub team_name: &'static str,
}

impl Model {
    /// `picture` has what production serves, or else the newest deployment.
    pub fn new(picture: &Picture, development: Option<&domain::DeploymentId>, host: &Host) -> Self {
        let model = &picture.model;
        let serving = picture.production().and_then(|environment| environment.current.as_ref());
        let shown = serving.and_then(|id| picture.deployment(id)).or(picture.deployments.last());
        let compute = shown.map(|shown| shown.compute.clone()).unwrap_or_default();
        Self {
            id: model.id.to_string(),
            created_at: model.created_at.rfc3339(),
            name: model.name.to_string(),
            deployments_count: picture.count,
            production_deployment_id: serving.map(ToString::to_string),
            development_deployment_id: development.map(ToString::to_string),
            instance_type_name: host.type_name(&compute),
            team_name: TEAM,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Models {
    pub models: Vec<Model>,
    /// Only where a page was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Pagination>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Deployment {
    pub id: String,
    #[schema(format = DateTime)]
    pub created_at: String,
    pub name: String,
    pub model_id: String,
    pub is_production: bool,
    pub is_development: bool,
    #[schema(value_type = words::DeploymentStatus)]
    pub status: &'static str,
    /// Replicas that are ready.
    pub active_replica_count: u32,
    /// Null until it was deployed.
    #[schema(required)]
    pub autoscaling_settings: Option<AutoscalingSettings>,
    #[schema(required)]
    pub instance_type_name: Option<String>,
    #[schema(required)]
    pub environment: Option<String>,
    #[schema(required, value_type = Option<Object>)]
    pub labels: Option<Value>,
    #[schema(required)]
    pub region: Option<Region>,
    pub request_backpressure_settings: Backpressure,
    /// Why the status is what it is. Ours; clients of the hosted API ignore it.
    pub status_reason: String,
}

impl Deployment {
    pub fn new(
        deployment: &domain::Deployment,
        standing: &Standing,
        environments: &[domain::Environment],
        host: &Host,
    ) -> Self {
        let is_production = environments.iter().any(|environment| {
            environment.name.is_production() && environment.current.as_ref() == Some(&deployment.id)
        });
        Self {
            id: deployment.id.to_string(),
            created_at: deployment.created_at.rfc3339(),
            name: deployment.name.to_string(),
            model_id: deployment.model.to_string(),
            is_production,
            is_development: deployment.kind == DeploymentKind::Development,
            status: standing.status.as_str(),
            active_replica_count: standing.ready,
            autoscaling_settings: deployment
                .is_built()
                .then(|| AutoscalingSettings::from(deployment.effective_autoscaling(environments))),
            instance_type_name: Some(host.type_name(&deployment.compute)),
            environment: deployment.environment.as_ref().map(ToString::to_string),
            labels: deployment.labels.clone(),
            region: Some(Region::only()),
            request_backpressure_settings: deployment.effective_backpressure(environments).into(),
            status_reason: standing.sentence.clone(),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Deployments {
    pub deployments: Vec<Deployment>,
    /// Only where a page was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pagination: Option<Pagination>,
}

/// What becomes of requests while all replicas are busy; null if nothing was chosen: they wait.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[schema(as = RequestBackpressureSettings)]
pub struct Backpressure {
    #[schema(required, value_type = Option<words::RequestBackpressurePolicy>)]
    pub policy: Option<&'static str>,
}

impl From<Option<domain::Backpressure>> for Backpressure {
    fn from(choice: Option<domain::Backpressure>) -> Self {
        Self { policy: choice.map(domain::Backpressure::as_str) }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Environment {
    pub name: String,
    #[schema(format = DateTime)]
    pub created_at: String,
    pub model_id: String,
    #[schema(required)]
    pub current_deployment: Option<Deployment>,
    #[schema(required)]
    pub candidate_deployment: Option<Deployment>,
    #[schema(required)]
    pub in_progress_promotion: Option<InProgressPromotion>,
    pub autoscaling_settings: AutoscalingSettings,
    pub promotion_settings: PromotionSettings,
    #[schema(required)]
    pub instance_type: Option<InstanceType>,
    pub request_backpressure_settings: Backpressure,
    /// Always null.
    #[schema(required, value_type = Option<Object>)]
    pub autoscaling_schedules: Option<Value>,
    /// Always null.
    #[schema(required, value_type = Option<Object>)]
    pub traffic_routing: Option<Value>,
}

impl Environment {
    pub fn new(
        environment: &domain::Environment,
        current: Option<Deployment>,
        candidate: Option<Deployment>,
        promotion: Option<&domain::Promotion>,
        compute: &domain::Compute,
        host: &Host,
    ) -> Self {
        Self {
            name: environment.name.to_string(),
            created_at: environment.created_at.rfc3339(),
            model_id: environment.model.to_string(),
            current_deployment: current,
            candidate_deployment: candidate,
            in_progress_promotion: promotion.map(InProgressPromotion::from),
            autoscaling_settings: (&environment.autoscaling).into(),
            promotion_settings: (&environment.promotion).into(),
            instance_type: host.type_of(compute).map(InstanceType::from),
            request_backpressure_settings: environment.backpressure.into(),
            autoscaling_schedules: None,
            traffic_routing: None,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Environments {
    pub environments: Vec<Environment>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct InProgressPromotion {
    #[schema(value_type = words::PromotionStatus)]
    pub status: &'static str,
    #[schema(maximum = 100)]
    pub percent_traffic_to_new_version: u32,
    /// While its traffic goes back: what went wrong.
    #[schema(required)]
    pub error_message: Option<String>,
    #[schema(required)]
    pub rolling_deploy: Option<bool>,
}

impl From<&domain::Promotion> for InProgressPromotion {
    fn from(promotion: &domain::Promotion) -> Self {
        Self {
            status: promotion.phase.as_str(),
            percent_traffic_to_new_version: promotion.percent(),
            error_message: promotion.problem().map(str::to_owned),
            rolling_deploy: Some(matches!(promotion.strategy, Strategy::Rolling { .. })),
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct InstanceType {
    pub id: String,
    pub name: String,
    pub memory_limit_mib: u32,
    pub millicpu_limit: u32,
    pub gpu_count: u32,
    #[schema(required)]
    pub gpu_type: Option<String>,
    #[schema(required)]
    pub gpu_memory_limit_mib: Option<u32>,
}

impl From<&domain::InstanceType> for InstanceType {
    fn from(known: &domain::InstanceType) -> Self {
        let whole = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            id: known.id.clone(),
            name: known.name.clone(),
            memory_limit_mib: whole(known.memory / MIB),
            millicpu_limit: whole(known.milli_cpu),
            gpu_count: known.gpus,
            gpu_type: known.gpu_type.clone(),
            gpu_memory_limit_mib: None,
        }
    }
}

/// `{"success": true, "no_op": …}`: `no_op` if it was so already.
#[derive(Debug, Serialize, ToSchema)]
pub struct Switched {
    pub success: bool,
    pub no_op: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Retried {
    pub retried: bool,
    #[schema(required)]
    pub reason: Option<String>,
    pub deployment: Deployment,
}

/// A change of settings: `ACCEPTED` or `UNCHANGED`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Updated {
    #[schema(value_type = words::UpdateStatus)]
    pub status: &'static str,
    pub message: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct EnvironmentUpdated {
    pub environment: Environment,
    #[schema(value_type = words::UpdateStatus)]
    pub status: &'static str,
    pub message: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PromotionCanceled {
    #[schema(value_type = words::CancelStatus)]
    pub status: &'static str,
    pub message: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SignalSent {
    pub success: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Logs {
    pub logs: Vec<Log>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Log {
    /// Nanoseconds since 1970, as text.
    pub timestamp: String,
    pub message: String,
    #[schema(required)]
    pub replica: Option<String>,
    #[schema(required)]
    pub request_id: Option<String>,
    #[schema(required, value_type = Option<words::Level>)]
    pub level: Option<domain::LogLevel>,
    /// Ours: whose line it is, in an environment's log; there only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
}

impl From<(domain::DeploymentId, domain::LogLine)> for Log {
    fn from((deployment, line): (domain::DeploymentId, domain::LogLine)) -> Self {
        Self { deployment_id: Some(deployment.to_string()), ..line.into() }
    }
}

impl From<domain::LogLine> for Log {
    fn from(line: domain::LogLine) -> Self {
        Self {
            deployment_id: None,
            timestamp: line.nanos.to_string(),
            message: line.message,
            replica: line.replica.map(|replica| replica.to_string()),
            request_id: line.request_id,
            level: line.level,
        }
    }
}

/// Who an organisation is: one, from the first start on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Organization {
    pub org_id: &'static str,
    #[schema(required)]
    pub name: Option<String>,
    #[schema(format = DateTime)]
    pub created_at: String,
    /// Always null.
    #[schema(required, value_type = Option<Object>)]
    pub aws_assume_role: Option<Value>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Team {
    pub id: &'static str,
    pub name: &'static str,
    pub default: bool,
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl Team {
    pub fn only(since: Timestamp) -> Self {
        Self { id: TEAM, name: TEAM, default: true, created_at: since.rfc3339() }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct User {
    pub user_id: String,
    #[schema(required)]
    pub email: Option<String>,
    #[schema(required)]
    pub name: Option<String>,
    #[schema(required)]
    pub workspace_name: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Users {
    pub items: Vec<User>,
    pub pagination: Pagination,
}

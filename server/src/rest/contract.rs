//! The shapes of the management API, as its clients know them.

mod audit;
mod metrics;
mod requests;
mod settings;

use domain::{DeploymentKind, Host, MIB, Phase, Standing, Strategy, Timestamp};
use serde::Serialize;
use serde_json::Value;

pub use audit::{AuditLog, Pagination};
pub use metrics::{Metrics, MetricsRequest};
pub use requests::{
    Backpressure as BackpressureUpdate, CreateEnvironment, EnvironmentSettingsUpdate, LogsRequest,
    PromoteDeployment, PromoteToEnvironment, Rename, UpdateEnvironment, strategy,
};
pub use settings::{AutoscalingSettings, PromotionSettings, UpdateAutoscaling, UpdatePromotion};

/// Everything runs in one team.
pub const TEAM: &str = "default";

#[derive(Debug, Serialize)]
pub struct Model {
    pub id: String,
    pub created_at: String,
    pub name: String,
    pub deployments_count: usize,
    pub production_deployment_id: Option<String>,
    pub development_deployment_id: Option<String>,
    pub instance_type_name: String,
    pub team_name: &'static str,
}

impl Model {
    /// `deployments` and `environments` are those of the model that exist.
    pub fn new(
        model: &domain::Model,
        deployments: &[domain::Deployment],
        environments: &[domain::Environment],
        host: &Host,
    ) -> Self {
        let production = environments.iter().find(|environment| environment.name.is_production());
        let serving = production.and_then(|environment| environment.current.as_ref());
        let serving = serving.and_then(|id| deployments.iter().find(|deployment| &deployment.id == id));
        let compute = serving.or(deployments.last()).map(|shown| shown.compute.clone()).unwrap_or_default();
        Self {
            id: model.id.to_string(),
            created_at: model.created_at.rfc3339(),
            name: model.name.to_string(),
            deployments_count: deployments.len(),
            production_deployment_id: production
                .and_then(|environment| environment.current.as_ref())
                .map(ToString::to_string),
            development_deployment_id: deployments
                .iter()
                .find(|deployment| deployment.is_development())
                .map(|deployment| deployment.id.to_string()),
            instance_type_name: host.type_name(&compute),
            team_name: TEAM,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Models {
    pub models: Vec<Model>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Deployment {
    pub id: String,
    pub created_at: String,
    pub name: String,
    pub model_id: String,
    pub is_production: bool,
    pub is_development: bool,
    pub status: &'static str,
    pub active_replica_count: u32,
    /// Null until it was deployed.
    pub autoscaling_settings: Option<AutoscalingSettings>,
    pub instance_type_name: Option<String>,
    pub environment: Option<String>,
    pub labels: Option<Value>,
    pub region: Option<Value>,
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
            region: None,
            request_backpressure_settings: Backpressure::default(),
            status_reason: standing.sentence.clone(),
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Deployments {
    pub deployments: Vec<Deployment>,
}

/// What happens when all replicas are busy: requests wait, always.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Backpressure {
    pub policy: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub struct Environment {
    pub name: String,
    pub created_at: String,
    pub model_id: String,
    pub current_deployment: Option<Deployment>,
    pub candidate_deployment: Option<Deployment>,
    pub in_progress_promotion: Option<InProgressPromotion>,
    pub autoscaling_settings: AutoscalingSettings,
    pub promotion_settings: PromotionSettings,
    pub instance_type: Option<InstanceType>,
    pub request_backpressure_settings: Backpressure,
    pub autoscaling_schedules: Option<Value>,
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
            request_backpressure_settings: Backpressure::default(),
            autoscaling_schedules: None,
            traffic_routing: None,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Environments {
    pub environments: Vec<Environment>,
}

#[derive(Debug, Serialize)]
pub struct InProgressPromotion {
    pub status: &'static str,
    pub percent_traffic_to_new_version: u32,
    pub error_message: Option<String>,
    pub rolling_deploy: Option<bool>,
}

impl From<&domain::Promotion> for InProgressPromotion {
    fn from(promotion: &domain::Promotion) -> Self {
        Self {
            status: promotion.phase.as_str(),
            percent_traffic_to_new_version: promotion.percent(),
            error_message: promotion.reason.clone().filter(|_| promotion.phase == Phase::Failed),
            rolling_deploy: Some(matches!(promotion.strategy, Strategy::Rolling { .. })),
        }
    }
}

#[derive(Debug, Serialize)]
pub struct InstanceType {
    pub id: String,
    pub name: String,
    pub memory_limit_mib: u32,
    pub millicpu_limit: u32,
    pub gpu_count: u32,
    pub gpu_type: Option<String>,
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
#[derive(Debug, Serialize)]
pub struct Switched {
    pub success: bool,
    pub no_op: bool,
}

#[derive(Debug, Serialize)]
pub struct Retried {
    pub retried: bool,
    pub reason: Option<String>,
    pub deployment: Deployment,
}

/// A change of settings: `ACCEPTED` or `UNCHANGED`.
#[derive(Debug, Serialize)]
pub struct Updated {
    pub status: &'static str,
    pub message: String,
}

#[derive(Debug, Serialize)]
pub struct EnvironmentUpdated {
    pub environment: Environment,
    pub status: &'static str,
    pub message: String,
}

#[derive(Debug, Serialize)]
pub struct PromotionCanceled {
    pub status: &'static str,
    pub message: String,
}

#[derive(Debug, Serialize)]
pub struct SignalSent {
    pub success: bool,
}

#[derive(Debug, Serialize)]
pub struct Logs {
    pub logs: Vec<Log>,
}

#[derive(Debug, Serialize)]
pub struct Log {
    /// Nanoseconds since 1970, as text.
    pub timestamp: String,
    pub message: String,
    pub replica: Option<String>,
    pub request_id: Option<String>,
    pub level: Option<domain::LogLevel>,
}

impl From<domain::LogLine> for Log {
    fn from(line: domain::LogLine) -> Self {
        Self {
            timestamp: line.nanos.to_string(),
            message: line.message,
            replica: line.replica.map(|replica| replica.to_string()),
            request_id: line.request_id,
            level: line.level,
        }
    }
}

/// Who an organisation is: one, from the first start on.
#[derive(Debug, Serialize)]
pub struct Organization {
    pub org_id: &'static str,
    pub name: Option<String>,
    pub created_at: String,
    pub aws_assume_role: Option<Value>,
}

#[derive(Debug, Serialize)]
pub struct Team {
    pub id: &'static str,
    pub name: &'static str,
    pub default: bool,
    pub created_at: String,
}

impl Team {
    pub fn only(since: Timestamp) -> Self {
        Self { id: TEAM, name: TEAM, default: true, created_at: since.rfc3339() }
    }
}

#[derive(Debug, Serialize)]
pub struct User {
    pub user_id: String,
    pub email: Option<String>,
    pub name: Option<String>,
    pub workspace_name: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Users {
    pub items: Vec<User>,
    pub pagination: Pagination,
}

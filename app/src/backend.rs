//! What the dashboard asks of the server it runs in. The server implements this over its use cases
//! and puts an `Arc<dyn Backend>` into the context of every page and server function.

mod team;

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    Access, AutoscalingPatch, DeploymentId, EnvironmentName, Invalid, LogPlaces, ModelId, PromotionPatch,
    ReplicaId, Signal, Timestamp, WholeNumber, parse_id,
};
use http::request::Parts;

use crate::error::AppError;
use crate::view::{
    ActivityFilter, ActivityPage, DeploymentPage, Done, EnvironmentPage, LivePage, LogCursor, LogFilter,
    LogPage, LogPiece, LogScope, MetricsPage, ModelPage, ModelsPage, ReferencePage, ReplicasNow, ScalingPage,
    SessionInfo, SignIn, TryAnswer, UsagePage,
};

pub use team::Team;

/// How many days back the usage is read.
pub const DAYS: WholeNumber = WholeNumber::new("days", 1, 31);
/// How many hours back the scaling of a deployment is read.
pub const HOURS: WholeNumber = WholeNumber::new("hours", 1, 168);

/// Who asks, as the server knows it. The dashboard only carries it from [`Backend::open`] to the
/// other calls.
#[derive(Clone)]
pub struct Session(Arc<dyn Any + Send + Sync>);

impl Session {
    pub fn new<T: Any + Send + Sync>(inner: T) -> Self {
        Self(Arc::new(inner))
    }

    /// What the server put in; `None` if it asks for another type than that.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

/// Whose metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricsOf {
    Deployment(DeploymentId),
    Environment(EnvironmentName),
    Model,
}

/// Whose log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogsOf {
    Deployment(DeploymentId),
    Environment(EnvironmentName),
}

impl LogsOf {
    /// The model, and whose log of it is asked for.
    ///
    /// # Errors
    /// An id or a name can't be one, or both a deployment and an environment are named.
    pub fn parse(scope: &LogScope) -> Result<(ModelId, Self), Invalid> {
        let model = ModelId::new(parse_id("model_id", &scope.model_id)?);
        let of = match (scope.deployment_id.as_str(), scope.environment.as_str()) {
            (id, "") => Self::Deployment(DeploymentId::new(parse_id("deployment_id", id)?)),
            ("", name) => Self::Environment(EnvironmentName::new(name)?),
            _ => return Err(Invalid::new("environment", "can't be given together with `deployment_id`")),
        };
        Ok((model, of))
    }
}

/// Which part of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogPart {
    /// The last lines.
    End,
    After(LogCursor),
    Before(LogCursor),
}

/// How a file has the lines of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Csv,
    /// A line of JSON for each line.
    JsonLines,
}

impl LogFormat {
    /// The format that is asked for as `format`; `jsonl` is `json`, too.
    ///
    /// # Errors
    /// There is no such format.
    pub fn parse(name: &str) -> Result<Self, Invalid> {
        match name {
            "text" => Ok(Self::Text),
            "csv" => Ok(Self::Csv),
            "json" | "jsonl" => Ok(Self::JsonLines),
            other => Err(Invalid::new("format", format!("`{other}` is not one of text, csv, json"))),
        }
    }
}

/// What was written to a log while somebody waited.
#[derive(Debug, Clone, PartialEq)]
pub struct LogNews {
    pub page: LogPage,
    /// Whether there is more to read already.
    pub more: bool,
}

/// A log as a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFile {
    /// Without what its format adds.
    pub name: String,
    /// It has the lines up to this moment.
    pub until: Timestamp,
}

/// How one promotion is to carry traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Direct,
    Canary {
        window_ms: i64,
    },
    /// Replica by replica, as the environment's settings say.
    Rolling,
}

/// One method for each server function.
#[async_trait]
pub trait Backend: Team + Send + Sync + 'static {
    /// Finds out who asks, from the cookie or the `Authorization` header.
    ///
    /// Fails with [`AppError::Unauthorized`] if nobody does.
    async fn open(&self, request: &Parts) -> Result<Session, AppError>;

    /// Signs in with a password, a one-time token or an API key; answers the value of `Set-Cookie`.
    async fn sign_in(&self, request: &Parts, proof: SignIn) -> Result<String, AppError>;

    /// Ends the session; answers the value of `Set-Cookie` that forgets it.
    async fn sign_out(&self, request: &Parts) -> Result<String, AppError>;

    // What pages show.

    async fn session_info(&self, session: &Session) -> Result<SessionInfo, AppError>;

    /// The models that changed last, of those with `filter` in their name. `cursor` is where the page before ended; it is empty for
    /// the first one.
    async fn models_page(
        &self,
        session: &Session,
        filter: &str,
        cursor: &str,
    ) -> Result<ModelsPage, AppError>;

    /// `cursor` is where the page before ended; it is empty for the newest deployments.
    async fn model_page(
        &self,
        session: &Session,
        model: &ModelId,
        cursor: &str,
    ) -> Result<ModelPage, AppError>;

    async fn environment_page(
        &self,
        session: &Session,
        model: &ModelId,
        environment: &EnvironmentName,
    ) -> Result<EnvironmentPage, AppError>;

    async fn deployment_page(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
    ) -> Result<DeploymentPage, AppError>;

    /// Lines of a log, oldest first.
    async fn logs(
        &self,
        session: &Session,
        model: &ModelId,
        of: &LogsOf,
        filter: LogFilter,
        part: LogPart,
    ) -> Result<LogPage, AppError>;

    /// Waits until something is written after these places, and answers what the filter lets through of it: perhaps nothing.
    async fn follow_logs(
        &self,
        session: &Session,
        model: &ModelId,
        of: &LogsOf,
        filter: &LogFilter,
        after: &LogPlaces,
    ) -> Result<LogNews, AppError>;

    /// The file that has a log as it is at this moment.
    async fn log_file(&self, session: &Session, model: &ModelId, of: &LogsOf) -> Result<LogFile, AppError>;

    /// A piece of that file: some lines after a line, oldest first, up to the moment `until`.
    async fn log_piece(
        &self,
        session: &Session,
        model: &ModelId,
        of: &LogsOf,
        filter: &LogFilter,
        format: LogFormat,
        after: LogCursor,
        until: Timestamp,
    ) -> Result<LogPiece, AppError>;

    /// A deployment's replicas with what they use now.
    async fn replicas(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
    ) -> Result<ReplicasNow, AppError>;

    /// How a deployment scaled over the last `hours` hours, as [`HOURS`] says.
    async fn scaling(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
        hours: u32,
    ) -> Result<ScalingPage, AppError>;

    /// What was measured over a period: 15m, 1h, 6h, 24h or 7d.
    async fn metrics(
        &self,
        session: &Session,
        model: &ModelId,
        of: MetricsOf,
        period: &str,
    ) -> Result<MetricsPage, AppError>;

    /// How the development deployment's live reload stands, and what has changed since the newest copy of it.
    async fn live(&self, session: &Session, model: &ModelId) -> Result<LivePage, AppError>;

    /// The management API's description.
    async fn reference(&self, session: &Session) -> Result<ReferencePage, AppError>;

    /// Use over the last `days` days, as [`DAYS`] says, deleted deployments included.
    async fn usage(&self, session: &Session, days: u32) -> Result<UsagePage, AppError>;

    /// The same as a table for other programs: CSV, one line for each deployment and day, with the name of the file.
    async fn usage_csv(&self, session: &Session, days: u32) -> Result<(String, String), AppError>;

    /// A page of what was done: to a model, or in the workspace.
    async fn activity(
        &self,
        session: &Session,
        model: Option<&ModelId>,
        filter: ActivityFilter,
    ) -> Result<ActivityPage, AppError>;

    /// The same as a table for other programs: CSV, the newest 10,000 rows at most, with the name of the file.
    async fn activity_csv(
        &self,
        session: &Session,
        model: Option<&ModelId>,
        filter: &ActivityFilter,
    ) -> Result<(String, String), AppError>;

    // What people do. The answer comes once the intent is recorded and, where traffic moves, live.

    /// The deployment gets the environment's instance type, unless it is to keep its own.
    async fn promote(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
        environment: &EnvironmentName,
        way: Way,
        keep_own_instance_type: bool,
    ) -> Result<Done, AppError>;

    /// Copies the development deployment to one without an environment; numbered without a `name`.
    async fn publish(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
        name: Option<&str>,
    ) -> Result<Done, AppError>;

    async fn signal_promotion(
        &self,
        session: &Session,
        model: &ModelId,
        environment: &EnvironmentName,
        signal: Signal,
    ) -> Result<Done, AppError>;

    /// `name` is as typed; the use case validates it.
    async fn rename(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
        name: &str,
    ) -> Result<Done, AppError>;

    /// Tries a failed build or start again.
    async fn retry(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
    ) -> Result<Done, AppError>;

    async fn activate(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
    ) -> Result<Done, AppError>;

    async fn deactivate(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
    ) -> Result<Done, AppError>;

    /// Ends one replica; another one starts in its place.
    async fn terminate_replica(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
        replica: &ReplicaId,
    ) -> Result<Done, AppError>;

    /// `confirm` must be the deployment's name.
    async fn delete_deployment(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
        confirm: &str,
    ) -> Result<Done, AppError>;

    /// `confirm` must be the model's name.
    async fn delete_model(&self, session: &Session, model: &ModelId, confirm: &str)
    -> Result<Done, AppError>;

    /// `name` is as typed; the use case validates it.
    async fn create_environment(
        &self,
        session: &Session,
        model: &ModelId,
        name: &str,
        autoscaling: AutoscalingPatch,
        promotion: PromotionPatch,
        access: Option<Access>,
    ) -> Result<Done, AppError>;

    /// Activates what the environment serves.
    async fn activate_environment(
        &self,
        session: &Session,
        model: &ModelId,
        environment: &EnvironmentName,
    ) -> Result<Done, AppError>;

    /// Deactivates what the environment serves.
    async fn deactivate_environment(
        &self,
        session: &Session,
        model: &ModelId,
        environment: &EnvironmentName,
    ) -> Result<Done, AppError>;

    /// `confirm` must be the environment's name.
    async fn delete_environment(
        &self,
        session: &Session,
        model: &ModelId,
        environment: &EnvironmentName,
        confirm: &str,
    ) -> Result<Done, AppError>;

    async fn update_promotion_settings(
        &self,
        session: &Session,
        model: &ModelId,
        environment: &EnvironmentName,
        patch: PromotionPatch,
    ) -> Result<Done, AppError>;

    async fn update_environment_autoscaling(
        &self,
        session: &Session,
        model: &ModelId,
        environment: &EnvironmentName,
        patch: AutoscalingPatch,
    ) -> Result<Done, AppError>;

    /// Writes through to the environment if the deployment is attached to one.
    async fn update_autoscaling(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
        patch: AutoscalingPatch,
    ) -> Result<Done, AppError>;

    /// Begins to send some requests with the model's example input to the environment; they are sent in the
    /// background.
    async fn send_sample_traffic(
        &self,
        session: &Session,
        model: &ModelId,
        environment: &EnvironmentName,
    ) -> Result<Done, AppError>;

    /// Sends `input` (JSON text) to the deployment through the gateway.
    async fn try_request(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
        input: &str,
    ) -> Result<TryAnswer, AppError>;
}

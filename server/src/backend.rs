//! What the dashboard asks of the server, answered by the use cases.

mod access;
mod actions;
mod activity_log;
mod environments;
mod errors;
mod first_run;
mod live;
mod logs;
mod making;
mod metrics;
pub mod pages;
mod people;
mod reads;
mod sample;
mod settings;
mod team;
mod trial;
mod usage_log;

use std::sync::Arc;

use app::backend::{Backend, LogFile, LogFormat, LogNews, LogPart, LogsOf, MetricsOf, Session, Way};
use app::error::AppError;
use app::view::{
    ActivityFilter, ActivityPage, DeploymentPage, Done, EnvironmentPage, LivePage, LogCursor, LogFilter,
    LogPage, LogPiece, MetricsPage, ModelPage, ModelsPage, ReferencePage, ReplicasNow, ScalingPage,
    SessionInfo, SignIn, TryAnswer, UsagePage,
};
use async_trait::async_trait;
use domain::{
    Access, Actor, AutoscalingPatch, DeploymentId, Door, EnvironmentName, LogPlaces, ModelId, PromotionPatch,
    ReplicaId, Signal, Timestamp, Traffic,
};
use http::request::Parts;

use crate::api::Api;
use crate::auth;
use crate::rollouts::Rollouts;
use errors::told;

pub use sample::Samples;
pub use trial::Trial;

/// The dashboard's way to the use cases.
pub struct Dashboard {
    pub api: Arc<Api>,
    pub traffic: Arc<dyn Traffic>,
    pub rollouts: Arc<Rollouts>,
    pub samples: Arc<Samples>,
    /// Sends trial requests through the gateway.
    pub trial: Trial,
    /// Whether cookies are for TLS only.
    pub secure: bool,
}

impl Dashboard {
    fn actor<'a>(&self, session: &'a Session) -> Result<&'a Actor, AppError> {
        session.get::<Actor>().ok_or(AppError::Unauthorized)
    }
}

#[async_trait]
impl Backend for Dashboard {
    async fn open(&self, request: &Parts) -> Result<Session, AppError> {
        let control = &self.api.control;
        // A key says more than a cookie that a browser happens to send along.
        let actor = match (auth::key(&request.headers), auth::session(&request.headers)) {
            (Some(key), _) => control.authenticate(key, Door::Ui).await,
            (None, Some(token)) => control.session(token).await,
            (None, None) => return Err(AppError::Unauthorized),
        };
        Ok(Session::new(actor.map_err(told)?))
    }

    async fn sign_in(&self, _: &Parts, proof: SignIn) -> Result<String, AppError> {
        let session = match proof {
            SignIn::Password { email, password } => {
                self.api.control.sign_in_with_password(&email, &password).await
            }
            SignIn::Token(token) => self.api.control.sign_in_with_link(&token).await,
            SignIn::ApiKey(key) => self.api.control.sign_in_with_key(&key).await,
        };
        let session = session.map_err(|error| match error {
            control::Error::Unauthorized => {
                AppError::Forbidden { message: "This API key is not known, or was revoked.".into() }
            }
            other => told(other),
        })?;
        Ok(auth::set_cookie(&session.token, session.seconds, self.secure))
    }

    async fn sign_out(&self, request: &Parts) -> Result<String, AppError> {
        if let Some(token) = auth::session(&request.headers) {
            self.api.control.sign_out(token).await.map_err(told)?;
        }
        Ok(auth::forget_cookie(self.secure))
    }

    async fn session_info(&self, session: &Session) -> Result<SessionInfo, AppError> {
        let actor = self.actor(session)?;
        Ok(SessionInfo {
            name: actor.name.clone(),
            email: actor.email.as_ref().map(ToString::to_string),
            role: actor.role,
            version: env!("CARGO_PKG_VERSION").into(),
        })
    }

    async fn models_page(
        &self,
        session: &Session,
        filter: &str,
        cursor: &str,
    ) -> Result<ModelsPage, AppError> {
        self.read_models(self.actor(session)?, filter, cursor).await
    }

    async fn model_page(
        &self,
        session: &Session,
        model: &ModelId,
        cursor: &str,
    ) -> Result<ModelPage, AppError> {
        self.read_model(self.actor(session)?, model, cursor).await
    }

    async fn environment_page(
        &self,
        session: &Session,
        model: &ModelId,
        environment: &EnvironmentName,
    ) -> Result<EnvironmentPage, AppError> {
        self.read_environment(self.actor(session)?, model, environment).await
    }

    async fn deployment_page(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
    ) -> Result<DeploymentPage, AppError> {
        self.read_deployment(self.actor(session)?, model, deployment).await
    }

    async fn logs(
        &self,
        session: &Session,
        model: &ModelId,
        of: &LogsOf,
        filter: LogFilter,
        part: LogPart,
    ) -> Result<LogPage, AppError> {
        self.read_logs(self.actor(session)?, model, of, filter, part).await
    }

    async fn follow_logs(
        &self,
        session: &Session,
        model: &ModelId,
        of: &LogsOf,
        filter: &LogFilter,
        after: &LogPlaces,
    ) -> Result<LogNews, AppError> {
        self.await_logs(self.actor(session)?, model, of, filter, after).await
    }

    async fn log_file(&self, session: &Session, model: &ModelId, of: &LogsOf) -> Result<LogFile, AppError> {
        self.begin_log_file(self.actor(session)?, model, of).await
    }

    async fn log_piece(
        &self,
        session: &Session,
        model: &ModelId,
        of: &LogsOf,
        filter: &LogFilter,
        format: LogFormat,
        after: LogCursor,
        until: Timestamp,
    ) -> Result<LogPiece, AppError> {
        self.write_logs(self.actor(session)?, model, of, filter, format, after, until).await
    }

    async fn replicas(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
    ) -> Result<ReplicasNow, AppError> {
        self.read_replicas(self.actor(session)?, model, deployment).await
    }

    async fn scaling(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
        hours: u32,
    ) -> Result<ScalingPage, AppError> {
        self.read_scaling(self.actor(session)?, model, deployment, hours).await
    }

    async fn metrics(
        &self,
        session: &Session,
        model: &ModelId,
        of: MetricsOf,
        period: &str,
    ) -> Result<MetricsPage, AppError> {
        self.read_metrics(self.actor(session)?, model, of, period).await
    }

    async fn live(&self, session: &Session, model: &ModelId) -> Result<LivePage, AppError> {
        self.read_live(self.actor(session)?, model).await
    }

    async fn reference(&self, session: &Session) -> Result<ReferencePage, AppError> {
        self.actor(session)?;
        Ok(self::pages::reference_page(crate::rest::spec::kept()))
    }

    async fn usage(&self, session: &Session, days: u32) -> Result<UsagePage, AppError> {
        self.read_usage(self.actor(session)?, days).await
    }

    async fn usage_csv(&self, session: &Session, days: u32) -> Result<(String, String), AppError> {
        self.write_usage(self.actor(session)?, days).await
    }

    async fn activity(
        &self,
        session: &Session,
        model: Option<&ModelId>,
        filter: ActivityFilter,
    ) -> Result<ActivityPage, AppError> {
        self.read_activity(self.actor(session)?, model, filter).await
    }

    async fn activity_csv(
        &self,
        session: &Session,
        model: Option<&ModelId>,
        filter: &ActivityFilter,
    ) -> Result<(String, String), AppError> {
        self.write_activity(self.actor(session)?, model, filter).await
    }

    async fn promote(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
        environment: &EnvironmentName,
        way: Way,
        keep_own_instance_type: bool,
    ) -> Result<Done, AppError> {
        let actor = self.actor(session)?;
        self.do_promote(actor, model, deployment, environment, way, keep_own_instance_type).await
    }

    async fn publish(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
        name: Option<&str>,
    ) -> Result<Done, AppError> {
        self.do_publish(self.actor(session)?, model, deployment, name).await
    }

    async fn signal_promotion(
        &self,
        session: &Session,
        model: &ModelId,
        environment: &EnvironmentName,
        signal: Signal,
    ) -> Result<Done, AppError> {
        self.do_signal(self.actor(session)?, model, environment, signal).await
    }

    async fn rename(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
        name: &str,
    ) -> Result<Done, AppError> {
        self.do_rename(self.actor(session)?, model, deployment, name).await
    }

    async fn retry(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
    ) -> Result<Done, AppError> {
        self.do_retry(self.actor(session)?, model, deployment).await
    }

    async fn activate(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
    ) -> Result<Done, AppError> {
        self.do_activate(self.actor(session)?, model, deployment).await
    }

    async fn deactivate(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
    ) -> Result<Done, AppError> {
        self.do_deactivate(self.actor(session)?, model, deployment).await
    }

    async fn terminate_replica(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
        replica: &ReplicaId,
    ) -> Result<Done, AppError> {
        self.do_terminate_replica(self.actor(session)?, model, deployment, replica).await
    }

    async fn delete_deployment(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
        confirm: &str,
    ) -> Result<Done, AppError> {
        self.do_delete_deployment(self.actor(session)?, model, deployment, confirm).await
    }

    async fn delete_model(
        &self,
        session: &Session,
        model: &ModelId,
        confirm: &str,
    ) -> Result<Done, AppError> {
        self.do_delete_model(self.actor(session)?, model, confirm).await
    }

    async fn create_environment(
        &self,
        session: &Session,
        model: &ModelId,
        name: &str,
        autoscaling: AutoscalingPatch,
        promotion: PromotionPatch,
        access: Option<Access>,
    ) -> Result<Done, AppError> {
        self.do_create_environment(self.actor(session)?, model, name, autoscaling, promotion, access).await
    }

    async fn activate_environment(
        &self,
        session: &Session,
        model: &ModelId,
        environment: &EnvironmentName,
    ) -> Result<Done, AppError> {
        self.do_activate_environment(self.actor(session)?, model, environment).await
    }

    async fn deactivate_environment(
        &self,
        session: &Session,
        model: &ModelId,
        environment: &EnvironmentName,
    ) -> Result<Done, AppError> {
        self.do_deactivate_environment(self.actor(session)?, model, environment).await
    }

    async fn delete_environment(
        &self,
        session: &Session,
        model: &ModelId,
        environment: &EnvironmentName,
        confirm: &str,
    ) -> Result<Done, AppError> {
        self.do_delete_environment(self.actor(session)?, model, environment, confirm).await
    }

    async fn update_promotion_settings(
        &self,
        session: &Session,
        model: &ModelId,
        environment: &EnvironmentName,
        patch: PromotionPatch,
    ) -> Result<Done, AppError> {
        self.do_update_promotion_settings(self.actor(session)?, model, environment, patch).await
    }

    async fn update_environment_autoscaling(
        &self,
        session: &Session,
        model: &ModelId,
        environment: &EnvironmentName,
        patch: AutoscalingPatch,
    ) -> Result<Done, AppError> {
        self.do_update_environment_autoscaling(self.actor(session)?, model, environment, patch).await
    }

    async fn update_autoscaling(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
        patch: AutoscalingPatch,
    ) -> Result<Done, AppError> {
        self.do_update_autoscaling(self.actor(session)?, model, deployment, patch).await
    }

    async fn send_sample_traffic(
        &self,
        session: &Session,
        model: &ModelId,
        environment: &EnvironmentName,
    ) -> Result<Done, AppError> {
        self.do_send_sample(self.actor(session)?, model, environment).await
    }

    async fn try_request(
        &self,
        session: &Session,
        model: &ModelId,
        deployment: &DeploymentId,
        input: &str,
    ) -> Result<TryAnswer, AppError> {
        self.do_try(self.actor(session)?, model, deployment, input).await
    }
}

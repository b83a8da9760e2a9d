//! What the dashboard asks of people, keys and secrets, answered by the use cases.

use app::backend::{Session, Team};
use app::error::AppError;
use app::view::{Done, KeysPage, LinkPurpose, PeoplePage, SecretsPage, ShownOnce};
use async_trait::async_trait;
use domain::{Access, Email, EnvironmentName, InvitationId, PersonId, Role, SecretName, SecretValue};
use http::request::Parts;

use super::Dashboard;
use super::errors::told;
use crate::auth;

#[async_trait]
impl Team for Dashboard {
    async fn link(&self, token: &str) -> Result<LinkPurpose, AppError> {
        self.read_link(token).await
    }

    async fn join(&self, token: &str, email: &str, name: &str, password: &str) -> Result<String, AppError> {
        self.do_join(token, email, name, password).await
    }

    async fn reset_password(&self, token: &str, password: &str) -> Result<String, AppError> {
        let session = self.api.control.reset_password(token, password).await.map_err(told)?;
        Ok(auth::set_cookie(&session.token, session.seconds, self.secure))
    }

    async fn people_page(&self, session: &Session) -> Result<PeoplePage, AppError> {
        self.read_people(self.actor(session)?).await
    }

    async fn invite(&self, session: &Session, email: &Email, role: Role) -> Result<ShownOnce, AppError> {
        self.do_invite(self.actor(session)?, email, role).await
    }

    async fn revoke_invitation(&self, session: &Session, id: &InvitationId) -> Result<Done, AppError> {
        self.do_revoke_invitation(self.actor(session)?, id).await
    }

    async fn change_role(&self, session: &Session, id: &PersonId, role: Role) -> Result<Done, AppError> {
        self.do_change_role(self.actor(session)?, id, role).await
    }

    async fn remove_person(&self, session: &Session, id: &PersonId, confirm: &str) -> Result<Done, AppError> {
        self.do_remove_person(self.actor(session)?, id, confirm).await
    }

    async fn change_password(
        &self,
        session: &Session,
        request: &Parts,
        current: &str,
        new: &str,
    ) -> Result<Done, AppError> {
        let token = auth::session(&request.headers);
        let changed = self.api.control.change_password(self.actor(session)?, token, current, new).await;
        changed.map_err(told)?;
        Ok(Done::new("Your password is changed; other browsers have to sign in again."))
    }

    async fn sign_out_elsewhere(&self, session: &Session, request: &Parts) -> Result<Done, AppError> {
        let token = auth::session(&request.headers);
        self.api.control.sign_out_elsewhere(self.actor(session)?, token).await.map_err(told)?;
        Ok(Done::new("All other sessions of yours have ended."))
    }

    async fn restrict_environment(
        &self,
        session: &Session,
        name: &EnvironmentName,
        access: Access,
    ) -> Result<Done, AppError> {
        self.do_restrict(self.actor(session)?, name, access).await
    }

    async fn keys_page(&self, session: &Session) -> Result<KeysPage, AppError> {
        self.read_keys(self.actor(session)?).await
    }

    async fn create_key(
        &self,
        session: &Session,
        name: &str,
        role: Option<Role>,
        models: Option<Vec<String>>,
    ) -> Result<ShownOnce, AppError> {
        self.do_create_key(self.actor(session)?, name, role, models).await
    }

    async fn revoke_key(&self, session: &Session, prefix: &str) -> Result<Done, AppError> {
        self.api.control.revoke_key(self.actor(session)?, prefix).await.map_err(told)?;
        Ok(Done::new(format!("The key {prefix} is revoked.")))
    }

    async fn secrets_page(&self, session: &Session) -> Result<SecretsPage, AppError> {
        self.read_secrets(self.actor(session)?).await
    }

    async fn set_secret(
        &self,
        session: &Session,
        name: SecretName,
        value: SecretValue,
    ) -> Result<Done, AppError> {
        let set = self.api.control.set_secret(self.actor(session)?, name, &value).await.map_err(told)?;
        Ok(Done::new(format!("{} is set; replicas that start from now on read it.", set.name)))
    }

    async fn delete_secret(&self, session: &Session, name: SecretName) -> Result<Done, AppError> {
        self.api.control.delete_secret(self.actor(session)?, &name).await.map_err(told)?;
        Ok(Done::new(format!("{name} is deleted.")))
    }
}

//! What the dashboard asks of people, keys and secrets.

use async_trait::async_trait;
use domain::{Access, Email, EnvironmentName, InvitationId, PersonId, Role, SecretName, SecretValue};
use http::request::Parts;

use super::Session;
use crate::error::AppError;
use crate::view::{Done, KeysPage, LinkPurpose, PeoplePage, SecretsPage, ShownOnce};

/// One method for each server function about who works here, and with which keys and secrets.
#[async_trait]
pub trait Team {
    /// What a one-time link is for.
    async fn link(&self, token: &str) -> Result<LinkPurpose, AppError>;

    /// Makes whom a link is for; answers the value of `Set-Cookie`.
    async fn join(&self, token: &str, email: &str, name: &str, password: &str) -> Result<String, AppError>;

    /// Gives whom a sign-in link is for another password; answers the value of `Set-Cookie`.
    async fn reset_password(&self, token: &str, password: &str) -> Result<String, AppError>;

    async fn people_page(&self, session: &Session) -> Result<PeoplePage, AppError>;

    async fn invite(&self, session: &Session, email: &Email, role: Role) -> Result<ShownOnce, AppError>;

    async fn revoke_invitation(&self, session: &Session, id: &InvitationId) -> Result<Done, AppError>;

    async fn change_role(&self, session: &Session, id: &PersonId, role: Role) -> Result<Done, AppError>;

    /// `confirm` must be the person's e-mail address.
    async fn remove_person(&self, session: &Session, id: &PersonId, confirm: &str) -> Result<Done, AppError>;

    async fn change_password(
        &self,
        session: &Session,
        request: &Parts,
        current: &str,
        new: &str,
    ) -> Result<Done, AppError>;

    async fn sign_out_elsewhere(&self, session: &Session, request: &Parts) -> Result<Done, AppError>;

    /// Says who may change the environments of a name.
    async fn restrict_environment(
        &self,
        session: &Session,
        name: &EnvironmentName,
        access: Access,
    ) -> Result<Done, AppError>;

    async fn keys_page(&self, session: &Session) -> Result<KeysPage, AppError>;

    /// A key of one's own, or of the workspace with a role.
    async fn create_key(
        &self,
        session: &Session,
        name: &str,
        role: Option<Role>,
        models: Option<Vec<String>>,
    ) -> Result<ShownOnce, AppError>;

    async fn revoke_key(&self, session: &Session, prefix: &str) -> Result<Done, AppError>;

    async fn secrets_page(&self, session: &Session) -> Result<SecretsPage, AppError>;

    async fn set_secret(
        &self,
        session: &Session,
        name: SecretName,
        value: SecretValue,
    ) -> Result<Done, AppError>;

    async fn delete_secret(&self, session: &Session, name: SecretName) -> Result<Done, AppError>;
}

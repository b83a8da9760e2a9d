//! Signing in to the dashboard: by a one-time link, or with an API key.

use domain::{Actor, Door, Role};
use store::{LinkRow, SessionRow};

use crate::keys::{actor_of, hash_of, hex};
use crate::{ControlPlane, Error};

/// A session that just began; its token goes into a cookie and is known to nobody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession {
    pub token: String,
    /// Seconds until it ends.
    pub seconds: i64,
}

/// Seconds a session lasts: 30 days.
const SESSION_SECONDS: i64 = 30 * 86_400;
/// Seconds a sign-in link lasts: 15 minutes.
const LINK_SECONDS: i64 = 900;

impl ControlPlane {
    /// The token of a new sign-in link for the oldest admin key. It works once, for fifteen minutes.
    pub async fn new_sign_in_link(&self) -> Result<String, Error> {
        let keys = self.ring.snapshot();
        let admin = keys.values().filter(|row| row.role == Role::Admin).min_by_key(|row| row.created_at);
        let prefix = admin.map(|row| row.prefix.clone());
        let prefix =
            prefix.ok_or_else(|| Error::Conflict("there is no admin key; start the server once".into()))?;
        let token = self.secret_text(32);
        let link = LinkRow {
            hash: hex(&hash_of(&token)),
            key_prefix: prefix,
            expires_at: self.now().plus(LINK_SECONDS * 1000),
        };
        let mut tx = self.parts.store.begin().await?;
        tx.insert_link(&link).await?;
        tx.commit().await?;
        Ok(token)
    }

    /// Signs in with the token of a link, and uses it up.
    pub async fn sign_in_with_link(&self, token: &str) -> Result<NewSession, Error> {
        let mut tx = self.parts.store.begin().await?;
        let prefix = tx.redeem_link(&hex(&hash_of(token)), self.now()).await?;
        tx.commit().await?;
        let prefix = prefix.ok_or(Error::Unauthorized)?;
        self.begin_session(&prefix).await
    }

    /// Signs in with an API key.
    pub async fn sign_in_with_key(&self, key: &str) -> Result<NewSession, Error> {
        let actor = self.authenticate(key.trim(), Door::Ui).await?;
        self.begin_session(actor.key_prefix.as_deref().unwrap_or_default()).await
    }

    async fn begin_session(&self, prefix: &str) -> Result<NewSession, Error> {
        let token = self.secret_text(43);
        let now = self.now();
        let row = SessionRow {
            hash: hex(&hash_of(&token)),
            key_prefix: prefix.to_owned(),
            created_at: now,
            expires_at: now.plus(SESSION_SECONDS * 1000),
        };
        let mut tx = self.parts.store.begin().await?;
        tx.insert_session(&row).await?;
        tx.commit().await?;
        Ok(NewSession { token, seconds: SESSION_SECONDS })
    }

    /// Who is signed in with this token.
    pub async fn session(&self, token: &str) -> Result<Actor, Error> {
        let row = self.parts.store.find_session(&hex(&hash_of(token)), self.now()).await?;
        let prefix = row.ok_or(Error::Unauthorized)?.key_prefix;
        let keys = self.ring.snapshot();
        let key = keys.values().find(|row| row.prefix == prefix).ok_or(Error::Unauthorized)?;
        Ok(actor_of(key, Door::Ui))
    }

    pub async fn sign_out(&self, token: &str) -> Result<(), Error> {
        let mut tx = self.parts.store.begin().await?;
        tx.delete_session(&hex(&hash_of(token))).await?;
        tx.commit().await?;
        Ok(())
    }
}

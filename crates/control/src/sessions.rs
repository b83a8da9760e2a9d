//! Signing in to the dashboard: with a password, by a one-time link, or with an API key.

use domain::{Actor, Door, Email, Role, Timestamp};
use store::{Holder, LinkFor, LinkRow, SessionRow, Tx};

use crate::keys::{actor_of, hash_of, hex};
use crate::people::{actor_of_person, used_up};
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
/// How exactly it is kept when a person was last seen, in milliseconds.
const SEEN_EVERY: i64 = 60_000;

impl ControlPlane {
    /// The token of a new one-time link, good for fifteen minutes: it makes the first admin while there is nobody, and
    /// later signs in the oldest admin, or the person with this address.
    pub async fn new_sign_in_link(&self, email: Option<&Email>) -> Result<String, Error> {
        let people = self.parts.store.people().await?;
        let purpose = match email {
            _ if people.is_empty() => LinkFor::FirstAdmin,
            None => {
                let admins = people.iter().filter(|person| person.role == Role::Admin);
                let oldest = admins.min_by_key(|person| person.created_at);
                let oldest = oldest.ok_or_else(|| Error::conflict("there is no admin"))?;
                LinkFor::SignIn { person: oldest.id.clone() }
            }
            Some(email) => {
                let found = people.iter().find(|person| &person.email == email);
                let nobody = || Error::NotFound(format!("nobody here has the address {email}"));
                LinkFor::SignIn { person: found.ok_or_else(nobody)?.id.clone() }
            }
        };
        let token = self.secret_text(43);
        let now = self.now();
        let expires_at = now.plus(LINK_SECONDS * 1000);
        let link = LinkRow { hash: hex(&hash_of(&token)), purpose, expires_at };
        let mut tx = self.parts.store.begin().await?;
        tx.insert_link(&link, now).await?;
        tx.commit().await?;
        Ok(token)
    }

    /// Signs in with the token of a link, and uses it up.
    pub async fn sign_in_with_link(&self, token: &str) -> Result<NewSession, Error> {
        let LinkFor::SignIn { person } = self.link(token).await? else {
            return Err(Error::conflict("this link makes somebody new: choose a password"));
        };
        let now = self.now();
        let mut tx = self.parts.store.begin().await?;
        tx.redeem_link(&hex(&hash_of(token)), now).await?.ok_or_else(used_up)?;
        let session = self.open_session(&mut tx, Holder::Person(person), now).await?;
        tx.commit().await?;
        Ok(session)
    }

    /// Signs in with a password. Failures cost time, whoever they are of.
    pub async fn sign_in_with_password(&self, email: &str, password: &str) -> Result<NewSession, Error> {
        let email = Email::new(email)?;
        self.passwords.attempt(email.as_str(), self.now())?;
        let known = self.parts.store.find_person_by_email(&email).await?;
        let (person, hash) = known.map_or((None, None), |(person, hash)| (Some(person), Some(hash)));
        let fits = self.passwords.verify(password, hash).await?;
        let Some(person) = person.filter(|_| fits) else {
            tracing::warn!(email = email.as_str(), "a sign-in failed");
            return Err(Error::WrongPassword);
        };
        self.passwords.succeeded(email.as_str());
        let now = self.now();
        let mut tx = self.parts.store.begin().await?;
        let session = self.open_session(&mut tx, Holder::Person(person.id), now).await?;
        tx.commit().await?;
        Ok(session)
    }

    /// Signs in with an API key.
    pub async fn sign_in_with_key(&self, key: &str) -> Result<NewSession, Error> {
        let actor = self.authenticate(key.trim(), Door::Ui).await?;
        let holder = match &actor.person {
            Some(person) => Holder::Person(person.clone()),
            None => Holder::Key(actor.key_prefix.clone().unwrap_or_default()),
        };
        let now = self.now();
        let mut tx = self.parts.store.begin().await?;
        let session = self.open_session(&mut tx, holder, now).await?;
        tx.commit().await?;
        Ok(session)
    }

    pub(crate) async fn open_session(
        &self,
        tx: &mut Tx,
        holder: Holder,
        now: Timestamp,
    ) -> Result<NewSession, Error> {
        let token = self.secret_text(43);
        let row = SessionRow {
            hash: hex(&hash_of(&token)),
            holder,
            created_at: now,
            expires_at: now.plus(SESSION_SECONDS * 1000),
        };
        tx.insert_session(&row).await?;
        Ok(NewSession { token, seconds: SESSION_SECONDS })
    }

    /// Who is signed in with this token.
    pub async fn session(&self, token: &str) -> Result<Actor, Error> {
        let row = self.parts.store.find_session(&hex(&hash_of(token)), self.now()).await?;
        match row.ok_or(Error::Unauthorized)?.holder {
            Holder::Key(prefix) => {
                let keys = self.ring.snapshot();
                let key = keys.values().find(|row| row.prefix == prefix).ok_or(Error::Unauthorized)?;
                Ok(actor_of(key, None, Door::Ui))
            }
            Holder::Person(id) => {
                let person = self.ring.person(&id).ok_or(Error::Unauthorized)?;
                self.ring.see(&id, self.now(), SEEN_EVERY);
                Ok(actor_of_person(&person))
            }
        }
    }

    pub async fn sign_out(&self, token: &str) -> Result<(), Error> {
        let mut tx = self.parts.store.begin().await?;
        tx.delete_session(&hex(&hash_of(token))).await?;
        tx.commit().await?;
        Ok(())
    }
}

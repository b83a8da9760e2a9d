//! People, and the links by which they come. Of a password only its hash is stored; of a link only the hash of its token.

use domain::{Email, InvitationId, Person, PersonId, Role, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{read, write};
use crate::pool::on;
use crate::{Error, Store, Tx};

/// What a one-time link is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum LinkFor {
    /// Making the first admin, while there is nobody.
    FirstAdmin,
    /// Signing in, for whoever lost the password.
    SignIn {
        person: PersonId,
    },
    Invitation(Invitation),
}

/// Somebody who may become a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    pub id: InvitationId,
    pub email: Email,
    pub role: Role,
    /// What whoever invited was called.
    pub invited_by: String,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LinkRow {
    /// SHA-256 of the link's token, in hex.
    pub hash: String,
    pub purpose: LinkFor,
    pub expires_at: Timestamp,
}

impl Store {
    /// Everybody, by e-mail address.
    pub async fn people(&self) -> Result<Vec<Person>, Error> {
        self.read().await?.people().await
    }

    /// A person with the hash of their password.
    pub async fn find_person_by_email(&self, email: &Email) -> Result<Option<(Person, String)>, Error> {
        let mut tx = self.read().await?;
        let row = on!(&mut tx, connection => sqlx::query_as::<_, (String, String)>(
                "SELECT document, password FROM person WHERE email = $1 AND removed_at IS NULL")
            .bind(email.as_str().to_owned())
            .fetch_optional(connection).await)?;
        row.map(|(document, password)| Ok((read("person", &document)?, password))).transpose()
    }

    /// What a link is for that has not been used and has not expired.
    pub async fn find_link(&self, hash: &str, now: Timestamp) -> Result<Option<LinkFor>, Error> {
        let mut tx = self.read().await?;
        let row = on!(&mut tx, connection => sqlx::query_as::<_, (String,)>(
                "SELECT document FROM link WHERE hash = $1 AND expires_at > $2")
            .bind(hash.to_owned()).bind(now.millis())
            .fetch_optional(connection).await)?;
        row.map(|(document,)| read("link", &document)).transpose()
    }

    /// The invitations that can still be accepted, newest first.
    pub async fn invitations(&self, now: Timestamp) -> Result<Vec<Invitation>, Error> {
        self.read().await?.invitations(now).await
    }
}

impl Tx {
    /// The invitations that can still be accepted, newest first.
    pub async fn invitations(&mut self, now: Timestamp) -> Result<Vec<Invitation>, Error> {
        let rows = on!(self, connection => sqlx::query_as::<_, (String,)>(
                "SELECT document FROM link WHERE invitation IS NOT NULL AND expires_at > $1
                 ORDER BY expires_at DESC, invitation")
            .bind(now.millis())
            .fetch_all(connection).await)?;
        let mut all = Vec::with_capacity(rows.len());
        for (document,) in rows {
            if let LinkFor::Invitation(invitation) = read("link", &document)? {
                all.push(invitation);
            }
        }
        Ok(all)
    }

    /// Has everybody else wait who changes people, or what is theirs, until this transaction ends.
    pub async fn hold_people(&mut self, now: Timestamp) -> Result<(), Error> {
        self.set_setting("people_changed", &now.millis().to_string()).await
    }

    /// Everybody, by e-mail address.
    pub async fn people(&mut self) -> Result<Vec<Person>, Error> {
        let rows = on!(self, connection => sqlx::query_as::<_, (String,)>(
                "SELECT document FROM person WHERE removed_at IS NULL ORDER BY email")
            .fetch_all(connection).await)?;
        rows.iter().map(|(document,)| read("person", document)).collect()
    }

    /// `password` is a hash.
    pub async fn insert_person(&mut self, person: &Person, password: &str) -> Result<(), Error> {
        let document = write("person", person)?;
        on!(self, connection => sqlx::query(
                "INSERT INTO person (id, email, document, password, removed_at) VALUES ($1, $2, $3, $4, NULL)")
            .bind(person.id.as_str().to_owned()).bind(person.email.as_str().to_owned()).bind(document)
            .bind(password.to_owned())
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    /// Name, role and when they were last seen.
    pub async fn save_person(&mut self, person: &Person) -> Result<(), Error> {
        let document = write("person", person)?;
        on!(self, connection => sqlx::query("UPDATE person SET document = $2 WHERE id = $1")
            .bind(person.id.as_str().to_owned()).bind(document)
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    /// `password` is a hash.
    pub async fn set_password(&mut self, person: &PersonId, password: &str) -> Result<(), Error> {
        on!(self, connection => sqlx::query("UPDATE person SET password = $2 WHERE id = $1")
            .bind(person.as_str().to_owned()).bind(password.to_owned())
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    /// With their sessions, their links and their keys.
    pub async fn remove_person(&mut self, person: &PersonId, now: Timestamp) -> Result<(), Error> {
        on!(&mut *self, connection => sqlx::query("UPDATE person SET removed_at = $2, password = '' WHERE id = $1")
            .bind(person.as_str().to_owned()).bind(now.millis())
            .execute(connection).await.map(drop))?;
        on!(&mut *self, connection => sqlx::query(
                "UPDATE api_key SET revoked_at = $2 WHERE person = $1 AND revoked_at IS NULL")
            .bind(person.as_str().to_owned()).bind(now.millis())
            .execute(connection).await.map(drop))?;
        on!(&mut *self, connection => sqlx::query(
                "DELETE FROM session WHERE key_prefix IN (SELECT prefix FROM api_key WHERE person = $1)")
            .bind(person.as_str().to_owned())
            .execute(connection).await.map(drop))?;
        self.end_sessions(person, "").await
    }

    /// Ends a person's sessions, but not the one with this hash.
    pub async fn end_sessions(&mut self, person: &PersonId, except: &str) -> Result<(), Error> {
        on!(self, connection => sqlx::query("DELETE FROM session WHERE person = $1 AND hash <> $2")
            .bind(person.as_str().to_owned()).bind(except.to_owned())
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    /// Also forgets the links that have expired.
    pub async fn insert_link(&mut self, link: &LinkRow, now: Timestamp) -> Result<(), Error> {
        let document = write("link", &link.purpose)?;
        let invitation = match &link.purpose {
            LinkFor::Invitation(invitation) => Some(invitation.id.to_string()),
            _ => None,
        };
        on!(&mut *self, connection => sqlx::query("DELETE FROM link WHERE expires_at <= $1")
            .bind(now.millis())
            .execute(connection).await.map(drop))?;
        on!(self, connection => sqlx::query(
                "INSERT INTO link (hash, invitation, document, expires_at) VALUES ($1, $2, $3, $4)")
            .bind(link.hash.clone()).bind(invitation).bind(document).bind(link.expires_at.millis())
            .execute(connection).await.map(drop))?;
        Ok(())
    }

    /// Uses a link up and returns what it was for; `None` if it was used, has expired or never was.
    pub async fn redeem_link(&mut self, hash: &str, now: Timestamp) -> Result<Option<LinkFor>, Error> {
        let row = on!(self, connection => sqlx::query_as::<_, (String,)>(
                "DELETE FROM link WHERE hash = $1 AND expires_at > $2 RETURNING document")
            .bind(hash.to_owned()).bind(now.millis())
            .fetch_optional(connection).await)?;
        row.map(|(document,)| read("link", &document)).transpose()
    }

    /// Takes an invitation back; `None` if there is none to take back.
    pub async fn revoke_invitation(&mut self, id: &InvitationId) -> Result<Option<Invitation>, Error> {
        let row = on!(self, connection => sqlx::query_as::<_, (String,)>(
                "DELETE FROM link WHERE invitation = $1 RETURNING document")
            .bind(id.as_str().to_owned())
            .fetch_optional(connection).await)?;
        match row.map(|(document,)| read("link", &document)).transpose()? {
            Some(LinkFor::Invitation(invitation)) => Ok(Some(invitation)),
            _ => Ok(None),
        }
    }
}

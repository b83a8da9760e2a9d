//! People: the first one, invitations, roles, passwords (semantics: People).

use domain::{
    Action, Actor, Email, EventKind, InvitationId, Person, PersonId, Role, Timestamp, check_password,
    may_change, person_name,
};
use serde_json::{Value, json};
use store::{Holder, Invitation, LinkFor, LinkRow, Tx};

use crate::keys::{hash_of, hex};
use crate::parts::About;
use crate::sessions::NewSession;
use crate::{ControlPlane, Error};

/// Seconds an invitation can be accepted: 7 days.
const INVITATION_SECONDS: i64 = 7 * 86_400;

/// Who is here, and who is expected.
#[derive(Debug, Clone, PartialEq)]
pub struct People {
    pub people: Vec<Person>,
    /// For admins; nobody else is told.
    pub invitations: Vec<Invitation>,
}

/// What somebody says of themselves who comes by a link.
#[derive(Debug, Clone)]
pub struct Joining {
    /// The first admin chooses it; who was invited has it.
    pub email: String,
    pub name: String,
    pub password: String,
}

impl ControlPlane {
    /// Everybody, by e-mail address.
    pub async fn people(&self, actor: &Actor) -> Result<People, Error> {
        self.may(actor, Action::View)?;
        let people = self.parts.store.people().await?;
        let invitations = if actor.role.permits(Action::Administer) {
            self.parts.store.invitations(self.now()).await?
        } else {
            Vec::new()
        };
        Ok(People { people, invitations })
    }

    /// What a one-time link is for.
    pub async fn link(&self, token: &str) -> Result<LinkFor, Error> {
        let found = self.parts.store.find_link(&hex(&hash_of(token)), self.now()).await?;
        found.ok_or_else(used_up)
    }

    /// Makes the first admin, or the person who was invited, and signs them in.
    pub async fn join(&self, token: &str, joining: Joining) -> Result<NewSession, Error> {
        let link = self.link(token).await?;
        let (email, role, by) = match &link {
            LinkFor::FirstAdmin => (Email::new(&joining.email)?, Role::Admin, None),
            LinkFor::Invitation(invitation) => {
                (invitation.email.clone(), invitation.role, Some(invitation.invited_by.clone()))
            }
            LinkFor::SignIn { .. } => return Err(Error::conflict("this link signs in who is here already")),
        };
        let name = person_name(&joining.name)?;
        check_password(&joining.password, &email)?;
        let password = self.passwords.hash(&joining.password, self.random_bytes()).await?;
        let now = self.now();
        let person = Person {
            id: PersonId::from_random(self.random_bytes()),
            email,
            name,
            role,
            created_at: now,
            last_seen_at: Some(now),
        };
        let mut tx = self.hold_people(now).await?;
        let people = tx.people().await?;
        if link == LinkFor::FirstAdmin && !people.is_empty() {
            return Err(Error::conflict("there is an admin already; sign in, or ask them for an invitation"));
        }
        if people.iter().any(|known| known.email == person.email) {
            return Err(taken(&person.email));
        }
        tx.redeem_link(&hex(&hash_of(token)), now).await?.ok_or_else(used_up)?;
        tx.insert_person(&person, &password).await?;
        let how = by.map_or("made the first admin".to_owned(), |by| format!("invited by {by}"));
        let sentence = format!("{} joined as {}, {how}", person.email, role.as_str());
        let actor = actor_of_person(&person);
        self.record_person(
            &mut tx,
            &actor,
            now,
            EventKind::UserJoinedOrganization,
            sentence,
            described(&person),
        )
        .await?;
        let session = self.open_session(&mut tx, Holder::Person(person.id.clone()), now).await?;
        tx.commit().await?;
        self.reload_keys().await?;
        self.tell_workspace();
        Ok(session)
    }

    /// Invites somebody; the token goes into a link that works once, for seven days. An older invitation of the same
    /// address ends.
    pub async fn invite(
        &self,
        actor: &Actor,
        email: &Email,
        role: Role,
    ) -> Result<(Invitation, String), Error> {
        self.may(actor, Action::Administer)?;
        let now = self.now();
        let token = self.secret_text(43);
        let invitation = Invitation {
            id: InvitationId::from_random(self.random_bytes()),
            email: email.clone(),
            role,
            invited_by: actor.name.clone(),
            created_at: now,
            expires_at: now.plus(INVITATION_SECONDS * 1000),
        };
        let mut tx = self.hold_people(now).await?;
        if tx.people().await?.iter().any(|known| &known.email == email) {
            return Err(taken(email));
        }
        for older in tx.invitations(now).await?.into_iter().filter(|older| &older.email == email) {
            tx.revoke_invitation(&older.id).await?;
        }
        let link = LinkRow {
            hash: hex(&hash_of(&token)),
            purpose: LinkFor::Invitation(invitation.clone()),
            expires_at: invitation.expires_at,
        };
        tx.insert_link(&link, now).await?;
        let sentence = format!("{email} was invited as {}", role.as_str());
        let data = json!({ "email": email, "role": role, "invitation_id": invitation.id });
        self.record_person(&mut tx, actor, now, EventKind::UserInvited, sentence, data).await?;
        tx.commit().await?;
        self.tell_workspace();
        Ok((invitation, token))
    }

    /// Takes an invitation back.
    pub async fn revoke_invitation(&self, actor: &Actor, id: &InvitationId) -> Result<Invitation, Error> {
        self.may(actor, Action::Administer)?;
        let now = self.now();
        let mut tx = self.hold_people(now).await?;
        let gone = || Error::not_found("this invitation was accepted, revoked, or has expired");
        let invitation = tx.revoke_invitation(id).await?.ok_or_else(gone)?;
        let sentence = format!("the invitation of {} was taken back", invitation.email);
        let data =
            json!({ "email": invitation.email, "role": invitation.role, "invitation_id": invitation.id });
        self.record_person(&mut tx, actor, now, EventKind::InvitationRevoked, sentence, data).await?;
        tx.commit().await?;
        self.tell_workspace();
        Ok(invitation)
    }

    /// Gives a person another role, at once and everywhere. False if it is theirs already.
    pub async fn change_role(
        &self,
        actor: &Actor,
        id: &PersonId,
        role: Role,
    ) -> Result<(Person, bool), Error> {
        self.may(actor, Action::Administer)?;
        let now = self.now();
        let mut tx = self.hold_people(now).await?;
        let people = tx.people().await?;
        let mut person = find(&people, id)?.clone();
        if person.role == role {
            return Ok((person, false));
        }
        may_change(&people, id, Some(role)).map_err(Error::Conflict)?;
        let previous = std::mem::replace(&mut person.role, role);
        tx.save_person(&person).await?;
        let sentence = format!("{} is {} now, and was {}", person.email, role.as_str(), previous.as_str());
        let mut data = described(&person);
        data["previous_role"] = json!(previous);
        self.record_person(&mut tx, actor, now, EventKind::UserRoleUpdated, sentence, data).await?;
        tx.commit().await?;
        self.reload_keys().await?;
        self.tell_workspace();
        Ok((person, true))
    }

    /// Removes a person with their sessions and their own keys, and from the lists of restricted environments, at once and everywhere.
    pub async fn remove_person(&self, actor: &Actor, id: &PersonId) -> Result<Person, Error> {
        self.may(actor, Action::Administer)?;
        let now = self.now();
        let mut tx = self.hold_people(now).await?;
        let people = tx.people().await?;
        let person = find(&people, id)?.clone();
        may_change(&people, id, None).map_err(Error::Conflict)?;
        tx.remove_person(id, now).await?;
        let sentence = format!("{} was removed, with their sessions and keys", person.email);
        let mut data = described(&person);
        data["restricted_environments"] = json!(self.unlist(&mut tx, id).await?);
        self.record_person(&mut tx, actor, now, EventKind::UserRemoved, sentence, data).await?;
        tx.commit().await?;
        self.reload_keys().await?;
        self.tell_workspace();
        Ok(person)
    }

    /// Changes one's own password; other browsers have to sign in again. `session` is the token of the one that asks.
    pub async fn change_password(
        &self,
        actor: &Actor,
        session: Option<&str>,
        current: &str,
        new: &str,
    ) -> Result<(), Error> {
        let email = self.own_email(actor)?;
        self.passwords.attempt(email.as_str(), self.now())?;
        let known = self.parts.store.find_person_by_email(&email).await?;
        let (person, hash) = known.ok_or(Error::Unauthorized)?;
        if !self.passwords.verify(current, Some(hash)).await? {
            return Err(domain::Invalid::new("current", "this is not your present password").into());
        }
        self.passwords.succeeded(email.as_str());
        self.set_own_password(actor, &person, session, new).await
    }

    /// Sets a new password for whoever came by a sign-in link, which is the proof here.
    pub async fn reset_password(&self, token: &str, new: &str) -> Result<NewSession, Error> {
        let LinkFor::SignIn { person } = self.link(token).await? else {
            return Err(Error::conflict("this link makes somebody new"));
        };
        let people = self.parts.store.people().await?;
        let person = people.into_iter().find(|known| known.id == person).ok_or_else(used_up)?;
        check_password(new, &person.email)?;
        let session = self.sign_in_with_link(token).await?;
        self.set_own_password(&actor_of_person(&person), &person, Some(&session.token), new).await?;
        Ok(session)
    }

    async fn set_own_password(
        &self,
        actor: &Actor,
        person: &Person,
        session: Option<&str>,
        new: &str,
    ) -> Result<(), Error> {
        check_password(new, &person.email)?;
        let hash = self.passwords.hash(new, self.random_bytes()).await?;
        let kept = session.map(|token| hex(&hash_of(token))).unwrap_or_default();
        let now = self.now();
        let mut tx = self.hold_people(now).await?;
        tx.set_password(&person.id, &hash).await?;
        tx.end_sessions(&person.id, &kept).await?;
        let sentence = format!("{} has another password; their other sessions ended", person.email);
        let data = described(person);
        self.record_person(&mut tx, actor, now, EventKind::UserPasswordChanged, sentence, data).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Ends all of one's sessions but the one that asks.
    pub async fn sign_out_elsewhere(&self, actor: &Actor, session: Option<&str>) -> Result<(), Error> {
        self.own_email(actor)?;
        let kept = session.map(|token| hex(&hash_of(token))).unwrap_or_default();
        let mut tx = self.parts.store.begin().await?;
        if let Some(person) = &actor.person {
            tx.end_sessions(person, &kept).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The address of who signed in; keys that are nobody's have no password.
    fn own_email(&self, actor: &Actor) -> Result<Email, Error> {
        let refusal = || Error::conflict("an API key of the workspace has no password; sign in as a person");
        actor.email.clone().ok_or_else(refusal)
    }

    /// Begins to change who is here; nobody else does until it ends.
    pub(crate) async fn hold_people(&self, now: Timestamp) -> Result<Tx, Error> {
        let mut tx = self.parts.store.begin().await?;
        tx.hold_people(now).await?;
        Ok(tx)
    }

    async fn record_person(
        &self,
        tx: &mut Tx,
        actor: &Actor,
        now: Timestamp,
        kind: EventKind,
        sentence: String,
        data: Value,
    ) -> Result<(), Error> {
        let about = About { kind, model: None, deployment: None, environment: None, sentence, data };
        Ok(tx.append(&self.event(actor, now, 0, about)).await?)
    }
}

/// What the activity tells of a person.
fn described(person: &Person) -> Value {
    json!({ "user_id": person.id, "email": person.email, "name": person.name, "role": person.role })
}

/// Somebody who signed in.
pub(crate) fn actor_of_person(person: &Person) -> Actor {
    Actor {
        name: person.shown().to_owned(),
        key_prefix: None,
        person: Some(person.id.clone()),
        email: Some(person.email.clone()),
        role: person.role,
        door: domain::Door::Ui,
    }
}

fn find<'a>(people: &'a [Person], id: &PersonId) -> Result<&'a Person, Error> {
    let found = people.iter().find(|person| &person.id == id);
    found.ok_or_else(|| Error::NotFound(format!("there is no person `{id}`; they may have been removed")))
}

fn taken(email: &Email) -> Error {
    Error::Conflict(format!("{email} is here already"))
}

pub(crate) fn used_up() -> Error {
    Error::not_found("this link was used, was taken back, or has expired; ask for another one")
}

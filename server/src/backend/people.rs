//! The page of people, and what is done there.

use app::error::AppError;
use app::view::{Done, InvitationRow, LinkPurpose, PeoplePage, PersonRow, ShownOnce};
use control::Joining;
use domain::{Action, Actor, Email, InvitationId, PersonId, Role, may_change};
use store::LinkFor;

use super::Dashboard;
use super::errors::told;
use crate::{auth, local};

impl Dashboard {
    pub(super) async fn read_link(&self, token: &str) -> Result<LinkPurpose, AppError> {
        let control = &self.api.control;
        Ok(match control.link(token).await.map_err(told)? {
            LinkFor::FirstAdmin => LinkPurpose::FirstAdmin,
            LinkFor::SignIn { person } => {
                let person = control.key_ring().person(&person);
                let gone = || AppError::not_found("The person whom this link signs in was removed.");
                LinkPurpose::SignIn { email: person.ok_or_else(gone)?.email.to_string() }
            }
            LinkFor::Invitation(invitation) => LinkPurpose::Invitation {
                email: invitation.email.to_string(),
                role: invitation.role,
                invited_by: invitation.invited_by,
            },
        })
    }

    pub(super) async fn do_join(
        &self,
        token: &str,
        email: &str,
        name: &str,
        password: &str,
    ) -> Result<String, AppError> {
        let joining = Joining { email: email.into(), name: name.into(), password: password.into() };
        let session = self.api.control.join(token, joining).await.map_err(told)?;
        Ok(auth::set_cookie(&session.token, session.seconds, self.secure))
    }

    pub(super) async fn read_people(&self, actor: &Actor) -> Result<PeoplePage, AppError> {
        let found = self.api.control.people(actor).await.map_err(told)?;
        let row = |person: &domain::Person| PersonRow {
            id: person.id.to_string(),
            email: person.email.to_string(),
            name: person.name.clone(),
            role: person.role,
            created_at: person.created_at,
            last_seen_at: person.last_seen_at,
            is_you: actor.person.as_ref() == Some(&person.id),
            refused: may_change(&found.people, &person.id, None).err(),
        };
        let rows: Vec<PersonRow> = found.people.iter().map(row).collect();
        let invitations: Vec<InvitationRow> = found
            .invitations
            .into_iter()
            .map(|invitation| InvitationRow {
                id: invitation.id.to_string(),
                email: invitation.email.to_string(),
                role: invitation.role,
                invited_by: invitation.invited_by,
                expires_at: invitation.expires_at,
            })
            .collect();
        let may = actor.role.permits(Action::Administer);
        Ok(PeoplePage {
            as_of: self.api.clock.now(),
            headline: headline(rows.len(), invitations.len()),
            people: rows,
            invitations,
            refused: (!may).then(|| "Only admins invite people and change roles.".to_owned()),
        })
    }

    pub(super) async fn do_invite(
        &self,
        actor: &Actor,
        email: &Email,
        role: Role,
    ) -> Result<ShownOnce, AppError> {
        let (invitation, token) = self.api.control.invite(actor, email, role).await.map_err(told)?;
        Ok(ShownOnce {
            sentence: format!(
                "Send this link to {}: it is shown this once, and works once, for seven days.",
                invitation.email
            ),
            text: local::link(&self.api.public_url, &token),
        })
    }

    pub(super) async fn do_revoke_invitation(
        &self,
        actor: &Actor,
        id: &InvitationId,
    ) -> Result<Done, AppError> {
        let revoked = self.api.control.revoke_invitation(actor, id).await.map_err(told)?;
        Ok(Done::new(format!("The invitation of {} is taken back.", revoked.email)))
    }

    pub(super) async fn do_change_role(
        &self,
        actor: &Actor,
        id: &PersonId,
        role: Role,
    ) -> Result<Done, AppError> {
        let (person, changed) = self.api.control.change_role(actor, id, role).await.map_err(told)?;
        let now = if changed { "now" } else { "already" };
        Ok(Done::new(format!("{} is {} {now}.", person.email, role.as_str())))
    }

    pub(super) async fn do_remove_person(
        &self,
        actor: &Actor,
        id: &PersonId,
        confirm: &str,
    ) -> Result<Done, AppError> {
        let found = self.api.control.people(actor).await.map_err(told)?;
        let person = found.people.iter().find(|person| &person.id == id);
        let person = person.ok_or_else(|| AppError::not_found("They were removed already."))?;
        if confirm.trim().to_lowercase() != person.email.as_str() {
            return Err(AppError::invalid("confirm", format!("type {} to confirm", person.email)));
        }
        let removed = self.api.control.remove_person(actor, id).await.map_err(told)?;
        Ok(Done::new(format!("{} is removed.", removed.email)))
    }
}

fn headline(people: usize, invited: usize) -> String {
    let people = match people {
        0 => "Nobody signs in here yet: the link that the server prints makes the first admin.".to_owned(),
        1 => "One person signs in here.".to_owned(),
        many => format!("{many} people sign in here."),
    };
    match invited {
        0 => people,
        1 => format!("{people} One is invited."),
        many => format!("{people} {many} are invited."),
    }
}

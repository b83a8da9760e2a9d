//! People, their passwords and their invitations.

use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;

use crate::error::AppError;
use crate::view::{Done, LinkPurpose, PeoplePage, ShownOnce};

#[cfg(feature = "ssr")]
use {super::door::*, super::session::set_cookie, domain::*};

/// Everybody who signs in here; for admins also who is invited.
#[server(prefix = "/api/ui", endpoint = "people", input = GetUrl)]
pub async fn read_people() -> Result<PeoplePage, AppError> {
    close(
        async {
            let door = door().await?;
            door.backend.people_page(&door.session).await
        }
        .await,
    )
}

/// What a one-time link is for. Needs nobody to be signed in, and does not use the link up.
#[server(prefix = "/api/ui", endpoint = "link", input = GetUrl)]
pub async fn read_link(token: String) -> Result<LinkPurpose, AppError> {
    close(
        async {
            let (backend, _) = backend()?;
            backend.link(&token).await
        }
        .await,
    )
}

/// Makes the first admin, or the person who was invited, signs them in, and goes to the models. `email` is for the
/// first admin; an invitation has its own.
#[server(prefix = "/api/ui", endpoint = "join")]
pub async fn join(
    token: String,
    #[server(default)] email: String,
    #[server(default)] name: String,
    password: String,
) -> Result<Done, AppError> {
    let result = async {
        let (backend, _) = backend()?;
        set_cookie(&backend.join(&token, &email, &name, &password).await?)?;
        Ok(Done::new("Welcome. You are signed in."))
    }
    .await;
    if result.is_ok() {
        leave_for("/models");
    }
    close(result)
}

/// Chooses another password with a sign-in link, which is used up, and signs in.
#[server(prefix = "/api/ui", endpoint = "reset_password")]
pub async fn reset_password(token: String, password: String) -> Result<Done, AppError> {
    let result = async {
        let (backend, _) = backend()?;
        set_cookie(&backend.reset_password(&token, &password).await?)?;
        Ok(Done::new("Your password is changed, and you are signed in."))
    }
    .await;
    if result.is_ok() {
        leave_for("/models");
    }
    close(result)
}

/// Invites somebody as `viewer`, `deployer` or `admin`. The answer has the link, once; it works for seven days.
#[server(prefix = "/api/ui", endpoint = "invite")]
pub async fn invite(email: String, role: String) -> Result<ShownOnce, AppError> {
    close(
        async {
            let door = door().await?;
            needs_the_answer("an invitation's link")?;
            let (email, role) = (Email::new(&email)?, person_role(&role)?);
            door.backend.invite(&door.session, &email, role).await
        }
        .await,
    )
}

/// Takes an invitation back: its link stops working.
#[server(prefix = "/api/ui", endpoint = "revoke_invitation")]
pub async fn revoke_invitation(invitation: String) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let id = InvitationId::new(parse_id("invitation", &invitation)?);
            door.backend.revoke_invitation(&door.session, &id).await
        }
        .await,
    )
}

/// Makes a person `viewer`, `deployer` or `admin`, at once.
#[server(prefix = "/api/ui", endpoint = "change_role")]
pub async fn change_role(person: String, role: String) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let (id, role) = (PersonId::new(parse_id("person", &person)?), person_role(&role)?);
            door.backend.change_role(&door.session, &id, role).await
        }
        .await,
    )
}

/// Removes a person with their sessions and their own keys; `confirm` is their e-mail address.
#[server(prefix = "/api/ui", endpoint = "remove_person")]
pub async fn remove_person(person: String, confirm: String) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let id = PersonId::new(parse_id("person", &person)?);
            door.backend.remove_person(&door.session, &id, &confirm).await
        }
        .await,
    )
}

/// Changes one's own password; all other sessions end.
#[server(prefix = "/api/ui", endpoint = "change_password")]
pub async fn change_password(current: String, password: String) -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let (_, parts) = backend()?;
            door.backend.change_password(&door.session, &parts, &current, &password).await
        }
        .await,
    )
}

/// Ends all of one's sessions but this one.
#[server(prefix = "/api/ui", endpoint = "sign_out_elsewhere")]
pub async fn sign_out_elsewhere() -> Result<Done, AppError> {
    close_form(
        async {
            let door = door().await?;
            let (_, parts) = backend()?;
            door.backend.sign_out_elsewhere(&door.session, &parts).await
        }
        .await,
    )
}

//! Who looks, and how the pages look to them.

use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;

use crate::error::AppError;
use crate::view::{Done, SessionInfo};

#[cfg(feature = "ssr")]
use {
    super::door::*,
    crate::view::SignIn,
    http::{HeaderValue, header::SET_COOKIE},
    leptos_axum::ResponseOptions,
};

/// Who is signed in.
#[server(prefix = "/api/ui", endpoint = "session", input = GetUrl)]
pub async fn read_session() -> Result<SessionInfo, AppError> {
    close(
        async {
            let door = door().await?;
            door.backend.session_info(&door.session).await
        }
        .await,
    )
}

/// Signs in with an `email` address and its `password`, with the `token` of a sign-in link, or with an API `key`; then
/// goes to `next`.
#[server(prefix = "/api/ui", endpoint = "sign_in")]
pub async fn sign_in_with(
    #[server(default)] email: String,
    #[server(default)] password: String,
    #[server(default)] token: String,
    #[server(default)] key: String,
    #[server(default)] next: String,
) -> Result<Done, AppError> {
    let result = async {
        let (backend, parts) = backend()?;
        let proof = match (email.trim(), token.trim(), key.trim()) {
            ("", "", "") => {
                let message = "is empty; say who you are, paste an API key, or open a sign-in link";
                return Err(AppError::invalid("email", message));
            }
            ("", "", key) => SignIn::ApiKey(key.to_owned()),
            ("", token, _) => SignIn::Token(token.to_owned()),
            (email, _, _) => SignIn::Password { email: email.to_owned(), password },
        };
        set_cookie(&backend.sign_in(&parts, proof).await?)?;
        Ok(Done::new("You are signed in."))
    }
    .await;
    if result.is_ok() {
        leave_for(&local_path(&next).unwrap_or_else(|| "/models".into()));
    }
    close(result)
}

/// Ends the session of this browser.
#[server(prefix = "/api/ui", endpoint = "sign_out")]
pub async fn sign_out() -> Result<Done, AppError> {
    let result = async {
        let (backend, parts) = backend()?;
        set_cookie(&backend.sign_out(&parts).await?)?;
        Ok(Done::new("You are signed out."))
    }
    .await;
    if result.is_ok() {
        leave_for("/sign-in");
    }
    close(result)
}

/// Remembers `light`, `dark` or `system` in a cookie. Needs nobody to be signed in.
#[server(prefix = "/api/ui", endpoint = "theme")]
pub async fn choose_theme(theme: String) -> Result<Done, AppError> {
    close_form(
        async {
            let Some(theme) = crate::shell::Theme::parse(&theme) else {
                let message = format!("`{theme}` is not one of light, dark, system");
                return Err(AppError::invalid("theme", message));
            };
            set_cookie(&format!("theme={theme}; Path=/; Max-Age=31536000; SameSite=Lax"))?;
            Ok(Done::new(format!("The theme is {theme}.")))
        }
        .await,
    )
}

#[cfg(feature = "ssr")]
pub(super) fn set_cookie(cookie: &str) -> Result<(), AppError> {
    let missing = || AppError::Internal { message: "The session's cookie could not be set.".into() };
    let response = use_context::<ResponseOptions>().ok_or_else(missing)?;
    response.append_header(SET_COOKIE, HeaderValue::from_str(cookie).map_err(|_| missing())?);
    Ok(())
}

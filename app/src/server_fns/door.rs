//! From a request to the backend and who asks; and from a result to an HTTP answer.

use std::sync::Arc;

use http::header::{ACCEPT, LOCATION, REFERER};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use leptos::prelude::use_context;
use leptos_axum::ResponseOptions;

use crate::backend::{Backend, Session};
use crate::error::AppError;
use crate::view::Done;

/// The backend with the session of this request.
pub struct Door {
    pub backend: Arc<dyn Backend>,
    pub session: Session,
}

/// The backend, for those who need no session.
pub fn backend() -> Result<(Arc<dyn Backend>, Parts), AppError> {
    let missing = || AppError::Internal { message: "The server is not wired for the dashboard.".into() };
    let backend = use_context::<Arc<dyn Backend>>().ok_or_else(missing)?;
    let parts = use_context::<Parts>().ok_or_else(missing)?;
    Ok((backend, parts))
}

/// Opens the door, or says that nobody is signed in.
pub async fn door() -> Result<Door, AppError> {
    let (backend, parts) = backend()?;
    let session = backend.open(&parts).await?;
    Ok(Door { backend, session })
}

/// Gives a failed call its HTTP status.
///
/// Only where the answer is the call's own: a page that is being rendered decides for itself, and
/// a form posted without JavaScript is redirected, with the error in the address.
pub fn close<T>(result: Result<T, AppError>) -> Result<T, AppError> {
    if let Err(error) = &result
        && let (Some(parts), Some(response)) = (use_context::<Parts>(), use_context::<ResponseOptions>())
        && parts.uri.path().starts_with("/api/ui/")
        && !accepts_html(&parts)
        && let Ok(status) = StatusCode::from_u16(error.status())
    {
        response.set_status(status);
    }
    result
}

/// Closes after an action: without JavaScript the browser goes back to the page it came from, with
/// its dialog closed.
pub fn close_form(result: Result<Done, AppError>) -> Result<Done, AppError> {
    if result.is_ok()
        && let Some(parts) = use_context::<Parts>()
        && accepts_html(&parts)
        && let Some(page) = referring_path(&parts)
    {
        go_to(&page);
    }
    close(result)
}

/// Answers a form posted without JavaScript with another page.
pub fn go_to(path: &str) {
    if let Some(response) = use_context::<ResponseOptions>()
        && let Ok(path) = HeaderValue::from_str(path)
    {
        response.insert_header(LOCATION, path);
        response.set_status(StatusCode::FOUND);
    }
}

/// After a deletion, the page a form without JavaScript goes to.
pub fn leave_for(path: &str) {
    if let Some(parts) = use_context::<Parts>()
        && accepts_html(&parts)
        && let Some(path) = local_path(path)
    {
        go_to(&path);
    }
}

/// Refuses what a page without JavaScript could do and then not show: its answer holds a text that is told once.
pub fn needs_the_answer(what: &str) -> Result<(), AppError> {
    match use_context::<Parts>() {
        Some(parts) if accepts_html(&parts) => Err(AppError::conflict(format!(
            "{what} is shown once, in the answer, which this page can't show without JavaScript; use the API or the command line"
        ))),
        _ => Ok(()),
    }
}

pub fn accepts_html(parts: &Parts) -> bool {
    parts
        .headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

/// The path the form was on, without its query. Only the path: a foreign origin is not followed.
fn referring_path(parts: &Parts) -> Option<String> {
    let referer = parts.headers.get(REFERER)?.to_str().ok()?;
    let uri: http::Uri = referer.parse().ok()?;
    local_path(uri.path())
}

/// A path on this server: begins with exactly one slash.
pub fn local_path(path: &str) -> Option<String> {
    let local = path.starts_with('/') && !path.starts_with("//") && !path.contains('\\');
    local.then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_server_are_followed() {
        assert_eq!(local_path("/models").as_deref(), Some("/models"));
        assert_eq!(local_path("//elsewhere.example"), None);
        assert_eq!(local_path("https://elsewhere.example"), None);
        assert_eq!(local_path("/\\elsewhere.example"), None);
    }
}

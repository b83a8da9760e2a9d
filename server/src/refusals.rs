//! The status of what a server function could not even read: its own machinery says 500 to all of that.

use app::error::AppError;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;

/// An error's text is far shorter.
const LONGEST: usize = 64 * 1024;

/// Gives refusals of forms and queries the status of a refusal, and leaves everything else as it is.
pub async fn told(request: Request, next: Next) -> Response {
    let is_function = request.uri().path().starts_with("/api/ui/");
    let response = next.run(request).await;
    if !is_function || response.status() != StatusCode::INTERNAL_SERVER_ERROR {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = to_bytes(body, LONGEST).await.unwrap_or_default();
    if let Ok(error) = serde_json::from_slice::<AppError>(&text) {
        parts.status = status(&error);
    }
    Response::from_parts(parts, Body::from(text))
}

fn status(error: &AppError) -> StatusCode {
    match error {
        // The way to the server is the client's to talk of; here it means that the request's body could not be had.
        AppError::Connection { message } if message.contains("length limit") => StatusCode::PAYLOAD_TOO_LARGE,
        AppError::Connection { .. } => StatusCode::BAD_REQUEST,
        other => StatusCode::from_u16(other.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_clients_fault_is_said_to_be() {
        assert_eq!(status(&AppError::invalid("form", "missing field `name`")), 400);
        assert_eq!(status(&AppError::Connection { message: "length limit exceeded".into() }), 413);
        assert_eq!(status(&AppError::Internal { message: "ours".into() }), 500);
    }
}

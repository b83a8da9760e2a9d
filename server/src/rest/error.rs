//! A use case's refusal as a status and a body, for REST and the words of GraphQL.

use axum::response::Response;
use control::Error;
use domain::Invalid;
use http::StatusCode;

use crate::answer;

/// Status, code and message; what only an operator should see goes to the log instead.
pub fn described(error: &Error) -> (StatusCode, &'static str, String) {
    let status = match error {
        Error::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Unauthorized | Error::WrongPassword => StatusCode::UNAUTHORIZED,
        Error::Forbidden(_) => StatusCode::FORBIDDEN,
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        // What things stand in the way of is as much the caller's to change as a value is.
        Error::Invalid(_) | Error::Conflict(_) => StatusCode::BAD_REQUEST,
        Error::Busy => StatusCode::CONFLICT,
        Error::Full => {
            tracing::error!("a use case was refused: the disk is full");
            StatusCode::INSUFFICIENT_STORAGE
        }
        Error::Store(_) | Error::Internal(_) => {
            tracing::error!(%error, "a use case failed");
            let message = "something went wrong on the server; its log says what";
            return (StatusCode::INTERNAL_SERVER_ERROR, error.code(), message.into());
        }
    };
    (status, error.code(), error.to_string())
}

pub fn failure(error: &Error) -> Response {
    let (status, code, message) = described(error);
    answer::error(status, code, &message)
}

/// A value that was refused before any use case saw it.
pub fn invalid(invalid: &Invalid) -> Response {
    failure(&Error::Invalid(invalid.clone()))
}

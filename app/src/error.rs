//! What can go wrong with a server function, as it travels to the browser.

use domain::Invalid;
use leptos::server_fn::codec::JsonEncoding;
use leptos::server_fn::error::{FromServerFnError, ServerFnErrorErr};
use serde::{Deserialize, Serialize};

/// Why a server function did not do what was asked. Every message is a sentence for the person who
/// asked; what only an operator should see stays in the server's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum AppError {
    /// Nobody is signed in, or the key is not (or no longer) known.
    #[error("Sign in to go on.")]
    Unauthorized,
    /// The person is known and may not do this.
    #[error("{message}")]
    Forbidden { message: String },
    /// It does not exist, or no longer.
    #[error("{message}")]
    NotFound { message: String },
    /// A field's value was refused.
    #[error("{field}: {message}")]
    Invalid { field: String, message: String },
    /// The state of things does not permit it; the message says what to do first.
    #[error("{message}")]
    Conflict { message: String },
    /// Too often in too short a time.
    #[error("{message}")]
    TooMany { message: String },
    /// It may work later.
    #[error("{message}")]
    Unavailable { message: String },
    /// The fault is ours; the server's log knows more.
    #[error("{message}")]
    Internal { message: String },
    /// The server could not be reached, or its answer not be read.
    #[error(
        "The server did not answer: {message}. Check that it runs and that you are connected, then try again."
    )]
    Connection { message: String },
}

impl AppError {
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::NotFound { message: message.into() }
    }

    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), message: message.into() }
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::Conflict { message: message.into() }
    }

    /// The HTTP status that says the same.
    pub fn status(&self) -> u16 {
        match self {
            Self::Unauthorized => 401,
            Self::Forbidden { .. } => 403,
            Self::NotFound { .. } => 404,
            Self::Invalid { .. } => 400,
            Self::Conflict { .. } => 409,
            Self::TooMany { .. } => 429,
            Self::Unavailable { .. } => 503,
            Self::Internal { .. } | Self::Connection { .. } => 500,
        }
    }
}

impl From<Invalid> for AppError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid { field: invalid.field, message: invalid.problem }
    }
}

impl FromServerFnError for AppError {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        match error {
            // Only the server reads arguments, and the browser does without the code.
            #[cfg(feature = "ssr")]
            ServerFnErrorErr::Args(said) => crate::unread::told(&said),
            #[cfg(not(feature = "ssr"))]
            ServerFnErrorErr::Args(message) => Self::Invalid { field: "form".into(), message },
            ServerFnErrorErr::MissingArg(message) | ServerFnErrorErr::Serialization(message) => {
                Self::Invalid { field: "form".into(), message }
            }
            ServerFnErrorErr::Request(message)
            | ServerFnErrorErr::Deserialization(message)
            | ServerFnErrorErr::Response(message) => Self::Connection { message },
            other => Self::Internal { message: other.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_crosses_the_network_whole() {
        let error = AppError::invalid("name", "is taken by another deployment of this model");
        assert_eq!(AppError::de(error.ser()), error);
    }

    #[test]
    fn missing_arguments_are_the_callers_fault() {
        let error = AppError::from_server_fn_error(ServerFnErrorErr::Args("missing field `name`".into()));
        assert_eq!(error.status(), 400);
    }
}

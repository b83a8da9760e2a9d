//! A use case's refusal, as it travels to the browser.

use app::error::AppError;
use control::Error;

/// The same refusal in the dashboard's words; what only an operator should see stays in the log.
pub fn told(error: Error) -> AppError {
    match error {
        Error::Unauthorized => AppError::Unauthorized,
        // Whoever mistypes is where they sign in already.
        Error::WrongPassword => {
            AppError::Forbidden { message: "The e-mail address or the password is wrong.".into() }
        }
        Error::TooMany { sentence, .. } => AppError::TooMany { message: sentence },
        Error::Forbidden(message) => AppError::Forbidden { message },
        Error::NotFound(message) => AppError::NotFound { message },
        Error::Invalid(invalid) => invalid.into(),
        Error::Conflict(message) => AppError::Conflict { message },
        Error::Busy => AppError::Conflict { message: error.to_string() },
        Error::Full => {
            tracing::error!("a use case was refused: the disk is full");
            AppError::Unavailable { message: error.to_string() }
        }
        Error::Store(_) | Error::Internal(_) => {
            tracing::error!(%error, "a use case failed");
            AppError::Internal { message: "Something went wrong on the server; its log says what.".into() }
        }
    }
}

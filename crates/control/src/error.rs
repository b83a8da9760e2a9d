/// Why a use case did not do what it was asked, by what the person who asked can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody we know: sign in, or send a key.
    #[error("no valid API key was sent; use `Authorization: Bearer KEY` or `Authorization: Api-Key KEY`")]
    Unauthorized,
    /// Whoever signs in is not who they say, or mistyped; which of the two was wrong is not told.
    #[error("the e-mail address or the password is wrong")]
    WrongPassword,
    /// Too often in too short a time.
    #[error("{sentence}")]
    TooMany {
        sentence: String,
        /// Seconds.
        retry_after: i64,
    },
    /// Somebody who may not.
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    NotFound(String),
    /// A value that has to be another one.
    #[error(transparent)]
    Invalid(#[from] domain::Invalid),
    /// Not as things stand; the sentence says what to do first.
    #[error("{0}")]
    Conflict(String),
    /// Somebody else changed the same thing at the same moment, several times: try again.
    #[error("somebody else changed this at the same moment; try again")]
    Busy,
    /// There is no room to write it down; nothing was changed, and reading and serving go on.
    #[error(
        "the server's disk is full, so nothing was changed; make room on it (`uv cache clean`, or what else is large there), \
         then try again"
    )]
    Full,
    #[error("the store failed: {0}")]
    Store(#[source] store::Error),
    /// The machine failed us.
    #[error("{0}")]
    Internal(String),
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Full => Self::Full,
            other => Self::Store(other),
        }
    }
}

impl Error {
    /// A file could not be written: a full disk is told as such, and the rest as `otherwise`.
    pub(crate) fn disk(error: &std::io::Error, otherwise: impl FnOnce() -> Self) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => Self::Full,
            _ => otherwise(),
        }
    }

    /// The same once more, for another who waited for the same thing.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::Unauthorized => Self::Unauthorized,
            Self::WrongPassword => Self::WrongPassword,
            Self::TooMany { sentence, retry_after } => {
                Self::TooMany { sentence: sentence.clone(), retry_after: *retry_after }
            }
            Self::Forbidden(sentence) => Self::Forbidden(sentence.clone()),
            Self::NotFound(sentence) => Self::NotFound(sentence.clone()),
            Self::Invalid(invalid) => Self::Invalid(invalid.clone()),
            Self::Conflict(sentence) => Self::Conflict(sentence.clone()),
            Self::Busy => Self::Busy,
            Self::Full => Self::Full,
            Self::Store(_) | Self::Internal(_) => Self::Internal(self.to_string()),
        }
    }

    pub fn not_found(sentence: impl Into<String>) -> Self {
        Self::NotFound(sentence.into())
    }

    pub fn forbidden(sentence: impl Into<String>) -> Self {
        Self::Forbidden(sentence.into())
    }

    pub fn conflict(sentence: impl Into<String>) -> Self {
        Self::Conflict(sentence.into())
    }

    /// The code that programs tell refusals apart by.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized | Self::WrongPassword => "UNAUTHORIZED",
            Self::TooMany { .. } => "RATE_LIMITED",
            Self::Forbidden(_) => "FORBIDDEN",
            Self::NotFound(_) => "RESOURCE_NOT_FOUND",
            Self::Invalid(_) | Self::Conflict(_) => "VALIDATION_ERROR",
            Self::Busy => "CONFLICT",
            Self::Full => "DISK_FULL",
            Self::Store(_) | Self::Internal(_) => "INTERNAL_ERROR",
        }
    }
}

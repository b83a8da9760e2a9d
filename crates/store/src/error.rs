/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A unique constraint stands in the way; `constraint` names the index or table and columns.
    #[error("a row like this exists already ({constraint})")]
    Taken { constraint: String },
    /// The database was made by a newer version of Slipway.
    #[error(
        "the database was made by a newer version of Slipway (migration {version}); install that version or a newer one"
    )]
    Newer { version: i64 },
    /// A document in the database can't be read.
    #[error("a stored {what} can't be read: {source}")]
    Document { what: &'static str, source: serde_json::Error },
    /// A secret that this server's key does not open.
    #[error(
        "the secret `{name}` can't be opened with this server's key; start it with the key that sealed it (the file \
         secret.key in the data folder, or SLIPWAY_SECRET_KEY), or set the secret again"
    )]
    Sealed { name: String },
    #[error("a secret could not be sealed; is its value too long?")]
    Seal,
    #[error("the database failed: {0}")]
    Database(#[source] sqlx::Error),
    #[error("the database could not be set up: {0}")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    #[error("{0}")]
    Io(String),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(database) = &error
            && database.is_unique_violation()
        {
            let constraint = database.constraint().unwrap_or_else(|| database.message()).to_owned();
            return Self::Taken { constraint };
        }
        Self::Database(error)
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::VersionMissing(version)
            | sqlx::migrate::MigrateError::VersionTooNew(version, _) => Self::Newer { version },
            other => Self::Migrate(other),
        }
    }
}

pub(crate) fn read<T: serde::de::DeserializeOwned>(what: &'static str, document: &str) -> Result<T, Error> {
    serde_json::from_str(document).map_err(|source| Error::Document { what, source })
}

pub(crate) fn write<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|source| Error::Document { what, source })
}

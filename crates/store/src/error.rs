use std::path::PathBuf;

use sqlx::error::DatabaseError;

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
    /// The disk has no room; nothing of the transaction was written.
    #[error("the disk that holds the database is full; make room on it and try again")]
    Full,
    /// The file is not what SQLite wrote.
    #[error(
        "the database {} is damaged (SQLite says: {said}); restore a backup into a new folder: `slipway restore BACKUP \
         --data-dir NEW`; keep the damaged file: without a backup, `sqlite3 FILE .recover` may save a part of it",
        file.display()
    )]
    Damaged { file: PathBuf, said: String },
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
    /// It is not there, or has no connection to spare. Whether the last thing that was asked is done is not known.
    #[error("the database does not answer: {0}")]
    Silent(#[source] sqlx::Error),
    #[error("the database failed: {0}")]
    Database(#[source] sqlx::Error),
    #[error("the database could not be set up: {0}")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    #[error("{0}")]
    Io(String),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) if database.is_unique_violation() => {
                let constraint = database.constraint().unwrap_or_else(|| database.message()).to_owned();
                Self::Taken { constraint }
            }
            sqlx::Error::Database(database) if is_full(database.as_ref()) => Self::Full,
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => Self::Silent(error),
            _ => Self::Database(error),
        }
    }
}

/// `SQLITE_FULL`; `SQLITE_IOERR_SHMSIZE`, where a file that connections share found no room; or Postgres' `disk_full`.
fn is_full(error: &dyn DatabaseError) -> bool {
    match error.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
        Some(_) => sqlite_code(error) == Some(13) || error.code().is_some_and(|code| code == "4874"),
        None => error.code().is_some_and(|code| code == "53100"),
    }
}

/// SQLite's primary result code.
pub(crate) fn sqlite_code(error: &dyn DatabaseError) -> Option<i32> {
    let sqlite = error.try_downcast_ref::<sqlx::sqlite::SqliteError>()?;
    sqlite.code()?.parse::<i32>().ok().map(|extended| extended & 0xff)
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

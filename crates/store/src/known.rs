//! Whether this version knows what is in a database, found out without a change to it.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::pool::MIGRATIONS;
use crate::{Error, Store, sqlite_file};

/// How long a connection is waited for.
const WAITS: Duration = Duration::from_secs(10);
/// The newest change that was made to the tables.
pub(crate) const APPLIED: &str = "SELECT MAX(version) FROM _sqlx_migrations";

impl Store {
    /// Finds out whether this version can open a database that another server uses.
    ///
    /// # Errors
    /// If nobody answers there, no server ever opened it, a file is damaged, or a newer version made it.
    pub async fn check_used(address: &str) -> Result<(), Error> {
        let Some(path) = sqlite_file(address) else {
            let options = PgConnectOptions::from_str(address)?;
            let only = PgPoolOptions::new().max_connections(1).acquire_timeout(WAITS);
            let only = only.connect_with(options).await?;
            let applied = sqlx::query_scalar::<_, Option<i64>>(APPLIED).fetch_one(&only).await;
            only.close().await;
            return check_version(applied?);
        };
        Self::open_as_is(path).await?.close().await;
        Ok(())
    }
}

/// Whether this version knows a database to which these changes were made.
pub(crate) fn check_version(applied: Option<i64>) -> Result<(), Error> {
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
    match applied {
        Some(version) if version > newest => Err(Error::Newer { version }),
        Some(_) | None => Ok(()),
    }
}

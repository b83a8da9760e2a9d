use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqlitePool, SqliteSynchronous};
use sqlx::{Postgres, Sqlite, Transaction};

use crate::Error;

pub(crate) static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

#[derive(Debug, Clone)]
pub(crate) enum Pool {
    /// One writer, so that nobody waits inside a transaction for another; readers see the last commit.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

/// How long a start waits for a Postgres server that starts, too.
const START_WAITS: Duration = Duration::from_secs(10);
/// How long whoever reads or writes later waits for a connection: somebody waits for them.
const WAITS: Duration = Duration::from_secs(3);

/// An open database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pool: Pool,
}

/// A transaction on whichever database was opened. Dropped without [`Tx::commit`], it is rolled back.
#[derive(Debug)]
pub enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// Runs one statement on whichever database was opened.
macro_rules! on {
    ($tx:expr, $connection:ident => $body:expr) => {
        match $tx {
            $crate::Tx::Sqlite(tx) => {
                let $connection = &mut **tx;
                $body
            }
            $crate::Tx::Postgres(tx) => {
                let $connection = &mut **tx;
                $body
            }
        }
    };
}
pub(crate) use on;

impl Store {
    /// Opens a Postgres URL (`postgres://…`), or a SQLite file, which is made if it is missing; then migrates it.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the file is not whole; it is not migrated then.
    pub async fn open(address: &str) -> Result<Self, Error> {
        let Some(path) = sqlite_file(address) else {
            let options = PgConnectOptions::from_str(address)?;
            let first = PgPoolOptions::new().max_connections(1).acquire_timeout(START_WAITS);
            let first = first.connect_with(options.clone()).await?;
            MIGRATIONS.run(&first).await?;
            first.close().await;
            let pool = PgPoolOptions::new().max_connections(10).acquire_timeout(WAITS);
            return Ok(Self { pool: Pool::Postgres(pool.connect_with(options).await?) });
        };
        Self::open_file(path, SqliteSynchronous::Full, 4).await
    }

    /// Opens a file whose last moments may be lost with the machine: for simulations.
    pub async fn open_scratch(path: &Path) -> Result<Self, Error> {
        Self::open_file(path, SqliteSynchronous::Off, 1).await
    }

    /// Which database this is, for people.
    pub fn kind(&self) -> &'static str {
        match self.pool {
            Pool::Sqlite { .. } => "SQLite",
            Pool::Postgres(_) => "Postgres",
        }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Begins to write.
    pub async fn begin(&self) -> Result<Tx, Error> {
        Ok(match &self.pool {
            Pool::Sqlite { writer, .. } => Tx::Sqlite(begin_to_write(writer).await?),
            Pool::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// Begins to read: everything read through it is of one moment.
    pub async fn read(&self) -> Result<Tx, Error> {
        Ok(match &self.pool {
            Pool::Sqlite { readers, .. } => Tx::Sqlite(readers.begin().await?),
            Pool::Postgres(pool) => {
                Tx::Postgres(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
            }
        })
    }

    /// Answers if the database does.
    pub async fn ping(&self) -> Result<(), Error> {
        let mut tx = self.read().await?;
        on!(&mut tx, connection => sqlx::query("SELECT 1").execute(connection).await.map(drop))?;
        Ok(())
    }

    /// Closes every connection.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Pool::Postgres(pool) => pool.close().await,
        }
    }
}

/// The file that an address of [`Store::open`] names; nothing if it is Postgres'.
pub fn sqlite_file(address: &str) -> Option<&Path> {
    if address.starts_with("postgres://") || address.starts_with("postgresql://") {
        return None;
    }
    let path = address.strip_prefix("sqlite://").or_else(|| address.strip_prefix("sqlite:"));
    Some(Path::new(path.unwrap_or(address)))
}

impl From<Pool> for Store {
    fn from(pool: Pool) -> Self {
        Self { pool }
    }
}

/// Begins on the one connection that writes.
async fn begin_to_write(writer: &SqlitePool) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    const BEGIN: &str = "BEGIN IMMEDIATE";
    match writer.begin_with(BEGIN).await {
        // A full disk makes SQLite roll back by itself. sqlx's own rollback then fails, and it would believe for ever
        // that the connection is inside a transaction: only a new connection knows better.
        Err(sqlx::Error::InvalidSavePointStatement) => {
            writer.acquire().await?.close().await?;
            writer.begin_with(BEGIN).await
        }
        begun => begun,
    }
}

impl Tx {
    pub async fn commit(self) -> Result<(), Error> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    pub async fn rollback(self) -> Result<(), Error> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await?,
            Self::Postgres(tx) => tx.rollback().await?,
        }
        Ok(())
    }
}

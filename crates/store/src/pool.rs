use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Postgres, Sqlite, Transaction};

use crate::Error;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

#[derive(Debug, Clone)]
pub(crate) enum Pool {
    /// One writer, so that nobody waits inside a transaction for another; readers see the last commit.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres(PgPool),
}

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
    pub async fn open(address: &str) -> Result<Self, Error> {
        if address.starts_with("postgres://") || address.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(address)?;
            let pool = PgPoolOptions::new()
                .max_connections(10)
                .acquire_timeout(Duration::from_secs(10))
                .connect_with(options)
                .await?;
            MIGRATIONS.run(&pool).await?;
            return Ok(Self { pool: Pool::Postgres(pool) });
        }
        let path =
            address.strip_prefix("sqlite://").or_else(|| address.strip_prefix("sqlite:")).unwrap_or(address);
        Self::open_file(Path::new(path), SqliteSynchronous::Full, 4).await
    }

    /// Opens a file whose last moments may be lost with the machine: for simulations.
    pub async fn open_scratch(path: &Path) -> Result<Self, Error> {
        Self::open_file(path, SqliteSynchronous::Off, 1).await
    }

    async fn open_file(path: &Path, synchronous: SqliteSynchronous, readers: u32) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            .synchronous(synchronous);
        let pool = |count: u32| {
            SqlitePoolOptions::new()
                .max_connections(count)
                .idle_timeout(None)
                .max_lifetime(None)
                // A file does not hang up: asking each time whether it is there would double the trips.
                .test_before_acquire(false)
        };
        let writer = pool(1).connect_with(options.clone()).await?;
        MIGRATIONS.run(&writer).await?;
        let readers = pool(readers).connect_with(options).await?;
        Ok(Self { pool: Pool::Sqlite { writer, readers } })
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
            Pool::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
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

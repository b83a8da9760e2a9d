//! A SQLite file: opened, checked, copied.

use std::path::Path;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::known::{APPLIED, check_version};
use crate::pool::{MIGRATIONS, Pool};
use crate::{Error, Store};

/// A check at the start that takes longer is told.
const LONG_CHECK: Duration = Duration::from_secs(1);
/// What SQLite says of damage is cut off after so many findings: the first one decides.
const FINDINGS: u32 = 3;

impl Store {
    /// Opens a file, which is made if it is missing, checks that it is whole, and migrates it.
    pub(crate) async fn open_file(
        path: &Path,
        synchronous: SqliteSynchronous,
        readers: u32,
    ) -> Result<Self, Error> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            .synchronous(synchronous);
        let writer = connect(path, &options, 1).await?;
        let begun = tokio::time::Instant::now();
        check(path, &writer, "quick_check").await?;
        let took = begun.elapsed();
        if took > LONG_CHECK {
            tracing::info!(file = %path.display(), seconds = took.as_secs_f32(), "checked that the database is whole");
        }
        MIGRATIONS.run(&writer).await?;
        let readers = connect(path, &options, readers).await?;
        Ok(Self::from(Pool::Sqlite { writer, readers }))
    }

    /// Opens a file that is there, as it is: neither made nor migrated, so that a running server is not disturbed.
    ///
    /// # Errors
    /// If it is missing, damaged, or was made by a newer version.
    pub async fn open_as_is(path: &Path) -> Result<Self, Error> {
        if !path.is_file() {
            return Err(Error::Io(format!("there is no database {}", path.display())));
        }
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(10));
        let only = connect(path, &options, 1).await?;
        let store = Self::from(Pool::Sqlite { writer: only.clone(), readers: only });
        match store.is_known(path).await {
            Ok(()) => Ok(store),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    async fn is_known(&self, path: &Path) -> Result<(), Error> {
        let Pool::Sqlite { readers, .. } = self.pool() else { return Ok(()) };
        let applied = sqlx::query_scalar::<_, Option<i64>>(APPLIED).fetch_one(readers).await;
        check_version(applied.map_err(|error| told(path, error))?)
    }

    /// Writes what is committed now to `target`, a SQLite file that must not exist or be empty. Others write on meanwhile.
    ///
    /// # Errors
    /// If there is no room for it, or this is not SQLite; what was begun is left to the caller to remove.
    pub async fn copy_to(&self, target: &Path) -> Result<(), Error> {
        let Pool::Sqlite { readers, .. } = self.pool() else {
            return Err(Error::Io("only a SQLite database can be copied to a file".into()));
        };
        let text = target
            .to_str()
            .ok_or_else(|| Error::Io(format!("{} is not a name in UTF-8", target.display())))?;
        sqlx::query("VACUUM INTO $1").bind(text.to_owned()).execute(readers).await?;
        Ok(())
    }

    /// Looks through the whole file, indexes included; far slower than what each start does.
    ///
    /// # Errors
    /// [`Error::Damaged`] with what SQLite found.
    pub async fn check_whole(&self, path: &Path) -> Result<(), Error> {
        let Pool::Sqlite { readers, .. } = self.pool() else { return Ok(()) };
        check(path, readers, "integrity_check").await
    }
}

async fn connect(path: &Path, options: &SqliteConnectOptions, count: u32) -> Result<SqlitePool, Error> {
    SqlitePoolOptions::new()
        // All of them from the start, and not by whoever happens to need one: each is a thread, which begins with the priority
        // of the thread that made it.
        .min_connections(count)
        .max_connections(count)
        .idle_timeout(None)
        .max_lifetime(None)
        // A file does not hang up: asking each time whether it is there would double the trips.
        .test_before_acquire(false)
        .connect_with(options.clone())
        .await
        .map_err(|error| told(path, error))
}

async fn check(path: &Path, pool: &SqlitePool, pragma: &str) -> Result<(), Error> {
    let text = sqlx::AssertSqlSafe(format!("PRAGMA {pragma}({FINDINGS})"));
    let found: Vec<String> =
        sqlx::query_scalar(text).fetch_all(pool).await.map_err(|error| told(path, error))?;
    if found == ["ok"] {
        return Ok(());
    }
    Err(Error::Damaged { file: path.to_owned(), said: found.join("; ").replace('\n', " ") })
}

/// The same error, by the file's name if it is the file that is at fault.
fn told(path: &Path, error: sqlx::Error) -> Error {
    /// `SQLITE_CORRUPT` and `SQLITE_NOTADB`.
    const AT_FAULT: [i32; 2] = [11, 26];
    match &error {
        sqlx::Error::Database(database)
            if crate::error::sqlite_code(database.as_ref()).is_some_and(|code| AT_FAULT.contains(&code)) =>
        {
            Error::Damaged { file: path.to_owned(), said: database.message().to_owned() }
        }
        _ => error.into(),
    }
}

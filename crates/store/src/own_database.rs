use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgPool, PgPoolOptions};

use crate::Error;

/// A database that is made on a Postgres server, used for a while, and dropped.
#[derive(Debug)]
pub struct OwnDatabase {
    admin: PgPool,
    name: String,
    /// Its address, for [`crate::Store::open`].
    pub url: String,
}

impl OwnDatabase {
    /// Makes it beside the database that `url` names, whose user must be permitted to.
    ///
    /// # Panics
    /// If the name is not of small letters, digits and underscores.
    pub async fn create(url: &str, name: &str) -> Result<Self, Error> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(name.chars().all(plain), "{name} can't be a database's name");
        let admin = PgPoolOptions::new().max_connections(1).connect(url).await?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&admin).await?;
        Ok(Self { admin, name: name.to_owned(), url: with_database(url, name) })
    }

    /// Ends every connection to it, as a restart of Postgres does; says how many there were.
    pub async fn cut_connections(&self) -> Result<u64, Error> {
        let text = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()";
        Ok(sqlx::query(text).bind(&self.name).execute(&self.admin).await?.rows_affected())
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Says whether it takes connections. While it does not, those that are open stay, and a new one is refused.
    pub async fn allow_connections(&self, allow: bool) -> Result<(), Error> {
        let text = format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allow}", self.name);
        sqlx::query(AssertSqlSafe(text)).execute(&self.admin).await?;
        Ok(())
    }

    /// Removes it with everything in it.
    pub async fn remove(self) -> Result<(), Error> {
        let text = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        sqlx::query(AssertSqlSafe(text)).execute(&self.admin).await?;
        self.admin.close().await;
        Ok(())
    }
}

/// The same address with another database's name.
pub(crate) fn with_database(url: &str, name: &str) -> String {
    let (head, query) =
        url.split_once('?').map_or((url, String::new()), |(head, query)| (head, format!("?{query}")));
    let cut = head.rfind('/').unwrap_or(head.len());
    format!("{}/{name}{query}", &head[..cut])
}

//! Whether a database can be opened, found out without a change to it.

use store::OwnDatabase;
use store::testing::postgres_server;

use super::*;

const LATER: &str = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
    VALUES (9999, 'later', TRUE, '', 0)";

#[tokio::test]
async fn a_file_is_checked_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none.db");
    assert!(Store::check_used(none.to_str().unwrap()).await.is_err());
    assert!(!none.exists());

    let scratch = sqlite().await;
    Store::check_used(&scratch.address).await.unwrap();
    let pool = sqlx::sqlite::SqlitePool::connect(&format!("sqlite://{}", scratch.address)).await.unwrap();
    sqlx::query(LATER).execute(&pool).await.unwrap();
    pool.close().await;
    let refusal = Store::check_used(&scratch.address).await.unwrap_err();
    assert!(matches!(refusal, Error::Newer { version: 9999 }), "{refusal}");
    // Whoever has it open is not disturbed.
    assert!(scratch.store.setting("any").await.unwrap().is_none());
}

#[tokio::test]
async fn a_database_of_postgres_is_checked_as_it_is() {
    let name = format!("slipway_never_{}", std::process::id());
    let empty = OwnDatabase::create(&postgres_server().await, &name).await.unwrap();
    assert!(Store::check_used(&empty.url).await.is_err());
    let pool = sqlx::PgPool::connect(&empty.url).await.unwrap();
    let tables = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'public'";
    let tables: i64 = sqlx::query_scalar(tables).fetch_one(&pool).await.unwrap();
    assert_eq!(tables, 0, "nothing was made there");
    pool.close().await;
    empty.remove().await.unwrap();

    let scratch = postgres().await;
    Store::check_used(&scratch.address).await.unwrap();
    let pool = sqlx::PgPool::connect(&scratch.address).await.unwrap();
    sqlx::query(LATER).execute(&pool).await.unwrap();
    pool.close().await;
    let refusal = Store::check_used(&scratch.address).await.unwrap_err();
    assert!(matches!(refusal, Error::Newer { version: 9999 }), "{refusal}");
}

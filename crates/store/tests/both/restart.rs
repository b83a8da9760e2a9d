//! Postgres goes and comes back while it is used.

use store::testing::OwnServer;

use super::*;

async fn write(store: &Store, value: &str) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    tx.set_setting("kept", value).await?;
    tx.commit().await
}

async fn kept(store: &Store) -> Option<String> {
    store.setting("kept").await.unwrap()
}

#[tokio::test]
async fn a_restart_of_postgres_fails_what_runs_and_nothing_after_it() {
    let server = OwnServer::start();
    let store = Store::open(&server.url).await.unwrap();
    write(&store, "before").await.unwrap();

    let mut begun = store.begin().await.unwrap();
    begun.set_setting("kept", "lost").await.unwrap();
    server.restart();
    assert!(begun.commit().await.is_err(), "the server that had it is gone");
    assert_eq!(kept(&store).await.as_deref(), Some("before"));
    write(&store, "after").await.unwrap();
    assert_eq!(kept(&store).await.as_deref(), Some("after"));

    server.stop();
    let reading = store.setting("kept").await.unwrap_err();
    let writing = write(&store, "never").await.unwrap_err();
    for error in [reading, writing] {
        assert!(matches!(error, Error::Silent(_)), "{error:?}");
        assert!(error.to_string().starts_with("the database does not answer"), "{error}");
    }
    server.go_on();
    assert_eq!(kept(&store).await.as_deref(), Some("after"));
    write(&store, "again").await.unwrap();
    assert_eq!(kept(&store).await.as_deref(), Some("again"));
    store.close().await;
}

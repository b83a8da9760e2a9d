//! A database that is made for a while; on Postgres only.

use std::time::Duration;

use store::testing::postgres_server;
use store::{OwnDatabase, Store};

#[tokio::test]
async fn a_database_of_ones_own_refuses_connections_and_takes_them_again() {
    let name = format!("slipway_own_{}", std::process::id());
    let own = OwnDatabase::create(&postgres_server().await, &name).await.unwrap();
    assert_eq!(own.name(), name);
    let store = Store::open(&own.url).await.unwrap();
    store.ping().await.unwrap();
    own.allow_connections(false).await.unwrap();
    assert!(own.cut_connections().await.unwrap() > 0);
    // They end a moment after they were told to.
    while own.cut_connections().await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let refused = store.ping().await.unwrap_err().to_string();
    assert!(refused.contains("not currently accepting connections"), "{refused}");
    own.allow_connections(true).await.unwrap();
    store.ping().await.unwrap();
    store.close().await;
    own.remove().await.unwrap();
}

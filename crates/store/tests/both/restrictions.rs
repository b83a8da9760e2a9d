//! Who may change the environments of a name.

use super::*;

pub async fn restrictions_are_replaced_and_lifted(scratch: Scratch) {
    let store = &scratch.store;
    let production = EnvironmentName::production();
    let restriction = |users: &[&str]| Restriction {
        environment: production.clone(),
        users: users.iter().map(|id| PersonId::new(*id)).collect(),
    };
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.restrictions().await.unwrap(), []);
    tx.set_restriction(&restriction(&[])).await.unwrap();
    tx.set_restriction(&restriction(&["ada", "ben"])).await.unwrap();
    assert_eq!(tx.restrictions().await.unwrap(), [restriction(&["ada", "ben"])]);
    tx.lift_restriction(&production).await.unwrap();
    assert_eq!(tx.restrictions().await.unwrap(), []);
    tx.commit().await.unwrap();
}

pub async fn names_of_environments_are_told_once(scratch: Scratch) {
    let store = &scratch.store;
    assert_eq!(store.environment_names().await.unwrap(), []);
    let (one, two) = (model("one"), model("two"));
    add(store, &one, &[]).await;
    add(store, &two, &[]).await;
    let staging = EnvironmentName::new("staging").unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.insert_environment(&Environment::new(two.id, staging.clone(), NOW)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.environment_names().await.unwrap(), [EnvironmentName::production(), staging]);
}

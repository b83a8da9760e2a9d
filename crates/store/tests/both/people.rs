//! People with their keys, sessions and links.

use super::*;

fn key(prefix: &str) -> KeyRow {
    KeyRow {
        prefix: prefix.into(),
        hash: prefix.repeat(8),
        name: "ci".into(),
        role: Role::Deployer,
        person: None,
        models: Some(vec!["m".into()]),
        environments: Some(vec![EnvironmentName::production()]),
        created_at: NOW,
        last_used_at: None,
    }
}

fn session(hash: &str, holder: Holder) -> SessionRow {
    SessionRow { hash: hash.into(), holder, created_at: NOW, expires_at: NOW.plus(1000) }
}

fn person(id: &str) -> Person {
    Person {
        id: PersonId::new(id),
        email: Email::new(&format!("{id}@example.org")).unwrap(),
        name: "Ada".into(),
        role: Role::Admin,
        created_at: NOW,
        last_seen_at: None,
    }
}

pub async fn keys_and_sessions(scratch: Scratch) {
    let store = &scratch.store;
    let key = key("abcdefgh");
    let mut tx = store.begin().await.unwrap();
    tx.insert_key(&key).await.unwrap();
    tx.insert_session(&session("s", Holder::Key(key.prefix.clone()))).await.unwrap();
    tx.touch_key("abcdefgh", NOW).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.keys().await.unwrap(), [KeyRow { last_used_at: Some(NOW), ..key }]);
    assert!(store.find_session("s", NOW).await.unwrap().is_some());
    assert!(store.find_session("s", NOW.plus(1000)).await.unwrap().is_none());
    let mut tx = store.begin().await.unwrap();
    assert!(tx.revoke_key("abcdefgh", NOW).await.unwrap());
    assert!(!tx.revoke_key("abcdefgh", NOW).await.unwrap());
    tx.commit().await.unwrap();
    assert!(store.keys().await.unwrap().is_empty());
    assert!(store.find_session("s", NOW).await.unwrap().is_none(), "its sessions ended with it");
}

pub async fn people_and_what_is_theirs(scratch: Scratch) {
    let store = &scratch.store;
    let (ada, ben) = (person("ada"), person("ben"));
    let mut tx = store.begin().await.unwrap();
    tx.insert_person(&ada, "hash of ada").await.unwrap();
    tx.insert_person(&ben, "hash of ben").await.unwrap();
    let own = KeyRow { person: Some(ada.id.clone()), models: None, environments: None, ..key("personal") };
    tx.insert_key(&own).await.unwrap();
    for hash in ["one", "two"] {
        tx.insert_session(&session(hash, Holder::Person(ada.id.clone()))).await.unwrap();
    }
    tx.insert_session(&session("by key", Holder::Key("personal".into()))).await.unwrap();
    tx.insert_session(&session("of ben", Holder::Person(ben.id.clone()))).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.keys().await.unwrap(), [own]);
    assert_eq!(store.people().await.unwrap(), [ada.clone(), ben.clone()]);
    let found = store.find_person_by_email(&ada.email).await.unwrap();
    assert_eq!(found, Some((ada.clone(), "hash of ada".to_owned())));

    let mut tx = store.begin().await.unwrap();
    tx.end_sessions(&ada.id, "two").await.unwrap();
    tx.set_password(&ada.id, "another").await.unwrap();
    tx.commit().await.unwrap();
    assert!(store.find_session("one", NOW).await.unwrap().is_none());
    let kept = store.find_session("two", NOW).await.unwrap().unwrap();
    assert_eq!(kept.holder, Holder::Person(ada.id.clone()));

    let mut tx = store.begin().await.unwrap();
    tx.remove_person(&ada.id, NOW).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.people().await.unwrap(), [ben]);
    assert!(store.keys().await.unwrap().is_empty(), "their keys went with them");
    for hash in ["two", "by key"] {
        assert!(store.find_session(hash, NOW).await.unwrap().is_none(), "{hash}");
    }
    assert!(store.find_session("of ben", NOW).await.unwrap().is_some());
    assert_eq!(store.find_person_by_email(&ada.email).await.unwrap(), None);
    // Whoever was removed may come back.
    let mut tx = store.begin().await.unwrap();
    tx.insert_person(&Person { id: PersonId::new("again"), ..ada }, "hash").await.unwrap();
    tx.commit().await.unwrap();
}

pub async fn links_work_once(scratch: Scratch) {
    let store = &scratch.store;
    let invitation = Invitation {
        id: InvitationId::new("i1"),
        email: Email::new("eve@example.org").unwrap(),
        role: Role::Viewer,
        invited_by: "Ada".into(),
        created_at: NOW,
        expires_at: NOW.plus(1000),
    };
    let link =
        |hash: &str, purpose: LinkFor| LinkRow { hash: hash.into(), purpose, expires_at: NOW.plus(1000) };
    let mut tx = store.begin().await.unwrap();
    tx.insert_link(&link("first", LinkFor::FirstAdmin), NOW).await.unwrap();
    tx.insert_link(&link("invited", LinkFor::Invitation(invitation.clone())), NOW).await.unwrap();
    assert_eq!(tx.redeem_link("first", NOW.plus(2000)).await.unwrap(), None, "it has expired");
    assert_eq!(tx.redeem_link("first", NOW).await.unwrap(), Some(LinkFor::FirstAdmin));
    assert_eq!(tx.redeem_link("first", NOW).await.unwrap(), None, "it works once");
    tx.commit().await.unwrap();
    assert_eq!(store.invitations(NOW).await.unwrap(), std::slice::from_ref(&invitation));
    assert_eq!(store.invitations(NOW.plus(1000)).await.unwrap(), []);
    assert!(store.find_link("invited", NOW).await.unwrap().is_some(), "looking does not use it up");
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.revoke_invitation(&invitation.id).await.unwrap(), Some(invitation.clone()));
    assert_eq!(tx.revoke_invitation(&invitation.id).await.unwrap(), None);
    tx.insert_link(&link("old", LinkFor::FirstAdmin), NOW).await.unwrap();
    tx.insert_link(&link("new", LinkFor::FirstAdmin), NOW.plus(5000)).await.unwrap();
    tx.commit().await.unwrap();
    assert!(store.find_link("old", NOW).await.unwrap().is_none(), "expired links are forgotten");
}

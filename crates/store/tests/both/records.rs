//! Usage, uploads, settings, secrets, and the records of scaling and of metrics.

use super::*;

pub async fn usage_adds_up_and_outlives(scratch: Scratch) {
    let store = &scratch.store;
    let iris = model("iris");
    let mut one = deployment(&iris, "one");
    add(store, &iris, std::slice::from_ref(&one)).await;
    let delta = UsageDelta {
        deployment: one.id.clone(),
        model: iris.id.clone(),
        deployment_name: "one".into(),
        model_name: "iris".into(),
        environment: None,
        instance_type: Some("2x8".into()),
        price: Some(domain::Price(580_000)),
        day: 20_454,
        minutes: 1,
        requests: 5,
        counted_to: NOW,
    };
    assert_eq!(store.usage_counted_to(&one.id).await.unwrap(), None);
    store.add_usage(std::slice::from_ref(&delta)).await.unwrap();
    let later = UsageDelta { counted_to: NOW.plus(60_000), ..delta };
    store.add_usage(std::slice::from_ref(&later)).await.unwrap();
    assert_eq!(store.usage_counted_to(&one.id).await.unwrap(), Some(NOW.plus(60_000)));
    let rows = store.usage(20_454, 20_454).await.unwrap();
    assert_eq!((rows[0].minutes, rows[0].requests, rows[0].is_deleted), (2, 10, false));
    assert_eq!(
        (rows[0].instance_type.as_deref(), rows[0].price),
        (Some("2x8"), Some(domain::Price(580_000)))
    );
    let live: Vec<_> = store.live_deployments().await.unwrap().into_iter().map(|live| live.id).collect();
    assert_eq!(live, [one.id.clone()]);
    one.deleted_at = Some(NOW);
    let mut tx = store.begin().await.unwrap();
    assert!(tx.save_deployment(&mut one).await.unwrap());
    tx.commit().await.unwrap();
    assert!(store.usage(20_454, 20_454).await.unwrap()[0].is_deleted);
    assert!(store.usage(20_455, 20_460).await.unwrap().is_empty());
    assert!(store.live_deployments().await.unwrap().is_empty());
}

pub async fn uploads_are_taken_once(scratch: Scratch) {
    let store = &scratch.store;
    let upload = store::UploadRow {
        key: "k.tgz".into(),
        access_key: "a".into(),
        secret: "s".into(),
        session_token: "t".into(),
        created_by: "someone".into(),
        expires_at: NOW,
        used: false,
    };
    let mut tx = store.begin().await.unwrap();
    tx.insert_upload(&upload).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.find_upload_by_access_key("a").await.unwrap().as_ref(), Some(&upload));
    let mut tx = store.begin().await.unwrap();
    assert!(tx.use_upload("k.tgz").await.unwrap());
    assert!(!tx.use_upload("k.tgz").await.unwrap());
    assert_eq!(tx.expire_uploads(NOW.plus(1)).await.unwrap(), ["k.tgz"]);
    tx.commit().await.unwrap();
    assert!(store.find_upload("k.tgz").await.unwrap().is_none());
}

pub async fn settings_are_replaced(scratch: Scratch) {
    let store = &scratch.store;
    for value in ["one", "two"] {
        let mut tx = store.begin().await.unwrap();
        tx.set_setting("key", value).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(store.setting("key").await.unwrap().as_deref(), Some("two"));
    assert_eq!(store.setting("none").await.unwrap(), None);
}

pub async fn secrets_keep_their_id_through_new_values(scratch: Scratch) {
    let (store, vault) = (&scratch.store, Vault::new(&[7; 32]));
    let put = async |name: &str, id: &str, value: &str, at: Timestamp| {
        let name = SecretName::new(name).unwrap();
        let sealed = vault.seal(&name, &SecretValue::new(value).unwrap(), [1; 24]).unwrap();
        let row = SecretRow { id: SecretId::new(id), name, sealed, created_at: at, updated_at: at };
        let mut tx = store.begin().await.unwrap();
        let stored = tx.put_secret(&row).await.unwrap();
        tx.commit().await.unwrap();
        stored
    };
    put("hf_token", "s1", "first", NOW).await;
    put("Zebra", "s2", "striped", NOW).await;
    let again = put("hf_token", "s3", "second", NOW.plus(5)).await;
    assert_eq!((again.id.as_str(), again.created_at, again.updated_at), ("s1", NOW, NOW.plus(5)));
    let all = store.secrets().await.unwrap();
    let names: Vec<&str> = all.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["Zebra", "hf_token"]);
    assert_eq!(all[1], again);
    let found = store.secrets_named(&["hf_token", "none"]).await.unwrap();
    assert_eq!(found, [again]);
    assert_eq!(vault.open(&found[0].name, &found[0].sealed).unwrap().expose(), "second");
    let mut tx = store.begin().await.unwrap();
    let name = SecretName::new("hf_token").unwrap();
    assert_eq!(tx.delete_secret(&name).await.unwrap(), Some(SecretId::new("s1")));
    assert_eq!(tx.delete_secret(&name).await.unwrap(), None);
    tx.commit().await.unwrap();
    assert!(store.secrets_named(&["hf_token"]).await.unwrap().is_empty());
}

pub async fn the_record_of_scaling_is_bounded(scratch: Scratch) {
    let store = &scratch.store;
    let iris = model("iris");
    let (one, two) = (deployment(&iris, "one"), deployment(&iris, "two"));
    add(store, &iris, &[one.clone(), two.clone()]).await;
    let count = |at, wanted| ReplicaCount { at: NOW.plus(at), wanted, starting: 0, ready: wanted };
    let start = |at: i64| ColdStart {
        at: NOW.plus(at),
        outcome: if at == 30 {
            StartOutcome::Failed { reason: "it ended".into() }
        } else {
            StartOutcome::Ready
        },
        deployment: one.id.clone(),
        replica: ReplicaId::new(format!("r{at}")),
        environment: None,
        queue_ms: 1,
        spawn_ms: 2,
        load_ms: 3,
        ready_ms: 4,
        first_byte_ms: Some(5),
    };
    let rows: Vec<_> = (0..6).map(|n| (one.id.clone(), count(n * 10, n as u32))).collect();
    let of_two = ColdStart { deployment: two.id.clone(), ..start(40) };
    store.add_history(&rows, &[start(0), start(30), start(50), of_two.clone()]).await.unwrap();
    let both = [one.id.clone(), two.id.clone()];
    let mut within = store.cold_starts_within(&both, NOW.plus(30), NOW.plus(40)).await.unwrap();
    within.sort_by_key(|start| start.at);
    assert_eq!(within, [start(30), of_two.clone()]);
    assert_eq!(store.cold_starts_within(&both[1..], NOW, NOW.plus(50)).await.unwrap(), [of_two]);
    assert!(store.cold_starts_within(&[], NOW, NOW.plus(50)).await.unwrap().is_empty());
    // Two changes at one moment are one.
    let twice = [(two.id.clone(), count(0, 1)), (two.id.clone(), count(0, 2))];
    store.add_history(&twice, &[]).await.unwrap();
    let last = store.last_counts(&iris.id).await.unwrap();
    assert_eq!(last.len(), 2);
    assert!(last.contains(&(one.id.clone(), count(50, 5))) && last.contains(&(two.id.clone(), count(0, 2))));
    // A period begins with what was so when it began.
    let since = store.replica_counts(&one.id, NOW.plus(25), 100).await.unwrap();
    assert_eq!(since, [count(20, 2), count(30, 3), count(40, 4), count(50, 5)]);
    assert_eq!(store.replica_counts(&one.id, NOW, 2).await.unwrap(), [count(40, 4), count(50, 5)]);
    assert_eq!(store.cold_starts(&one.id, NOW.plus(1), 100).await.unwrap(), [start(30), start(50)]);
    store.trim_history(NOW.plus(25), 2).await.unwrap();
    assert_eq!(store.replica_counts(&one.id, NOW, 100).await.unwrap(), [count(40, 4), count(50, 5)]);
    assert_eq!(store.cold_starts(&one.id, NOW, 100).await.unwrap(), [start(30), start(50)]);
    assert_eq!(store.replica_counts(&two.id, NOW, 100).await.unwrap(), [count(0, 2)], "what is so stays");
}

pub async fn what_is_attached_serves_or_is_being_promoted(scratch: Scratch) {
    let store = &scratch.store;
    let (iris, other) = (model("iris"), model("other"));
    let (one, two) = (deployment(&iris, "one"), deployment(&iris, "two"));
    add(store, &iris, &[one.clone(), two.clone()]).await;
    add(store, &other, &[]).await;
    let production = EnvironmentName::production();
    let both = [iris.id.clone(), other.id.clone()];
    assert!(store.attached(&both).await.unwrap().is_empty());
    assert_eq!(store.given(&one.id, &production).await.unwrap(), None);

    let mut tx = store.begin().await.unwrap();
    let mut environment = Environment::new(iris.id.clone(), production.clone(), NOW);
    environment.current = Some(one.id.clone());
    assert!(tx.save_environment(&mut environment).await.unwrap());
    let mut running = promotion(&iris, "p", &two);
    tx.insert_promotion(&running).await.unwrap();
    for (at, data) in
        [(5, serde_json::json!({ "automatic": true })), (9, serde_json::json!({ "promotion": "p" }))]
    {
        tx.append(&Event {
            id: EventId::ordered(NOW.plus(at), 0, [0; 16]),
            at: NOW.plus(at),
            kind: EventKind::ModelDeploymentPromoted,
            model: Some(iris.id.clone()),
            deployment: Some(one.id.clone()),
            environment: Some(production.clone()),
            model_name: None,
            deployment_name: None,
            actor: Actor::system(),
            sentence: String::new(),
            data,
        })
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
    let attached = store.attached(&both).await.unwrap();
    let sides = [(one.id.clone(), production.clone()), (two.id.clone(), production.clone())];
    assert_eq!(attached.into_iter().collect::<Vec<_>>(), sides);
    assert!(store.attached(std::slice::from_ref(&other.id)).await.unwrap().is_empty());
    assert_eq!(store.given(&one.id, &production).await.unwrap(), Some(NOW.plus(5)), "without a promotion");
    assert_eq!(store.given(&two.id, &production).await.unwrap(), None);

    let mut tx = store.begin().await.unwrap();
    running.phase = Phase::Canceled;
    assert!(tx.save_promotion(&mut running).await.unwrap());
    tx.commit().await.unwrap();
    let attached = store.attached(&both).await.unwrap();
    assert_eq!(attached.into_iter().collect::<Vec<_>>(), sides[..1]);
}

pub async fn metrics_are_kept_by_the_minute_and_by_age(scratch: Scratch) {
    let store = &scratch.store;
    let (model, production) = (ModelId::new("m"), EnvironmentName::production());
    let row = |deployment: &str, minute: i64, environment: Option<&EnvironmentName>, fine: u64| {
        let from = NOW.plus(minute * 60_000);
        let mut measured = Measured::nothing(from, from.plus(60_000));
        measured.environment = environment.cloned();
        measured.outcomes.fine = fine;
        measured.end_to_end = [(40, fine)].into_iter().collect();
        MetricRow { model: model.clone(), deployment: DeploymentId::new(deployment), measured }
    };
    let rows = [row("a", 0, None, 1), row("a", 1, Some(&production), 2), row("b", 1, Some(&production), 4)];
    store.add_metrics(&rows).await.unwrap();
    let of = MetricsOf::Deployment(DeploymentId::new("a"));
    let fine = async |of: &MetricsOf, from: i64, to: i64| {
        let found = store.metrics(of, NOW.plus(from * 60_000), NOW.plus(to * 60_000)).await.unwrap();
        found.iter().map(|one| one.outcomes.fine).collect::<Vec<_>>()
    };
    assert_eq!(store.metrics(&of, NOW, NOW.plus(1)).await.unwrap(), [rows[0].measured.clone()]);
    assert_eq!(fine(&of, 0, 2).await, [1, 2]);
    assert_eq!(fine(&of, 0, 1).await, [1], "the end is not included");
    let environment = MetricsOf::Environment(model.clone(), production.clone());
    let mut both = fine(&environment, 0, 2).await;
    both.sort_unstable();
    assert_eq!(both, [2, 4], "only while they were attached to it");
    let m = Model { id: model.clone(), ..super::model("m") };
    let there = Deployment { id: DeploymentId::new("a"), ..deployment(&m, "a") };
    let mut deleted = Deployment { id: DeploymentId::new("b"), ..deployment(&m, "b") };
    add(store, &m, &[there, deleted.clone()]).await;
    deleted.deleted_at = Some(NOW);
    let mut tx = store.begin().await.unwrap();
    assert!(tx.save_deployment(&mut deleted).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(fine(&MetricsOf::Model(model.clone()), 0, 2).await, [1, 2], "of those that are not deleted");
    store.add_metrics(&[row("a", 1, Some(&production), 3)]).await.unwrap();
    assert_eq!(fine(&of, 0, 2).await, [1, 3], "written again, not twice");
    store.trim_metrics(NOW.plus(60_000)).await.unwrap();
    assert_eq!(fine(&of, 0, 2).await, [3]);
}

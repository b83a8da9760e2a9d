//! Models, deployments, environments and promotions.

use super::*;

pub async fn a_model_reads_back_whole(scratch: Scratch) {
    let store = &scratch.store;
    let iris = model("iris");
    let one = deployment(&iris, "one");
    add(store, &iris, std::slice::from_ref(&one)).await;
    let state = store.load_model(&iris.id).await.unwrap().unwrap();
    assert_eq!(state.model, iris);
    assert_eq!(state.deployments, std::slice::from_ref(&one));
    assert_eq!(state.environments[0].name, EnvironmentName::production());
    assert_eq!(store.find_deployment(&one.id).await.unwrap().unwrap(), one);
    assert_eq!(store.find_model_by_name(&iris.name).await.unwrap().unwrap().id, iris.id);
    assert!(store.load_model(&ModelId::new("nobody")).await.unwrap().is_none());
}

pub async fn an_old_version_is_not_written_over(scratch: Scratch) {
    let store = &scratch.store;
    let iris = model("iris");
    let mut mine = deployment(&iris, "one");
    add(store, &iris, std::slice::from_ref(&mine)).await;
    let mut theirs = mine.clone();
    mine.target = 3;
    let mut tx = store.begin().await.unwrap();
    assert!(tx.save_deployment(&mut mine).await.unwrap());
    tx.commit().await.unwrap();
    theirs.target = 7;
    let mut tx = store.begin().await.unwrap();
    assert!(!tx.save_deployment(&mut theirs).await.unwrap(), "it read an older version");
    tx.rollback().await.unwrap();
    let state = store.load_model(&iris.id).await.unwrap().unwrap();
    assert_eq!((state.deployments[0].target, state.deployments[0].version), (3, 1));
}

pub async fn names_are_unique_among_the_living(scratch: Scratch) {
    let store = &scratch.store;
    let iris = model("iris");
    let mut one = deployment(&iris, "one");
    add(store, &iris, std::slice::from_ref(&one)).await;
    let again = Deployment { id: DeploymentId::new("other"), ..one.clone() };
    let mut tx = store.begin().await.unwrap();
    assert!(matches!(tx.insert_deployment(&again).await, Err(Error::Taken { .. })));
    tx.rollback().await.unwrap();
    one.deleted_at = Some(NOW);
    let mut tx = store.begin().await.unwrap();
    assert!(tx.save_deployment(&mut one).await.unwrap());
    tx.insert_deployment(&again).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let twin = Model { id: ModelId::new("twin"), ..iris };
    assert!(matches!(tx.insert_model(&twin).await, Err(Error::Taken { .. })));
}

pub async fn one_development_slot(scratch: Scratch) {
    let store = &scratch.store;
    let iris = model("iris");
    let mut slot = deployment(&iris, "one");
    slot.kind = DeploymentKind::Development;
    let other = Deployment {
        id: DeploymentId::new("other"),
        name: DeploymentName::new("two").unwrap(),
        ..slot.clone()
    };
    add(store, &iris, &[slot]).await;
    let mut tx = store.begin().await.unwrap();
    assert!(matches!(tx.insert_deployment(&other).await, Err(Error::Taken { .. })));
}

pub async fn one_running_promotion(scratch: Scratch) {
    let store = &scratch.store;
    let iris = model("iris");
    let one = deployment(&iris, "one");
    add(store, &iris, std::slice::from_ref(&one)).await;
    let mut first = promotion(&iris, "first", &one);
    let mut tx = store.begin().await.unwrap();
    tx.insert_promotion(&first).await.unwrap();
    tx.commit().await.unwrap();
    let second = promotion(&iris, "second", &one);
    let mut tx = store.begin().await.unwrap();
    assert!(matches!(tx.insert_promotion(&second).await, Err(Error::Taken { .. })));
    tx.rollback().await.unwrap();
    first.phase = Phase::Canceled;
    let mut tx = store.begin().await.unwrap();
    assert!(tx.save_promotion(&mut first).await.unwrap());
    tx.insert_promotion(&second).await.unwrap();
    tx.commit().await.unwrap();
    let state = store.load_model(&iris.id).await.unwrap().unwrap();
    assert_eq!(state.promotions.len(), 1, "only the running one");
    let all = store.promotions(&iris.id, &EnvironmentName::production(), 10).await.unwrap();
    assert_eq!(all.len(), 2);
}

pub async fn promotions_are_found_around_a_time(scratch: Scratch) {
    let store = &scratch.store;
    let iris = model("iris");
    let one = deployment(&iris, "one");
    add(store, &iris, std::slice::from_ref(&one)).await;
    let mut tx = store.begin().await.unwrap();
    for began in [0, 10, 20, 30, 40] {
        let mut promotion = promotion(&iris, &format!("p{began}"), &one);
        (promotion.started_at, promotion.phase) = (NOW.plus(began), Phase::Succeeded);
        tx.insert_promotion(&promotion).await.unwrap();
    }
    tx.commit().await.unwrap();
    let production = EnvironmentName::production();
    for (start, end, wanted) in [
        (10, 20, vec!["p20", "p10", "p0", "p30"]),
        (11, 19, vec!["p10", "p20"]),
        (-9, -1, vec!["p0"]),
        (41, 50, vec!["p40"]),
        (0, 40, vec!["p40", "p30", "p20", "p10", "p0"]),
    ] {
        let found = store.promotions_around(&iris.id, &production, NOW.plus(start), NOW.plus(end), 100);
        let found: Vec<String> = found.await.unwrap().iter().map(|found| found.id.to_string()).collect();
        assert_eq!(found, wanted, "{start} to {end}");
    }
    let ends = (Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX));
    let newest = store.promotions_around(&iris.id, &production, ends.0, ends.1, 2).await.unwrap();
    assert_eq!(newest.len(), 2);
    let staging = EnvironmentName::new("staging").unwrap();
    assert!(store.promotions_around(&iris.id, &staging, NOW, NOW, 2).await.unwrap().is_empty());
}

/// Twenty writers read a number and write it plus one; none is lost, because holding a model makes others wait.
pub async fn writers_of_one_model_wait_for_each_other(scratch: Scratch) {
    let store = &scratch.store;
    let iris = model("iris");
    let one = deployment(&iris, "one");
    add(store, &iris, std::slice::from_ref(&one)).await;
    let writers: Vec<_> = (0..20)
        .map(|_| {
            let (store, id) = (store.clone(), iris.id.clone());
            tokio::spawn(async move {
                let mut tx = store.begin().await.unwrap();
                tx.raise_generation(&id, NOW).await.unwrap().unwrap();
                let state = tx.load_model(&id).await.unwrap().unwrap();
                let mut deployment = state.deployments[0].clone();
                deployment.target += 1;
                assert!(tx.save_deployment(&mut deployment).await.unwrap());
                tx.commit().await.unwrap();
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let state = store.load_model(&iris.id).await.unwrap().unwrap();
    assert_eq!(state.deployments[0].target, 20);
    assert_eq!(state.model.generation, 21);
}

pub async fn nothing_is_left_of_a_rollback(scratch: Scratch) {
    let store = &scratch.store;
    let mut tx = store.begin().await.unwrap();
    tx.insert_model(&model("iris")).await.unwrap();
    drop(tx);
    assert!(store.all_model_ids().await.unwrap().is_empty());
}

pub async fn a_deleted_model_stays_until_purged(scratch: Scratch) {
    let store = &scratch.store;
    let iris = model("iris");
    let mut one = deployment(&iris, "one");
    add(store, &iris, std::slice::from_ref(&one)).await;
    one.deleted_at = Some(NOW);
    let mut tx = store.begin().await.unwrap();
    assert!(tx.save_deployment(&mut one).await.unwrap());
    tx.mark_model_deleted(&iris.id, NOW).await.unwrap();
    tx.commit().await.unwrap();
    let state = store.load_model(&iris.id).await.unwrap().unwrap();
    assert!(state.deleted && state.deployments.len() == 1);
    assert!(store.model_overviews(None, 10).await.unwrap().is_empty(), "no page shows it");
    let mut tx = store.begin().await.unwrap();
    tx.mark_purged(&one.id).await.unwrap();
    tx.commit().await.unwrap();
    assert!(store.load_model(&iris.id).await.unwrap().is_none());
    add(store, &Model { id: ModelId::new("next"), ..iris }, &[]).await;
}

pub async fn a_list_of_models_names_only_what_production_serves(scratch: Scratch) {
    let store = &scratch.store;
    let (iris, zebra) = (model("iris"), model("zebra"));
    let (one, two, idle) = (deployment(&iris, "one"), deployment(&iris, "two"), deployment(&iris, "idle"));
    let draft = Deployment { kind: DeploymentKind::Development, ..deployment(&iris, "draft") };
    add(store, &iris, &[one.clone(), two.clone(), idle, draft.clone()]).await;
    add(store, &zebra, &[]).await;
    let mut tx = store.begin().await.unwrap();
    let mut production = Environment::new(iris.id.clone(), EnvironmentName::production(), NOW);
    production.current = Some(one.id.clone());
    assert!(tx.save_environment(&mut production).await.unwrap());
    tx.insert_promotion(&promotion(&iris, "p", &two)).await.unwrap();
    tx.commit().await.unwrap();

    let all = store.model_overviews(None, 10).await.unwrap();
    assert_eq!(all.iter().map(|one| one.model.name.as_str()).collect::<Vec<_>>(), ["iris", "zebra"]);
    let mut named: Vec<&str> = all[0].named.iter().map(|deployment| deployment.name.as_str()).collect();
    named.sort_unstable();
    assert_eq!(named, ["one", "two"]);
    assert_eq!((all[0].deployments, all[1].deployments), (4, 0));
    assert_eq!(all[0].development, Some(draft.id));
    assert_eq!(all[0].production.as_ref().unwrap().current, Some(one.id));
    assert_eq!(all[0].promotion.as_ref().unwrap().candidate, two.id);
    assert!(all[1].promotion.is_none() && all[1].named.is_empty());
    let page = store.model_overviews(Some("iris"), 10).await.unwrap();
    assert_eq!(page.len(), 1, "the page after iris begins with zebra");
    let found = store.model_overview_by_name(&iris.name).await.unwrap().unwrap();
    assert_eq!((found.model.id, found.deployments), (iris.id, 4));
    let missing = store.model_overview_by_name(&ModelName::new("Iris").unwrap()).await.unwrap();
    assert!(missing.is_none(), "its case counts");
}

pub async fn the_list_of_models_begins_with_what_changed_last(scratch: Scratch) {
    let store = &scratch.store;
    let names = [("iris", 3), ("zebra", 1), ("IRIS-2", 2), ("a_b", 4), ("axb", 5), ("Übersetzer", 6)];
    for (name, age) in names {
        add(store, &Model { created_at: NOW.plus(-age), ..model(name) }, &[]).await;
    }
    let list = async |named_like: &str, after: Option<store::Place>| {
        let wanted = store::LastChanged { named_like: named_like.into(), after, limit: 2 };
        let list = store.last_changed(&wanted).await.unwrap();
        let names: Vec<String> = list.models.iter().map(|one| one.model.name.to_string()).collect();
        (names, list)
    };
    let (names, first) = list("", None).await;
    assert_eq!((names, first.count, first.found), (vec!["zebra".into(), "IRIS-2".into()], 6, 6));
    // Something happens to a model of a later page: it goes to the front, and the pages after do not repeat others.
    let mut tx = store.begin().await.unwrap();
    let event = Event {
        id: EventId::ordered(NOW, 0, [0; 16]),
        at: NOW,
        kind: EventKind::ModelDeployed,
        model: Some(ModelId::new("m-a_b")),
        deployment: None,
        environment: None,
        model_name: None,
        deployment_name: None,
        actor: Actor::system(),
        sentence: "it was pushed".into(),
        data: serde_json::json!({}),
    };
    tx.append(&event).await.unwrap();
    tx.commit().await.unwrap();
    let (names, second) = list("", first.next).await;
    assert_eq!(names, ["iris", "axb"]);
    let (names, third) = list("", second.next).await;
    assert_eq!((names, &third.next), (vec!["Übersetzer".into()], &None));
    assert_eq!(list("", None).await.0, ["a_b", "zebra"]);
    let (names, found) = list("iris", None).await;
    assert_eq!((names, found.count, found.found), (vec!["IRIS-2".into(), "iris".into()], 6, 2));
    for letters in ["Übersetzer", "übersetzer", "ÜBERSETZER", "Ü", "ü", "SETZER"] {
        let (names, found) = list(letters, None).await;
        assert_eq!((names, found.found), (vec!["Übersetzer".into()], 1), "{letters}");
    }
    assert_eq!(list("a_b", None).await.0, ["a_b"], "no sign of a pattern means more than itself");
    assert_eq!(list("%", None).await.1.found, 0);
}

pub async fn opening_again_finds_everything(scratch: Scratch) {
    add(&scratch.store, &model("iris"), &[]).await;
    scratch.store.close().await;
    let again = Store::open(&scratch.address).await.unwrap();
    assert_eq!(again.all_model_ids().await.unwrap().len(), 1);
    again.ping().await.unwrap();
}

pub async fn a_list_of_deployments_is_read_in_pages(scratch: Scratch) {
    let store = &scratch.store;
    let iris = model("iris");
    let all: Vec<Deployment> = (0..7)
        .map(|number| Deployment {
            // Several of one moment: the id decides among them.
            created_at: NOW.plus(number / 3),
            ..deployment(&iris, &format!("d{number}"))
        })
        .collect();
    add(store, &iris, &all).await;
    let other = model("other");
    let foreign = deployment(&other, "foreign");
    add(store, &other, std::slice::from_ref(&foreign)).await;

    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let newest = Some(store::Newest { after, limit: 3 });
        let part = store::Part { named: Vec::new(), newest };
        let read = store.load_part(&iris.id, &part).await.unwrap().unwrap();
        assert_eq!(read.count, 7);
        assert!(read.page.len() <= 3);
        for id in &read.page {
            assert!(read.state.deployments.iter().any(|found| &found.id == id));
        }
        seen.extend(read.page);
        let Some(next) = read.next else { break };
        // One that is added meanwhile does not move the page after.
        after = Some(next.to_string().parse().unwrap());
    }
    let mut expected: Vec<_> = all.iter().map(|one| (one.created_at, one.id.clone())).collect();
    expected.sort();
    assert_eq!(seen, expected.into_iter().rev().map(|(_, id)| id).collect::<Vec<_>>());

    let named = vec![all[2].id.clone(), foreign.id, DeploymentId::new("nobody")];
    let part = store::Part { named, newest: None };
    let read = store.load_part(&iris.id, &part).await.unwrap().unwrap();
    assert_eq!(read.state.deployments, std::slice::from_ref(&all[2]), "another model's is not given");
    assert!(store.load_part(&ModelId::new("nobody"), &part).await.unwrap().is_none());
}

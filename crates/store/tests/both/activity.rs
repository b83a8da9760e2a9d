//! Events, and the pages of the activity.

use super::*;

pub async fn events_page_newest_first(scratch: Scratch) {
    let store = &scratch.store;
    let mut tx = store.begin().await.unwrap();
    for number in 0..5u16 {
        tx.append(&Event {
            id: EventId::ordered(NOW, number, [0; 16]),
            at: NOW,
            kind: EventKind::ModelDeployed,
            model: Some(ModelId::new("m")),
            deployment: None,
            environment: None,
            model_name: None,
            deployment_name: None,
            actor: Actor::system(),
            sentence: number.to_string(),
            data: serde_json::json!({}),
        })
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
    let filter = store::EventFilter { model: Some(ModelId::new("m")), limit: 2, ..Default::default() };
    let page = store.events(&filter).await.unwrap();
    let sentences = |events: &[Event]| events.iter().map(|e| e.sentence.clone()).collect::<Vec<_>>();
    assert_eq!(sentences(&page), ["4", "3"]);
    let last = page.last().unwrap();
    let before = Some((last.at.millis(), last.id.to_string()));
    let page = store.events(&store::EventFilter { before, limit: 10, ..filter }).await.unwrap();
    assert_eq!(sentences(&page), ["2", "1", "0"]);
}

pub async fn the_activity_pages_and_filters(scratch: Scratch) {
    use store::ActivityFilter;
    let store = &scratch.store;
    let person = |name: &str, prefix: &str, door| Actor {
        name: name.into(),
        key_prefix: Some(prefix.into()),
        person: None,
        email: None,
        role: Role::Deployer,
        door,
    };
    let (ada, ci) = (person("Ada", "aaaaaaaa", Door::Ui), person("ci", "cccccccc", Door::Api));
    let mut tx = store.begin().await.unwrap();
    for number in 0..40u16 {
        let (kind, actor, environment) = match number % 4 {
            0 => (EventKind::ModelDeployed, ci.clone(), None),
            1 => (EventKind::EnvironmentUpdated, ada.clone(), Some(EnvironmentName::production())),
            2 => (EventKind::ModelDeploymentActive, Actor::system(), None),
            // The autoscaler's decisions have a page of their own.
            _ => (EventKind::ScalingDecision, Actor::system(), None),
        };
        // Two rows in each moment: their order is that of their ids.
        let at = NOW.plus(i64::from(number / 2));
        tx.append(&Event {
            id: EventId::ordered(at, number, [0; 16]),
            at,
            kind,
            model: Some(ModelId::new(if number < 20 { "m" } else { "n" })),
            deployment: Some(DeploymentId::new(format!("d{number}"))),
            environment,
            model_name: Some("Iris \u{c4}".into()),
            deployment_name: Some(format!("deployment-{number}")),
            actor,
            sentence: format!("it was number {number}: 50 % of_all"),
            data: serde_json::json!({}),
        })
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
    let any = ActivityFilter { limit: 200, ..ActivityFilter::default() };
    let numbers = async |filter: &ActivityFilter| -> Vec<u16> {
        let events = store.activity(filter).await.unwrap();
        events.iter().map(|e| e.deployment.as_ref().unwrap().as_str()[1..].parse().unwrap()).collect()
    };
    let shown: Vec<u16> = (0..40).filter(|number| number % 4 != 3).collect();
    let newest: Vec<u16> = shown.iter().rev().copied().collect();
    assert_eq!(numbers(&any).await, newest);
    for (ascending, whole) in [(false, &newest), (true, &shown)] {
        let mut filter = ActivityFilter { ascending, limit: 7, ..any.clone() };
        let mut seen = Vec::new();
        loop {
            let page = store.activity(&filter).await.unwrap();
            seen.extend(page.iter().map(|e| e.deployment.clone().unwrap()));
            let Some(last) = page.last() else { break };
            filter.after = Some((last.at, last.id.clone()));
        }
        let whole: Vec<DeploymentId> = whole.iter().map(|n| DeploymentId::new(format!("d{n}"))).collect();
        assert_eq!(seen, whole, "each row once, in order");
    }
    let only = |pick: fn(u16) -> bool| newest.iter().copied().filter(|n| pick(*n)).collect::<Vec<_>>();
    for (filter, wanted) in [
        (ActivityFilter { model: Some(ModelId::new("m")), ..any.clone() }, only(|n| n < 20)),
        (ActivityFilter { groups: Some(vec![EventGroup::Deployed]), ..any.clone() }, only(|n| n % 4 != 1)),
        (ActivityFilter { groups: Some(vec![]), ..any.clone() }, vec![]),
        (
            ActivityFilter { actors: Some(vec!["aaaaaaaa".into(), "x".into()]), ..any.clone() },
            only(|n| n % 4 == 1),
        ),
        (ActivityFilter { actors: Some(vec!["aaaa".into()]), ..any.clone() }, vec![]),
        (ActivityFilter { actors: Some(vec!["Slipway".into()]), ..any.clone() }, only(|n| n % 4 == 2)),
        (ActivityFilter { deployments: Some(vec!["d4".into(), "d8".into()]), ..any.clone() }, vec![8, 4]),
        (
            ActivityFilter { environments: Some(vec!["production".into()]), ..any.clone() },
            only(|n| n % 4 == 1),
        ),
        (
            ActivityFilter { sources: Some(vec![Door::Api, Door::System]), ..any.clone() },
            only(|n| n % 4 != 1),
        ),
        (ActivityFilter { search: Some("NUMBER 12".into()), ..any.clone() }, vec![12]),
        (ActivityFilter { search: Some("iris \u{e4}".into()), limit: 1, ..any.clone() }, vec![38]),
        (
            ActivityFilter {
                search: Some("deployment-3".into()),
                model: Some(ModelId::new("n")),
                ..any.clone()
            },
            only(|n| n >= 30),
        ),
        (ActivityFilter { search: Some("50 % of_all".into()), limit: 1, ..any.clone() }, vec![38]),
        (ActivityFilter { search: Some("5_ %".into()), ..any.clone() }, vec![]),
        (ActivityFilter { start: Some(NOW.plus(2)), end: Some(NOW.plus(3)), ..any.clone() }, vec![6, 5, 4]),
    ] {
        assert_eq!(numbers(&filter).await, wanted, "{filter:?}");
    }
}

pub async fn what_was_done_with_a_persons_key_is_found_by_the_key(scratch: Scratch) {
    use store::ActivityFilter;
    let store = &scratch.store;
    let ada = Actor {
        name: "Ada".into(),
        key_prefix: None,
        person: Some(PersonId::new("ada")),
        email: None,
        role: Role::Deployer,
        door: Door::Ui,
    };
    let key = |prefix: &str| Actor { key_prefix: Some(prefix.into()), door: Door::Api, ..ada.clone() };
    let mut tx = store.begin().await.unwrap();
    for (number, actor) in (0u16..).zip([ada.clone(), key("laptop00"), key("ci000000"), key("laptop00")]) {
        tx.append(&Event {
            id: EventId::ordered(NOW, number, [0; 16]),
            at: NOW,
            kind: EventKind::ModelDeployed,
            model: None,
            deployment: None,
            environment: None,
            model_name: None,
            deployment_name: None,
            actor,
            sentence: number.to_string(),
            data: serde_json::json!({}),
        })
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
    for (who, wanted) in [
        (vec!["laptop00"], vec!["3", "1"]),
        (vec!["ci000000", "laptop00"], vec!["3", "2", "1"]),
        (vec!["ada"], vec!["3", "2", "1", "0"]),
        (vec!["laptop0"], vec![]),
        (vec![""], vec![]),
    ] {
        let actors = Some(who.iter().map(ToString::to_string).collect());
        let filter = ActivityFilter { actors, limit: 9, ..ActivityFilter::default() };
        let found = store.activity(&filter).await.unwrap();
        let found: Vec<String> = found.into_iter().map(|event| event.sentence).collect();
        assert_eq!(found, wanted, "{who:?}");
    }
}

pub async fn restarts_are_counted_by_deployment_and_moment(scratch: Scratch) {
    let store = &scratch.store;
    let iris = model("iris");
    let [one, two, idle] = ["one", "two", "idle"].map(|name| deployment(&iris, name));
    add(store, &iris, &[one.clone(), two.clone(), idle.clone()]).await;
    let mut tx = store.begin().await.unwrap();
    for (number, (of, at, kind)) in [
        (&one, 10, EventKind::ReplicaCrashed),
        (&one, 20, EventKind::ReplicaCrashed),
        (&one, 20, EventKind::ReplicaTerminated),
        (&two, 30, EventKind::ReplicaCrashed),
    ]
    .into_iter()
    .enumerate()
    {
        tx.append(&Event {
            id: EventId::ordered(NOW.plus(at), number as u16, [0; 16]),
            at: NOW.plus(at),
            kind,
            model: Some(iris.id.clone()),
            deployment: Some(of.id.clone()),
            environment: None,
            model_name: None,
            deployment_name: None,
            actor: Actor::system(),
            sentence: String::new(),
            data: serde_json::json!({}),
        })
        .await
        .unwrap();
    }
    tx.commit().await.unwrap();
    let of_one = store.crashes(std::slice::from_ref(&one.id), NOW, NOW.plus(20)).await.unwrap();
    assert_eq!(of_one, [(one.id.clone(), NOW.plus(10))], "the end is not part of a window");
    let ids = [one.id.clone(), two.id.clone(), idle.id.clone()];
    let mut of_all = store.crashes(&ids, NOW.plus(15), NOW.plus(99)).await.unwrap();
    of_all.sort();
    assert_eq!(of_all, [(one.id.clone(), NOW.plus(20)), (two.id.clone(), NOW.plus(30))]);
    assert!(store.crashes(&[], NOW, NOW.plus(99)).await.unwrap().is_empty());
    let mut all = store.all_crashes().await.unwrap();
    all.sort();
    assert_eq!(all, [(one.id.clone(), 2), (two.id.clone(), 1)]);

    let count = |at, ready| ReplicaCount { at: NOW.plus(at), wanted: ready, starting: 0, ready };
    let rows = [
        (one.id.clone(), count(0, 1)),
        (two.id.clone(), count(0, 1)),
        (two.id.clone(), count(10, 0)),
        (idle.id.clone(), count(0, 0)),
    ];
    store.add_history(&rows, &[]).await.unwrap();
    assert_eq!(store.had_replicas(&iris.id, NOW.plus(5)).await.unwrap(), [one.id.clone(), two.id]);
    assert_eq!(store.had_replicas(&iris.id, NOW.plus(15)).await.unwrap(), [one.id]);
}

//! Everything the store promises, on SQLite and on Postgres.

#![allow(clippy::unwrap_used)]

use domain::*;
use store::testing::{Scratch, postgres, sqlite};
use store::{Error, KeyRow, LinkRow, SecretRow, SessionRow, Store, UsageDelta, Vault};

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn model(name: &str) -> Model {
    Model {
        id: ModelId::new(format!("m-{name}")),
        name: ModelName::new(name).unwrap(),
        created_at: NOW,
        next_number: 1,
        generation: 1,
        allow_download: true,
    }
}

fn deployment(model: &Model, name: &str) -> Deployment {
    Deployment {
        id: DeploymentId::new(format!("{}-{name}", model.id)),
        model: model.id.clone(),
        name: DeploymentName::new(name).unwrap(),
        kind: DeploymentKind::Published,
        created_at: NOW,
        created_by: "someone".into(),
        artifact: ArtifactId::new("artifact"),
        config: serde_json::json!({ "model_name": "iris \u{1F33C}" }),
        raw_config: None,
        labels: None,
        build: Build::Queued,
        lifecycle: Lifecycle::Active,
        environment: None,
        autoscaling: AutoscalingSettings::default(),
        target: 0,
        active_since: None,
        deadline: None,
        deploy_timeout_minutes: 30,
        failed_starts: 0,
        retry_at: None,
        last_exit: None,
        terminating: Vec::new(),
        failure: None,
        compute: Default::default(),
        waiting: None,
        truss_hash: None,
        truss_signature: None,
        live: None,
        copied_from: None,
        deleted_at: None,
        version: 0,
    }
}

fn promotion(model: &Model, id: &str, candidate: &Deployment) -> Promotion {
    Promotion {
        id: PromotionId::new(id),
        model: model.id.clone(),
        environment: EnvironmentName::production(),
        candidate: candidate.id.clone(),
        previous: None,
        strategy: Strategy::Canary { window_ms: 1000 },
        cleanup: CleanupStrategy::Keep,
        phase: Phase::Releasing,
        position: Position::default(),
        counted_at: NOW,
        started_at: NOW,
        started_by: "someone".into(),
        gate_passed_at: None,
        ended_at: None,
        gate_deadline: NOW,
        previous_floor: 0,
        hold: None,
        stop_on_errors: true,
        evidence: Default::default(),
        candidate_down_since: None,
        signal: None,
        signal_by: None,
        signal_at: None,
        paused_at: None,
        reason: None,
        version: 0,
    }
}

async fn add(store: &Store, model: &Model, deployments: &[Deployment]) {
    let mut tx = store.begin().await.unwrap();
    tx.insert_model(model).await.unwrap();
    tx.insert_environment(&Environment::new(model.id.clone(), EnvironmentName::production(), NOW))
        .await
        .unwrap();
    for deployment in deployments {
        tx.insert_deployment(deployment).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// Runs a check on both databases.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn on_sqlite() {
                super::checks::$name(super::sqlite().await).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                super::checks::$name(super::postgres().await).await;
            }
        }
    )*};
}

on_both!(
    a_model_reads_back_whole,
    an_old_version_is_not_written_over,
    names_are_unique_among_the_living,
    one_development_slot,
    one_running_promotion,
    writers_of_one_model_wait_for_each_other,
    nothing_is_left_of_a_rollback,
    a_deleted_model_stays_until_purged,
    a_list_of_models_names_only_what_production_serves,
    events_page_newest_first,
    the_activity_pages_and_filters,
    keys_sessions_and_links,
    usage_adds_up_and_outlives,
    uploads_are_taken_once,
    settings_are_replaced,
    secrets_keep_their_id_through_new_values,
    the_record_of_scaling_is_bounded,
    opening_again_finds_everything,
);

mod checks {
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
        let (one, two, idle) =
            (deployment(&iris, "one"), deployment(&iris, "two"), deployment(&iris, "idle"));
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
    }

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
            (
                ActivityFilter { groups: Some(vec![EventGroup::Deployed]), ..any.clone() },
                only(|n| n % 4 != 1),
            ),
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
            (
                ActivityFilter { start: Some(NOW.plus(2)), end: Some(NOW.plus(3)), ..any.clone() },
                vec![6, 5, 4],
            ),
        ] {
            assert_eq!(numbers(&filter).await, wanted, "{filter:?}");
        }
    }

    pub async fn keys_sessions_and_links(scratch: Scratch) {
        let store = &scratch.store;
        let key = KeyRow {
            prefix: "abcdefgh".into(),
            hash: "00".repeat(32),
            name: "ci".into(),
            role: Role::Deployer,
            models: Some(vec!["m".into()]),
            created_at: NOW,
            last_used_at: None,
        };
        let session = SessionRow {
            hash: "s".into(),
            key_prefix: key.prefix.clone(),
            created_at: NOW,
            expires_at: NOW.plus(1000),
        };
        let link = LinkRow { hash: "l".into(), key_prefix: key.prefix.clone(), expires_at: NOW.plus(1000) };
        let mut tx = store.begin().await.unwrap();
        tx.insert_key(&key).await.unwrap();
        tx.insert_session(&session).await.unwrap();
        tx.insert_link(&link).await.unwrap();
        assert_eq!(tx.redeem_link("l", NOW.plus(2000)).await.unwrap(), None, "it has expired");
        assert_eq!(tx.redeem_link("l", NOW).await.unwrap().as_deref(), Some("abcdefgh"));
        assert_eq!(tx.redeem_link("l", NOW).await.unwrap(), None, "it works once");
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
            replica_millis: 60_000,
            requests: 5,
        };
        store.add_usage(std::slice::from_ref(&delta)).await.unwrap();
        store.add_usage(std::slice::from_ref(&delta)).await.unwrap();
        let rows = store.usage(20_454, 20_454).await.unwrap();
        assert_eq!((rows[0].replica_millis, rows[0].requests, rows[0].is_deleted), (120_000, 10, false));
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
            deployment: one.id.clone(),
            replica: ReplicaId::new(format!("r{at}")),
            queue_ms: 1,
            spawn_ms: 2,
            load_ms: 3,
            ready_ms: 4,
            first_byte_ms: Some(5),
        };
        let rows: Vec<_> = (0..6).map(|n| (one.id.clone(), count(n * 10, n as u32))).collect();
        store.add_history(&rows, &[start(0), start(30), start(50)]).await.unwrap();
        // Two changes at one moment are one.
        let twice = [(two.id.clone(), count(0, 1)), (two.id.clone(), count(0, 2))];
        store.add_history(&twice, &[]).await.unwrap();
        let last = store.last_counts(&iris.id).await.unwrap();
        assert_eq!(last.len(), 2);
        assert!(
            last.contains(&(one.id.clone(), count(50, 5))) && last.contains(&(two.id.clone(), count(0, 2)))
        );
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

    pub async fn opening_again_finds_everything(scratch: Scratch) {
        add(&scratch.store, &model("iris"), &[]).await;
        scratch.store.close().await;
        let again = Store::open(&scratch.address).await.unwrap();
        assert_eq!(again.all_model_ids().await.unwrap().len(), 1);
        again.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let scratch = sqlite().await;
    let pool = sqlx::sqlite::SqlitePool::connect(&format!("sqlite://{}", scratch.address)).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'later', 1, x'00', 0)",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    let refusal = Store::open(&scratch.address).await.unwrap_err();
    assert!(matches!(refusal, Error::Newer { version: 9999 }), "{refusal}");
    assert!(refusal.to_string().contains("newer version"));
}

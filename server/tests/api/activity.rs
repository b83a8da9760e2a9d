//! What is recorded of whom.

use std::collections::{BTreeMap, BTreeSet};

use domain::{Door, Event, EventKind};
use serde_json::{Value, json};

use crate::support::{Answer, Call, World, archive, client, config, pushed};

/// Reads what was recorded of people, step by step.
struct Ledger<'a> {
    world: &'a World,
    seen: BTreeSet<String>,
}

impl<'a> Ledger<'a> {
    async fn open(world: &'a World) -> Self {
        let mut ledger = Self { world, seen: BTreeSet::new() };
        ledger.news().await;
        ledger
    }

    /// What people did since the last look.
    async fn news(&mut self) -> Vec<Event> {
        let events = self.world.events().await.into_iter().filter(|event| event.actor.door != Door::System);
        events.filter(|event| self.seen.insert(event.id.to_string())).collect()
    }

    /// One thing was done since the last look, and it left one row.
    async fn one(&mut self, kind: EventKind, door: Door, answer: Answer) -> Event {
        assert_eq!(answer.status, 200, "{kind:?} by {door:?}: {}", answer.text());
        self.row(kind, door).await
    }

    async fn row(&mut self, kind: EventKind, door: Door) -> Event {
        let mut news = self.news().await;
        assert_eq!(news.len(), 1, "{kind:?} by {door:?} leaves one row: {news:#?}");
        let event = news.remove(0);
        assert_eq!((event.kind, event.actor.door), (kind, door), "{event:?}");
        let names: &[&str] =
            if door == Door::Other { &["command line"] } else { &["admin", "Ada", "ben@example.org"] };
        assert!(names.contains(&event.actor.name.as_str()), "{event:?}");
        if event.model.is_some() {
            assert!(event.model_name.is_some(), "{event:?}");
        }
        assert_eq!(event.deployment.is_some(), event.deployment_name.is_some(), "{event:?}");
        event
    }

    async fn none(&mut self, what: &str, answer: Answer) {
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        let news = self.news().await;
        assert!(news.is_empty(), "{what} changes nothing: {news:?}");
    }
}

fn push_of(name: &str, description: &str, key: &str) -> Value {
    client::create_model(name, key, &config(description), "")
}

#[tokio::test]
async fn each_change_by_each_door_leaves_one_row() {
    use EventKind as K;
    let world = World::start().await;
    let mut ledger = Ledger::open(&world).await;
    let rest = async |method: &str, path: String, body: Value| world.rest(method, &path, body).await;

    // Pushes: the permission to upload is no change, and one push is one row whatever it makes.
    let key = world.upload(archive()).await;
    assert!(ledger.news().await.is_empty(), "an upload changes nothing");
    let (model, first) = pushed(&world.ask(push_of("Recorded", "", &key)).await);
    let event = ledger.row(K::ModelDeployed, Door::Api).await;
    assert!(event.sentence.contains("the first of the new model Recorded"), "{event:?}");
    assert_eq!(event.deployment_name.as_deref(), Some("deployment-1"));
    world.reaches(&model, &first, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == first.as_str()).await;
    let (_, second) = world.push(Err(&model), "").await;
    ledger.row(K::ModelDeployed, Door::Api).await;
    world.reaches(&model, &second, "ACTIVE").await;

    // Environments and their settings.
    let environments = format!("/v1/models/{model}/environments");
    ledger
        .one(
            K::EnvironmentCreated,
            Door::Api,
            rest("POST", environments.clone(), json!({ "name": "staging" })).await,
        )
        .await;
    let fields = [("model_id", model.as_str()), ("name", "other")];
    ledger.one(K::EnvironmentCreated, Door::Ui, world.act("create_environment", &fields).await).await;
    let scaling = |max: u32| json!({ "autoscaling_settings": { "max_replica": max } });
    let staging = format!("{environments}/staging");
    let event =
        ledger.one(K::EnvironmentUpdated, Door::Api, rest("PATCH", staging.clone(), scaling(3)).await).await;
    assert_eq!(event.data["previous_settings"]["autoscaling"]["max_replica"], 1);
    ledger.none("the same settings", rest("PATCH", staging, scaling(3)).await).await;
    let of_staging = [("model_id", model.as_str()), ("environment", "staging")];
    let fields = [of_staging[0], of_staging[1], ("concurrency_target", "5")];
    let event = ledger
        .one(K::EnvironmentUpdated, Door::Ui, world.act("update_environment_autoscaling", &fields).await)
        .await;
    assert_eq!(event.data["previous_settings"]["autoscaling"]["concurrency_target"], 1);
    let group = "/v1/environment_groups/staging".to_owned();
    let restrict = json!({ "manage_access": { "is_restricted": true } });
    let event = ledger
        .one(K::EnvironmentAccessChanged, Door::Api, rest("PATCH", group.clone(), restrict.clone()).await)
        .await;
    assert_eq!(event.data["previous_settings"]["is_restricted"], false);
    ledger.none("the same list", rest("PATCH", group, restrict).await).await;
    let open = world.act("restrict_environment", &of_staging[1..]).await;
    ledger.one(K::EnvironmentAccessChanged, Door::Ui, open).await;
    let fields = [
        of_staging[0],
        of_staging[1],
        ("ramp_up_while_promoting", "true"),
        ("ramp_up_duration", "90s"),
        ("promotion_cleanup_strategy", "KEEP"),
        ("stop_on_errors", "true"),
    ];
    let event = ledger
        .one(K::EnvironmentUpdated, Door::Ui, world.act("update_promotion_settings", &fields).await)
        .await;
    assert_eq!(event.data["previous_settings"]["promotion"]["promotion_cleanup_strategy"], "SCALE_TO_ZERO");

    // Deployments: names, scaling.
    let path = |id: &str| format!("/v1/models/{model}/deployments/{id}");
    let event = ledger
        .one(
            K::ModelDeploymentRenamed,
            Door::Api,
            rest("PATCH", path(&second), json!({ "name": "two" })).await,
        )
        .await;
    assert_eq!(
        (event.deployment_name.as_deref(), &event.data["previous_name"]),
        (Some("two"), &json!("deployment-2"))
    );
    let of_second = [("model_id", model.as_str()), ("deployment_id", second.as_str())];
    let fields = [of_second[0], of_second[1], ("name", "second")];
    ledger.one(K::ModelDeploymentRenamed, Door::Ui, world.act("rename", &fields).await).await;
    ledger.none("the same name", world.act("rename", &fields).await).await;
    let settings = format!("{}/autoscaling_settings", path(&second));
    let kind = K::ModelDeploymentAutoscalingSettingsChanged;
    let event = ledger.one(kind, Door::Api, rest("PATCH", settings, json!({ "max_replica": 4 })).await).await;
    assert_eq!(
        (&event.data["settings"]["max_replica"], &event.data["previous_settings"]["max_replica"]),
        (&json!(4), &json!(1))
    );
    let fields = [of_second[0], of_second[1], ("max_replica", "2")];
    ledger.one(kind, Door::Ui, world.act("update_autoscaling", &fields).await).await;
    let event = ledger
        .one(
            K::ModelRenamed,
            Door::Api,
            rest("PATCH", format!("/v1/models/{model}"), json!({ "name": "Renamed" })).await,
        )
        .await;
    assert_eq!(event.model_name.as_deref(), Some("Renamed"));

    // On and off, by the deployment and by the environment.
    ledger
        .one(
            K::ModelDeploymentDeactivated,
            Door::Api,
            rest("POST", format!("{}/deactivate", path(&second)), json!({})).await,
        )
        .await;
    ledger
        .none("what is off already", rest("POST", format!("{}/deactivate", path(&second)), json!({})).await)
        .await;
    ledger
        .one(
            K::ModelDeploymentActivated,
            Door::Api,
            rest("POST", format!("{}/activate", path(&second)), json!({})).await,
        )
        .await;
    ledger.one(K::ModelDeploymentDeactivated, Door::Ui, world.act("deactivate", &of_second).await).await;
    ledger.one(K::ModelDeploymentActivated, Door::Ui, world.act("activate", &of_second).await).await;
    ledger
        .one(
            K::ModelDeploymentDeactivated,
            Door::Api,
            rest("POST", format!("{production}/deactivate"), json!({})).await,
        )
        .await;
    ledger
        .one(
            K::ModelDeploymentActivated,
            Door::Api,
            rest("POST", format!("{production}/activate"), json!({})).await,
        )
        .await;
    let of_production = [("model_id", model.as_str()), ("environment", "production")];
    ledger
        .one(
            K::ModelDeploymentDeactivated,
            Door::Ui,
            world.act("deactivate_environment", &of_production).await,
        )
        .await;
    ledger
        .one(K::ModelDeploymentActivated, Door::Ui, world.act("activate_environment", &of_production).await)
        .await;
    world.reaches(&model, &first, "ACTIVE").await;
    world.reaches(&model, &second, "ACTIVE").await;

    // Replicas.
    let replicas = format!("/api/ui/replicas?model_id={model}&deployment_id={first}");
    let mut ended = String::new();
    for door in [Door::Api, Door::Ui] {
        let another = |seen: &Value| {
            let one = seen["copies"].as_array().filter(|all| all.len() == 1).map(|all| &all[0]);
            one.is_some_and(|copy| copy["id"] != ended.as_str() && copy["state"] == "ready")
        };
        let seen = world.until(&replicas, another).await;
        let replica = seen["copies"][0]["id"].as_str().unwrap().to_owned();
        let answer = match door {
            Door::Api => rest("DELETE", format!("{}/replicas/{replica}", path(&first)), json!({})).await,
            _ => {
                world
                    .act(
                        "terminate_replica",
                        &[("model_id", &model), ("deployment_id", &first), ("replica_id", &replica)],
                    )
                    .await
            }
        };
        let event = ledger.one(K::ReplicaTerminated, door, answer).await;
        assert_eq!(event.data["replica"], replica);
        ended = replica;
    }

    let busy = format!("{}/request_backpressure_settings", path(&first));
    let refuse = json!({ "policy": "REJECT_ON_FULL" });
    let answer = rest("PATCH", busy.clone(), refuse.clone()).await;
    let event = ledger.one(K::ModelDeploymentRequestBackpressureSettingsChanged, Door::Api, answer).await;
    assert_eq!(
        (&event.data["policy"], &event.data["previous_policy"]),
        (&json!("REJECT_ON_FULL"), &Value::Null)
    );
    ledger.none("the choice that it has", rest("PATCH", busy, refuse).await).await;

    // Promotions and their cancelling; a canary of hours does not end by itself.
    let canary = [
        of_second[0],
        of_second[1],
        ("environment", "production"),
        ("strategy", "canary"),
        ("window", "10h"),
    ];
    let promotion = |status: &'static str| {
        move |seen: &Value| seen["in_progress_promotion"]["status"].as_str().unwrap_or_default() == status
    };
    for door in [Door::Api, Door::Ui] {
        ledger.one(K::ModelDeploymentPromoted, Door::Ui, world.act("promote", &canary).await).await;
        world.until(&production, promotion("RAMPING_UP")).await;
        for (control, action) in [
            ("pause_promotion", "PAUSE"),
            ("resume_promotion", "RESUME"),
            ("cancel_promotion", "FORCE_CANCEL"),
        ] {
            let answer = match door {
                Door::Api => rest("POST", format!("{production}/{control}"), json!({})).await,
                _ => world.act(control, &of_production).await,
            };
            let event = ledger.one(K::ModelPromotionControlAction, door, answer).await;
            assert_eq!(event.data["action"], action);
        }
        world.until(&production, promotion("")).await;
    }
    // One that is forced back can begin again; one that is forced forward changes what serves.
    for (control, action, door, candidate) in [
        ("force_cancel_promotion", "FORCE_CANCEL", Door::Api, &second),
        ("force_cancel_promotion", "FORCE_CANCEL", Door::Ui, &second),
        ("force_roll_forward_promotion", "FORCE_ROLL_FORWARD", Door::Api, &second),
        ("force_roll_forward_promotion", "FORCE_ROLL_FORWARD", Door::Ui, &first),
    ] {
        let mut fields = canary;
        fields[1] = ("deployment_id", candidate.as_str());
        ledger.one(K::ModelDeploymentPromoted, Door::Ui, world.act("promote", &fields).await).await;
        world.until(&production, promotion("RAMPING_UP")).await;
        let answer = match door {
            Door::Api => rest("POST", format!("{production}/{control}"), json!({})).await,
            _ => world.act(control, &of_production).await,
        };
        let event = ledger.one(K::ModelPromotionControlAction, door, answer).await;
        assert_eq!(event.data["action"], action);
        world.until(&production, promotion("")).await;
    }
    let body = json!({ "deployment_id": second });
    ledger
        .one(
            K::ModelDeploymentPromoted,
            Door::Api,
            rest("POST", format!("{environments}/other/promote"), body).await,
        )
        .await;
    let (_, third) = world.push(Err(&model), "environment_name: \"staging\"").await;
    let event = ledger.row(K::ModelDeployed, Door::Api).await;
    assert_eq!(event.environment.as_ref().map(|name| name.as_str()), Some("staging"), "{event:?}");
    world.reaches(&model, &third, "ACTIVE").await;

    // A push that makes its environment, or changes its settings, leaves a row for that, too.
    for (max, kind) in [(2, K::EnvironmentCreated), (3, K::EnvironmentUpdated)] {
        let deployment = json!({
            "config": crate::pushes::config(),
            "environment_name": "pushed",
            "autoscaling_settings": { "max_replica": max },
            "request_backpressure_settings": { "policy": "REJECT_ON_FULL" },
        });
        let source = json!({ "deployment": deployment, "s3_key": world.upload(archive()).await });
        let path = format!("/v1/models/{model}/deployments");
        let made = rest("POST", path, json!({ "source": source })).await.ok();
        let mut news = ledger.news().await;
        news.sort_by(|a, b| a.id.cmp(&b.id));
        let kinds: Vec<EventKind> = news.iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [kind, K::ModelDeployed], "{news:#?}");
        for event in &news {
            assert_eq!((event.actor.name.as_str(), event.actor.door), ("admin", Door::Api));
            assert_eq!(event.environment.as_ref().map(|name| name.as_str()), Some("pushed"));
        }
        assert_eq!(news[0].data["autoscaling"]["max_replica"], max);
        assert_eq!(news[0].data["backpressure"], "REJECT_ON_FULL");
        let before = &news[0].data["previous_settings"]["autoscaling"]["max_replica"];
        assert_eq!(before, &if max == 3 { json!(2) } else { Value::Null });
        let id = made["deployment"]["id"].clone();
        world.until(&format!("{environments}/pushed"), |seen| seen["current_deployment"]["id"] == id).await;
    }

    // A failed build.
    let key = world.upload(archive()).await;
    let (broken, failed) = pushed(&world.ask(push_of("Broken", "broken", &key)).await);
    ledger.row(K::ModelDeployed, Door::Api).await;
    world.reaches(&broken, &failed, "BUILD_FAILED").await;
    let retry = format!("/v1/models/{broken}/deployments/{failed}/retry");
    ledger.one(K::ModelDeploymentRetried, Door::Api, rest("POST", retry, json!({})).await).await;
    world.reaches(&broken, &failed, "BUILD_FAILED").await;
    let of_failed = [("model_id", broken.as_str()), ("deployment_id", failed.as_str())];
    ledger.one(K::ModelDeploymentRetried, Door::Ui, world.act("retry", &of_failed).await).await;

    // The development deployment, its changes in place and its copy.
    let key = world.upload(archive()).await;
    let (_, draft) = pushed(&world.ask(client::deploy_draft("Renamed", &key, &config(""))).await);
    ledger.row(K::ModelDeployed, Door::Api).await;
    world.reaches(&model, &draft, "ACTIVE").await;
    let state =
        world.get(&format!("{}/patches/state", path(&draft))).await.ok()["running_patch_point"].clone();
    let op = json!({"type": "model_code", "action": "UPDATE", "path": "model.py", "content": "class Model:\n    pass\n"});
    let mut next = state.clone();
    next["content_hashes"]["model/model.py"] = Value::Null;
    next.as_object_mut().unwrap().remove("hash");
    let body = json!({"prev_patch_hash": state["hash"], "next_patch_point": next, "patch_ops": [op]});
    ledger
        .one(
            K::ModelDeploymentPatched,
            Door::Api,
            rest("POST", format!("{}/patches", path(&draft)), body).await,
        )
        .await;
    let synced = rest("POST", format!("{}/patches/sync", path(&draft)), json!({})).await;
    ledger.none("waiting for a change that was sent", synced).await;
    let of_draft = [("model_id", model.as_str()), ("deployment_id", draft.as_str())];
    ledger.one(K::ModelDeployed, Door::Ui, world.act("publish", &of_draft).await).await;

    // Secrets and keys.
    let secret = json!({ "name": "token", "value": "do-not-tell-anybody" });
    ledger.one(K::SecretUpdated, Door::Api, rest("POST", "/v1/secrets".into(), secret.clone()).await).await;
    ledger.one(K::SecretUpdated, Door::Api, rest("POST", "/v1/secrets".into(), secret).await).await;
    ledger
        .one(K::SecretDeleted, Door::Api, rest("DELETE", "/v1/secrets/token".into(), json!({})).await)
        .await;
    let made = rest("POST", "/v1/api_keys".into(), json!({ "name": "ci", "type": "WORKSPACE_INVOKE" })).await;
    let prefix = made.ok()["api_key"].as_str().unwrap().split('.').next().unwrap().to_owned();
    ledger.one(K::ApiKeyCreated, Door::Api, made).await;
    let event = ledger
        .one(K::ApiKeyDeleted, Door::Api, rest("DELETE", format!("/v1/api_keys/{prefix}"), json!({})).await)
        .await;
    assert_eq!(event.data["name"], "ci");
    let secret = [("name", "token"), ("value", "do-not-tell-anybody")];
    ledger.one(K::SecretUpdated, Door::Ui, world.act("set_secret", &secret).await).await;
    ledger.one(K::SecretDeleted, Door::Ui, world.act("delete_secret", &secret[..1]).await).await;
    let made = world.act("create_key", &[("name", "panel"), ("kind", "invoker")]).await;
    let prefix = made.ok()["text"].as_str().unwrap().split('.').next().unwrap().to_owned();
    ledger.one(K::ApiKeyCreated, Door::Ui, made).await;
    ledger.one(K::ApiKeyDeleted, Door::Ui, world.act("revoke_key", &[("prefix", &prefix)]).await).await;
    world.create_key("laptop", "viewer").await;
    ledger.row(K::ApiKeyCreated, Door::Other).await;

    // People.
    let ada = world.first_admin().await;
    ledger.row(K::UserJoinedOrganization, Door::Ui).await;
    let as_ada = async |function: &str, fields: &[(&str, &str)]| world.act_as(&ada, function, fields).await;
    let invited = as_ada("invite", &[("email", "ben@example.org"), ("role", "viewer")]).await;
    let token = invited.ok()["text"].as_str().unwrap().split("token=").nth(1).unwrap().to_owned();
    ledger.one(K::UserInvited, Door::Ui, invited).await;
    let joining = [("token", token.as_str()), ("password", crate::support::PASSWORD)];
    ledger.one(K::UserJoinedOrganization, Door::Ui, world.act_as("", "join", &joining).await).await;
    let again = as_ada("invite", &[("email", "eve@example.org"), ("role", "admin")]).await;
    ledger.one(K::UserInvited, Door::Ui, again).await;
    let page = world.send(Call::new("GET", "/api/ui/people").header("cookie", ada.clone())).await.ok();
    let invitation = page["invitations"][0]["id"].as_str().unwrap();
    ledger
        .one(K::InvitationRevoked, Door::Ui, as_ada("revoke_invitation", &[("invitation", invitation)]).await)
        .await;
    let ben = page["people"][1]["id"].as_str().unwrap();
    let role = [("person", ben), ("role", "deployer")];
    let event = ledger.one(K::UserRoleUpdated, Door::Ui, as_ada("change_role", &role).await).await;
    assert_eq!((&event.data["previous_role"], &event.data["role"]), (&json!("viewer"), &json!("deployer")));
    assert_eq!(event.actor.email.as_ref().map(|email| email.as_str()), Some("ada@example.org"));
    ledger.none("the role that they have", as_ada("change_role", &role).await).await;
    let gone = [("person", ben), ("confirm", "ben@example.org")];
    ledger.one(K::UserRemoved, Door::Ui, as_ada("remove_person", &gone).await).await;
    let word = [("current", crate::support::PASSWORD), ("password", "another good password")];
    ledger.one(K::UserPasswordChanged, Door::Ui, as_ada("change_password", &word).await).await;
    let link = world.sign_in_link().await;
    let token = link.split("token=").nth(1).unwrap();
    let fresh = [("token", token), ("password", "a third good password")];
    let reset = world.act_as("", "reset_password", &fresh).await;
    ledger.one(K::UserPasswordChanged, Door::Ui, reset).await;

    // Deleting.
    ledger
        .one(
            K::EnvironmentDeleted,
            Door::Api,
            rest("DELETE", format!("{environments}/other"), json!({})).await,
        )
        .await;
    let fields = [of_staging[0], of_staging[1], ("confirm", "staging")];
    ledger.one(K::EnvironmentDeleted, Door::Ui, world.act("delete_environment", &fields).await).await;
    ledger.one(K::ModelDeploymentDeleted, Door::Api, rest("DELETE", path(&third), json!({})).await).await;
    let fields = [of_draft[0], of_draft[1], ("confirm", "development")];
    ledger.one(K::ModelDeploymentDeleted, Door::Ui, world.act("delete_deployment", &fields).await).await;
    ledger
        .one(K::ModelDeleted, Door::Api, rest("DELETE", format!("/v1/models/{broken}"), json!({})).await)
        .await;
    let fields = [("model_id", model.as_str()), ("confirm", "Renamed")];
    ledger.one(K::ModelDeleted, Door::Ui, world.act("delete_model", &fields).await).await;

    // Nothing that was recorded has the secret's value, in whatever form it is told.
    for path in ["/v1/audit_logs?limit=200", "/api/ui/activity", "/api/ui/activity.csv"] {
        let text = world.get(path).await.text();
        assert!(!text.contains("do-not-tell-anybody"), "{path}");
    }
    world.stop().await;
}

/// Use cases that change something, and so leave one row each: the test above goes through them.
const LEAVE_A_ROW: [&str; 31] = [
    "push",
    "publish",
    "stage_change",
    "promote",
    "cancel_promotion",
    // Pause, resume, cancel and roll forward are one.
    "signal_promotion",
    "rename_deployment",
    "rename_model",
    "delete_deployment",
    "delete_model",
    "retry",
    "update_autoscaling",
    "create_environment",
    "update_environment",
    "delete_environment",
    "restrict_environments",
    "activate",
    "activate_environment",
    "deactivate",
    "deactivate_environment",
    "terminate_replica",
    "set_backpressure",
    "set_secret",
    "delete_secret",
    "join",
    "invite",
    "revoke_invitation",
    "change_role",
    "remove_person",
    "change_password",
    "reset_password",
];
const LEAVE_A_ROW_OF_KEYS: [&str; 3] = ["create_key", "revoke_key", "ensure_admin_key"];

/// Use cases that write and leave none, and why.
const LEAVE_NONE: [(&str, &str); 14] = [
    ("look_at_metrics", "it counts"),
    ("flush_metrics", "it counts"),
    ("trim_metrics", "upkeep"),
    ("begin_upload", "a permission to upload; the push is what changes something"),
    (
        "sync_changes",
        "the second half of a change whose row was left when it was received; what comes of it is Slipway's row",
    ),
    ("sign_in_with_link", "signing in changes nothing that others see"),
    ("sign_in_with_password", "signing in changes nothing that others see"),
    ("sign_out_elsewhere", "signing out changes nothing that others see"),
    ("sign_in_with_key", "signing in changes nothing that others see"),
    ("new_sign_in_link", "signing in changes nothing that others see"),
    ("sign_out", "signing out changes nothing that others see"),
    ("flush_key_use", "when a key was last used is counted, not done"),
    ("sweep_uploads", "upkeep"),
    ("trim_scaling_history", "upkeep"),
];

const READ: [&str; 50] = [
    "look_again",
    "activity",
    "workspace_activity",
    "model_activity",
    "usage",
    "watch_state",
    "change_failure",
    "changes_since_copy",
    "authenticate",
    "keys",
    "logs",
    "follow_logs",
    "environment_logs",
    "environment_log_end",
    "follow_environment_logs",
    "metrics",
    "model",
    "model_of",
    "model_part",
    "model_by_name",
    "last_changed",
    "model_overviews",
    "model_overview_by_name",
    "models",
    "promotions",
    "environment_groups",
    "environment_group",
    "validate",
    "storage",
    "storage_of",
    "live_deployments",
    "look_at_storage",
    "scaling_history",
    "startups",
    "all_startups",
    "check_push",
    "pushes_end",
    "secrets",
    "unreadable_secrets",
    "session",
    "people",
    "link",
    "measured",
    "upload_by_access_key",
    // What use cases are made of.
    "hash",
    "verify",
    "see",
    "open",
    "record",
    "insert_deployment",
];

#[test]
fn every_use_case_is_accounted_for() {
    let mut accounted: BTreeMap<&str, &str> = BTreeMap::new();
    let changing = LEAVE_A_ROW.iter().chain(&LEAVE_A_ROW_OF_KEYS).map(|name| (*name, "leaves a row"));
    let reading = READ.iter().map(|name| (*name, "reads"));
    for (name, what) in changing.chain(LEAVE_NONE).chain(reading) {
        assert_eq!(accounted.insert(name, what), None, "{name} is listed twice");
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/control/src");
    let mut missing = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let source = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in source.lines().filter_map(|line| line.trim().strip_prefix("pub async fn ")) {
            let name = line.split(['(', '<']).next().unwrap().to_owned();
            // What a held model is written with.
            if !accounted.contains_key(name.as_str()) && !name.starts_with("save_") {
                missing.push(name);
            }
        }
    }
    assert!(missing.is_empty(), "say of these whether they leave a row: {missing:?}");
}

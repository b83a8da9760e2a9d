//! Restricted environments: who is kept out, of what, and who is not.

use domain::EventKind;
use serde_json::{Value, json};

use crate::support::{Answer, Call, PASSWORD, World, archive, client, config};

/// What of a model's routes touches no environment, so that a restriction keeps nobody from it.
const OF_NO_ENVIRONMENT: [&str; 8] = [
    "patch /v1/models/{model_id}",
    // A deployment of its own; into an environment is tried below.
    "post /v1/models/{model_id}/deployments",
    // Another environment than the restricted one; that is tried below, too.
    "post /v1/models/{model_id}/environments",
    // A question in a body.
    "post /v1/models/{model_id}/deployments/{deployment_id}/logs",
    // The development deployment, which is never part of an environment.
    "post /v1/models/{model_id}/deployments/{deployment_id}/patches",
    "post /v1/models/{model_id}/deployments/{deployment_id}/patches/sync",
    // Not offered.
    "post /v1/models/{model_id}/deployments/{deployment_id}/ssh/sign",
    // Promotes it to production: tried with one that is not part of it.
    "post /v1/models/{model_id}/deployments/{deployment_id}/promote",
];

struct Person {
    id: String,
    cookie: String,
    key: String,
}

impl Person {
    async fn rest(&self, world: &World, method: &str, path: &str, body: &Value) -> Answer {
        let key = format!("Bearer {}", self.key);
        let call = Call::new(method, path).header("authorization", key);
        world.send(if method == "GET" { call } else { call.json(body) }).await
    }
}

/// Has somebody join as a deployer, with a key of their own.
async fn deployer(world: &World, admin: &str, name: &str) -> Person {
    let email = format!("{name}@example.org");
    let invited = world.act_as(admin, "invite", &[("email", &email), ("role", "deployer")]).await.ok();
    let token = invited["text"].as_str().unwrap().split("token=").nth(1).unwrap().to_owned();
    let cookie = world.act_as("", "join", &[("token", &token), ("password", PASSWORD)]).await.cookie();
    let made = world.act_as(&cookie, "create_key", &[("name", name), ("kind", "personal")]).await.ok();
    let me = world.get(&format!("/v1/users?email={email}")).await.ok();
    Person {
        id: me["items"][0]["user_id"].as_str().unwrap().to_owned(),
        cookie,
        key: made["text"].as_str().unwrap().to_owned(),
    }
}

async fn restrict(world: &World, name: &str, access: Value) -> Answer {
    world.rest("PATCH", &format!("/v1/environment_groups/{name}"), json!({ "manage_access": access })).await
}

/// A model with two deployments, of which production serves the first.
async fn served(world: &World, name: &str) -> (String, String, String) {
    let (model, first) = world.push(Ok(name), "").await;
    let path = format!("/v1/models/{model}/environments/production");
    world.until(&path, |seen| seen["current_deployment"]["id"] == first.as_str()).await;
    let (_, second) = world.push(Err(&model), "").await;
    world.reaches(&model, &second, "ACTIVE").await;
    (model, first, second)
}

fn body(endpoint: &str, second: &str) -> Value {
    match endpoint {
        _ if endpoint.ends_with("/promote") => json!({ "deployment_id": second }),
        _ if endpoint.ends_with("/environments/{env_name}")
            || endpoint.ends_with("/autoscaling_settings") =>
        {
            let scaling = json!({ "max_replica": 2 });
            let of_environment = json!({ "autoscaling_settings": scaling });
            if endpoint.ends_with("/autoscaling_settings") { scaling } else { of_environment }
        }
        _ if endpoint.ends_with("/request_backpressure_settings") => json!({ "policy": "REJECT_ON_FULL" }),
        "patch /v1/models/{model_id}/deployments/{deployment_id}" => json!({ "name": "other" }),
        _ => json!({}),
    }
}

#[tokio::test]
async fn a_restriction_keeps_everybody_out_who_is_not_on_its_list() {
    let world = World::start().await;
    let ada = world.first_admin().await;
    let (eve, ben) = (deployer(&world, &ada, "eve").await, deployer(&world, &ada, "ben").await);
    let (model, first, second) = served(&world, "Restricted").await;
    let group =
        restrict(&world, "production", json!({ "is_restricted": true, "user_ids": [ben.id] })).await.ok();
    assert_eq!(group["manage_access"]["users"][0]["email"], "ben@example.org");

    let spec = world.send(Call::new("GET", "/v1/spec")).await.ok();
    let mut tried = 0;
    for (path, methods) in spec["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let endpoint = format!("{method} {path}");
            if !path.contains("{model_id}") || OF_NO_ENVIRONMENT.contains(&endpoint.as_str()) {
                continue;
            }
            let real = path
                .replace("{model_id}", &model)
                .replace("{deployment_id}", &first)
                .replace("{env_name}", "production")
                .replace("{replica_id}", "some");
            if method == "get" {
                continue;
            }
            let answer = eve.rest(&world, &method.to_uppercase(), &real, &body(&endpoint, &second)).await;
            assert_eq!(answer.status, 403, "{endpoint}: {}", answer.text());
            let text = answer.text();
            assert!(text.contains("production is restricted: only admins and ben@example.org may"), "{text}");
            tried += 1;
        }
    }
    assert!(tried > 15, "{tried}");
    let into = format!("/v1/models/{model}/deployments/{second}/promote");
    assert_eq!(eve.rest(&world, "POST", &into, &json!({})).await.status, 403);
    // A key of the workspace is nobody on a list, unless it may do everything.
    let shared = world.create_key("shared", "deployer").await;
    let shared = Person { key: shared, id: String::new(), cookie: String::new() };
    assert_eq!(shared.rest(&world, "POST", &into, &json!({})).await.status, 403);

    // Looking and calling go on.
    for path in ["", "/environments/production", "/deployments/production", "/environments"] {
        let path = format!("/v1/models/{model}{path}");
        eve.rest(&world, "GET", &path, &json!({})).await.ok();
    }
    let logs = format!("/v1/models/{model}/deployments/{first}/logs");
    eve.rest(&world, "POST", &logs, &json!({})).await.ok();
    let call = format!("/model/{model}/production/predict");
    assert_eq!(eve.rest(&world, "POST", &call, &json!({})).await.status, 200);
    // What is not part of it may be changed: the other deployment, and the model's name.
    let other = format!("/v1/models/{model}/deployments/{second}");
    eve.rest(&world, "PATCH", &other, &json!({ "name": "mine" })).await.ok();
    eve.rest(&world, "PATCH", &format!("/v1/models/{model}"), &json!({ "name": "Anew" })).await.ok();
    // Another model is restricted by the same list.
    let (elsewhere, _, third) = served(&world, "Elsewhere").await;
    let there = format!("/v1/models/{elsewhere}/environments/production/promote");
    assert_eq!(eve.rest(&world, "POST", &there, &json!({ "deployment_id": third })).await.status, 403);

    // Who is on the list changes it, and so does an admin's key.
    let scaling = format!("/v1/models/{model}/deployments/{first}/autoscaling_settings");
    ben.rest(&world, "PATCH", &scaling, &json!({ "max_replica": 2 })).await.ok();
    ben.rest(&world, "POST", &there, &json!({ "deployment_id": third })).await.ok();
    world.rest("PATCH", &scaling, json!({ "max_replica": 3 })).await.ok();
    // Only an admin says who may.
    let group = "/v1/environment_groups/production";
    let open = json!({ "manage_access": { "is_restricted": false } });
    assert_eq!(ben.rest(&world, "PATCH", group, &open).await.status, 403);
    world.stop().await;
}

#[tokio::test]
async fn a_push_into_a_restricted_environment_is_refused_before_it_is_taken() {
    let world = World::start().await;
    let ada = world.first_admin().await;
    let eve = deployer(&world, &ada, "eve").await;
    let (model, ..) = served(&world, "Pushes").await;
    restrict(&world, "production", json!({ "is_restricted": true })).await.ok();
    let push = async |extra: &str| {
        let key = world.upload(archive()).await;
        let call = Call::new("POST", "/graphql/").header("authorization", format!("Bearer {}", eve.key));
        world.send(call.json(&client::create_version(&model, &key, &config(""), extra))).await.ok()
    };
    let refused = push("environment_name: \"production\"").await;
    let message = refused["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("production is restricted: only admins may change it"), "{refused}");
    assert!(push("").await.get("errors").is_none(), "a deployment of its own may be pushed");
    restrict(&world, "production", json!({ "is_restricted": false })).await.ok();
    assert!(push("environment_name: \"production\"").await.get("errors").is_none());
    world.stop().await;
}

#[tokio::test]
async fn a_restricted_name_is_made_and_deleted_by_whom_it_lets_pass() {
    let world = World::start().await;
    let ada = world.first_admin().await;
    let (eve, ben) = (deployer(&world, &ada, "eve").await, deployer(&world, &ada, "ben").await);
    let (model, ..) = served(&world, "Names").await;
    let environments = format!("/v1/models/{model}/environments");
    let missing = restrict(&world, "staging", json!({ "is_restricted": true })).await;
    assert_eq!(missing.status, 404, "{}", missing.text());
    let staging = json!({ "name": "staging" });
    eve.rest(&world, "POST", &environments, &staging).await.ok();
    restrict(&world, "staging", json!({ "is_restricted": true, "user_ids": [ben.id] })).await.ok();
    let path = format!("{environments}/staging");
    assert_eq!(eve.rest(&world, "DELETE", &path, &json!({})).await.status, 403);
    ben.rest(&world, "DELETE", &path, &json!({})).await.ok();
    // The name stays restricted, and is still listed.
    assert_eq!(eve.rest(&world, "POST", &environments, &staging).await.status, 403);
    let groups = eve.rest(&world, "GET", "/v1/environment_groups", &json!({})).await.ok();
    let listed: Vec<(&str, bool)> = groups["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let restricted = group["manage_access"]["is_restricted"].as_bool().unwrap();
            (group["name"].as_str().unwrap(), restricted)
        })
        .collect();
    assert_eq!(listed, [("production", false), ("staging", true)]);
    assert_eq!(groups["items"][0]["manage_access"]["users"], Value::Null);
    // A model goes with its environments.
    ben.rest(&world, "POST", &environments, &staging).await.ok();
    let whole = format!("/v1/models/{model}");
    assert_eq!(eve.rest(&world, "DELETE", &whole, &json!({})).await.status, 403);
    ben.rest(&world, "DELETE", &whole, &json!({})).await.ok();
    world.stop().await;
}

#[tokio::test]
async fn lists_follow_people_and_are_recorded() {
    let world = World::start().await;
    let ada = world.first_admin().await;
    let (eve, ben) = (deployer(&world, &ada, "eve").await, deployer(&world, &ada, "ben").await);
    let (model, ..) = served(&world, "Lists").await;
    for (access, part) in [
        (json!({ "is_restricted": true, "user_ids": [eve.id, "nobody"] }), "nobody"),
        (json!({ "is_restricted": false, "user_ids": [eve.id] }), "is_restricted"),
    ] {
        let refused = restrict(&world, "production", access).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        let text = refused.text();
        assert!(text.contains("user_ids") && text.contains(part), "{text}");
    }
    let both = json!({ "is_restricted": true, "user_ids": [eve.id, ben.id] });
    let team = format!("/v1/teams/default/environment_groups/{}", "production");
    world.rest("PATCH", &team, json!({ "manage_access": both })).await.ok();
    // Nothing said is nothing changed.
    world.rest("PATCH", &team, json!({})).await.ok();
    restrict(&world, "production", json!({ "is_restricted": true })).await.ok();
    let events = world.events().await;
    let changed: Vec<_> =
        events.iter().filter(|event| event.kind == EventKind::EnvironmentAccessChanged).collect();
    assert_eq!(changed.len(), 1, "what changes nothing leaves no row");
    assert_eq!(changed[0].data["settings"]["user_ids"].as_array().unwrap().len(), 2);
    assert_eq!(changed[0].data["previous_settings"]["is_restricted"], false);

    // Whoever is removed is on no list any more.
    let gone = [("person", ben.id.as_str()), ("confirm", "ben@example.org")];
    world.act_as(&ada, "remove_person", &gone).await.ok();
    let group = world.get(&team).await.ok();
    let users = group["manage_access"]["users"].as_array().unwrap();
    assert_eq!(users.len(), 1, "{group}");
    assert_eq!(users[0]["user_id"], eve.id.as_str());
    let same = format!("/v1/models/{model}/environments/production");
    eve.rest(&world, "PATCH", &same, &json!({ "autoscaling_settings": { "max_replica": 2 } })).await.ok();
    // The list is for changing; the role counts as before.
    let role = [("person", eve.id.as_str()), ("role", "viewer")];
    world.act_as(&ada, "change_role", &role).await.ok();
    assert_eq!(eve.rest(&world, "PATCH", &same, &json!({})).await.status, 403);
    let log = world.get("/v1/audit_logs?environment_names=production&event_type_groups=ENVIRONMENT_SETTINGS");
    let log = log.await.ok().to_string();
    assert!(log.contains("ENVIRONMENT_ACCESS_CHANGED") && log.contains("is restricted to admins"), "{log}");
    let session = world.send(Call::new("GET", "/api/ui/session").header("cookie", eve.cookie)).await;
    assert_eq!(session.status, 200);
    world.stop().await;
}

#[tokio::test]
async fn pages_say_who_may_and_why_others_may_not() {
    let world = World::start().await;
    let ada = world.first_admin().await;
    let (eve, ben) = (deployer(&world, &ada, "eve").await, deployer(&world, &ada, "ben").await);
    let (model, first, second) = served(&world, "Pages").await;
    let made = [
        ("model_id", model.as_str()),
        ("name", "staging"),
        ("restricted", "true"),
        ("people%5B%5D", ben.id.as_str()),
        ("people%5B%5D", eve.id.as_str()),
    ];
    assert_eq!(world.act_as(&eve.cookie, "create_environment", &made).await.status, 403, "admins restrict");
    world.act_as(&ada, "create_environment", &made).await.ok();
    let group = world.get("/v1/environment_groups/staging").await.ok();
    assert_eq!(group["manage_access"]["users"].as_array().unwrap().len(), 2, "{group}");
    let fields = [("environment", "production"), ("restricted", "true"), ("people%5B%5D", ben.id.as_str())];
    assert_eq!(world.act_as(&ben.cookie, "restrict_environment", &fields).await.status, 403);
    world.act_as(&ada, "restrict_environment", &fields).await.ok();

    let page = async |cookie: &str, path: &str| {
        world.send(Call::new("GET", path).header("cookie", cookie.to_owned())).await.ok()
    };
    let path = format!("/api/ui/environment?model_id={model}&environment=production");
    let seen = page(&ada, &path).await;
    assert_eq!(seen["access"]["is_restricted"], true);
    let chosen: Vec<(&str, bool)> = seen["access"]["people"]
        .as_array()
        .unwrap()
        .iter()
        .map(|person| (person["name"].as_str().unwrap(), person["chosen"].as_bool().unwrap()))
        .collect();
    assert_eq!(chosen, [("ben@example.org (deployer)", true), ("eve@example.org (deployer)", false)]);
    let seen = page(&ben.cookie, &path).await;
    assert_eq!((&seen["promote"], &seen["access"]["people"]), (&json!("Allowed"), &json!([])));
    let seen = page(&eve.cookie, &path).await;
    let refused = |permit: &Value| {
        let reason = permit["Refused"].as_str().unwrap_or_else(|| panic!("{permit} is no refusal"));
        assert!(reason.contains("production is restricted: only admins and ben@example.org may"), "{reason}");
    };
    for permit in ["promote", "may_change_settings"] {
        refused(&seen[permit]);
    }
    for part in ["actions", "controls"] {
        seen[part].as_object().unwrap().values().for_each(refused);
    }
    let path = format!("/api/ui/deployment?model_id={model}&deployment_id={first}");
    let seen = page(&eve.cookie, &path).await;
    refused(&seen["may_change_autoscaling"]);
    for action in ["rename", "retry", "activate", "deactivate", "delete"] {
        refused(&seen["actions"][action]);
    }
    assert_eq!(seen["actions"]["promote"], "Allowed", "a copy may go elsewhere");
    refused(&seen["copies"][0]["terminate"]);
    let seen = page(&eve.cookie, &format!("/api/ui/model?model_id={model}")).await;
    assert_eq!(seen["environments"][0]["restricted"], true);
    refused(&seen["delete"]);
    refused(&seen["choices"]["targets"][0]["permit"]);
    assert_eq!(seen["choices"]["targets"][1]["permit"], "Allowed", "she is on the other list");
    let other = seen["deployments"].as_array().unwrap().iter().find(|row| row["id"] == second.as_str());
    assert_eq!(other.unwrap()["actions"]["rename"], "Allowed");
    world.stop().await;
}

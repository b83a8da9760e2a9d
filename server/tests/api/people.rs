//! People: how they come, what they may, and how they go.

use serde_json::json;

use crate::support::{Call, PASSWORD, World};

async fn row_of(world: &World, cookie: &str, email: &str) -> serde_json::Value {
    let page = world.send(Call::new("GET", "/api/ui/people").header("cookie", cookie)).await.ok();
    let people = page["people"].as_array().unwrap();
    people.iter().find(|person| person["email"] == email).unwrap_or_else(|| panic!("{page}")).clone()
}

/// Invites somebody and has them join; answers their cookie.
async fn joined(world: &World, admin: &str, email: &str, role: &str) -> String {
    let invited = world.act_as(admin, "invite", &[("email", email), ("role", role)]).await.ok();
    let token = invited["text"].as_str().unwrap().split("token=").nth(1).unwrap().to_owned();
    world.act_as("", "join", &[("token", &token), ("password", PASSWORD)]).await.cookie()
}

async fn session(world: &World, cookie: &str) -> u16 {
    world.send(Call::new("GET", "/api/ui/session").header("cookie", cookie)).await.status.as_u16()
}

#[tokio::test]
async fn the_first_link_makes_the_first_admin_and_no_other() {
    let world = World::start().await;
    let link = world.sign_in_link().await;
    let second = world.sign_in_link().await;
    let token = |link: &str| link.split("token=").nth(1).unwrap().to_owned();
    let look = world.send(Call::new("GET", format!("/api/ui/link?token={}", token(&link)))).await.ok();
    assert_eq!(look["for"], "first_admin", "looking does not use it up");
    let short = [("token", &token(&link)[..]), ("email", "ada@example.org"), ("password", "short")];
    let refused = world.act_as("", "join", &short).await;
    assert_eq!((refused.status.as_u16(), refused.json()["field"].clone()), (400, json!("password")));
    let ada = world.first_admin().await;
    let me = world.send(Call::new("GET", "/api/ui/session").header("cookie", ada.clone())).await.ok();
    assert_eq!(
        (&me["role"], &me["email"], &me["name"]),
        (&json!("admin"), &json!("ada@example.org"), &json!("Ada"))
    );

    let late = [("token", &token(&second)[..]), ("email", "eve@example.org"), ("password", PASSWORD)];
    assert_eq!(world.act_as("", "join", &late).await.status, 409, "a second first admin");
    // From now on the command line's link signs in.
    let token = token(&world.sign_in_link().await);
    let again = world.act_as("", "sign_in", &[("token", &token)]).await;
    assert_eq!(session(&world, &again.cookie()).await, 200);
    assert_eq!(world.act_as("", "sign_in", &[("token", &token)]).await.status, 404, "it works once");
    let events = world.events().await;
    assert!(events.iter().any(|event| event.sentence.contains("ada@example.org joined as admin")));
    assert!(!format!("{events:?}").contains(PASSWORD));
    assert!(world.files_with(PASSWORD).is_empty(), "the password lies nowhere");
    world.stop().await;
}

#[tokio::test]
async fn a_password_signs_in_and_guessing_is_slow() {
    let world = World::start().await;
    world.first_admin().await;
    let try_with = async |email: &str, password: &str| {
        world.act_as("", "sign_in", &[("email", email), ("password", password)]).await
    };
    let good = try_with("Ada@Example.org", PASSWORD).await;
    assert_eq!(session(&world, &good.cookie()).await, 200);
    for email in ["ada@example.org", "nobody@example.org"] {
        let wrong = try_with(email, "not the password").await;
        assert_eq!(wrong.status, 403, "{}", wrong.text());
        assert!(wrong.text().contains("the password is wrong"), "who is here is not told: {}", wrong.text());
    }
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(try_with("ada@example.org", "not the password").await.status.as_u16());
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    let even_right = try_with("ada@example.org", PASSWORD).await;
    assert_eq!(even_right.status, 429, "a guesser learns nothing meanwhile");
    assert!(even_right.text().contains("try again in"), "{}", even_right.text());
    world.stop().await;
}

#[tokio::test]
async fn who_is_invited_joins_once_with_the_role_that_was_meant() {
    let world = World::start().await;
    let ada = world.first_admin().await;
    let invite = [("email", "ben@example.org"), ("role", "viewer")];
    let first = world.act_as(&ada, "invite", &invite).await.ok();
    let second = world.act_as(&ada, "invite", &invite).await.ok();
    let token = |answer: &serde_json::Value| {
        answer["text"].as_str().unwrap().split("token=").nth(1).unwrap().to_owned()
    };
    let old = world.act_as("", "join", &[("token", &token(&first)), ("password", PASSWORD)]).await;
    assert_eq!(old.status, 404, "the newer invitation replaced it: {}", old.text());
    // The invited cannot choose another address.
    let fields = [("token", &token(&second)[..]), ("email", "root@example.org"), ("password", PASSWORD)];
    let ben = world.act_as("", "join", &fields).await.cookie();
    let me = world.send(Call::new("GET", "/api/ui/session").header("cookie", ben.clone())).await.ok();
    assert_eq!((&me["email"], &me["role"]), (&json!("ben@example.org"), &json!("viewer")));
    assert_eq!(world.act_as("", "join", &fields).await.status, 404, "it works once");
    assert_eq!(world.act_as(&ada, "invite", &invite).await.status, 409, "ben is here already");
    for bad in [("nonsense", "viewer"), ("eve@example.org", "root"), ("eve@example.org", "invoker")] {
        let refused = world.act_as(&ada, "invite", &[("email", bad.0), ("role", bad.1)]).await;
        assert_eq!(refused.status, 400, "{bad:?}: {}", refused.text());
    }
    let third = world.act_as(&ada, "invite", &[("email", "eve@example.org"), ("role", "admin")]).await.ok();
    let page = world.send(Call::new("GET", "/api/ui/people").header("cookie", ada.clone())).await.ok();
    let id = page["invitations"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.act_as(&ada, "revoke_invitation", &[("invitation", &id)]).await.status, 200);
    let revoked = world.act_as("", "join", &[("token", &token(&third)), ("password", PASSWORD)]).await;
    assert_eq!(revoked.status, 404, "{}", revoked.text());
    world.stop().await;
}

#[tokio::test]
async fn a_role_counts_at_every_door_at_once() {
    let world = World::start().await;
    let ada = world.first_admin().await;
    let ben = joined(&world, &ada, "ben@example.org", "deployer").await;
    let made = world.act_as(&ben, "create_key", &[("name", "laptop"), ("kind", "personal")]).await.ok();
    let key = made["text"].as_str().unwrap().to_owned();
    let by_key = async |method: &str, path: &str| {
        let call = Call::new(method, path).header("authorization", format!("Bearer {key}"));
        world.send(call.json(&json!({ "name": "staging" }))).await.status.as_u16()
    };
    assert_eq!(by_key("POST", "/v1/models/none/environments").await, 404, "may, but there is no such model");
    assert_eq!(by_key("GET", "/v1/users/me").await, 200);
    assert_eq!(by_key("GET", "/v1/audit_logs").await, 403);
    for (function, fields) in [
        ("invite", vec![("email", "eve@example.org"), ("role", "admin")]),
        ("create_key", vec![("name", "root"), ("kind", "admin")]),
        ("create_key", vec![("name", "root"), ("kind", "invoker")]),
    ] {
        let refused = world.act_as(&ben, function, &fields).await;
        assert_eq!(refused.status, 403, "{function}: {}", refused.text());
    }
    let id = row_of(&world, &ada, "ben@example.org").await["id"].as_str().unwrap().to_owned();
    let own = world.act_as(&ben, "change_role", &[("person", &id), ("role", "admin")]).await;
    assert_eq!(own.status, 403, "nobody raises themselves");
    assert_eq!(world.act_as(&ada, "change_role", &[("person", &id), ("role", "viewer")]).await.status, 200);
    assert_eq!(by_key("POST", "/v1/models/none/environments").await, 403, "the key may what its owner may");
    let refused = world.act_as(&ben, "set_secret", &[("name", "token"), ("value", "x")]).await;
    assert_eq!(refused.status, 403, "{}", refused.text());

    // Whoever is removed is out, with what was theirs.
    let wrong = world.act_as(&ada, "remove_person", &[("person", &id), ("confirm", "ada")]).await;
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    let removed =
        world.act_as(&ada, "remove_person", &[("person", &id), ("confirm", "ben@example.org")]).await;
    assert_eq!(removed.status, 200, "{}", removed.text());
    assert_eq!(session(&world, &ben).await, 401);
    assert_eq!(by_key("GET", "/v1/users/me").await, 401);
    let out = world.act_as("", "sign_in", &[("email", "ben@example.org"), ("password", PASSWORD)]).await;
    assert_eq!(out.status, 403);
    // What they did stays, and says that they are gone.
    let rows = world.get(&format!("/v1/audit_logs?event_type_groups=API_KEYS&user_ids={id}")).await.ok();
    let actor = &rows["items"][0]["actor"];
    assert_eq!((&actor["type"], &actor["email"]), (&json!("TOMBSTONE_USER"), &json!("ben@example.org")));
    world.stop().await;
}

#[tokio::test]
async fn somebody_stays_admin() {
    let world = World::start().await;
    let ada = world.first_admin().await;
    let id = row_of(&world, &ada, "ada@example.org").await["id"].as_str().unwrap().to_owned();
    for (function, field) in
        [("change_role", ("role", "viewer")), ("remove_person", ("confirm", "ada@example.org"))]
    {
        let refused = world.act_as(&ada, function, &[("person", &id), field]).await;
        assert_eq!(refused.status, 409, "{}", refused.text());
        assert!(refused.text().contains("make somebody else an admin first"), "{}", refused.text());
    }
    world.stop().await;
}

#[tokio::test]
async fn another_password_ends_the_other_sessions() {
    let world = World::start().await;
    let here = world.first_admin().await;
    let fields = [("email", "ada@example.org"), ("password", PASSWORD)];
    let elsewhere = world.act_as("", "sign_in", &fields).await.cookie();
    let wrong = [("current", "not this one"), ("password", "another good password")];
    let refused = world.act_as(&here, "change_password", &wrong).await;
    assert_eq!((refused.status.as_u16(), refused.json()["field"].clone()), (400, json!("current")));
    let right = [("current", PASSWORD), ("password", "another good password")];
    assert_eq!(world.act_as(&here, "change_password", &right).await.status, 200);
    assert_eq!((session(&world, &here).await, session(&world, &elsewhere).await), (200, 401));
    assert_eq!(world.act_as("", "sign_in", &fields).await.status, 403);

    // Lost: the machine's owner lets them in again, and they choose a new one.
    let token = world.sign_in_link().await.split("token=").nth(1).unwrap().to_owned();
    let fresh = [("token", &token[..]), ("password", "a third good password")];
    let back = world.act_as("", "reset_password", &fresh).await.cookie();
    assert_eq!((session(&world, &back).await, session(&world, &here).await), (200, 401));
    world.stop().await;
}

#[tokio::test]
async fn keys_of_each_kind_do_their_work_and_no_other() {
    let world = World::start().await;
    let (one, _) = world.push(Ok("One"), "").await;
    let (two, deployment) = world.push(Ok("Two"), "").await;
    world.reaches(&two, &deployment, "ACTIVE").await;
    let make = async |body: serde_json::Value| world.rest("POST", "/v1/api_keys", body).await;
    let key = async |body| make(body).await.ok()["api_key"].as_str().unwrap().to_owned();
    let elsewhere = make(json!({ "name": "app", "type": "WORKSPACE_INVOKE", "team_id": "other" })).await;
    assert_eq!(elsewhere.status, 404, "{}", elsewhere.text());
    assert!(elsewhere.text().contains("there is no team `other`"), "{}", elsewhere.text());
    key(json!({ "name": "here", "type": "WORKSPACE_INVOKE", "team_id": "default" })).await;
    let exporter =
        key(json!({ "name": "scraper", "type": "WORKSPACE_EXPORT_METRICS", "model_ids": [two] })).await;
    let keeper = key(json!({ "name": "keeper", "type": "WORKSPACE_MANAGE_API_KEYS" })).await;
    let invoker = key(json!({ "name": "app", "type": "WORKSPACE_INVOKE", "model_ids": [one] })).await;
    let with =
        async |key: &str, call: Call| world.send(call.header("authorization", format!("Bearer {key}"))).await;
    let metrics = with(&exporter, Call::new("GET", "/metrics")).await;
    assert!(metrics.status == 200 && metrics.text().contains(&two) && !metrics.text().contains(&one));
    assert_eq!(with(&exporter, Call::new("GET", "/v1/models")).await.status, 403);
    let predict = || Call::new("POST", format!("/model/{two}/production/predict")).json(&json!({}));
    assert_eq!(with(&exporter, predict()).await.status, 403);
    assert_eq!(with(&invoker, predict()).await.status, 403, "another model's");
    assert_eq!(with(&keeper, Call::new("GET", "/v1/models")).await.status, 403);
    assert_eq!(with(&keeper, Call::new("GET", "/v1/api_keys")).await.status, 200);
    let by_keeper = async |body: serde_json::Value| {
        with(&keeper, Call::new("POST", "/v1/api_keys").json(&body)).await.status.as_u16()
    };
    assert_eq!(by_keeper(json!({ "name": "more", "type": "WORKSPACE_INVOKE" })).await, 200);
    assert_eq!(by_keeper(json!({ "name": "more", "type": "WORKSPACE_MANAGE_ALL" })).await, 403);
    let admin = crate::support::KEY;
    let listed = with(admin, Call::new("GET", "/v1/api_keys")).await.ok();
    let root = listed["keys"].as_array().unwrap().iter().find(|key| key["name"] == "admin").unwrap();
    let path = format!("/v1/api_keys/{}", root["prefix"].as_str().unwrap());
    assert_eq!(with(&keeper, Call::new("DELETE", path)).await.status, 403, "the keeper shuts no admin out");

    for (body, field) in [
        (json!({ "name": "x", "type": "PERSONAL" }), "type"),
        (json!({ "name": "x", "type": "ROOT" }), "type"),
        (json!({ "name": "x", "type": "WORKSPACE_INVOKE", "model_ids": ["none"] }), "model_ids"),
        (json!({ "name": "x", "type": "WORKSPACE_INVOKE", "model_ids": [] }), "model_ids"),
        (json!({ "name": "x", "type": "WORKSPACE_MANAGE_ALL", "model_ids": [one] }), "model_ids"),
        (json!({ "name": "x", "type": "WORKSPACE_MANAGE_ALL", "role": "root" }), "role"),
        (json!({ "name": "x", "type": "WORKSPACE_INVOKE", "role": "admin" }), "role"),
        (json!({ "name": "", "type": "WORKSPACE_INVOKE" }), "name"),
        (json!({ "name": "My key", "type": "WORKSPACE_INVOKE" }), "lower-case letters, digits or hyphens"),
    ] {
        let refused = make(body.clone()).await;
        assert_eq!(refused.status, 400, "{body}: {}", refused.text());
        assert!(refused.text().contains(field), "{body}: {}", refused.text());
    }
    world.stop().await;
}

#[tokio::test]
async fn users_are_listed_as_clients_expect() {
    let world = World::start().await;
    let ada = world.first_admin().await;
    joined(&world, &ada, "ben@example.org", "viewer").await;
    let users = world.get("/v1/users").await.ok();
    let mut emails: Vec<&str> =
        users["items"].as_array().unwrap().iter().map(|user| user["email"].as_str().unwrap()).collect();
    emails.sort_unstable();
    assert_eq!(emails, ["ada@example.org", "ben@example.org"]);
    assert_eq!(users["pagination"]["has_more"], false);
    let items = users["items"].as_array().unwrap();
    let id =
        items.iter().find(|user| user["email"] == "ada@example.org").unwrap()["user_id"].as_str().unwrap();
    assert_eq!(world.get(&format!("/v1/users/{id}")).await.ok()["name"], "Ada");
    assert_eq!(world.get("/v1/users/nobody").await.status, 404);
    world.stop().await;
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_back() {
    let world = World::start().await;
    let mut last = None;
    for _ in 0..11 {
        last = Some(world.rest("POST", "/v1/models/none/deployments/none/retry", json!({})).await);
    }
    let last = last.unwrap();
    assert_eq!(last.status, 429, "{}", last.text());
    let wait = last.json()["retry_after"].as_i64().unwrap();
    assert!((1..=6).contains(&wait), "{}", last.text());
    assert_eq!(last.headers["retry-after"].to_str().unwrap(), wait.to_string());
    assert_eq!(world.get("/v1/models").await.status, 200, "other endpoints are counted apart");
    world.stop().await;
}

#[tokio::test]
async fn each_key_of_a_person_is_counted_by_itself_and_at_every_door() {
    let world = World::start().await;
    let ada = world.first_admin().await;
    let make = async |name: &str| -> String {
        let made = world.act_as(&ada, "create_key", &[("name", name), ("kind", "personal")]).await.ok();
        format!("Bearer {}", made["text"].as_str().unwrap())
    };
    let (laptop, other) = (make("laptop").await, make("ci").await);
    let status = async |key: &str, path: &str, body: &str| {
        let kind = if body.starts_with('{') { "json" } else { "x-www-form-urlencoded" };
        let call = Call::new("POST", path).header("authorization", key);
        let call = call.header("content-type", format!("application/{kind}"));
        world.send(call.body(body.to_owned())).await.status.as_u16()
    };
    let form = "model_id=none&deployment_id=none";
    for (path, body) in [("/v1/models/none/deployments/none/retry", "{}"), ("/api/ui/retry", form)] {
        for _ in 0..10 {
            let passed = status(&laptop, path, body).await;
            assert_ne!(passed, 429, "{path}");
        }
        assert_eq!(status(&laptop, path, body).await, 429, "{path}");
        assert_ne!(status(&other, path, body).await, 429, "{path}: another key of the same person");
    }
    // Whoever is signed in clicks as they like.
    for _ in 0..20 {
        let fields = [("model_id", "none"), ("deployment_id", "none")];
        assert_ne!(world.act_as(&ada, "retry", &fields).await.status, 429);
    }
    // At once, so that a slow machine asks them within a second, too.
    let asked = (0..400).map(|_| status(&laptop, "/graphql/", "no question"));
    let told = futures::future::join_all(asked).await;
    assert!(told.contains(&429), "more than a hundred questions a second: {told:?}");
    assert_ne!(status(&other, "/graphql/", "no question").await, 429);
    world.stop().await;
}

#[tokio::test]
async fn a_key_for_some_environments_calls_by_their_addresses_only() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Limited"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let environments = format!("/v1/models/{model}/environments");
    world.rest("POST", &environments, json!({ "name": "staging" })).await.ok();
    let promote = format!("{environments}/staging/promote");
    world.rest("POST", &promote, json!({ "deployment_id": deployment })).await.ok();
    let serves = |seen: &serde_json::Value| !seen["current_deployment"].is_null();
    world.until(&format!("{environments}/staging"), serves).await;
    let create = async |body: serde_json::Value| world.rest("POST", "/v1/api_keys", body).await;
    for (kind, names, part) in [
        ("WORKSPACE_INVOKE", json!(["nowhere"]), "no model has an environment `nowhere`"),
        ("WORKSPACE_INVOKE", json!([]), "1 to 100"),
        ("WORKSPACE_INVOKE", json!(["Not A Name"]), "environment_names"),
        ("WORKSPACE_MANAGE_ALL", json!(["staging"]), "can be limited"),
    ] {
        let refused = create(json!({ "type": kind, "environment_names": names })).await;
        assert_eq!(refused.status, 400, "{kind} {names}: {}", refused.text());
        let text = refused.text();
        assert!(text.contains("environment_names") && text.contains(part), "{text}");
    }
    let made = create(json!({
        "name": "calls", "type": "WORKSPACE_INVOKE", "model_ids": [model], "environment_names": ["staging"],
    }));
    let key = made.await.ok()["api_key"].as_str().unwrap().to_owned();
    let call = async |key: &str, path: &str| {
        let call = Call::new("POST", path).header("authorization", format!("Bearer {key}"));
        let answer = world.send(call.json(&json!({}))).await;
        (answer.status.as_u16(), answer.text())
    };
    let to = |target: &str| format!("/model/{model}/{target}/predict");
    assert_eq!(call(&key, &to("environments/staging")).await.0, 200);
    let direct = to(&format!("deployment/{deployment}"));
    for elsewhere in [to("production"), to("environments/production"), to("development"), direct] {
        let (status, text) = call(&key, &elsewhere).await;
        assert_eq!(status, 403, "{elsewhere}: {text}");
        assert!(text.contains("may only call some environments"), "{text}");
    }
    let wake = format!("/model/{model}/production/wake");
    assert_eq!(call(&key, &wake).await.0, 403, "nor does it wake another one");
    // It is listed with its limits, over REST and on the page.
    let prefix = key.split('.').next().unwrap();
    let listed = world.get("/v1/api_keys").await.ok();
    let row = listed["keys"].as_array().unwrap().iter().find(|row| row["prefix"] == prefix).unwrap().clone();
    assert_eq!(row["environment_names"], json!(["staging"]));
    let page = world.get("/api/ui/keys").await.ok();
    let row = page["keys"].as_array().unwrap().iter().find(|row| row["prefix"] == prefix).unwrap().clone();
    assert_eq!(row["environments"], json!(["staging"]));
    assert_eq!(page["environments"], json!(["production", "staging"]));

    // By the form, and for metrics: what staging serves is a copy of what production does.
    let fields = [("name", "measures"), ("kind", "exporter"), ("environments", "staging")];
    let exporter = world.act("create_key", &fields).await.ok()["text"].as_str().unwrap().to_owned();
    let read = Call::new("GET", "/metrics").header("authorization", format!("Bearer {exporter}"));
    let text = world.send(read).await.text();
    assert!(!text.contains(&deployment), "what serves production is none of its affair: {text}");
    assert!(text.contains("environment=\"staging\""), "{text}");
    world.stop().await;
}

//! The activity as it is read: over REST, as a page, and as a file.

use serde_json::{Value, json};

use crate::support::{Call, PASSWORD, World, with_key};

async fn listed(world: &World, path: &str) -> (Vec<Value>, Option<String>) {
    let answer = world.get(path).await.ok();
    let cursor = answer["pagination"]["cursor"].as_str().map(str::to_owned);
    assert_eq!(answer["pagination"]["has_more"], cursor.is_some(), "{answer}");
    (answer["items"].as_array().unwrap().clone(), cursor)
}

async fn types(world: &World, path: &str) -> Vec<String> {
    let items = listed(world, path).await.0;
    items.iter().map(|item| item["event_type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_audit_log_pages_and_filters() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Audited"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == deployment.as_str()).await;
    for max in 2..30 {
        world
            .rest("PATCH", &production, json!({ "autoscaling_settings": { "max_replica": max } }))
            .await
            .ok();
    }
    let path = format!("/v1/models/{model}/deployments/{deployment}");
    world.rest("PATCH", &path, json!({ "name": "one" })).await.ok();
    world.rest("POST", "/v1/secrets", json!({ "name": "token", "value": "x" })).await.ok();

    // The first page has 20, newest first, with what clients expect of a row.
    let of_model = format!("/v1/models/{model}/audit_logs");
    let (items, cursor) = listed(&world, &of_model).await;
    assert_eq!(items.len(), 20);
    assert_eq!(items[0]["event_type"], "MODEL_DEPLOYMENT_RENAMED");
    assert_eq!(items[0]["event_data"]["previous_name"], "deployment-1");
    assert_eq!(items[0]["event_data"]["deployment_name"], "one");
    let changed = &items[1];
    assert_eq!((&changed["event_type"], &changed["source"]), (&json!("ENVIRONMENT_UPDATED"), &json!("API")));
    let data = &changed["event_data"];
    assert_eq!((&data["max_replica"], &data["previous_settings"]["max_replica"]), (&json!(29), &json!(28)));
    assert_eq!((&data["model_id"], &data["model_name"]), (&json!(model), &json!("Audited")));
    let actor = &changed["actor"];
    assert_eq!((&actor["type"], &actor["api_key_name"]), (&json!("API_KEY"), &json!("admin")));
    let admin = actor["api_key_prefix"].as_str().unwrap().to_owned();

    // Every row once, in order, in pages of any size, in both directions; the cursor knows the direction.
    let (whole, none) = listed(&world, &format!("{of_model}?limit=200")).await;
    assert_eq!(none, None);
    for (start, reversed) in [("limit=7", false), ("limit=7&direction=ASC", true)] {
        let (mut seen, mut next) = listed(&world, &format!("{of_model}?{start}")).await;
        while let Some(cursor) = next {
            let (page, after) = listed(&world, &format!("{of_model}?limit=7&cursor={cursor}")).await;
            assert!(!page.is_empty());
            seen.extend(page);
            next = after;
        }
        if reversed {
            seen.reverse();
        }
        assert_eq!(seen, whole);
    }
    let (rest, end) = listed(&world, &format!("{of_model}?cursor={}", cursor.unwrap())).await;
    assert_eq!((items.len() + rest.len(), end), (whole.len(), None));

    // Filters.
    let ask = async |filter: &str| types(&world, &format!("/v1/audit_logs?{filter}")).await;
    assert_eq!(ask("event_type_groups=SECRETS").await, ["SECRET_UPDATED"]);
    assert_eq!(
        ask("event_type_groups=METADATA&event_type_groups=SECRETS").await,
        ["SECRET_UPDATED", "MODEL_DEPLOYMENT_RENAMED"]
    );
    assert!(ask("event_type_groups=SSH").await.is_empty());
    assert_eq!(ask(&format!("user_ids={admin}&event_type_groups=DEPLOYED")).await, ["MODEL_DEPLOYED"]);
    assert_eq!(ask("user_ids=nobody").await, Vec::<String>::new());
    assert_eq!(
        ask(&format!("deployment_ids={deployment}&sources=API")).await,
        ["MODEL_DEPLOYMENT_RENAMED", "MODEL_DEPLOYED"]
    );
    assert_eq!(ask("environment_names=production&sources=API&limit=1").await, ["ENVIRONMENT_UPDATED"]);
    assert!(ask("sources=SYSTEM").await.contains(&"MODEL_DEPLOYMENT_ACTIVE".to_owned()));
    assert_eq!(ask("search=TOKEN").await, ["SECRET_UPDATED"]);
    assert!(ask("chain_deployment_ids=any").await.is_empty());
    assert!(ask("end_epoch_millis=1000").await.is_empty());
    let system = &listed(&world, "/v1/audit_logs?sources=SYSTEM&limit=1").await.0[0];
    assert_eq!(
        (&system["actor"]["type"], &system["actor"]["api_key_prefix"]),
        (&json!("BASETEN_SYSTEM"), &Value::Null)
    );

    // Refusals.
    for (filter, field, says) in [
        ("limit=0", "limit", "1 to 200"),
        ("limit=201", "limit", "1 to 200"),
        ("limit=all", "limit", "1 to 200"),
        ("direction=up", "direction", "DESC, ASC"),
        ("event_type_groups=X", "event_type_groups", "DEPLOYED"),
        ("sources=ui", "sources", "UI"),
        ("cursor=x", "cursor", "leave it out"),
        ("start_epoch_millis=5&end_epoch_millis=4", "end_epoch_millis", "before it begins"),
        ("start_epoch_millis=1.5", "start_epoch_millis", "whole number"),
        ("page=2", "page", "cursor"),
    ] {
        for list in ["/v1/audit_logs", &of_model] {
            let refused = world.get(&format!("{list}?{filter}")).await;
            assert_eq!(refused.status, 400, "{filter}");
            let message = refused.json()["message"].as_str().unwrap().to_owned();
            assert!(message.starts_with(&format!("{field}: ")) && message.contains(says), "{message}");
        }
    }
    assert_eq!(world.get("/v1/models/nowhere/audit_logs").await.status, 404);
    world.stop().await;
}

#[tokio::test]
async fn what_was_done_with_a_personal_key_is_found_by_the_key() {
    let world = World::start().await;
    let ada = world.first_admin().await;
    let make = async |name: &str| -> String {
        let made = world.act_as(&ada, "create_key", &[("name", name), ("kind", "personal")]).await.ok();
        made["text"].as_str().unwrap().to_owned()
    };
    let (laptop, ci) = (make("laptop").await, make("ci").await);
    for (key, secret) in [(&laptop, "one"), (&ci, "two"), (&laptop, "three")] {
        let call = Call::new("POST", "/v1/secrets").header("authorization", format!("Bearer {key}"));
        world.send(call.json(&json!({ "name": secret, "value": "x" }))).await.ok();
    }
    let prefix = |key: &str| key.split('.').next().unwrap().to_owned();
    let done = async |who: &str| -> Vec<String> {
        let path = format!("/v1/audit_logs?event_type_groups=SECRETS&user_ids={who}");
        let items = listed(&world, &path).await.0;
        items.iter().map(|item| item["event_data"]["secret_name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(done(&prefix(&laptop)).await, ["three", "one"]);
    assert_eq!(done(&prefix(&ci)).await, ["two"]);
    let users = world.get("/v1/users").await.ok();
    assert_eq!(done(users["items"][0]["user_id"].as_str().unwrap()).await, ["three", "two", "one"]);

    // The page offers each key, and filters by it.
    let path = format!("/api/ui/activity?group=SECRETS&who={}", prefix(&ci));
    let page = world.get(&path).await.ok();
    assert_eq!(page["rows"].as_array().unwrap().len(), 1, "{page}");
    let offered = page["people"].as_array().unwrap();
    let names: Vec<&str> = offered.iter().map(|person| person["name"].as_str().unwrap()).collect();
    assert!(names.contains(&format!("Ada: key laptop ({})", prefix(&laptop)).as_str()), "{names:?}");
    world.stop().await;
}

#[tokio::test]
async fn what_becomes_of_people_has_the_fields_that_clients_expect() {
    let world = World::start().await;
    let ada = world.first_admin().await;
    let invite = [("email", "ben@example.org"), ("role", "viewer")];
    let invited = world.act_as(&ada, "invite", &invite).await.ok();
    let token = invited["text"].as_str().unwrap().split("token=").nth(1).unwrap().to_owned();
    world.act_as("", "join", &[("token", &token), ("password", PASSWORD)]).await.cookie();
    let users = world.get("/v1/users?email=ben%40example.org").await.ok();
    let ben = users["items"][0]["user_id"].as_str().unwrap();
    world.act_as(&ada, "change_role", &[("person", ben), ("role", "deployer")]).await.ok();
    world.act_as(&ada, "remove_person", &[("person", ben), ("confirm", "ben@example.org")]).await.ok();

    let (items, _) = listed(&world, "/v1/audit_logs?event_type_groups=USER_MANAGEMENT").await;
    for expected in [
        json!({ "event_type": "USER_REMOVED", "removed_user_email": "ben@example.org" }),
        json!({
            "event_type": "USER_ROLE_UPDATED", "user_id": ben, "user_email": "ben@example.org",
            "new_role_name": "deployer", "previous_role_name": "viewer",
        }),
        json!({ "event_type": "USER_JOINED_ORGANIZATION", "new_user_email": "ben@example.org", "user_id": ben }),
        json!({ "event_type": "USER_INVITED", "invited_user_email": "ben@example.org", "role_name": "viewer" }),
    ] {
        let item = items.iter().find(|item| item["event_type"] == expected["event_type"]).unwrap();
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&item["event_data"][field], value, "{field} of {item}");
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn the_workspaces_activity_is_for_admins_and_a_models_for_viewers() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Seen"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    for (kind, workspace, of_model) in [
        ("invoker", 403, 403),
        ("exporter", 403, 403),
        ("keykeeper", 403, 403),
        ("viewer", 403, 200),
        ("deployer", 403, 200),
        ("admin", 200, 200),
    ] {
        let key = format!("Bearer {}", world.create_key(kind, kind).await);
        let status = async |path: String| {
            world.send(Call::new("GET", path).header("authorization", key.clone())).await.status.as_u16()
        };
        assert_eq!(status("/v1/audit_logs".into()).await, workspace, "{kind}");
        assert_eq!(status(format!("/v1/models/{model}/audit_logs")).await, of_model, "{kind}");
        assert_eq!(status("/api/ui/activity".into()).await, workspace, "{kind}");
        assert_eq!(status("/api/ui/activity.csv".into()).await, workspace, "{kind}");
        assert_eq!(status(format!("/api/ui/activity?model_id={model}")).await, of_model, "{kind}");
        assert_eq!(status(format!("/api/ui/activity.csv?model_id={model}")).await, of_model, "{kind}");
    }
    for path in ["/v1/audit_logs", "/api/ui/activity", "/api/ui/activity.csv"] {
        assert_eq!(world.send(Call::new("GET", path)).await.status, 401, "{path}");
    }
    world.stop().await;
}

#[tokio::test]
async fn the_page_shows_what_was_there_before_and_is_a_file_too() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("=Shown"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == deployment.as_str()).await;
    let settings = json!({ "autoscaling_settings": { "max_replica": 3, "scale_down_delay": 60 } });
    world.rest("PATCH", &production, settings).await.ok();

    let page = world.get(&format!("/api/ui/activity?model_id={model}&group=ENVIRONMENT_SETTINGS")).await.ok();
    let rows = page["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{page}");
    assert_eq!((&rows[0]["who"], &rows[0]["source"]), (&json!("admin"), &json!("API")));
    assert_eq!(
        rows[0]["changes"],
        json!([
            { "setting": "max_replica", "before": "1", "after": "3" },
            { "setting": "scale_down_delay", "before": "900", "after": "60" },
        ])
    );
    for (filter, field) in
        [("group=x", "group"), ("source=x", "source"), ("from=today", "from"), ("to=2026-13-01", "to")]
    {
        for path in ["/api/ui/activity", "/api/ui/activity.csv"] {
            let refused = world.get(&format!("{path}?{filter}")).await;
            assert_eq!(refused.status, 400, "{path}?{filter}: {}", refused.text());
            assert!(refused.text().contains(field), "{}", refused.text());
        }
    }
    let empty = world.get("/api/ui/activity?from=2000-01-01&to=2000-01-02&who=").await.ok();
    assert_eq!((&empty["rows"], &empty["is_filtered"]), (&json!([]), &json!(true)));

    let file = world.get(&format!("/api/ui/activity.csv?model_id={model}&source=API")).await;
    assert!(file.headers["content-type"].to_str().unwrap().starts_with("text/csv"));
    assert!(
        file.headers["content-disposition"]
            .to_str()
            .unwrap()
            .starts_with("attachment; filename=\"slipway-activity-")
    );
    let text = file.text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("at,event,sentence,who,key_prefix,source,"), "{text}");
    assert_eq!(lines.len(), 3, "the push and the settings, and nothing that Slipway did: {text}");
    assert!(text.contains("'=Shown") && !text.contains(",=Shown"), "no field is a formula: {text}");

    let html = world.send(with_key(Call::new("GET", format!("/models/{model}/activity")))).await;
    assert_eq!(html.status, 200);
    for holds in ["settings of production were changed", "method=\"get\"", "scale_down_delay", "Download CSV"]
    {
        assert!(html.text().contains(holds), "{holds}");
    }
    assert_eq!(world.send(with_key(Call::new("GET", "/activity"))).await.status, 200);
    assert_eq!(world.send(with_key(Call::new("GET", "/models/nowhere/activity"))).await.status, 404);
    world.stop().await;
}

#[tokio::test]
async fn a_models_activity_is_filtered_by_deployment_on_the_page_and_in_the_file() {
    let world = World::start().await;
    let (model, first) = world.push(Ok("Two"), "").await;
    world.reaches(&model, &first, "ACTIVE").await;
    let (_, second) = world.push(Err(&model), "").await;
    world.reaches(&model, &second, "ACTIVE").await;
    let path = format!("/v1/models/{model}/deployments/{second}");
    world.rest("PATCH", &path, json!({ "name": "second" })).await.ok();
    let choice = format!("{path}/request_backpressure_settings");
    for policy in ["REJECT_ON_FULL", "QUEUE_ON_FULL"] {
        world.rest("PATCH", &choice, json!({ "policy": policy })).await.ok();
    }

    // By its id and by its name, with what was there before.
    for deployment in [second.as_str(), "second"] {
        let asked = format!("model_id={model}&deployment={deployment}");
        let page = world.get(&format!("/api/ui/activity?{asked}")).await.ok();
        let rows = page["rows"].as_array().unwrap();
        assert!(rows.len() >= 4, "the push, the name and two choices: {page}");
        assert!(rows.iter().all(|row| row["deployment"]["id"] == second.as_str()), "{page}");
        assert_eq!(page["is_filtered"], true);
        assert_eq!(page["deployments"], json!(["second", "deployment-1"]), "what can be chosen");
        let setting = "request_backpressure_policy";
        let change = json!({ "setting": setting, "before": "REJECT_ON_FULL", "after": "QUEUE_ON_FULL" });
        let newest = rows.iter().find(|row| row["changes"] != json!([])).unwrap();
        assert_eq!(newest["changes"], json!([change]));
        let file = world.get(&format!("/api/ui/activity.csv?{asked}")).await.text();
        assert!(file.lines().skip(1).all(|line| line.contains(&second)), "{file}");
        let told = format!("{setting}=QUEUE_ON_FULL,{setting}=REJECT_ON_FULL");
        assert!(file.lines().any(|line| line.ends_with(&told)), "{file}");
    }
    // Of the workspace by its id; a name that no deployment has finds nothing.
    let page = world.get(&format!("/api/ui/activity?deployment={first}")).await.ok();
    let rows = page["rows"].as_array().unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row["deployment"]["id"] == first.as_str()), "{page}");
    let page = world.get(&format!("/api/ui/activity?model_id={model}&deployment=third")).await.ok();
    assert_eq!(page["rows"], json!([]));

    let html = world.get(&format!("/models/{model}/activity?deployment=second")).await.text();
    assert!(html.contains("name=\"deployment\"") && html.contains("value=\"second\""), "{html}");
    world.stop().await;
}

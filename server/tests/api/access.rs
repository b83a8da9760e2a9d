//! Who gets in, and by which name.

use serde_json::json;

use crate::support::client;
use crate::support::{Call, World, with_key};

#[tokio::test]
async fn no_door_opens_without_a_key() {
    let world = World::start().await;
    let doors = [
        Call::new("GET", "/v1/models"),
        Call::new("GET", "/v1/users/me"),
        Call::new("POST", "/v1/api_keys").json(&json!({ "type": "PERSONAL" })),
        Call::new("POST", "/graphql/").json(&client::query(client::WHOAMI)),
        Call::new("POST", "/graphql").json(&client::query(client::WHOAMI)),
        Call::new("GET", "/api/ui/models"),
        Call::new("GET", "/api/ui/events"),
        Call::new("GET", "/api/ui/log_file?model_id=a&deployment_id=b"),
        Call::new("GET", "/v1/models/a/deployments/b/logs/download"),
        Call::new("GET", "/api/ui/log_stream?model_id=a&deployment_id=b"),
        Call::new("GET", "/api/ui/log_stream?model_id=a&environment=b"),
        Call::new("POST", "/api/local/keys").json(&json!({ "name": "x", "role": "admin" })),
        Call::new("POST", "/api/local/sign-in-link").json(&json!({})),
        Call::new("POST", "/model/abc/production/predict").json(&json!({})),
    ];
    for call in doors {
        let path = call.path.clone();
        let again = Call {
            headers: call.headers.clone(),
            body: call.body.clone(),
            path: path.clone(),
            method: call.method.clone(),
        };
        assert_eq!(world.send(call).await.status, 401, "{path} without a key");
        let wrong = again.header("authorization", "Bearer not-a-key-of-this-server");
        assert_eq!(world.send(wrong).await.status, 401, "{path} with a wrong key");
    }
    let upload = world.send(Call::new("PUT", "/s3/uploads/x.tgz").body("x")).await;
    assert_eq!(upload.status, 403, "{}", upload.text());
    assert!(upload.text().starts_with("<?xml"), "{}", upload.text());
    world.stop().await;
}

#[tokio::test]
async fn both_schemes_are_taken_everywhere() {
    let world = World::start().await;
    for scheme in ["Bearer", "Api-Key"] {
        let key = format!("{scheme} {}", crate::support::KEY);
        let rest = Call::new("GET", "/v1/users/me").header("authorization", key.clone());
        assert_eq!(world.send(rest).await.ok()["name"], "admin");
        let question = Call::new("POST", "/graphql/").header("authorization", key.clone());
        let answer = world.send(question.json(&client::query(client::WHOAMI))).await.ok();
        assert_eq!(answer["data"]["user"]["email"], "admin");
        let function = Call::new("GET", "/api/ui/session").header("authorization", key);
        assert_eq!(world.send(function).await.ok()["name"], "admin");
    }
    world.stop().await;
}

#[tokio::test]
async fn roles_reach_as_far_as_they_say() {
    let world = World::start().await;
    let make =
        |kind: &'static str| world.rest("POST", "/v1/api_keys", json!({ "name": "made", "type": kind }));
    let invoker = make("WORKSPACE_INVOKE").await.ok()["api_key"].as_str().unwrap().to_owned();
    let viewer = world.create_key("viewer", "viewer").await;
    let deployer = make("WORKSPACE_MANAGE_ALL").await.ok()["api_key"].as_str().unwrap().to_owned();
    let status = async |key: &str, call: Call| {
        world.send(call.header("authorization", format!("Bearer {key}"))).await.status.as_u16()
    };
    assert_eq!(status(&invoker, Call::new("GET", "/v1/models")).await, 403);
    assert_eq!(status(&viewer, Call::new("GET", "/v1/models")).await, 200);
    let create = || Call::new("POST", "/v1/models/none/environments").json(&json!({ "name": "staging" }));
    assert_eq!(status(&viewer, create()).await, 403);
    assert_eq!(status(&deployer, create()).await, 404, "allowed, but there is no such model");
    assert_eq!(status(&deployer, Call::new("GET", "/v1/api_keys")).await, 403);
    let prefix = deployer.split('.').next().unwrap().to_owned();
    assert_eq!(
        world.rest("DELETE", &format!("/v1/api_keys/{prefix}"), json!({})).await.ok()["prefix"],
        prefix
    );
    assert_eq!(status(&deployer, Call::new("GET", "/v1/models")).await, 401, "revoked at once");
    world.stop().await;
}

#[tokio::test]
async fn names_that_only_lead_here_are_refused() {
    let world = World::start().await;
    for (host, status) in [
        ("localhost:8000", 200),
        ("api.localhost:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("rebound.example.org", 421),
    ] {
        let answer = world.send(with_key(Call::new("GET", "/v1/models")).header("host", host)).await;
        assert_eq!(answer.status.as_u16(), status, "{host}: {}", answer.text());
    }
    world.stop().await;
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let world = World::start().await;
    let create =
        || with_key(Call::new("POST", "/v1/models/none/environments")).json(&json!({ "name": "staging" }));
    for (name, value) in
        [("origin", "https://elsewhere.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
    {
        assert_eq!(world.send(create().header(name, value)).await.status, 403, "{name}: {value}");
    }
    let own =
        create().header("origin", format!("http://{}", world.host())).header("sec-fetch-site", "same-origin");
    assert_eq!(world.send(own).await.status, 404, "our own page is let through");
    let read = with_key(Call::new("GET", "/v1/models")).header("sec-fetch-site", "cross-site");
    assert_eq!(world.send(read).await.status, 200, "reading by a link from elsewhere is fine");
    world.stop().await;
}

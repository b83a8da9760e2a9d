//! The description of the API, and the routes that are there to say why not.

use serde_json::json;

use crate::support::{Call, World, with_key};

#[tokio::test]
async fn what_is_described_is_served_and_asks_for_a_key_where_it_says_so() {
    let world = World::start().await;
    let spec = world.send(Call::new("GET", "/v1/spec")).await.ok();
    assert_eq!(spec["openapi"], "3.1.0");
    let mut count = 0;
    for (path, methods) in spec["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            count += 1;
            let path: String = path
                .split('/')
                .map(|part| if part.starts_with('{') { "x" } else { part })
                .collect::<Vec<_>>()
                .join("/");
            let call = || Call::new(&method.to_uppercase(), path.as_str()).json(&json!({}));
            let is_open = operation["security"] == json!([]);
            let without = world.send(call()).await;
            assert_eq!(without.status == 401, !is_open, "{method} {path}: {}", without.text());
            let answer = world.send(with_key(call())).await;
            let is_served = operation["responses"].get("200").is_some();
            let says = answer.text();
            let refuses = answer.status == 404 && answer.json()["code"] == "NOT_SERVED";
            assert_eq!(refuses, !is_served, "{method} {path}: {says}");
            let status = answer.status.as_str();
            assert!(operation["responses"].get(status).is_some(), "{method} {path} answers {status}: {says}");
        }
    }
    assert!(count > 75, "{count}");
    let elsewhere = world.get("/v1/chains").await;
    assert_eq!((elsewhere.status.as_u16(), &elsewhere.json()["code"]), (404, &json!("NOT_SERVED")));
    world.stop().await;
}

#[tokio::test]
async fn what_can_not_be_had_says_why() {
    let world = World::start().await;
    let signed =
        world.rest("POST", "/v1/models/m/deployments/d/ssh/sign", json!({ "public_key": "k" })).await;
    assert_eq!(signed.status, 404);
    assert!(signed.text().contains("shell"), "{}", signed.text());
    let token = world.rest("POST", "/v1/token", json!({ "scopes": ["sandboxes"] })).await;
    assert!(token.text().contains("API key"), "{}", token.text());
    world.stop().await;
}

#[tokio::test]
async fn an_address_that_can_not_be_read_is_refused_in_json() {
    let world = World::start().await;
    for path in
        ["/v1/models/%FF", "/v1/models?name=a&name=b", "/v1/models/m/deployments/d/config?output_format=x"]
    {
        let answer = world.get(path).await;
        assert!(answer.status == 400 || answer.status == 404, "{path}: {}", answer.status);
        assert!(answer.json()["message"].is_string());
    }
    world.stop().await;
}

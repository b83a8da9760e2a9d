//! Lists that are longer than a page.

use std::collections::BTreeSet;

use crate::support::{Call, World, with_key};

#[tokio::test]
async fn a_list_of_deployments_comes_in_pages_where_asked() {
    let world = World::start().await;
    let (model, first) = world.push(Ok("Long"), "").await;
    let mut pushed = BTreeSet::from([first]);
    for _ in 0..4 {
        pushed.insert(world.push(Err(&model), "").await.1);
    }
    let list = format!("/v1/models/{model}/deployments");
    let whole = world.get(&list).await.ok();
    assert!(whole.get("pagination").is_none(), "nobody asked for a page");
    let names = |answer: &serde_json::Value| -> Vec<String> {
        let deployments = answer["deployments"].as_array().unwrap();
        deployments.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    let mut seen = Vec::new();
    let mut page = world.get(&format!("{list}?limit=2")).await.ok();
    loop {
        seen.extend(names(&page));
        let Some(cursor) = page["pagination"]["cursor"].as_str() else { break };
        assert_eq!(page["pagination"]["has_more"], true);
        page = world.get(&format!("{list}?limit=2&cursor={cursor}")).await.ok();
    }
    assert_eq!(seen, names(&whole), "the pages are the list");
    assert_eq!(seen.iter().cloned().collect::<BTreeSet<_>>(), pushed);

    for (query, field) in [("limit=0", "limit: "), ("limit=1001", "limit: "), ("cursor=nowhere", "cursor: ")]
    {
        let refused = world.get(&format!("{list}?{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
        assert!(refused.text().contains(field), "{query}: {}", refused.text());
    }
    world.stop().await;
}

#[tokio::test]
async fn a_list_of_models_comes_in_pages_where_asked() {
    let world = World::start().await;
    for name in ["C", "A", "B"] {
        world.push(Ok(name), "").await;
    }
    let first = world.get("/v1/models?limit=2").await.ok();
    assert_eq!((&first["models"][0]["name"], &first["models"][1]["name"]), (&"A".into(), &"B".into()));
    let cursor = first["pagination"]["cursor"].as_str().unwrap();
    let second = world.get(&format!("/v1/models?limit=2&cursor={cursor}")).await.ok();
    assert_eq!(second["models"][0]["name"], "C");
    assert_eq!(second["pagination"], serde_json::json!({ "has_more": false, "cursor": null }));
    assert_eq!(world.get("/v1/models?limit=many").await.status, 400);

    // A name is looked for in all of them, not in the page.
    for path in [
        "/v1/models?name=C&limit=1",
        "/v1/models?name=C&limit=1&cursor=B",
        "/v1/teams/default/models?name=C&limit=1",
    ] {
        let found = world.get(path).await.ok();
        assert_eq!(found["models"].as_array().unwrap().len(), 1, "{path}");
        assert_eq!(found["models"][0]["id"], second["models"][0]["id"], "{path}");
        assert_eq!(found["pagination"], second["pagination"], "{path}");
    }
    for path in ["/v1/models?name=D&limit=1", "/v1/models?name=C&limit=1&cursor=C", "/v1/models?name=%00"] {
        assert_eq!(world.get(path).await.ok()["models"], serde_json::json!([]), "{path}");
    }
    world.stop().await;
}

#[tokio::test]
async fn the_page_of_all_models_comes_in_pages_and_can_be_filtered() {
    // Room for all of them.
    let world = World::start_with(|config| config.machine.memory = Some(64 << 30)).await;
    let mut pushed = Vec::new();
    for number in 0..52 {
        let model = world.push(Ok(&format!("Model-{number}")), "").await.0;
        // Nothing happens to it after that, so the order is that of the pushes.
        world
            .until(&format!("/v1/models/{model}"), |model| model["production_deployment_id"].is_string())
            .await;
        pushed.push(model);
    }
    let html = |path: &str| with_key(Call::new("GET", path.to_owned())).header("accept", "text/html");
    let first = world.get("/api/ui/models").await.ok();
    assert_eq!(first["models"].as_array().unwrap().len(), 50);
    assert_eq!((&first["found"], &first["models"][0]["name"]), (&52.into(), &"Model-51".into()));
    assert!(first["headline"].as_str().unwrap().starts_with("52 models; of those shown here, "), "{first}");
    let page = world.send(html("/models")).await.text();
    assert!(page.contains("models in all"), "it says that there are more");
    assert!(page.contains(&format!("/models/{}\"", pushed[51])), "the newest one is here");
    assert!(!page.contains(&format!("/models/{}\"", pushed[0])), "an old one is on the next page");
    let cursor = first["older"].as_str().unwrap();
    let second = world.get(&format!("/api/ui/models?cursor={cursor}")).await.ok();
    let ids: Vec<&str> =
        second["models"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&pushed[1], &pushed[0]]);
    let page = world.send(html(&format!("/models?cursor={cursor}"))).await.text();
    assert!(page.contains(&format!("/models/{}\"", pushed[0])) && page.contains("Newest"));
    let found = world.get("/api/ui/models?filter=MODEL-4").await.ok();
    assert_eq!((&found["found"], &found["older"]), (&11.into(), &serde_json::Value::Null));
    let page = world.send(html("/models?filter=nothing")).await.text();
    assert!(page.contains("No model has this in its name."));
    assert_eq!(world.get("/api/ui/models?cursor=nowhere").await.status, 400);
    for filter in ["x".repeat(257), "a%1bb".into()] {
        let refused = world.get(&format!("/api/ui/models?filter={filter}")).await;
        assert_eq!(refused.status, 400, "{filter}");
        assert!(refused.text().contains("filter"), "{}", refused.text());
    }
    world.stop().await;
}

#[tokio::test]
async fn the_page_of_a_model_leads_to_its_older_deployments() {
    let world = World::start().await;
    let (model, _) = world.push(Ok("Many"), "").await;
    // The first one serves production, and is on each page because of it.
    let (_, old) = world.push(Err(&model), "").await;
    for _ in 0..50 {
        world.push(Err(&model), "").await;
    }
    let html = |path: String| with_key(Call::new("GET", path)).header("accept", "text/html");
    let page = world.send(html(format!("/models/{model}"))).await.text();
    assert!(page.contains("deployments in all"), "it says that there are more");
    assert!(!page.contains(&format!("/deployments/{old}")), "an old one is on the next page");
    let older = page.split("?cursor=").nth(1).unwrap().split('"').next().unwrap();
    let page = world.send(html(format!("/models/{model}?cursor={older}"))).await.text();
    assert!(page.contains(&format!("/deployments/{old}")), "an old one is here");
    let wrong = world.send(html(format!("/models/{model}?cursor=nowhere"))).await;
    assert!(wrong.text().contains("cursor"), "a wrong place is named");
    world.stop().await;
}

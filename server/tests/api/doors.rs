//! Three doors, one house: the same act leaves the same record by whichever door it came.

use serde_json::{Value, json};

use crate::support::{World, client, config};

/// What the environment's page says was decided: sentences that name no ids, oldest first.
async fn decisions(world: &World, model: &str) -> Vec<String> {
    let path = format!("/api/ui/environment?model_id={model}&environment=production");
    let page =
        world.until(&path, |page| page["rollout"]["running"] == false && page["current"].is_object()).await;
    let decisions = page["rollout"]["decisions"].as_array().unwrap();
    let mut sentences: Vec<String> =
        decisions.iter().map(|decision| decision["sentence"].as_str().unwrap().to_owned()).collect();
    sentences.reverse();
    sentences
}

/// A model whose second deployment waits to be promoted.
async fn prepared(world: &World, name: &str) -> (String, String) {
    let (model, first) = world.push(Ok(name), "").await;
    world.reaches(&model, &first, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == first.as_str()).await;
    let (_, second) = world.push(Err(&model), "").await;
    world.reaches(&model, &second, "ACTIVE").await;
    (model, second)
}

async fn promoted(world: &World, model: &str, deployment: &str) -> Vec<String> {
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == deployment).await;
    decisions(world, model).await
}

#[tokio::test]
async fn a_promotion_is_the_same_by_every_door() {
    let world = World::start().await;

    let (model, second) = prepared(&world, "By REST").await;
    let path = format!("/v1/models/{model}/deployments/{second}/promote");
    world.rest("POST", &path, json!({})).await.ok();
    let by_rest = promoted(&world, &model, &second).await;

    let (model, second) = prepared(&world, "By the dashboard").await;
    let fields = [
        ("model_id", model.as_str()),
        ("deployment_id", &second),
        ("environment", "production"),
        ("strategy", "direct"),
    ];
    let done = world.act("promote", &fields).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let by_dashboard = promoted(&world, &model, &second).await;
    assert_eq!(by_rest, by_dashboard);
    assert!(!by_rest.is_empty());

    // A push promotes what it pushes: the same record once the deployment exists.
    let (model, first) = world.push(Ok("By push"), "").await;
    world.reaches(&model, &first, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == first.as_str()).await;
    let key = world.upload(crate::support::archive()).await;
    let body = client::create_version(&model, &key, &config(""), "environment_name: \"production\"");
    let (_, second) = crate::support::pushed(&world.ask(body).await);
    let by_push = promoted(&world, &model, &second).await;
    let ended = |sentences: &[String]| sentences.last().cloned();
    assert_eq!(ended(&by_push), ended(&by_rest), "{by_push:?} and {by_rest:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_refusal_has_the_same_reason_by_every_door() {
    let world = World::start().await;
    let (model, _) = prepared(&world, "Refused").await;
    let path = format!("/v1/models/{model}/environments/production/cancel_promotion");
    let by_rest = world.rest("POST", &path, json!({})).await;
    let by_dashboard =
        world.act("cancel_promotion", &[("model_id", &model), ("environment", "production")]).await;
    let message = |answer: Value| answer["message"].as_str().map(str::to_owned);
    assert_eq!(by_rest.status, 400, "{}", by_rest.text());
    assert_eq!(by_dashboard.status, 409, "{}", by_dashboard.text());
    assert_eq!(message(by_rest.json()), message(by_dashboard.json()));
    world.stop().await;
}

//! A disk without room: what is refused says so, what serves goes on, and room heals everything.

use serde_json::json;

use crate::support::{Call, World, client, config, with_key};

/// Sets secrets until one finds no room; answers what that was told.
async fn fill(world: &World) -> crate::support::Answer {
    world.store().allow_no_growth().await.unwrap();
    for number in 0.. {
        let body = json!({ "name": format!("fill_{number}"), "value": "x".repeat(8_000) });
        let answer = world.rest("POST", "/v1/secrets", body).await;
        if answer.status != 200 {
            return answer;
        }
    }
    unreachable!("the file may not grow")
}

#[tokio::test]
async fn what_needs_room_is_refused_and_models_go_on_answering() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Steady"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == deployment.as_str()).await;
    let archive = world.upload(crate::support::archive()).await;

    let refused = fill(&world).await;
    assert_eq!(refused.status, 507, "{}", refused.text());
    let told = refused.json();
    assert_eq!(told["code"], "DISK_FULL");
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("disk is full") && message.contains("make room"), "{message}");
    let secrets = world.get("/v1/secrets").await.ok()["secrets"].as_array().unwrap().len();

    let long = "x".repeat(30_000);
    let form = world.act("set_secret", &[("name", "page"), ("value", &long)]).await;
    assert!(form.status == 503 && form.text().contains("disk is full"), "{} {}", form.status, form.text());
    let raw = "y".repeat(30_000);
    let push = client::create_version(&model, &archive, &config(&raw), "");
    let answer = world.ask(push.clone()).await;
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("disk is full"), "{answer}");
    assert_eq!(answer["errors"][0]["extensions"]["code"], "DISK_FULL");

    let predict = with_key(Call::new("POST", format!("/model/{model}/production/predict"))).json(&json!({}));
    assert_eq!(world.send(predict).await.status, 200);
    assert_eq!(world.deployment(&model, &deployment).await["status"], "ACTIVE");
    assert_eq!(world.get("/v1/secrets").await.ok()["secrets"].as_array().unwrap().len(), secrets);
    let pushes = world.get(&format!("/v1/models/{model}/deployments")).await.ok();
    assert_eq!(pushes["deployments"].as_array().unwrap().len(), 1, "nothing of the push was recorded");

    world.store().allow_growth().await.unwrap();
    let body = json!({ "name": "page", "value": long });
    world.rest("POST", "/v1/secrets", body).await.ok();
    let (_, second) = world.push(Err(&model), "").await;
    world.reaches(&model, &second, "ACTIVE").await;
    world.store().check_whole(&world.data().join("slipway.db")).await.unwrap();
    world.stop().await;
}

//! A disk without room: what is refused says so, what serves goes on, and room heals everything.

use std::time::Duration;

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

#[tokio::test]
async fn a_replica_that_dies_gets_no_request_though_nothing_can_be_written() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Bereft"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == deployment.as_str()).await;
    let two = json!({ "autoscaling_settings": { "min_replica": 2, "max_replica": 2 } });
    world.rest("PATCH", &production, two).await.ok();
    let has_two = |seen: &serde_json::Value| seen["current_deployment"]["active_replica_count"] == 2;
    world.until(&production, has_two).await;
    let ask = async |input: serde_json::Value| {
        let call = Call::new("POST", format!("/model/{model}/production/predict"));
        world.send(with_key(call).json(&input)).await.ok()["replica"].as_str().unwrap().to_owned()
    };

    world.store().refuse_writes(true).await.unwrap();
    let dead = ask(json!({ "die": true })).await;
    // It would answer still: only the routes keep requests from it.
    let mut of_the_other = 0;
    for _ in 0..2_000 {
        match ask(json!({})).await == dead {
            true => of_the_other = 0,
            false => of_the_other += 1,
        }
        if of_the_other == 20 {
            break;
        }
    }
    assert_eq!(of_the_other, 20, "requests went to a replica that is gone");

    world.store().refuse_writes(false).await.unwrap();
    world.until(&production, has_two).await;
    world.stop().await;
}

#[tokio::test]
async fn a_server_starts_where_its_command_line_can_not_be_told_of_it_yet() {
    let data = tempfile::tempdir().unwrap();
    // In the way of the file that is written first.
    let obstacle = data.path().join(".local.json.new");
    std::fs::create_dir(&obstacle).unwrap();
    let world = World::start_in(data, |_| {}).await;
    assert_eq!(world.send(Call::new("GET", "/healthz")).await.status, 200);
    let file = world.data().join("local.json");
    assert!(!file.exists());

    std::fs::remove_dir(&obstacle).unwrap();
    let written = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), written).await.unwrap();
    world.create_key("late", "admin").await;
    world.stop().await;
}

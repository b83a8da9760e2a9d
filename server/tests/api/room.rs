//! What deployments get of the machine: sizes, room, prices, the disk.

use domain::{InstanceType, Price};
use serde_json::{Value, json};
use server::config::Config;

use crate::support::http::Call;
use crate::support::{World, client, with_key};

const GIB: u64 = 1 << 30;

fn size(id: &str, cores: u64, gib: u64, price: Option<f64>) -> InstanceType {
    InstanceType {
        id: id.into(),
        name: id.to_uppercase(),
        milli_cpu: cores * 1000,
        memory: gib * GIB,
        gpus: 0,
        gpu_type: None,
        price: price.and_then(Price::per_minute),
    }
}

/// A machine on which models may hold 8 GiB.
async fn world(types: Vec<InstanceType>) -> World {
    World::start_with(|config: &mut Config| {
        config.machine.memory = Some(8 * GIB);
        config.machine.types = types;
    })
    .await
}

fn asks(memory: &str) -> Value {
    json!({ "resources": { "cpu": "1", "memory": memory, "use_gpu": false, "accelerator": null } })
}

#[tokio::test]
async fn a_push_that_asks_for_more_than_there_is_is_refused_with_both_numbers() {
    let world = world(Vec::new()).await;
    let told = |answer: &Value| answer["errors"][0]["message"].as_str().unwrap_or_default().to_owned();
    for (resources, words) in [
        (json!({ "cpu": "1", "memory": "64Gi" }), ["resources.memory", "64 GiB", "8 GiB"]),
        (json!({ "cpu": "4000", "memory": "2Gi" }), ["resources.cpu", "4000 cores", "this machine has"]),
        (
            json!({ "cpu": "1", "memory": "2Gi", "accelerator": "H100:8" }),
            ["resources.accelerator", "8 × H100", "this machine has"],
        ),
        (
            json!({ "cpu": "1", "memory": "2Gi", "instance_type": "huge" }),
            ["resources.instance_type: huge", "local", "write one of"],
        ),
    ] {
        let answer = world.try_push_with("Large", json!({ "resources": resources })).await;
        for word in words {
            assert!(told(&answer).contains(word), "{word} in {answer}");
        }
        let verdict = world
            .ask(client::validation(&crate::support::config_with(json!({ "resources": resources }))))
            .await;
        let verdict = &verdict["data"]["truss_validation"];
        assert_eq!(verdict["success"], false);
        assert!(verdict["details"].as_str().unwrap().contains(words[0]), "{verdict}");
    }
    assert_eq!(world.get("/v1/models").await.ok()["models"], json!([]), "nothing of it is kept");
    // What the client fills in is no demand, and any machine takes it.
    let (model, deployment) = world.push_with("Plain", asks("2Gi")).await;
    assert_eq!(
        world.reaches(&model, &deployment, "ACTIVE").await["instance_type_name"],
        machine_name(&world).await
    );
    world.stop().await;
}

async fn machine_name(world: &World) -> Value {
    world.get("/v1/instance_types").await.ok()["instance_types"][0]["name"].clone()
}

#[tokio::test]
async fn a_deployment_waits_for_room_with_a_sentence_and_starts_when_another_leaves() {
    let world = world(Vec::new()).await;
    let (first, one) = world.push_with("First", asks("6Gi")).await;
    world.reaches(&first, &one, "ACTIVE").await;
    let (second, two) = world.push_with("Second", asks("4Gi")).await;
    let path = format!("/v1/models/{second}/deployments/{two}");
    let sentence = "waiting for 4 GiB: 1 deployment holds it";
    let seen = world.until(&path, |seen| seen["status_reason"] == sentence).await;
    assert_eq!(seen["status"], "DEPLOYING");
    let root = world.get("/v1").await.ok();
    assert_eq!((&root["memory"]["total"], &root["memory"]["held"]), (&json!(8 * GIB), &json!(6 * GIB)));
    let page = world.send(with_key(Call::new("GET", format!("/models/{second}")))).await;
    assert!(page.status == 200 || page.status == 303, "{}", page.status);

    world.rest("DELETE", &format!("/v1/models/{first}"), json!({})).await.ok();
    world.reaches(&second, &two, "ACTIVE").await;
    let root = world.get("/v1").await.ok();
    assert_eq!(root["memory"]["held"], json!(4 * GIB));
    world.stop().await;
}

#[tokio::test]
async fn a_promotion_that_could_never_fit_is_refused_with_both_numbers() {
    let world = world(Vec::new()).await;
    let (model, first) = world.push_with("Big", asks("5Gi")).await;
    world.reaches(&model, &first, "ACTIVE").await;
    let (_, second) = world.version_with(&model, asks("4Gi")).await;
    let promote = format!("/v1/models/{model}/environments/production/promote");
    let refused = world.rest("POST", &promote, json!({ "deployment_id": second })).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("9 GiB") && message.contains("8 GiB"), "{message}");
    // With the current one switched off there is room for the other.
    let off = format!("/v1/models/{model}/deployments/{first}/deactivate");
    world.rest("POST", &off, json!({})).await.ok();
    world.rest("POST", &promote, json!({ "deployment_id": second })).await.ok();
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == second.as_str()).await;
    world.stop().await;
}

#[tokio::test]
async fn sizes_are_chosen_shown_and_charged() {
    let world = world(vec![size("large", 2, 6, Some(0.25)), size("small", 1, 2, Some(0.01))]).await;
    let types = world.get("/v1/instance_types").await.ok();
    assert_eq!(types["instance_types"][0]["id"], "large");
    assert_eq!(types["instance_types"][1]["memory_limit_mib"], 2048);
    let prices = world.get("/v1/instance_type_prices").await.ok();
    assert_eq!(
        (&prices["instance_types"][0]["price"], &prices["instance_types"][1]["price"]),
        (&json!(0.25), &json!(0.01))
    );
    let listed = world.ask(client::query(client::INSTANCES)).await;
    assert_eq!(listed["data"]["listedInstances"][1]["name"], "SMALL", "{listed}");

    let (model, small) = world.push_with("Sized", asks("512Mi")).await;
    assert_eq!(world.reaches(&model, &small, "ACTIVE").await["instance_type_name"], "SMALL");
    let named = json!({ "resources": { "cpu": "1", "memory": "2Gi", "instance_type": "large" } });
    let (_, large) = world.version_with(&model, named).await;
    assert_eq!(world.reaches(&model, &large, "ACTIVE").await["instance_type_name"], "LARGE");
    let root = world.get("/v1").await.ok();
    assert_eq!(root["memory"]["held"], json!(6 * GIB + (512 << 20)), "a named size is had whole");

    world.rest("DELETE", &format!("/v1/models/{model}"), json!({})).await.ok();
    let usage = world
        .until("/v1/billing/usage_summary", |usage| {
            usage["dedicated_usage"]["breakdown"].as_array().is_some_and(|rows| rows.len() == 2)
        })
        .await;
    let total = &usage["dedicated_usage"];
    let rows = total["breakdown"].as_array().unwrap();
    let mut sum = 0.0;
    for (name, price) in [("LARGE", 0.25), ("SMALL", 0.01)] {
        let row = rows.iter().find(|row| row["billable_resource"]["instance_type"] == name).unwrap();
        let minutes = row["minutes"].as_f64().unwrap();
        assert!(
            (2.0..=3.0).contains(&minutes),
            "a started minute counts whole, of the build and of the replica: {row}"
        );
        assert!((row["subtotal"].as_f64().unwrap() - minutes * price).abs() < 1e-9, "{row}");
        assert_eq!(row["subtotal"], row["compute_cost"]);
        assert_eq!(row["billable_resource"]["is_deleted"], true);
        assert_eq!(row["daily"][0]["subtotal"], row["subtotal"]);
        sum += minutes * price;
    }
    assert!((total["subtotal"].as_f64().unwrap() - sum).abs() < 1e-9, "{total}");

    // The dashboard tells the same, in its column and in its file.
    let page = world.get("/api/ui/usage?days=1").await.ok();
    let costs: f64 = page["rows"].as_array().unwrap().iter().map(|row| row["cost"].as_f64().unwrap()).sum();
    assert!((costs - sum).abs() < 1e-9, "{page}");
    let text = world.get("/usage?days=1").await.text();
    assert!(text.contains("Cost"), "{text}");
    let file = world.get("/api/ui/usage.csv?days=1").await.text();
    assert!(file.lines().next().unwrap().ends_with("cost"), "{file}");
    let costs = file.lines().skip(1).map(|line| line.rsplit(',').next().unwrap().parse::<f64>().unwrap());
    assert!((costs.sum::<f64>() - sum).abs() < 1e-9, "{file}");
    world.stop().await;
}

#[tokio::test]
async fn the_disk_is_told_per_deployment_and_what_is_shared_counts_once() {
    let world = world(Vec::new()).await;
    let (model, first) = world.push(Ok("Disk"), "").await;
    world.reaches(&model, &first, "ACTIVE").await;
    let (_, second) = world.push(Err(&model), "").await;
    world.reaches(&model, &second, "ACTIVE").await;
    let root = world.get("/v1").await.ok();
    assert_eq!(root["name"], "slipway");
    assert!(root["version"].as_str().is_some_and(|version| version.contains('.')), "{root}");
    let disk = &root["disk"];
    assert_eq!((&disk["artifact_bytes"], &disk["environment_bytes"]), (&json!(200), &json!(1000)));
    let rows = disk["deployments"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!((&row["artifact_bytes"], &row["environment_bytes"]), (&json!(100), &json!(1000)));
        assert_eq!((&row["environment_shared_by"], &row["model_id"]), (&json!(1), &json!(model)));
        assert!(row["log_bytes"].as_u64().unwrap() > 0, "{row}");
        assert_eq!(row["external_data_bytes"], 0);
    }

    // External data that several name lies here once.
    let item = |name: &str| json!({ "url": format!("http://localhost/{name}"), "local_data_path": name });
    for (names, all) in [(&["a", "b"][..], 10_000), (&["b", "c"], 15_000)] {
        let named: Vec<_> = names.iter().map(|name| item(name)).collect();
        let (model, deployment) = world.push_with(names[1], json!({ "external_data": named })).await;
        let disk = world.get("/v1").await.ok()["disk"].clone();
        let rows = disk["deployments"].as_array().unwrap();
        let row = rows.iter().find(|row| row["deployment_id"] == deployment.as_str()).unwrap();
        assert_eq!((&row["external_data_bytes"], &row["model_id"]), (&json!(10_000), &json!(model)));
        assert_eq!(disk["external_data_bytes"], all);
        let parts = ["artifact_bytes", "log_bytes", "environment_bytes", "external_data_bytes"];
        let sum: u64 = parts.iter().map(|part| disk[*part].as_u64().unwrap()).sum();
        assert_eq!(disk["total_bytes"], sum);
    }
    world.stop().await;
}

#[tokio::test]
async fn a_disk_that_takes_long_to_measure_holds_no_answer_up() {
    let world = world(Vec::new()).await;
    let (model, deployment) = world.push(Ok("Small"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let before = world.get("/v1").await.ok()["disk"].clone();
    assert!(before["as_of"].is_string(), "{before}");
    let (vast_model, vast) = world.push_with("Vast", json!({ "description": "vast" })).await;
    let in_time = async |path: String| {
        let asked = tokio::time::Instant::now();
        let answer = world.get(&path).await.ok();
        assert!(asked.elapsed() < std::time::Duration::from_secs(5), "{path}: {:?}", asked.elapsed());
        answer
    };
    for _ in 0..2 {
        let disk = in_time("/v1".into()).await["disk"].clone();
        assert_eq!(disk, before, "the numbers of the last look, and of when they are");
    }
    // Nor its own page, nor anybody else's.
    let page = |model: &str, id: &str| format!("/api/ui/deployment?model_id={model}&deployment_id={id}");
    for _ in 0..2 {
        let holds = in_time(page(&vast_model, &vast)).await["holds"].clone();
        assert!(holds.as_str().unwrap().contains("still being measured"), "{holds}");
    }
    let holds = in_time(page(&model, &deployment)).await["holds"].clone();
    assert!(holds.as_str().unwrap().contains("on disk: 100 bytes of code"), "{holds}");
    world.stop().await;
}

#[tokio::test]
async fn an_environment_keeps_its_instance_type_unless_it_is_told_not_to() {
    let world = world(vec![size("large", 2, 3, None), size("small", 1, 2, None)]).await;
    let named = json!({ "resources": { "cpu": "1", "memory": "2Gi", "instance_type": "large" } });
    let (model, first) = world.push_with("Kept", named.clone()).await;
    world.reaches(&model, &first, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    let serves = async |id: &str| {
        let seen = world.until(&production, |seen| seen["current_deployment"]["id"] == id).await;
        seen["instance_type"]["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(serves(&first).await, "large");
    let (_, second) = world.version_with(&model, asks("512Mi")).await;
    assert_eq!(world.reaches(&model, &second, "ACTIVE").await["instance_type_name"], "SMALL");

    // A copy has the environment's, and all of it, as the current deployment has.
    let promote = async |body: Value| world.rest("POST", &format!("{production}/promote"), body).await.ok();
    let copy = promote(json!({ "deployment_id": second })).await;
    assert_ne!(copy["id"], second.as_str());
    assert_eq!(copy["instance_type_name"], "LARGE");
    assert_eq!(serves(copy["id"].as_str().unwrap()).await, "large");
    let told = async |text: &str| world.events().await.iter().any(|event| event.sentence.contains(text));
    assert!(told("with the instance type LARGE").await);

    let mut kept_own = 0;
    for asked in [asks("2560Mi"), named] {
        // Told not to, the environment gets the deployment's.
        let itself = promote(json!({ "deployment_id": second, "preserve_env_instance_type": false })).await;
        assert_eq!(itself["id"], second.as_str());
        assert_eq!(serves(&second).await, "small");

        // A type that has less than a deployment asks for, or than the type that it names, is not kept: it could not run.
        let (_, third) = world.version_with(&model, asked).await;
        assert_eq!(world.reaches(&model, &third, "ACTIVE").await["instance_type_name"], "LARGE");
        assert_eq!(promote(json!({ "deployment_id": third })).await["id"], third.as_str());
        assert_eq!(serves(&third).await, "large");
        let sentences = world.events().await.into_iter().map(|event| event.sentence);
        let told = sentences.filter(|sentence| sentence.contains("with its own instance type LARGE")).count();
        kept_own += 1;
        assert_eq!(told, kept_own);
    }

    // A push into the environment needs no copy for it.
    let key = world.upload(crate::support::archive()).await;
    let config = crate::support::config_with(asks("512Mi"));
    let push = client::create_version(&model, &key, &config, "environment_name: \"production\"");
    let (_, fourth) = crate::support::pushed(&world.ask(push).await);
    assert_eq!(serves(&fourth).await, "large");
    world.stop().await;
}

#[tokio::test]
async fn who_is_refused_for_the_instance_type_that_is_kept_is_told_how_not_to_keep_it() {
    let world = world(vec![size("large", 2, 6, None), size("small", 1, 2, None)]).await;
    let named = json!({ "resources": { "cpu": "1", "memory": "2Gi", "instance_type": "large" } });
    let (model, first) = world.push_with("Wide", named).await;
    world.reaches(&model, &first, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == first.as_str()).await;
    let (_, second) = world.version_with(&model, asks("512Mi")).await;
    world.reaches(&model, &second, "ACTIVE").await;
    let promote = async |body: Value| world.rest("POST", &format!("{production}/promote"), body).await;

    let set = json!({ "instance_type_id": "small" });
    let other = json!({ "deployment_id": second, "environment_settings_update": set });
    for (body, word) in [(json!({ "deployment_id": second }), "12 GiB"), (other, "`small` can't be set")] {
        let refused = promote(body).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(word), "{message}");
        assert!(message.contains("`preserve_env_instance_type: false`"), "{message}");
    }
    promote(json!({ "deployment_id": second, "preserve_env_instance_type": false })).await.ok();
    world.until(&production, |seen| seen["current_deployment"]["id"] == second.as_str()).await;
    world.stop().await;
}

#[tokio::test]
async fn a_box_of_the_dialog_lets_a_deployment_keep_its_own_instance_type() {
    let world = world(vec![size("large", 2, 3, None), size("small", 1, 2, None)]).await;
    let named = json!({ "resources": { "cpu": "1", "memory": "2Gi", "instance_type": "large" } });
    let (model, first) = world.push_with("Boxed", named).await;
    world.reaches(&model, &first, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == first.as_str()).await;
    let (_, second) = world.version_with(&model, asks("512Mi")).await;
    world.reaches(&model, &second, "ACTIVE").await;

    // It is there where the two have different types.
    let choices = world.get(&format!("/api/ui/model?model_id={model}")).await.ok()["choices"].clone();
    let target = &choices["targets"][0];
    assert_eq!((&target["instance_type"], &target["resized"]), (&json!("LARGE"), &json!([second])));
    let dialog = async |deployment: &str| {
        let path = format!("/models/{model}?dialog=promote&deployment={deployment}&environment=production");
        world.send(with_key(Call::new("GET", path)).header("accept", "text/html")).await.text()
    };
    let box_of_it = "name=\"keep_own_instance_type\"";
    assert!(dialog(&second).await.contains(box_of_it));
    let of_the_current = dialog(&first).await;
    assert!(of_the_current.contains("name=\"strategy\"") && !of_the_current.contains(box_of_it));

    let fields = [
        ("model_id", model.as_str()),
        ("deployment_id", &second),
        ("environment", "production"),
        ("strategy", "direct"),
    ];
    // Unchecked, it is sent as nothing, and a copy has the environment's.
    world.act("promote", &fields).await.ok();
    let moved = |seen: &Value| {
        !seen["current_deployment"].is_null() && seen["current_deployment"]["id"] != first.as_str()
    };
    let seen = world.until(&production, moved).await;
    assert_ne!(seen["current_deployment"]["id"], second.as_str());
    assert_eq!(seen["instance_type"]["id"], "large");
    // Checked, the environment gets the deployment's.
    world.act("promote", &[&fields[..], &[("keep_own_instance_type", "true")]].concat()).await.ok();
    let seen = world.until(&production, |seen| seen["current_deployment"]["id"] == second.as_str()).await;
    assert_eq!(seen["instance_type"]["id"], "small");
    world.stop().await;
}

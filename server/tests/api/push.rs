//! The push client's conversation, with the texts it sends.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{Call, World, archive, archive_of, client, config, pushed, with_key};

#[tokio::test]
async fn a_first_push_becomes_active_and_takes_production() {
    let world = World::start().await;
    let whoami = world.ask(client::query(client::WHOAMI)).await;
    assert_eq!(whoami["data"]["organization"]["workspace_name"], "Slipway");
    let teams = world.ask(client::query(client::TEAMS)).await;
    let instances = world.ask(client::query(client::INSTANCES)).await;
    assert!(instances["data"]["listedInstances"][0]["millicpuLimit"].is_number(), "{instances}");
    let team = teams["data"]["teams"][0].clone();
    assert_eq!(team["default"], true);
    assert_eq!(world.ask(client::query(client::MODELS)).await["data"]["models"], json!([]));
    let verdict = world.ask(client::validation(&config(""))).await;
    assert_eq!(verdict["data"]["truss_validation"]["success"], true, "{verdict}");
    let details = verdict["data"]["truss_validation"]["details"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(details).unwrap()["errors"], json!([]));

    let (model, deployment) = world.push(Ok("Echo"), "").await;
    let seen = world.reaches(&model, &deployment, "ACTIVE").await;
    assert_eq!(seen["name"], "deployment-1");
    world
        .until(&format!("/v1/models/{model}"), |model| {
            model["production_deployment_id"] == deployment.as_str()
        })
        .await;

    let listed = world.ask(client::query(client::MODELS)).await;
    assert_eq!(
        listed["data"]["models"][0]["team"]["id"], team["id"],
        "the client matches models by their team"
    );
    let found = world.ask(client::model_by_name("Echo")).await["data"]["model"].clone();
    assert_eq!(found["hostname"], format!("http://{}/model/{model}", world.host()));
    let version = &found["versions"][0];
    assert_eq!((&version["is_primary"], &version["is_draft"]), (&json!(true), &json!(false)));
    assert_eq!(version["current_model_deployment_status"]["status"], "MODEL_READY");
    let primary = world.ask(client::model_by_id(&model)).await;
    assert_eq!(primary["data"]["model"]["primary_version"]["id"], deployment.as_str());
    let one = world.ask(client::version(&deployment)).await;
    assert_eq!(one["data"]["model_version"]["oracle"]["name"], "Echo");

    let call =
        Call::new("POST", format!("/model/{model}/production/predict")).json(&json!({ "hello": "world" }));
    let answer = world.send(with_key(call)).await.ok();
    assert!(answer["input"].as_str().unwrap().contains("hello"), "{answer}");
    world.stop().await;
}

#[tokio::test]
async fn uploads_are_told_where_to_go() {
    let world = World::start().await;
    let credentials = world.credentials().await.0;
    assert_eq!(credentials["endpoint_url"], format!("http://{}/s3", world.host()));
    assert!(credentials["region_name"].is_string());
    world.stop().await;
}

#[tokio::test]
async fn a_second_push_takes_the_name_it_was_given() {
    let world = World::start().await;
    let (model, first) = world.push(Ok("Named"), "version_name: \"blue\"").await;
    world.reaches(&model, &first, "ACTIVE").await;
    let (_, second) = world.push(Err(&model), "name: \"green\"").await;
    world.reaches(&model, &second, "ACTIVE").await;
    let mut names: Vec<String> =
        world.get(&format!("/v1/models/{model}/deployments")).await.ok()["deployments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|deployment| deployment["name"].as_str().unwrap().to_owned())
            .collect();
    names.sort();
    assert_eq!(names, ["blue", "green"]);
    assert_eq!(world.deployment(&model, &first).await["labels"], json!({ "team": "a" }));
    world.stop().await;
}

#[tokio::test]
async fn a_push_for_development_fills_the_one_slot() {
    let world = World::start().await;
    let key = world.upload(archive()).await;
    let (model, draft) = pushed(&world.ask(client::deploy_draft("Draft", &key, &config(""))).await);
    let seen = world.reaches(&model, "development", "ACTIVE").await;
    assert_eq!((seen["id"].as_str(), seen["is_development"].as_bool()), (Some(draft.as_str()), Some(true)));
    let found = world.ask(client::model_by_name("Draft")).await["data"]["model"]["versions"][0].clone();
    assert_eq!(found["is_draft"], true);
    for name in ["truss_hash", "truss_signature"] {
        assert!(found[name].as_str().is_some_and(|text| !text.is_empty()), "{name} in {found}");
    }
    let state = world.ask(client::watch_state(&model)).await["data"]["truss_watch_state"].clone();
    assert_eq!(state["is_container_built_from_push"], true);
    world.stop().await;
}

#[tokio::test]
async fn a_value_of_the_wrong_kind_is_told_what_it_has_to_be() {
    let world = World::start().await;
    let key = world.upload(archive()).await;
    let range = "deploy_timeout_minutes: has to be a whole number from 10 to 1440";
    for (argument, says) in [
        ("deploy_timeout_minutes: \"abc\"", range),
        ("deploy_timeout_minutes: 99999999999999999999", range),
        (
            "deploy_timeout_minutes: 99999999999",
            "deploy_timeout_minutes: 99999999999 is not within 10 to 1440",
        ),
        ("deploy_timeout_minutes: -1", "deploy_timeout_minutes: -1 is not within 10 to 1440"),
        ("version_name: 5", "version_name: has to be a text"),
    ] {
        let answer = world.ask(client::create_model("Other", &key, &config(""), argument)).await;
        let error = &answer["errors"][0];
        assert_eq!(error["message"], says, "{answer}");
        assert_eq!(error["extensions"]["code"], "VALIDATION_ERROR", "{answer}");
    }
    let text = "mutation ($minutes: Int) {
        create_model_from_truss(name: \"m\", s3_key: \"k\", config: \"e30=\", deploy_timeout_minutes: $minutes) {
            model_version { id }
        }
    }";
    let answer = world.ask(json!({ "query": text, "variables": { "minutes": "abc" } })).await;
    assert_eq!(answer["errors"][0]["message"], range, "{answer}");
    world.stop().await;
}

#[tokio::test]
async fn refusals_say_what_to_do_and_never_break_the_client() {
    let world = World::start().await;
    let (model, _) = world.push(Ok("Taken"), "").await;
    let key = world.upload(archive()).await;
    let cases = [
        (client::create_model("Taken", &key, &config(""), ""), "Taken"),
        (client::create_model("Other", "no-such-upload.tgz", &config(""), ""), "s3_key"),
        (client::create_model("Other", &key, "not base64!", ""), "config"),
        (client::create_model("Other", &key, &config(""), "version_name: \"a b\""), "name"),
        (
            client::create_model("Other", &key, &config(""), "deploy_timeout_minutes: 5"),
            "deploy_timeout_minutes",
        ),
        (client::create_version("nobody", &key, &config(""), ""), "nobody"),
        (client::create_version(&model, &key, &config(""), "environment_name: \"staging\""), "staging"),
        (client::model_by_name("No such model"), "No such model"),
        (client::version("nothing"), "nothing"),
    ];
    for (body, about) in cases {
        let answer = world.ask(body.clone()).await;
        let error = &answer["errors"][0];
        let text =
            error["extensions"]["description"].as_str().or(error["message"].as_str()).unwrap_or_default();
        assert!(text.contains(about), "{about}: {answer}");
        assert!(error["extensions"]["code"].is_string(), "{answer}");
    }
    let missing = world.ask(client::model_by_name("No such model")).await;
    assert_eq!(missing["errors"][0]["extensions"]["code"], "RESOURCE_NOT_FOUND");
    let quote = world.ask(client::model_by_name("a\"b")).await;
    assert!(quote["errors"][0]["message"].is_string(), "a syntax error is an answer: {quote}");
    let nonsense = world.send(with_key(Call::new("POST", "/graphql/")).body("{")).await;
    assert_eq!(nonsense.status, 400);

    // What was refused used nothing up: the same archive can be pushed now.
    pushed(&world.ask(client::create_model("Other", &key, &config(""), "")).await);
    world.stop().await;
}

#[tokio::test]
async fn a_failed_build_says_why() {
    let world = World::start().await;
    let key = world.upload(archive()).await;
    let (model, deployment) =
        pushed(&world.ask(client::create_model("Broken", &key, &config("broken"), "")).await);
    let seen = world.reaches(&model, &deployment, "BUILD_FAILED").await;
    assert!(seen["status_reason"].as_str().unwrap().contains("the description says so"), "{seen}");
    world.stop().await;
}

#[tokio::test]
async fn an_archive_that_leaves_its_folder_is_refused() {
    let world = World::start().await;
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    // Written by hand: the builder refuses such a name itself.
    let name = b"../../escaped.txt";
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_size(1);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append(&header, &b"x"[..]).unwrap();
    let key = world.upload(builder.into_inner().unwrap().into()).await;
    let answer = world.ask(client::create_model("Escape", &key, &config(""), "")).await;
    assert!(answer["errors"][0]["message"].is_string(), "{answer}");
    assert_eq!(
        world.ask(client::query(client::MODELS)).await["data"]["models"],
        json!([]),
        "nothing was recorded"
    );
    world.stop().await;
}

#[tokio::test]
async fn an_environment_can_be_named_by_the_push() {
    let world = World::start().await;
    let (model, first) = world.push(Ok("Envs"), "").await;
    world.reaches(&model, &first, "ACTIVE").await;
    world.rest("POST", &format!("/v1/models/{model}/environments"), json!({ "name": "staging" })).await.ok();
    let (_, second) = world.push(Err(&model), "environment_name: \"staging\"").await;
    let path = format!("/v1/models/{model}/environments/staging");
    let staging = world.until(&path, |staging| staging["current_deployment"]["id"] == second.as_str()).await;
    assert_eq!(staging["current_deployment"]["environment"], "staging");
    let plain = STANDARD.encode("{}");
    let verdict = world.ask(client::validation(&plain)).await;
    assert!(verdict["data"]["truss_validation"]["details"].is_string(), "{verdict}");
    world.stop().await;
}

#[tokio::test]
async fn a_list_of_ignored_files_that_can_not_be_kept_is_refused_by_name() {
    let world = World::start().await;
    let endless: String = (0..2_001).map(|line| format!("*.{line}\n")).collect();
    let files = [
        ("config.yaml", "model_name: Draft\n"),
        ("model/model.py", "class Model:\n    pass\n"),
        (".truss_ignore", endless.as_str()),
    ];
    let key = world.upload(archive_of(&files)).await;
    let answer = world.ask(client::deploy_draft("Draft", &key, &config(""))).await;
    let refusal = answer["errors"][0]["message"].as_str().unwrap();
    assert!(refusal.contains("archive: .truss_ignore: "), "{refusal}");
    assert!(!refusal.contains("server"), "it is the push that has to change: {refusal}");
    assert_eq!(world.get("/v1/models").await.ok()["models"], serde_json::json!([]), "nothing is left of it");
    world.stop().await;
}

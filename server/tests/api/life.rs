//! Environments, replicas and usage, as the dashboard handles them.

use serde_json::{Value, json};

use crate::support::{Call, World, with_key};

/// A model whose first deployment serves production.
async fn serving(world: &World, name: &str) -> (String, String) {
    let (model, deployment) = world.push(Ok(name), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == deployment.as_str()).await;
    (model, deployment)
}

async fn environment(world: &World, model: &str, name: &str) -> Value {
    world.get(&format!("/api/ui/environment?model_id={model}&environment={name}")).await.ok()
}

#[tokio::test]
async fn an_environment_is_switched_off_and_on_with_what_it_serves() {
    let world = World::start().await;
    let (model, deployment) = serving(&world, "Switched").await;
    let predict =
        || with_key(Call::new("POST", format!("/model/{model}/production/predict"))).json(&json!({}));
    let fields = [("model_id", model.as_str()), ("environment", "production")];
    assert_eq!(environment(&world, &model, "production").await["actions"]["deactivate"], "Allowed");

    let off = world.act("deactivate_environment", &fields).await;
    assert_eq!(off.status, 200, "{}", off.text());
    assert_eq!(world.send(predict()).await.status, 404, "as soon as the answer was given");
    let page = environment(&world, &model, "production").await;
    assert_eq!(page["actions"]["activate"], "Allowed");
    assert!(page["actions"]["deactivate"]["Refused"].as_str().unwrap().contains("inactive already"));
    assert!(page["sample"]["Refused"].as_str().unwrap().contains("activate it first"));

    assert_eq!(world.act("activate_environment", &fields).await.status, 200);
    world.reaches(&model, &deployment, "ACTIVE").await;
    assert_eq!(world.send(predict()).await.status, 200);

    world.act("create_environment", &[("model_id", &model), ("name", "empty")]).await.ok();
    let nothing = world.act("activate_environment", &[("model_id", &model), ("environment", "empty")]).await;
    assert_eq!(nothing.status, 404, "{}", nothing.text());
    assert!(nothing.text().contains("nothing is promoted to empty yet"), "{}", nothing.text());
    world.stop().await;
}

#[tokio::test]
async fn rolling_back_to_what_is_inactive_is_one_act() {
    let world = World::start().await;
    let (model, first) = serving(&world, "Back").await;
    let (_, second) = world.push(Err(&model), "").await;
    world.reaches(&model, &second, "ACTIVE").await;
    let promote = async |deployment: &str| {
        let fields = [
            ("model_id", model.as_str()),
            ("deployment_id", deployment),
            ("environment", "production"),
            ("strategy", "direct"),
        ];
        world.act("promote", &fields).await.ok();
        let production = format!("/v1/models/{model}/environments/production");
        world.until(&production, |seen| seen["current_deployment"]["id"] == deployment).await;
    };
    promote(&second).await;
    let off = format!("/v1/models/{model}/deployments/{first}/deactivate");
    world.send(with_key(Call::new("POST", off))).await.ok();
    world.reaches(&model, &first, "INACTIVE").await;

    let page = world.get(&format!("/api/ui/model?model_id={model}")).await.ok();
    let choices = page["choices"]["deployments"].as_array().unwrap();
    let before = choices.iter().find(|choice| choice["id"] == first.as_str()).expect("it may be chosen");
    assert!(before["name"].as_str().unwrap().ends_with("(inactive)"), "{before}");
    promote(&first).await;
    world.reaches(&model, &first, "ACTIVE").await;
    world.stop().await;
}

#[tokio::test]
async fn an_environment_owns_its_scaling() {
    let world = World::start().await;
    let (model, _) = serving(&world, "Owned").await;
    let made = [
        ("model_id", model.as_str()),
        ("name", "staging"),
        ("min_replica", "1"),
        ("max_replica", "4"),
        ("ramp_up_while_promoting", "true"),
        ("ramp_up_duration", "90s"),
        ("rolling_deploy", "true"),
        ("max_surge_percent", "0"),
        ("max_unavailable_percent", "50"),
        ("replica_overhead_percent", "100"),
    ];
    let both = [&made[..], &[("max_surge_percent", "25")]].concat();
    let both: Vec<_> = both.into_iter().filter(|field| *field != ("max_surge_percent", "0")).collect();
    let refused = world.act("create_environment", &both).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("max_unavailable_percent"), "{}", refused.text());
    world.act("create_environment", &made).await.ok();
    let page = environment(&world, &model, "staging").await;
    let rolling = &page["settings"]["rolling_deploy_config"];
    assert_eq!(page["settings"]["rolling_deploy"], true);
    assert_eq!((&rolling["max_surge_percent"], &rolling["max_unavailable_percent"]), (&json!(0), &json!(50)));
    assert_eq!(rolling["replica_overhead_percent"], 100);
    assert_eq!((&page["scaling"]["min_replica"], &page["scaling"]["max_replica"]), (&json!(1), &json!(4)));
    assert_eq!(page["settings"]["ramp_up_duration_seconds"], 90);
    assert_eq!(page["settings"]["ramp_up_while_promoting"], true);

    let update = |value: &'static str| {
        let fields = [("model_id", model.clone()), ("environment", "staging".into())];
        let world = &world;
        async move {
            let mut fields: Vec<(&str, &str)> =
                fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            fields.push(("concurrency_target", value));
            world.act("update_environment_autoscaling", &fields).await
        }
    };
    assert_eq!(update("10").await.status, 200);
    assert_eq!(environment(&world, &model, "staging").await["scaling"]["concurrency_target"], 10);
    let refused = update("0").await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("concurrency_target"), "{}", refused.text());

    let mistyped = [("model_id", model.as_str()), ("environment", "staging"), ("confirm", "stagin")];
    assert_eq!(world.act("delete_environment", &mistyped).await.status, 400);
    let typed = [("model_id", model.as_str()), ("environment", "staging"), ("confirm", "staging")];
    world.act("delete_environment", &typed).await.ok();
    assert_eq!(world.get(&format!("/v1/models/{model}/environments/staging")).await.status, 404);

    let page = environment(&world, &model, "production").await;
    assert!(page["actions"]["delete"]["Refused"].as_str().unwrap().contains("stays as long as its model"));
    let production = [("model_id", model.as_str()), ("environment", "production"), ("confirm", "production")];
    assert_eq!(world.act("delete_environment", &production).await.status, 409);
    world.stop().await;
}

#[tokio::test]
async fn a_replica_is_terminated_and_replaced() {
    let world = World::start().await;
    let (model, deployment) = serving(&world, "Replaced").await;
    let base = format!("/v1/models/{model}/deployments/{deployment}");
    let replicas = format!("/api/ui/replicas?model_id={model}&deployment_id={deployment}");
    let seen =
        world.until(&replicas, |seen| seen["copies"].as_array().is_some_and(|all| all.len() == 1)).await;
    let first = seen["copies"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(seen["copies"][0]["terminate"], "Allowed");

    let unknown = world.rest("DELETE", &format!("{base}/replicas/nobody"), json!({})).await;
    assert_eq!(unknown.status, 404, "{}", unknown.text());
    assert!(unknown.text().contains("no replica `nobody`"), "{}", unknown.text());

    let path = format!("{base}/replicas/{first}");
    assert_eq!(world.rest("DELETE", &path, json!({})).await.ok(), json!({ "success": true }));
    let another = |seen: &Value| {
        let copies = seen["copies"].as_array().unwrap();
        copies.len() == 1 && copies[0]["id"] != first.as_str()
    };
    world.until(&replicas, another).await;
    let predict = with_key(Call::new("POST", format!("/model/{model}/production/predict"))).json(&json!({}));
    assert_eq!(world.send(predict).await.status, 200);
    assert_eq!(world.rest("DELETE", &path, json!({})).await.status, 404, "it is gone");

    let events = world.events().await;
    let ended = events.iter().filter(|event| event.sentence.contains(&first)).collect::<Vec<_>>();
    assert_eq!(ended.len(), 1, "its end is no crash: {ended:?}");
    assert_eq!(ended[0].kind, domain::EventKind::ReplicaTerminated);
    world.stop().await;
}

#[tokio::test]
async fn sample_traffic_is_sent_once_at_a_time() {
    let world = World::start().await;
    let (model, _) = serving(&world, "Sampled").await;
    let fields = [("model_id", model.as_str()), ("environment", "production")];
    let begun = world.act("send_sample_traffic", &fields).await;
    assert_eq!(begun.status, 200, "{}", begun.text());
    let again = world.act("send_sample_traffic", &fields).await;
    assert_eq!(again.status, 409, "{}", again.text());
    let path = format!("/api/ui/environment?model_id={model}&environment=production");
    let page = world.until(&path, |page| page["sample_run"]["answered"].as_u64() >= Some(2)).await;
    assert_eq!(page["sample_run"]["failed"], 0, "{page}");
    assert_eq!(page["sample_run"]["of"], 100);
    world.stop().await;
}

#[tokio::test]
async fn usage_is_a_file_for_whoever_may_look() {
    let world = World::start().await;
    serving(&world, "=1+1").await;
    let nobody = world.send(Call::new("GET", "/api/ui/usage.csv")).await;
    assert_eq!(nobody.status, 401);
    let file = world.get("/api/ui/usage.csv?days=7").await;
    assert_eq!(file.status, 200, "{}", file.text());
    assert!(file.headers["content-type"].to_str().unwrap().starts_with("text/csv"));
    let disposition = file.headers["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("attachment; filename=\"slipway-usage-"), "{disposition}");
    let text = file.text();
    assert!(text.starts_with("date,model_id,model,deployment_id,"), "{text}");
    assert!(text.ends_with("\r\n"));
    assert!(!text.contains(",=1+1"), "no field is a formula: {text}");
    let refused = world.get("/api/ui/usage.csv?days=32").await;
    assert_eq!(refused.status, 400);
    let page = world.get("/api/ui/usage?days=7").await.ok();
    assert_eq!(page["by_day"].as_array().unwrap().len(), 7);
    world.stop().await;
}

#[tokio::test]
async fn the_development_deployment_is_published_and_scaled_within_bounds() {
    let world = World::start().await;
    let key = world.upload(crate::support::archive()).await;
    let body = crate::support::client::deploy_draft("Draft", &key, &crate::support::config(""));
    let (model, draft) = crate::support::pushed(&world.ask(body).await);
    world.reaches(&model, "development", "ACTIVE").await;
    let page = world.get(&format!("/api/ui/model?model_id={model}")).await.ok();
    let actions = &page["development"]["deployment"]["actions"];
    assert_eq!(actions["publish"], "Allowed", "{actions}");
    assert!(actions["rename"]["Refused"].as_str().unwrap().contains("keeps its name"), "{actions}");

    let fields = [("model_id", model.as_str()), ("deployment_id", draft.as_str()), ("name", "first-copy")];
    let done = world.act("publish", &fields).await;
    assert_eq!(done.status, 200, "{}", done.text());
    let page = world.get(&format!("/api/ui/model?model_id={model}")).await.ok();
    let copy = &page["deployments"][0];
    assert_eq!((&copy["name"], &copy["actions"]["publish"]), (&json!("first-copy"), &Value::Null));
    let taken = world.act("publish", &fields).await;
    assert_eq!(taken.status, 400, "{}", taken.text());

    let delay = [("model_id", model.as_str()), ("deployment_id", draft.as_str()), ("scale_down_delay", "60")];
    assert_eq!(world.act("update_autoscaling", &delay).await.status, 200);
    let max = [("model_id", model.as_str()), ("deployment_id", draft.as_str()), ("max_replica", "2")];
    let refused = world.act("update_autoscaling", &max).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("promote it to scale it"), "{}", refused.text());
    world.stop().await;
}

#[tokio::test]
async fn scaling_is_explained_with_what_it_was_computed_from() {
    let world = World::start().await;
    let (model, deployment) = serving(&world, "Explained").await;
    let path = format!("/api/ui/scaling?model_id={model}&deployment_id={deployment}&hours=1");
    let page = world.until(&path, |page| page["counts"].as_array().is_some_and(|all| !all.is_empty())).await;
    assert_eq!(page["counts"][0]["wanted"], 1, "{page}");
    let raise = json!({ "autoscaling_settings": { "min_replica": 2, "max_replica": 2 } });
    world.rest("PATCH", &format!("/v1/models/{model}/environments/production"), raise).await.ok();
    let page = world.until(&path, |page| page["decisions"][1]["applied"] == 2).await;
    let (first, decision) = (&page["decisions"][0], &page["decisions"][1]);
    assert!(decision["inputs"].to_string().contains("the least allowed, 2"), "{decision}");
    assert!(first["sentence"].as_str().unwrap().contains("from 0 to 1 replica: it was built"), "{first}");
    assert_eq!(first["inputs"], json!([]), "{first}");

    // What follows from something else than load says from what.
    let second = world.push(Err(&model), "").await.1;
    world.reaches(&model, &second, "ACTIVE").await;
    let path = format!("/api/ui/scaling?model_id={model}&deployment_id={second}&hours=1");
    for (action, because) in [("deactivate", "it was deactivated"), ("activate", "it was activated")] {
        let target = format!("/v1/models/{model}/deployments/{second}/{action}");
        world.send(with_key(Call::new("POST", target))).await.ok();
        world.until(&path, |page| page["decisions"].to_string().contains(because)).await;
    }
    let refused =
        world.get(&format!("/api/ui/scaling?model_id={model}&deployment_id={deployment}&hours=169")).await;
    assert_eq!(refused.status, 400);
    world.stop().await;
}

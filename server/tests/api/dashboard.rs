//! Pages, their functions and their streams, as a browser meets them.

use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::json;

use crate::support::{Call, KEY, World, with_key};

/// Signs in as the form does; answers the cookie.
async fn signed_in(world: &World) -> String {
    let call = Call::new("POST", "/api/ui/sign_in")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("key={KEY}"));
    let answer = world.send(call).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let cookie = answer.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn pages_arrive_whole_and_guarded() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Pages"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let cookie = signed_in(&world).await;
    for (path, holds) in [
        ("/models".to_owned(), "Pages"),
        (format!("/models/{model}"), "deployment-1"),
        (format!("/models/{model}/environments/production"), "production"),
        (format!("/models/{model}/environments/production/logs"), "Logs of production"),
        (format!("/models/{model}/deployments/{deployment}"), "deployment-1"),
        ("/usage".to_owned(), "Usage"),
    ] {
        let answer = world.send(Call::new("GET", path.clone()).header("cookie", cookie.clone())).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.text().contains(holds), "{holds} in {path}");
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("'nonce-"), "{policy}");
        assert!(!policy.contains("'nonce-'"), "the nonce is not empty: {policy}");
    }
    let missing =
        world.send(Call::new("GET", "/models/no-such-model").header("cookie", cookie.clone())).await;
    assert_eq!(missing.status, 404, "{}", missing.text());
    let nowhere = world.send(Call::new("GET", "/no/such/page").header("cookie", cookie)).await;
    assert_eq!(nowhere.status, 404);
    world.stop().await;
}

#[tokio::test]
async fn what_a_page_shows_is_read_and_carried_once() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Once"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let html = async |path: String| {
        world.send(with_key(Call::new("GET", path)).header("accept", "text/html")).await.text()
    };
    // Who looks and the page; on a deployment's page its log as well.
    for (path, parts) in
        [(format!("/models/{model}"), 2), (format!("/models/{model}/deployments/{deployment}"), 3)]
    {
        let page = html(path.clone()).await;
        let carried = page.split("__PENDING_RESOURCES=[").nth(1).unwrap().split(']').next().unwrap();
        let ids: Vec<&str> = carried.split(',').filter(|id| !id.is_empty()).collect();
        assert_eq!(ids.len(), parts, "{path} carries {ids:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_row_leads_to_the_page_that_has_its_menu() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Menus"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let html = async |path: String| {
        world.send(with_key(Call::new("GET", path)).header("accept", "text/html")).await.text()
    };
    let own = format!("/models/{model}/deployments/{deployment}");
    let list = html(format!("/models/{model}")).await;
    let row = list.split("<tr aria-label=\"deployment-1\"").nth(1).unwrap().split("</tr>").next().unwrap();
    assert_eq!(row.matches(&format!("href=\"{own}\"")).count(), 2, "its name and its actions: {row}");
    assert!(row.contains("Actions for deployment-1"), "{row}");
    assert!(row.len() < 2000, "a row is {} bytes: {row}", row.len());
    let menu = format!("id=\"menu-{deployment}\"");
    assert!(!list.contains(&menu), "the menu is made when it is used");
    let page = html(own).await;
    assert!(page.contains(&menu), "here it is there");
    for action in ["promote", "rename", "retry", "activate", "deactivate", "delete"] {
        let asks = format!("name=\"dialog\" value=\"{action}\"");
        assert!(page.contains(&asks), "{action} is missing on the deployment's page");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_cookie_never_calls_a_model() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Cookie"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let cookie = signed_in(&world).await;
    let call = Call::new("POST", format!("/model/{model}/production/predict"))
        .header("cookie", cookie.clone())
        .json(&json!({}));
    assert_eq!(world.send(call).await.status, 401);
    let tried = Call::new("POST", "/api/ui/try")
        .header("cookie", cookie)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("model_id={model}&deployment_id={deployment}&input=%7B%22a%22%3A1%7D"));
    let tried = world.send(tried).await.ok();
    assert_eq!(tried["status"], 200, "{tried}");
    assert!(tried["body"].as_str().unwrap().contains("replica"), "{tried}");
    world.stop().await;
}

#[tokio::test]
async fn a_change_reaches_the_browser_and_the_stream_ends_with_the_server() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Live"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("/api/ui/events")
        .header("host", world.host())
        .header("authorization", format!("Bearer {KEY}"))
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    let mut answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    world.rest("POST", &format!("/v1/models/{model}/environments"), json!({ "name": "staging" })).await.ok();
    let mut heard = String::new();
    while !heard.contains(&model) {
        let frame = answer.body_mut().frame().await.expect("the stream goes on").unwrap();
        heard.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap()));
    }
    assert!(heard.contains("\"kind\":\"model\""), "{heard}");
    world.stop().await;
    while let Some(Ok(_)) = answer.body_mut().frame().await {}
}

#[tokio::test]
async fn the_first_page_says_how_to_push() {
    let world = World::start().await;
    let page = world.send(with_key(Call::new("GET", "/api/ui/models"))).await.ok();
    let commands = page["first_run"]["commands"].to_string();
    assert!(commands.contains("truss push") && commands.contains(&world.host()), "{commands}");
    assert_eq!(world.send(Call::new("GET", "/healthz")).await.ok()["status"], "ok");
    world.stop().await;
}

#[tokio::test]
async fn a_number_that_is_none_is_refused_with_its_name_and_range() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Numbers"), "").await;
    let of_deployment = [("model_id", model.as_str()), ("deployment_id", deployment.as_str())];
    let of_environment = [("model_id", model.as_str()), ("environment", "production")];
    let promotion = [
        ("model_id", model.as_str()),
        ("environment", "production"),
        ("ramp_up_duration", "10m"),
        ("promotion_cleanup_strategy", "KEEP"),
    ];
    let new = [("model_id", model.as_str()), ("name", "staging")];
    for (function, fields, name, value, range) in [
        ("update_autoscaling", &of_deployment[..], "max_replica", "two", "from 1 to 1000"),
        ("update_autoscaling", &of_deployment[..], "scale_down_delay", "1.5", "from 0 to 3600"),
        (
            "update_environment_autoscaling",
            &of_environment[..],
            "concurrency_target",
            "99999999999999999999",
            "from 1 to 1000000",
        ),
        ("update_promotion_settings", &promotion[..], "max_surge_percent", "half", "from 0 to 50"),
        ("create_environment", &new[..], "max_replica", "many", "from 1 to 1000"),
    ] {
        let refused = world.act(function, &[fields, &[(name, value)]].concat()).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        let says = format!("has to be a whole number {range}, written in digits");
        let told = refused.json();
        assert_eq!((&told["field"], &told["message"]), (&json!(name), &json!(says)), "{function}");
    }
    let outside = world.act("create_environment", &[&new[..], &[("max_replica", "1001")]].concat()).await;
    assert_eq!(outside.json()["message"], "1001 is not within 1 to 1000");
    world.stop().await;
}

#[tokio::test]
async fn what_a_form_lacks_or_has_wrong_is_refused_by_its_field() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Fields"), "").await;
    let of_deployment = [("model_id", model.as_str()), ("deployment_id", deployment.as_str())];
    let promote = [&of_deployment[..], &[("environment", "production"), ("strategy", "direct")]].concat();
    let settings = [
        ("model_id", model.as_str()),
        ("environment", "production"),
        ("ramp_up_duration", "10m"),
        ("promotion_cleanup_strategy", "KEEP"),
    ];
    let new = [("model_id", model.as_str()), ("name", "staging")];
    for (function, fields, name) in [
        ("promote", &promote[..], "keep_own_instance_type"),
        ("update_promotion_settings", &settings[..], "ramp_up_while_promoting"),
        ("update_promotion_settings", &settings[..], "rolling_deploy"),
        ("update_promotion_settings", &settings[..], "redeploy_on_promotion"),
        ("update_promotion_settings", &settings[..], "stop_on_errors"),
        ("create_environment", &new[..], "rolling_deploy"),
        ("create_environment", &new[..], "restricted"),
        ("restrict_environment", &[("environment", "production")][..], "restricted"),
    ] {
        let refused = world.act(function, &[fields, &[(name, "maybe")]].concat()).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        let told = refused.json();
        assert_eq!(told["field"], name, "{function}: {told}");
        assert!(told["message"].as_str().unwrap().contains("`true` or `false`"), "{function}: {told}");
    }
    for (function, fields, name) in [
        ("rename", &of_deployment[..], "name"),
        ("promote", &promote[..3], "strategy"),
        ("update_promotion_settings", &settings[..3], "promotion_cleanup_strategy"),
        ("restrict_environment", &new[..0], "environment"),
    ] {
        let refused = world.act(function, fields).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        let told = refused.json();
        assert_eq!(told["field"], name, "{function}: {told}");
        assert_eq!(told["message"], "is missing; it has to be given", "{function}");
    }
    let twice = world.act("rename", &[&of_deployment[..], &[("name", "a"), ("name", "b")]].concat()).await;
    assert_eq!(twice.status, 400, "{}", twice.text());
    assert_eq!((&twice.json()["field"], twice.text().contains("more than once")), (&json!("name"), true));

    for (length, field, says) in [
        ("soon", "ramp_up_duration", "`soon` is not a length of time; write 10m, 90s, 1h or 600"),
        ("8d", "ramp_up_duration_seconds", "691200 is not within 0 to 604800"),
    ] {
        let sent = [&settings[..2], &settings[3..], &[("ramp_up_duration", length)]].concat();
        let refused = world.act("update_promotion_settings", &sent).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        let told = refused.json();
        assert_eq!((&told["field"], &told["message"]), (&json!(field), &json!(says)));
    }
    // As the environment's page writes what was set by the API.
    let direct = [&settings[..2], &settings[3..], &[("ramp_up_duration", "0s")]].concat();
    world.act("update_promotion_settings", &direct).await.ok();

    // A box without a value is sent as `on`.
    world.act("create_environment", &[&new[..], &[("rolling_deploy", "on")]].concat()).await.ok();
    let staging = world.get(&format!("/v1/models/{model}/environments/staging")).await.ok();
    assert_eq!(staging["promotion_settings"]["rolling_deploy"], true, "{staging}");
    assert_eq!(staging["promotion_settings"]["ramp_up_while_promoting"], false, "{staging}");
    world.stop().await;
}

#[tokio::test]
async fn what_a_query_has_wrong_is_refused_by_its_field() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Queries"), "").await;
    let of = format!("model_id={model}&deployment_id={deployment}");
    for (asked, field, says) in [
        (format!("scaling?{of}&hours=two"), "hours", "`two` is not a whole number from 1 to 168"),
        (format!("scaling?{of}&hours=1.5"), "hours", "`1.5` is not a whole number from 1 to 168"),
        (format!("scaling?{of}&hours=169"), "hours", "169 is not within 1 to 168"),
        (format!("scaling?{of}"), "hours", "is missing; it has to be given"),
        ("usage?days=week".into(), "days", "`week` is not a whole number from 1 to 31"),
        ("usage?days=0".into(), "days", "0 is not within 1 to 31"),
        (format!("logs?{of}&after=here"), "after", "has to be a whole number, written in digits"),
        (
            format!("logs?{of}&before=99999999999999999999"),
            "before",
            "has to be a whole number, written in digits",
        ),
        (
            "models?cursor=nowhere".into(),
            "cursor",
            "this is no cursor of this list; leave it out to begin anew",
        ),
    ] {
        let refused = world.get(&format!("/api/ui/{asked}")).await;
        assert_eq!(refused.status, 400, "{asked}: {}", refused.text());
        let told = refused.json();
        assert_eq!((&told["field"], &told["message"]), (&json!(field), &json!(says)), "{asked}");
    }
    let file = world.get("/api/ui/usage.csv?days=week").await;
    assert_eq!(file.status, 400, "{}", file.text());
    assert!(file.text().contains("days: `week` is not a whole number from 1 to 31"), "{}", file.text());
    for (days, says) in [
        ("week", "days: `week` is not a whole number from 1 to 31"),
        ("400", "days: 400 is not within 1 to 31"),
    ] {
        let page = world.get(&format!("/usage?days={days}")).await;
        assert_eq!(page.status, 400, "{days}: {}", page.text());
        assert!(page.text().contains(says), "{}", page.text());
    }
    assert_eq!(world.get("/usage?days=").await.status, 200, "what is left empty is a week");
    let page = world.get(&format!("/api/ui/scaling?{of}&hours=168")).await.ok();
    assert_eq!(page["hours"], 168);
    world.stop().await;
}

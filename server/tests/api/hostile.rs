//! Every door, asked what nobody would ask on purpose: an answer always, and never one of 500 or more.

mod bodies;
mod line;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Call, KEY, World, client, with_key};
use line::{HUNG, Line};

/// How many tests share the cases.
const DOORS: u32 = 7;

/// As many values of a strategy as each test gets.
fn many<S: Strategy>(strategy: S) -> impl Iterator<Item = S::Value> {
    let mut runner = TestRunner::default();
    (0..mangle::cases() / DOORS).map(move |_| strategy.new_tree(&mut runner).unwrap().current())
}

/// A model to ask about.
async fn prepared(name: &str) -> (World, String, String) {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok(name), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    (world, model, deployment)
}

async fn still_serves(world: World) {
    assert_eq!(world.send(Call::new("GET", "/healthz")).await.status, 200);
    assert_eq!(world.get("/v1/models").await.status, 200);
    world.stop().await;
}

#[tokio::test]
async fn paths_and_queries() {
    let (world, model, deployment) = prepared("Queries").await;
    let of = format!("/v1/models/{model}");
    let paths = [
        format!(
            "{of}/deployments/{deployment}/logs?start_epoch_millis=1&limit=5&includes=a&search_pattern=x"
        ),
        format!("{of}/deployments/{deployment}/metrics?mode=SERIES&metrics=baseten_replicas_active"),
        format!("{of}/audit_logs?limit=5&sources=UI&cursor=desc.1.a"),
        format!(
            "{of}/deployments/{deployment}/startups?start_epoch_millis=1&end_epoch_millis=9000000000000&limit=5\
             &outcomes=SUCCESS&phase=READINESS&sort_by=DURATION&direction=asc&search=x&min_duration_ms=1"
        ),
        format!("{of}/environments/production/startups/summary?start_epoch_millis=1&end_epoch_millis=2"),
        format!("{of}/environments/production/startups?start_epoch_millis=1&end_epoch_millis=2&cursor=1.a"),
        "/v1/billing/usage_summary?start_date=2026-01-01T00:00:00Z&end_date=2026-01-02T00:00:00Z".to_owned(),
        format!("/api/ui/logs?model_id={model}&deployment_id={deployment}&search=a%20-b&before=17"),
        format!("/api/ui/log_file?model_id={model}&deployment_id={deployment}&level=ERROR"),
        format!("/api/ui/log_file?model_id={model}&environment=production&after=17~abcdefg.23"),
        "/api/ui/activity.csv?group=ENVIRONMENT_SETTINGS&from=2026-01-31".to_owned(),
        format!("/models/{model}/deployments/{deployment}?dialog=rename&level=ERROR&search=x"),
        format!("/models/{model}/environments/production?dialog=promote"),
        format!("/models/{model}/environments/production/logs?level=ERROR&search=x"),
        format!("/model/{model}/environments/production/predict"),
        "/pkg/app.wasm".to_owned(),
        "/s3/uploads/x?uploadId=1&partNumber=2".to_owned(),
    ];
    let seeds: Vec<&str> = paths.iter().map(String::as_str).collect();
    let mut line = Line::to(&world).await;
    for path in many(mangle::mangled_text(&seeds)) {
        let key = line.key();
        line.send("GET", &path, &[("authorization", &key), ("accept", "text/html, application/json")], "")
            .await;
    }
    line.judge();
    still_serves(world).await;
}

#[tokio::test]
async fn graphql_and_forms() {
    let (world, model, deployment) = prepared("Questions").await;
    let questions = vec![
        client::query(client::MODELS),
        client::model_by_id(&model),
        client::watch_state(&model),
        client::stage_patch(&model, "e30="),
        client::validation("e30="),
        client::create_version(&model, "no-such-upload", "e30=", "name: \"a\""),
    ];
    let fields = format!(
        "model_id={model}&deployment_id={deployment}&environment=production&name=x&confirm=x&input=%7B%7D"
    );
    let functions = [
        "promote",
        "rename",
        "cancel_promotion",
        "update_autoscaling",
        "try",
        "create_environment",
        "sign_in",
    ];
    let mut line = Line::to(&world).await;
    let cases = many((
        mangle::mangled_json(questions),
        any::<prop::sample::Index>(),
        mangle::mangled_text(&[&fields, "min_replica=0&max_replica=2&model_id=x&window=10m&strategy=canary"]),
    ));
    for (question, function, form) in cases {
        line.json("POST", "/graphql/", question.to_string()).await;
        let key = line.key();
        let function = functions[function.index(functions.len())];
        let headers =
            [("authorization", key.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        line.send("POST", &format!("/api/ui/{function}"), &headers, form).await;
    }
    line.judge();
    still_serves(world).await;
}

#[tokio::test]
async fn heads() {
    let (world, model, _) = prepared("Heads").await;
    let credentials = world.credentials().await;
    let signed = credentials.sign(
        Call::new("PUT", credentials.path()).body("x"),
        &world.host(),
        crate::support::now(),
    );
    let value = |name: &str| {
        signed
            .headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.clone())
            .unwrap_or_default()
    };
    let (signature, date, hash) =
        (value("authorization"), value("x-amz-date"), value("x-amz-content-sha256"));
    let bearer = format!("Bearer {KEY}");
    let predict = format!("/model/{model}/production/predict");
    let mut line = Line::to(&world).await;
    let cases = many((
        mangle::mangled_text(&[&signature, &bearer, "Api-Key x", "Basic eDp5"]),
        mangle::mangled_text(&["slipway_session=abc; theme=dark", "a=b"]),
        mangle::mangled_text(&[&date]),
        mangle::mangled_text(&[&hash, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"]),
        mangle::mangled_text(&["application/json", "multipart/form-data; boundary=x", "text/html"]),
    ));
    for (authorization, cookie, date, hash, kind) in cases {
        let headers = [
            ("authorization", authorization.as_str()),
            ("cookie", &cookie),
            ("x-amz-date", &date),
            ("x-amz-content-sha256", &hash),
            ("content-type", &kind),
            ("accept", &kind),
            ("last-event-id", &date),
            ("x-forwarded-for", &cookie),
        ];
        for (method, path) in
            [("PUT", signed.path.as_str()), ("POST", &predict), ("GET", "/models"), ("GET", "/v1/models")]
        {
            line.send(method, path, &headers, "5\r\nhello\r\n0\r\n\r\n").await;
        }
    }
    line.judge();
    still_serves(world).await;
}

#[tokio::test]
async fn bytes_that_are_hardly_http() {
    let (world, model, _) = prepared("Bytes").await;
    let request = |line: &str, more: &str| {
        format!(
            "{line} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n{more}",
            world.host()
        )
        .into_bytes()
    };
    let seeds = vec![
        request(&format!("POST /model/{model}/production/predict"), "content-length: 2\r\n\r\n{}"),
        request("POST /v1/secrets", "transfer-encoding: chunked\r\n\r\n5\r\n{\"nam\r\n0\r\n\r\n"),
        request("GET /api/ui/models", "accept: */*\r\n\r\n"),
        request(
            &format!("GET /model/{model}/production/websocket"),
            "upgrade: websocket\r\nsec-websocket-key: x\r\n\r\n",
        ),
    ];
    for bytes in many(mangle::mangled(seeds)) {
        let mut stream = TcpStream::connect(world.address).await.unwrap();
        let mut answer = Vec::new();
        let asked = async {
            // The server may close the connection while we write.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut answer).await;
        };
        let text = || String::from_utf8_lossy(&bytes).into_owned();
        tokio::time::timeout(HUNG, asked).await.unwrap_or_else(|_| panic!("hung: {}", text()));
        let head = String::from_utf8_lossy(&answer);
        // 502: the half request reached the model, which may not answer it. 505: another HTTP.
        let fine = head.is_empty() || !head.starts_with("HTTP/1.1 5") || head.starts_with("HTTP/1.1 505");
        assert!(fine, "{head}\nfor {}", text());
    }
    still_serves(world).await;
}

#[tokio::test]
async fn bodies_that_are_too_large() {
    let (world, model, deployment) = prepared("Large").await;
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(2 << 20));
    for (method, path) in [
        ("PATCH", format!("/v1/models/{model}")),
        ("POST", format!("/v1/models/{model}/environments")),
        ("POST", "/v1/secrets".to_owned()),
        ("POST", format!("/v1/models/{model}/deployments/{deployment}/logs")),
    ] {
        let call = with_key(Call::new(method, path.clone())).header("content-type", "application/json");
        let answer = world.send(call.body(large.clone())).await;
        assert_eq!(answer.status, 413, "{path}: {}", answer.text());
        assert!(answer.text().contains("bytes"), "{path}: {}", answer.text());
    }
    let form = format!("model_id={model}&deployment_id={deployment}&name={}", "x".repeat(4 << 20));
    let call = with_key(Call::new("POST", "/api/ui/rename"))
        .header("content-type", "application/x-www-form-urlencoded");
    let answer = world.send(call.body(form)).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    still_serves(world).await;
}

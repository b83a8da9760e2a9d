//! A deployment's log: read by pages, followed as it is written, saved as a file.

use std::collections::BTreeSet;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::support::{Call, KEY, World};

/// A deployment whose model prints what it is sent.
pub async fn talkative(world: &World, name: &str) -> (String, String) {
    let (model, deployment) = world.push(Ok(name), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    (model, deployment)
}

pub async fn say(world: &World, model: &str, deployment: &str, text: &str) {
    let path = format!("/model/{model}/deployment/{deployment}/predict");
    let answer = world.rest("POST", &path, json!({ "say": text })).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// A stream of events, as a browser reads it.
pub struct Stream {
    body: Incoming,
    text: String,
    connection: tokio::task::JoinHandle<Result<(), hyper::Error>>,
}

impl Stream {
    pub async fn open(world: &World, path: &str, last: Option<&str>) -> Self {
        let stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut request = http::Request::get(path)
            .header("host", world.host())
            .header("authorization", format!("Bearer {KEY}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { body: answer.into_body(), text: String::new(), connection }
    }

    /// The next event's id and what it says; nothing when the stream has ended.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.clone().split_once("\n\n") {
                self.text = rest.to_owned();
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                if let (Some(id), Some(data)) = (field("id:"), field("data:")) {
                    return Some((id.to_owned(), serde_json::from_str(data).unwrap()));
                }
                continue;
            }
            let frame = self.body.frame().await?.ok()?;
            self.text.push_str(&String::from_utf8_lossy(frame.data_ref()?));
        }
    }

    /// Reads on until this was said; answers everything that was, and the last id.
    async fn until(&mut self, text: &str) -> (Vec<String>, String) {
        let mut heard = Vec::new();
        loop {
            let (id, page) = self.next().await.expect("the stream goes on");
            heard.extend(messages(&page));
            if heard.last().is_some_and(|last| last == text) {
                return (heard, id);
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

pub fn messages(page: &Value) -> Vec<String> {
    let lines = page["lines"].as_array().unwrap();
    lines.iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn lines_arrive_as_they_are_written_and_a_break_loses_and_doubles_none() {
    let world = World::start().await;
    let (model, deployment) = talkative(&world, "Tail").await;
    let path = format!("/api/ui/log_stream?model_id={model}&deployment_id={deployment}");
    let mut stream = Stream::open(&world, &path, None).await;
    say(&world, &model, &deployment, "one").await;
    let (heard, id) = stream.until("one").await;
    assert_eq!(
        heard.first().map(String::as_str),
        Some("built"),
        "without a place it begins at the beginning"
    );
    drop(stream);
    say(&world, &model, &deployment, "two").await;
    let mut stream = Stream::open(&world, &path, Some(&id)).await;
    say(&world, &model, &deployment, "three").await;
    assert_eq!(stream.until("three").await.0, ["two", "three"]);
    // A deployment that is deleted ends its streams, and so does the server.
    let mut other = Stream::open(&world, &format!("{path}&after={}", i64::MAX), None).await;
    world.stop().await;
    assert!(stream.next().await.is_none());
    assert!(other.next().await.is_none());
}

#[tokio::test]
async fn pages_lead_back_to_the_first_line() {
    let world = World::start().await;
    let (model, deployment) = talkative(&world, "Pages").await;
    for n in 0..5 {
        say(&world, &model, &deployment, &format!("line {n}")).await;
    }
    let path = format!("/api/ui/logs?model_id={model}&deployment_id={deployment}");
    let page = world.get(&path).await.ok();
    let all = messages(&page);
    assert_eq!((all.last().map(String::as_str), page["older"].as_bool()), (Some("line 4"), Some(false)));
    let third = page["lines"].as_array().unwrap().iter().find(|line| line["message"] == "line 2").unwrap();
    let id = third["id"].as_str().unwrap();
    let before = messages(&world.get(&format!("{path}&before={id}")).await.ok());
    assert_eq!(before.last().map(String::as_str), Some("line 1"));
    let after = messages(&world.get(&format!("{path}&after={id}")).await.ok());
    assert_eq!(after, ["line 3", "line 4"]);
    let both = world.get(&format!("{path}&before={id}&after={id}")).await;
    assert_eq!((both.status.as_u16(), both.json()["field"].clone()), (400, json!("before")));
    world.stop().await;
}

#[tokio::test]
async fn what_can_not_be_asked_is_refused_before_a_stream_begins() {
    let world = World::start().await;
    let (model, deployment) = talkative(&world, "Refused").await;
    for door in ["log_stream", "log_file", "logs"] {
        let of = format!("/api/ui/{door}?model_id={model}&deployment_id={deployment}");
        let answer = world.get(&format!("{of}&level=LOUD")).await;
        assert_eq!(answer.status, 400, "{door}: {}", answer.text());
        assert!(answer.text().contains("LOUD"), "{}", answer.text());
        let texts = "a%20".repeat(9);
        let answer = world.get(&format!("{of}&search={texts}")).await;
        assert_eq!(answer.status, 400, "{door}: {}", answer.text());
        assert!(answer.text().contains("includes"), "{}", answer.text());
        let nowhere = world.get(&format!("/api/ui/{door}?model_id={model}&deployment_id=nosuch")).await;
        assert_eq!(nowhere.status, 404, "{door}: {}", nowhere.text());
    }
    world.stop().await;
}

#[tokio::test]
async fn a_file_has_every_line_and_a_name() {
    let world = World::start().await;
    let (model, deployment) = talkative(&world, "File of lines").await;
    for n in 0..3 {
        say(&world, &model, &deployment, &format!("line {n}")).await;
    }
    let rest = format!("/v1/models/{model}/deployments/{deployment}/logs/download");
    let by_page = format!("/api/ui/log_file?model_id={model}&deployment_id={deployment}");
    for path in [&rest, &by_page] {
        let file = world.get(path).await;
        assert_eq!(file.status, 200, "{}", file.text());
        assert_eq!(file.headers["content-type"], "text/plain; charset=utf-8");
        let name = file.headers["content-disposition"].to_str().unwrap();
        assert!(name.contains("File-of-lines-deployment-1-") && name.ends_with("Z.log\""), "{name}");
        let text = file.text();
        assert!(text.lines().next().unwrap().ends_with("built"), "{text}");
        assert!(text.lines().last().unwrap().ends_with("line 2"), "{text}");
    }
    let lines = world.get(&format!("{rest}?format=jsonl")).await.text();
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["message"], "line 2");
    // A window that ended long ago has nothing in it.
    assert_eq!(world.get(&format!("{rest}?end_epoch_millis=0")).await.text(), "");
    for (query, field) in [
        ("format=pdf", "format"),
        ("limit=5", "limit"),
        ("direction=asc", "direction"),
        ("start_epoch_millis=2&end_epoch_millis=1", "start_epoch_millis"),
        ("nonsense=1", "nonsense"),
    ] {
        let refused = world.get(&format!("{rest}?{query}")).await;
        assert_eq!(refused.status, 400, "{query}");
        assert!(refused.text().contains(field), "{query}: {}", refused.text());
    }
    let stranger = world.send(Call::new("GET", rest.clone())).await;
    assert_eq!(stranger.status, 401);
    let invoker = world.create_key("caller", "invoker").await;
    let call = Call::new("GET", rest).header("authorization", format!("Bearer {invoker}"));
    assert_eq!(world.send(call).await.status, 403);
    world.stop().await;
}

#[tokio::test]
async fn a_file_is_a_table_or_lines_of_json_where_that_is_asked_for() {
    let world = World::start().await;
    let (model, deployment) = talkative(&world, "Formats").await;
    for text in ["=1+1", "said \"a, b\""] {
        say(&world, &model, &deployment, text).await;
    }
    let rest = format!("/v1/models/{model}/deployments/{deployment}/logs/download?component=replica");
    let page = format!("/api/ui/log_file?model_id={model}&deployment_id={deployment}");
    for path in [&rest, &page] {
        let table = world.get(&format!("{path}&format=csv")).await;
        assert_eq!(table.headers["content-type"], "text/csv; charset=utf-8; header=present");
        let name = table.headers["content-disposition"].to_str().unwrap();
        assert!(name.contains("Formats-deployment-1-") && name.ends_with("Z.csv\""), "{name}");
        let table = table.text();
        let lines: Vec<&str> = table.split_terminator("\r\n").collect();
        assert_eq!(lines[0], "timestamp,message,replica,request_id,level");
        let [.., computed, quoted] = lines.as_slice() else { panic!("{table}") };
        assert!(computed.contains("Z,'=1+1,") && quoted.contains("Z,\"said \"\"a, b\"\"\","), "{table}");

        for format in ["json", "jsonl"] {
            let file = world.get(&format!("{path}&format={format}")).await;
            assert_eq!(file.headers["content-type"], "application/jsonl; charset=utf-8");
            let name = file.headers["content-disposition"].to_str().unwrap();
            assert!(name.ends_with("Z.jsonl\""), "{name}");
            let file = file.text();
            assert_eq!(file.lines().count(), lines.len() - 1, "{file}");
            let last: Value = serde_json::from_str(file.lines().last().unwrap()).unwrap();
            let nanos: i64 = last["timestamp"].as_str().unwrap().parse().unwrap();
            assert!(quoted.contains(&format!(".{:09}Z", nanos % 1_000_000_000)), "{quoted}: {nanos}");
            assert_eq!(last["message"], "said \"a, b\"");
            let fields: BTreeSet<&str> = last.as_object().unwrap().keys().map(String::as_str).collect();
            let wanted = ["timestamp", "message", "replica", "request_id", "level"];
            assert_eq!(fields, BTreeSet::from(wanted));
        }
        let refused = world.get(&format!("{path}&format=pdf")).await;
        assert_eq!(refused.status, 400, "{path}");
        assert!(refused.text().contains("format: `pdf` is not one of text, csv, json"), "{}", refused.text());
    }
    // A table without lines still says what its columns are.
    let empty = world.get(&format!("{rest}&format=csv&end_epoch_millis=0")).await.text();
    assert_eq!(empty, "timestamp,message,replica,request_id,level\r\n");
    world.stop().await;
}

#[tokio::test]
async fn lines_are_found_by_what_wrote_them_and_no_other_name_is_taken() {
    let world = World::start().await;
    let (model, deployment) = talkative(&world, "Components").await;
    say(&world, &model, &deployment, "from the model").await;
    let path = format!("/v1/models/{model}/deployments/{deployment}/logs");
    let texts = |answer: Value| -> Vec<String> {
        let lines = answer["logs"].as_array().unwrap().clone();
        lines.iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    };
    let of = async |component: &str| texts(world.get(&format!("{path}?component={component}")).await.ok());
    assert_eq!(of("build").await, ["built"]);
    assert_eq!(of("replica").await, ["from the model"]);
    let platform = of("platform").await;
    assert!(!platform.iter().any(|line| line == "built" || line == "from the model"), "{platform:?}");
    let posted = world.rest("POST", &path, json!({ "component": "replica" })).await.ok();
    assert_eq!(texts(posted), ["from the model"]);
    let file = world.get(&format!("{path}/download?component=replica")).await.text();
    assert_eq!(file.lines().count(), 1, "{file}");
    for refused in [
        world.get(&format!("{path}?component=sidecar")).await,
        world.get(&format!("{path}/download?component=sidecar")).await,
        world.rest("POST", &path, json!({ "component": "sidecar" })).await,
    ] {
        assert_eq!(refused.status, 400, "{}", refused.text());
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert_eq!(message, "component: `sidecar` is not one of build, platform, replica");
    }
    world.stop().await;
}

#[tokio::test]
async fn an_environments_log_has_the_lines_of_both_sides_of_a_promotion_and_of_nothing_else() {
    let world = World::start().await;
    let (model, first) = talkative(&world, "Sides").await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == first.as_str()).await;
    let (_, second) = world.push(Err(&model), "").await;
    world.reaches(&model, &second, "ACTIVE").await;
    let (_, apart) = world.push(Err(&model), "").await;
    world.reaches(&model, &apart, "ACTIVE").await;
    for deployment in [&first, &second, &apart] {
        say(&world, &model, deployment, &format!("of {deployment}")).await;
    }
    // Whose lines the log has, by what it says and by what was said.
    let heard = async |query: &str| -> Vec<String> {
        let answer = world.get(&format!("{production}/logs?component=replica{query}")).await.ok();
        let lines = answer["logs"].as_array().unwrap().clone();
        let of = |line: &Value| {
            let id = line["deployment_id"].as_str().unwrap().to_owned();
            assert_eq!(line["message"], format!("of {id}"));
            id
        };
        let mut of: Vec<String> = lines.iter().map(of).collect();
        of.sort();
        of
    };
    let mut both = vec![first.clone(), second.clone()];
    both.sort();
    assert_eq!(heard("").await, [first.as_str()]);
    let body = json!({
        "deployment_id": second,
        "promotion_settings_override": { "ramp_up_while_promoting": true, "ramp_up_duration_seconds": 360_000 },
    });
    world.rest("POST", &format!("{production}/promote"), body).await.ok();
    world.until(&production, |seen| seen["in_progress_promotion"]["status"] == "RAMPING_UP").await;
    assert_eq!(heard("").await, [first.as_str()], "what the candidate said before it came is its own");
    say(&world, &model, &second, &format!("of {second}")).await;
    assert_eq!(heard("").await, both, "and what it says from the first moment on is the environment's");
    assert_eq!(heard("&limit=1").await.len(), 1);
    world.rest("POST", &format!("{production}/force_roll_forward_promotion"), json!({})).await.ok();
    world.until(&production, |seen| seen["current_deployment"]["id"] == second.as_str()).await;
    say(&world, &model, &first, &format!("of {first}")).await;
    assert_eq!(heard("").await, both, "and those of what served before, up to when it left");
    // In a window before all promotions there is what served then.
    let long_ago = heard("&start_epoch_millis=0&end_epoch_millis=1000").await;
    assert_eq!(long_ago, Vec::<String>::new(), "the environment was not there yet");

    world.rest("POST", &format!("/v1/models/{model}/environments"), json!({ "name": "staging" })).await.ok();
    let empty = world.get(&format!("/v1/models/{model}/environments/staging/logs")).await.ok();
    assert_eq!(empty, json!({ "logs": [] }));
    assert_eq!(world.get(&format!("/v1/models/{model}/environments/nowhere/logs")).await.status, 404);
    world.stop().await;
}

/// As much as is kept of one log, with one line that matters at its very beginning.
fn fill(folder: &std::path::Path, begin: i64) {
    let padding = "x".repeat(300);
    let mut count = 0;
    for segment in 0..8 {
        let mut text = Vec::with_capacity(8 << 20);
        while text.len() < 8 << 20 {
            let line = domain::LogLine {
                nanos: (begin + count) * 1_000_000,
                message: if count == 0 { "the needle".to_owned() } else { format!("{padding} {count}") },
                level: Some(domain::LogLevel::Info),
                source: domain::LogSource::Replica,
                replica: None,
                request_id: None,
            };
            serde_json::to_writer(&mut text, &line).unwrap();
            text.push(b'\n');
            count += 1;
        }
        std::fs::write(folder.join(format!("{segment:08}.jsonl")), text).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_of_the_largest_log_answers_in_time_and_misses_nothing() {
    let world = World::start_here().await;
    let (model, deployment) = crate::startups::push_dying(&world).await;
    // Nothing more is written to its log.
    world.reaches(&model, &deployment, "DEPLOY_FAILED").await;
    let begin = (crate::support::now() - 86_400) * 1000;
    fill(&world.data().join("logs").join(&deployment), begin);
    let path = format!("/v1/models/{model}/deployments/{deployment}/logs");
    let mut end = begin + 43_200_000;
    let mut answers = 0;
    loop {
        let asked = tokio::time::Instant::now();
        let query = format!("includes=needle&start_epoch_millis={begin}&end_epoch_millis={end}");
        let answer = world.get(&format!("{path}?{query}")).await;
        assert!(asked.elapsed() < std::time::Duration::from_secs(5), "{:?}", asked.elapsed());
        answers += 1;
        let searched_to = answer.headers.get("x-slipway-searched-to").cloned();
        let found = answer.ok()["logs"].clone();
        let Some(nanos) = searched_to else {
            assert_eq!(found[0]["message"], "the needle");
            break;
        };
        assert_eq!(found, json!([]));
        let next = nanos.to_str().unwrap().parse::<i64>().unwrap() / 1_000_000 + 1;
        assert!(next < end, "it goes on");
        end = next;
    }
    assert!(answers <= 10, "{answers} answers");
    // A file has all that there is, however long it takes to find.
    let file = world.get(&format!("{path}/download?includes=needle")).await;
    assert!(file.text().contains("the needle"), "{}", file.text());
    // The page says how far it came, or has found it.
    let page = world
        .get(&format!("/api/ui/logs?model_id={model}&deployment_id={deployment}&search=needle"))
        .await
        .ok();
    assert!(page["searched_to"].is_i64() || page["lines"][0]["message"] == "the needle", "{page}");
    world.stop().await;
}

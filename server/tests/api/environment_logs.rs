//! An environment's log on its page: both sides of a promotion, read, followed and saved.

use std::time::Duration;

use serde_json::{Value, json};

use crate::logs::{Stream, messages, say, talkative};
use crate::support::{Call, World};

/// Two deployments of a model; the first serves production.
async fn two(world: &World, name: &str) -> (String, String, String) {
    let (model, first) = talkative(world, name).await;
    let production = format!("/v1/models/{model}/environments/production");
    world.until(&production, |seen| seen["current_deployment"]["id"] == first.as_str()).await;
    let (_, second) = world.push(Err(&model), "").await;
    world.reaches(&model, &second, "ACTIVE").await;
    (model, first, second)
}

/// Begins a canary that takes four days.
async fn promote(world: &World, model: &str, deployment: &str) {
    let production = format!("/v1/models/{model}/environments/production");
    let body = json!({
        "deployment_id": deployment,
        "promotion_settings_override": { "ramp_up_while_promoting": true, "ramp_up_duration_seconds": 360_000 },
    });
    world.rest("POST", &format!("{production}/promote"), body).await.ok();
    world.until(&production, |seen| seen["in_progress_promotion"]["status"] == "RAMPING_UP").await;
}

/// Lets a model print something, in a millisecond of its own.
async fn speak(world: &World, model: &str, deployment: &str, text: &str) {
    say(world, model, deployment, text).await;
    tokio::time::sleep(Duration::from_millis(2)).await;
}

/// What models said, by the names of their deployments.
fn said(page: &Value) -> Vec<(String, String)> {
    let lines = page["lines"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    lines
        .filter(|line| line["source"] == "replica")
        .map(|line| (text(&line["deployment"]["name"]), text(&line["message"])))
        .collect()
}

/// Reads a stream on until it has said this; answers all that it said, and the last id.
async fn until(stream: &mut Stream, text: &str) -> (Vec<String>, String) {
    let mut heard = Vec::new();
    loop {
        let (id, page) = stream.next().await.expect("the stream goes on");
        heard.extend(messages(&page));
        if heard.iter().any(|message| message == text) {
            return (heard, id);
        }
    }
}

#[tokio::test]
async fn both_sides_of_a_promotion_are_read_followed_and_saved_for_the_time_they_were_there() {
    let world = World::start().await;
    let (model, first, second) = two(&world, "Sides of a page").await;
    speak(&world, &model, &first, "one").await;
    speak(&world, &model, &second, "before it came").await;
    let of = format!("model_id={model}&environment=production");
    let read = format!("/api/ui/logs?{of}");
    let page = world.get(&read).await.ok();
    let wanted = |all: &[(&str, &str)]| -> Vec<(String, String)> {
        all.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    };
    assert_eq!(said(&page), wanted(&[("deployment-1", "one")]));
    let promoted = |event: &domain::Event| event.kind == domain::EventKind::ModelDeploymentPromoted;
    let given = world.events().await.into_iter().find(promoted).unwrap().at.millis() * 1_000_000;
    let is_earlier = |line: &Value| line["id"].as_str().unwrap().parse::<i64>().unwrap() < given;
    let earlier = page["lines"].as_array().unwrap().iter().any(is_earlier);
    assert!(!earlier, "what took production by itself is there from that moment on: {page}");
    let scope = json!({ "model_id": model, "deployment_id": "", "environment": "production" });
    assert_eq!(page["scope"], scope);

    // Followed from where the page ends, through the beginning of a promotion.
    let follow = format!("/api/ui/log_stream?{of}&after={}", page["next"].as_str().unwrap());
    let mut stream = Stream::open(&world, &follow, None).await;
    promote(&world, &model, &second).await;
    speak(&world, &model, &second, "two").await;
    let (heard, _) = until(&mut stream, "two").await;
    assert!(!heard.contains(&"one".to_owned()) && !heard.contains(&"before it came".to_owned()), "{heard:?}");
    speak(&world, &model, &first, "three").await;
    let (_, id) = until(&mut stream, "three").await;
    drop(stream);
    // Cut off while both go on.
    speak(&world, &model, &second, "four").await;
    speak(&world, &model, &first, "five").await;
    let mut stream = Stream::open(&world, &follow, Some(&id)).await;
    let mut heard = until(&mut stream, "five").await.0;
    heard.retain(|message| ["one", "two", "three", "four", "five"].contains(&message.as_str()));
    assert_eq!(heard, ["four", "five"], "none is lost and none comes twice");

    // What has left is not heard any more.
    let production = format!("/v1/models/{model}/environments/production");
    world.rest("POST", &format!("{production}/force_roll_forward_promotion"), json!({})).await.ok();
    world.until(&production, |seen| seen["current_deployment"]["id"] == second.as_str()).await;
    speak(&world, &model, &first, "after it left").await;
    speak(&world, &model, &second, "six").await;
    let (heard, _) = until(&mut stream, "six").await;
    assert!(!heard.contains(&"after it left".to_owned()), "{heard:?}");

    let page = world.get(&read).await.ok();
    let all = wanted(&[
        ("deployment-1", "one"),
        ("deployment-2", "two"),
        ("deployment-1", "three"),
        ("deployment-2", "four"),
        ("deployment-1", "five"),
        ("deployment-2", "six"),
    ]);
    assert_eq!(said(&page), all);
    let lines = page["lines"].as_array().unwrap();
    let fourth = lines.iter().find(|line| line["message"] == "four").unwrap()["id"].as_str().unwrap();
    let before = world.get(&format!("{read}&before={fourth}")).await.ok();
    assert_eq!(said(&before), all[..3]);
    let after = world.get(&format!("{read}&after={fourth}")).await.ok();
    assert_eq!(said(&after), all[4..]);

    let file = world.get(&format!("/api/ui/log_file?{of}")).await;
    let name = file.headers["content-disposition"].to_str().unwrap();
    assert!(name.contains("Sides-of-a-page-production-") && name.ends_with("Z.log\""), "{name}");
    let text = file.text();
    let place_of = |(name, word): &(String, String)| {
        let is_it = |line: &str| line.contains(&format!(" {name} ")) && line.ends_with(&format!(" {word}"));
        text.lines().position(is_it).unwrap_or_else(|| panic!("{name} says {word} in {text}"))
    };
    assert!(all.iter().map(place_of).is_sorted(), "{text}");
    assert!(!text.contains("before it came") && !text.contains("after it left"), "{text}");
    let table = world.get(&format!("/api/ui/log_file?{of}&format=csv")).await.text();
    let head = "timestamp,message,replica,request_id,level,deployment_id,deployment\r\n";
    assert!(table.starts_with(head), "{table}");
    let ends = format!(",{second},deployment-2");
    assert!(table.lines().any(|row| row.contains("Z,six,") && row.ends_with(&ends)), "{table}");
    let lines = world.get(&format!("/api/ui/log_file?{of}&format=json")).await.text();
    let mut lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let six = lines.find(|line| line["message"] == "six").expect("it is in the file");
    assert_eq!(six["deployment_id"], second);
    world.stop().await;
}

#[tokio::test]
async fn what_is_no_log_of_an_environment_is_refused() {
    let world = World::start().await;
    let (model, deployment) = talkative(&world, "Refused there").await;
    let invoker = world.create_key("caller", "invoker").await;
    for door in ["log_stream", "log_file", "logs"] {
        let of = |query: &str| format!("/api/ui/{door}?model_id={model}{query}");
        let both = world.get(&of(&format!("&environment=production&deployment_id={deployment}"))).await;
        assert_eq!(both.status, 400, "{door}: {}", both.text());
        assert!(both.text().contains("environment"), "{door}: {}", both.text());
        for (query, status) in [
            ("", 400),
            ("&environment=No%20Name", 400),
            ("&environment=production&level=LOUD", 400),
            ("&environment=nowhere", 404),
        ] {
            let answer = world.get(&of(query)).await;
            assert_eq!(answer.status, status, "{door} {query}: {}", answer.text());
        }
        let call = Call::new("GET", of("&environment=production"));
        let theirs = world.send(call.header("authorization", format!("Bearer {invoker}"))).await;
        assert_eq!(theirs.status, 403, "{door}: {}", theirs.text());
    }
    let elsewhere = format!("/api/ui/log_stream?model_id={model}&environment=production&after=17x");
    assert_eq!(world.get(&elsewhere).await.status, 400);
    world.stop().await;
}

//! What real processes are told by and found by: the lines of one request, what is so now, and how often they began anew.

use serde_json::{Value, json};

use crate::support::{Answer, Call, World, archive_of, client, config_with, pushed, with_key};

/// A server that says which request it answers, and ends when it is told to.
const SERVER: &str = r#"
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer()

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if asked.get("end"):
            os._exit(3)
        told = self.headers.get("x-baseten-request-id")
        print(json.dumps({"levelname": "INFO", "message": "answered", "request_id": told}), flush=True)
        self.answer()

    def answer(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, form, *args):
        pass


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// A world of real processes, with one model that serves production.
async fn served(name: &str) -> (World, String, String) {
    let world = World::start_here().await;
    let key = world.upload(archive_of(&[("config.yaml", "model_name: Says\n"), ("server.py", SERVER)])).await;
    let config = config_with(json!({
        "docker_server": {
            "start_command": "python server.py",
            "server_port": 8100,
            "predict_endpoint": "/predict",
            "readiness_endpoint": "/",
            "liveness_endpoint": "/",
        },
    }));
    let (model, deployment) = pushed(&world.ask(client::create_model(name, &key, &config, "")).await);
    world.reaches(&model, &deployment, "ACTIVE").await;
    world.until(&format!("/v1/models/{model}"), |model| model["production_deployment_id"].is_string()).await;
    (world, model, deployment)
}

async fn call(world: &World, model: &str, id: &str, body: Value) -> Answer {
    let call = Call::new("POST", format!("/model/{model}/production/predict"));
    world.send(with_key(call).header("x-baseten-request-id", id).json(&body)).await
}

/// The numbers of one metric in an answer that has one step.
fn numbers(metrics: &Value, name: &str) -> Vec<f64> {
    let descriptors = metrics["metric_descriptors"].as_array().unwrap();
    let index = descriptors.iter().position(|one| one["name"] == name).unwrap();
    let all = metrics["metric_values"].as_array().unwrap();
    assert_eq!(all.len(), 1, "{metrics}");
    all[0]["values"][index].as_array().unwrap().iter().filter_map(Value::as_f64).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_one_request_are_found_by_its_id() {
    let (world, model, deployment) = served("Found").await;
    for id in ["first-one", "second-one", "first-one"] {
        let answer = call(&world, &model, id, json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.headers["x-baseten-request-id"].to_str().unwrap(), id);
    }
    let logs = format!("/v1/models/{model}/deployments/{deployment}/logs");
    let found = |answer: &Value| answer["logs"].as_array().unwrap().len();
    let two = world.until(&format!("{logs}?request_id=first-one"), |answer| found(answer) == 2).await;
    for line in two["logs"].as_array().unwrap() {
        assert_eq!((&line["message"], &line["request_id"]), (&json!("answered"), &json!("first-one")));
    }
    let posted = world.rest("POST", &logs, json!({ "request_id": "second-one" })).await.ok();
    assert_eq!(found(&posted), 1, "{posted}");
    assert_eq!(posted["logs"][0]["request_id"], "second-one");
    let narrowed = json!({ "request_id": "first-one", "excludes": ["answered"] });
    assert_eq!(found(&world.rest("POST", &logs, narrowed).await.ok()), 0, "all filters count together");
    assert_eq!(found(&world.get(&format!("{logs}?request_id=first")).await.ok()), 0, "a part is not the id");
    let file = world.get(&format!("{logs}/download?request_id=second-one&format=jsonl")).await.text();
    assert_eq!(file.lines().count(), 1, "{file}");
    let refused = world.get(&format!("{logs}?request_id={}", "x".repeat(257))).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("request_id"), "{}", refused.text());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_so_now_and_each_process_that_began_anew_are_told() {
    let (world, model, deployment) = served("Now").await;
    for _ in 0..3 {
        assert_eq!(call(&world, &model, "any", json!({})).await.status, 200);
    }
    let metrics = format!("/v1/models/{model}/deployments/{deployment}/metrics");
    let of_environment = format!("/v1/models/{model}/environments/production/metrics");
    let (requests, active, concurrent) =
        ("baseten_inference_requests_total", "baseten_replicas_active", "baseten_concurrent_requests");
    let (cpu, memory) =
        ("baseten_container_cpu_usage_seconds_total", "baseten_container_cpu_memory_working_set_bytes");
    let names: String =
        [requests, active, concurrent, cpu, memory].map(|name| format!("&metrics={name}")).concat();
    // A rate over the last minute.
    let counted =
        |seen: &Value| numbers(seen, requests).first().is_some_and(|rate| (rate * 60.0).round() == 3.0);
    let now = world.until(&format!("{metrics}?mode=CURRENT{names}"), counted).await;
    assert_eq!((&now["mode"], &now["step_seconds"]), (&json!("CURRENT"), &Value::Null));
    let span = now["end_epoch_millis"].as_i64().unwrap() - now["start_epoch_millis"].as_i64().unwrap();
    assert_eq!(span, 60_000);
    assert_eq!((numbers(&now, active), numbers(&now, concurrent).len()), (vec![1.0], 1));
    let replicas =
        world.get(&format!("/api/ui/replicas?model_id={model}&deployment_id={deployment}")).await.ok();
    let descriptors = now["metric_descriptors"].as_array().unwrap();
    let of_memory = descriptors.iter().find(|one| one["name"] == memory).unwrap();
    assert_eq!(of_memory["label_sets"], json!([{ "replica": replicas["copies"][0]["id"] }]));
    assert!(numbers(&now, memory)[0] > f64::from(1 << 20), "a Python of less than a mebibyte: {now}");
    assert_eq!(numbers(&now, cpu).len(), 1);
    let bare = world.get(&of_environment).await.ok();
    assert_eq!(bare["mode"], "CURRENT", "if nothing else is asked for");
    assert_eq!(numbers(&bare, active), [1.0]);
    let refused = world.get(&format!("{metrics}?mode=CURRENT&start_epoch_millis=5")).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("SUMMARY or SERIES"), "{}", refused.text());

    let restarts = "baseten_container_restarts_total";
    let last_hour = format!("?mode=SUMMARY&metrics={restarts}");
    let times = |seen: &Value| (numbers(seen, restarts)[0] * 3600.0).round();
    assert_eq!(times(&world.get(&format!("{metrics}{last_hour}")).await.ok()), 0.0);
    assert_eq!(call(&world, &model, "last", json!({ "end": true })).await.status, 502);
    world.until(&format!("{metrics}{last_hour}"), |seen| times(seen) == 1.0).await;
    world.until(&format!("{of_environment}{last_hour}"), |seen| times(seen) == 1.0).await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    assert_eq!(call(&world, &model, "again", json!({})).await.status, 200);
    // What is terminated was told to end.
    let running =
        world.get(&format!("/api/ui/replicas?model_id={model}&deployment_id={deployment}")).await.ok();
    let replica = running["copies"][0]["id"].as_str().unwrap();
    assert_ne!(running["copies"], replicas["copies"]);
    let path = format!("/v1/models/{model}/deployments/{deployment}/replicas/{replica}");
    assert_eq!(world.rest("DELETE", &path, json!({})).await.ok(), json!({ "success": true }));
    assert_eq!(times(&world.get(&format!("{metrics}{last_hour}")).await.ok()), 1.0);
    world.stop().await;
}

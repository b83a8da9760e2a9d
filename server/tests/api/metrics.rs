//! What was measured, by REST and for Prometheus.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Call, World, with_key};

/// Calls production so often, and once in a way that the model's server refuses.
async fn served(world: &World, calls: usize) -> (String, String) {
    let (model, deployment) = world.push(Ok("Measured"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    world.until(&format!("/v1/models/{model}"), |model| model["production_deployment_id"].is_string()).await;
    for _ in 0..calls {
        let call = Call::new("POST", format!("/model/{model}/production/predict"));
        assert_eq!(world.send(with_key(call).json(&json!({}))).await.status, 200);
    }
    (model, deployment)
}

fn numbers(metrics: &Value, name: &str) -> Vec<Vec<f64>> {
    let descriptors = metrics["metric_descriptors"].as_array().unwrap();
    let index = descriptors.iter().position(|one| one["name"] == name).unwrap();
    let labels = descriptors[index]["label_sets"].as_array().unwrap().len();
    let sets = metrics["metric_values"].as_array().unwrap().iter();
    sets.map(|set| {
        let values = set["values"][index].as_array().unwrap();
        assert_eq!(values.len(), labels, "a number for each label set");
        values.iter().filter_map(Value::as_f64).collect()
    })
    .filter(|values: &Vec<f64>| !values.is_empty())
    .collect()
}

/// What the first of a metric's rates comes to over all steps: each is of the time up to which its step is complete.
fn sum(metrics: &Value, name: &str) -> f64 {
    let descriptors = metrics["metric_descriptors"].as_array().unwrap();
    let index = descriptors.iter().position(|one| one["name"] == name).unwrap();
    let through = metrics["complete_through_epoch_millis"].as_i64().unwrap_or_default();
    let step = metrics["step_seconds"].as_i64().map_or(i64::MAX, |seconds| seconds * 1000);
    let sets = metrics["metric_values"].as_array().unwrap().iter();
    let amounts = sets.filter_map(|set| {
        let passed = (through - set["start_epoch_millis"].as_i64()?).min(step);
        Some(set["values"][index][0].as_f64()? * (passed as f64 / 1000.0).max(1.0))
    });
    amounts.sum::<f64>().round()
}

#[tokio::test]
async fn requests_are_counted_once_in_every_form() {
    let world = World::start().await;
    let (model, deployment) = served(&world, 5).await;
    let requests = "baseten_inference_requests_total";
    let series = format!("/v1/models/{model}/deployments/{deployment}/metrics?mode=SERIES");
    let counted = |metrics: &Value| sum(metrics, requests);
    let metrics = world.until(&series, |metrics| counted(metrics) == 5.0).await;
    assert_eq!(numbers(&metrics, "baseten_replicas_active").last(), Some(&vec![1.0]));
    let quantiles = &numbers(&metrics, "baseten_end_to_end_response_time_seconds")[0];
    assert!(quantiles.is_sorted() && quantiles[3] < 60.0, "seconds: {quantiles:?}");
    assert!(
        metrics["metric_values"][0]["values"][1].as_array().unwrap().iter().all(Value::is_null),
        "an hour ago nothing was measured, which is not zero"
    );

    let of_environment = format!("/v1/models/{model}/environments/production/metrics?mode=SERIES");
    assert_eq!(counted(&world.get(&of_environment).await.ok()), 5.0);
    let page = format!("/api/ui/metrics?model_id={model}&scope=models&id={model}&period=1h");
    let page = world.get(&page).await.ok();
    assert_eq!(page["headline"], "5 requests in the last hour, and none failed.");
    let mut ready =
        page["points"].as_array().unwrap().iter().filter_map(|point| point["replicas"].as_array());
    assert_eq!(ready.next_back().unwrap()[2], 1.0, "of all its deployments together");
    let summary = world.get(&series.replace("SERIES", "SUMMARY")).await.ok();
    assert_eq!(counted(&summary), 5.0);
    let first_byte = format!("{series}&metrics=baseten_time_to_first_byte_seconds");
    let first_byte = world.get(&first_byte).await.ok();
    assert_eq!(first_byte["metric_descriptors"].as_array().unwrap().len(), 1);
    let inference = world.get(&format!("{series}&metrics=baseten_inference_time_seconds")).await.ok();
    let at_replica = &numbers(&inference, "baseten_inference_time_seconds")[0];
    assert!(at_replica[3] > 0.0 && at_replica[3] <= quantiles[3], "{at_replica:?} of {quantiles:?}");
    let mut drawn = page["points"].as_array().unwrap().iter().filter(|point| point["rates"][0] != 0.0);
    let drawn = drawn.rfind(|point| point["inference"].is_array()).unwrap();
    assert!(drawn["inference"][3].as_f64().unwrap() <= drawn["end_to_end"][3].as_f64().unwrap(), "{drawn}");
    for bodies in ["request_sizes", "response_sizes"] {
        let quantiles: Vec<f64> = serde_json::from_value(drawn[bodies].clone()).unwrap();
        assert!(quantiles.is_sorted() && quantiles[3] < 1.0, "KiB of small bodies: {quantiles:?}");
    }

    let refused = world.get(&format!("{series}&metrics=baseten_nothing")).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("baseten_nothing"), "{}", refused.text());
    world.stop().await;
}

#[tokio::test]
async fn what_processes_use_is_a_series_too_also_of_a_deployment_that_nobody_calls() {
    let world = World::start().await;
    let (model, deployment) = served(&world, 0).await;
    let of_deployment = format!("/v1/models/{model}/deployments/{deployment}/metrics");
    let (cpu, memory) =
        ("baseten_container_cpu_usage_seconds_total", "baseten_container_cpu_memory_working_set_bytes");
    let names = format!("metrics={cpu}&metrics={memory}&metrics=baseten_gpu_memory_used");
    let series = format!("{of_deployment}?mode=SERIES&{names}");
    let metrics = world.until(&series, |metrics| !numbers(metrics, memory).is_empty()).await;
    assert_eq!(metrics["metric_descriptors"].as_array().unwrap().len(), 2, "there is no card");
    assert_eq!(numbers(&metrics, memory).last(), Some(&vec![f64::from(64 << 20)]));
    let replica = metrics["metric_descriptors"][0]["label_sets"][0]["replica"].as_str().unwrap();
    assert!(!replica.is_empty());
    let ready = world.get(&format!("{of_deployment}?metrics=baseten_pod_readiness")).await.ok();
    assert_eq!(ready["metric_descriptors"][0]["label_sets"], json!([{ "replica": replica }]));
    assert_eq!(ready["metric_values"][0]["values"], json!([[1.0]]));
    let spent = sum(&metrics, cpu);
    assert!(spent >= 5.0 && spent % 5.0 == 0.0, "{spent} s of processor");

    let of_environment = format!("/v1/models/{model}/environments/production/metrics?mode=SUMMARY&{names}");
    let summary = world.until(&of_environment, |summary| !numbers(summary, memory).is_empty()).await;
    assert!(sum(&summary, cpu) >= 5.0, "{summary}");
    assert_eq!(numbers(&summary, memory), [[f64::from(64 << 20)]]);
    let page = format!("/api/ui/metrics?model_id={model}&scope=deployments&id={deployment}&period=1h");
    let page = world.get(&page).await.ok();
    let last = page["points"].as_array().unwrap().iter().rfind(|point| point["memory"].is_array()).unwrap();
    assert_eq!(last["memory"], json!([64.0, 64.0]), "all replicas, and the one there is");
    assert_eq!(page["memory_of"], json!([replica]));
    assert_eq!(page["cores_of"], json!([replica]));
    assert!(last["cores"][0].as_f64().unwrap() > 0.0, "{last}");
    let call = Call::new("GET", format!("/models/{model}/deployments/{deployment}/metrics"));
    let html = world.send(with_key(call).header("accept", "text/html")).await.text();
    for column in ["cores", "MiB"] {
        let head = format!("{replica} {column}");
        assert!(html.contains(&head), "the table has each replica's numbers, too: {head}");
    }
    world.stop().await;
}

#[tokio::test]
async fn an_environment_has_the_requests_of_what_was_attached_to_it_at_the_time() {
    let world = World::start().await;
    let (model, first) = served(&world, 3).await;
    let ask = async |address: &str, times: usize| {
        for _ in 0..times {
            let call = Call::new("POST", format!("/model/{model}/{address}/predict"));
            assert_eq!(world.send(with_key(call).json(&json!({}))).await.status, 200);
        }
    };
    let headline = async |period: &str| {
        let of = format!("model_id={model}&scope=environments&id=production&period={period}");
        world.get(&format!("/api/ui/metrics?{of}")).await.ok()["headline"].clone()
    };
    let (_, second) = world.push(Err(&model), "").await;
    world.reaches(&model, &second, "ACTIVE").await;
    ask(&format!("deployment/{second}"), 4).await;
    world.look().await;

    let production = format!("/v1/models/{model}/environments/production");
    let body = json!({ "deployment_id": second });
    world.rest("POST", &format!("{production}/promote"), body).await.ok();
    world.until(&production, |seen| seen["current_deployment"]["id"] == second.as_str()).await;
    ask("production", 2).await;
    world.look().await;
    ask(&format!("deployment/{first}"), 6).await;
    world.look().await;
    // Three of the one before, and two of the one that serves now; by the ten seconds, and by the minute.
    assert_eq!(headline("15m").await, "5 requests in the last 15 minutes, and none failed.");
    assert_eq!(headline("1h").await, "5 requests in the last hour, and none failed.");
    // The record of replicas is written a second after they changed.
    let of_the_one_it_has =
        |series: &Value| numbers(series, "baseten_replicas_active").last() == Some(&vec![1.0]);
    let series = world.until(&format!("{production}/metrics?mode=SERIES"), of_the_one_it_has).await;
    assert_eq!(sum(&series, "baseten_inference_requests_total"), 5.0);
    world.stop().await;
}

#[tokio::test]
async fn a_look_does_not_wait_for_a_database_that_does_not_answer() {
    let world = World::start().await;
    let (model, _) = served(&world, 3).await;
    world.look().await;
    let call = Call::new("POST", format!("/model/{model}/production/predict"));
    assert_eq!(world.send(with_key(call).json(&json!({}))).await.status, 200);
    // Nobody reads beside these.
    let mut readers = Vec::new();
    for _ in 0..4 {
        readers.push(world.store().read().await.unwrap());
    }
    let looked = tokio::time::timeout(Duration::from_secs(4), world.try_look()).await;
    assert!(looked.expect("it goes on").is_err(), "it says that it could not ask");
    drop(readers);
    world.look().await;
    let of = format!("model_id={model}&scope=environments&id=production&period=15m");
    let page = world.get(&format!("/api/ui/metrics?{of}")).await.ok();
    assert_eq!(page["headline"], "4 requests in the last 15 minutes, and none failed.", "nothing is lost");
    world.stop().await;
}

#[tokio::test]
async fn a_look_does_not_wait_for_a_database_that_does_not_write() {
    let world = World::start().await;
    let (model, _) = served(&world, 3).await;
    // Nobody writes beside this.
    let writer = world.store().begin().await.unwrap();
    let flushed = tokio::time::timeout(Duration::from_secs(8), world.try_flush()).await;
    assert!(flushed.expect("it goes on").is_err(), "it says that it could not write");
    writer.rollback().await.unwrap();
    let page = format!("/api/ui/metrics?model_id={model}&scope=environments&id=production&period=1h");
    let told = |page: &Value| page["headline"] == "3 requests in the last hour, and none failed.";
    world.until(&page, told).await;
    world.try_flush().await.unwrap();
    world.until(&page, told).await;
    world.stop().await;
}

#[tokio::test]
async fn a_prometheus_server_reads_how_often_each_status_was_and_all_of_a_class_together() {
    let world = World::start().await;
    let (model, deployment) = served(&world, 3).await;
    for status in [404, 503, 201, 404, 422, 500] {
        let call = Call::new("POST", format!("/model/{model}/production/predict"));
        let answer = world.send(with_key(call).json(&json!({ "answer_with": status }))).await;
        assert_eq!(answer.status.as_u16(), status);
    }
    let text = world.get("/metrics").await.text();
    let of = format!("deployment_id=\"{deployment}\"");
    let by_status = |name: &str| -> BTreeMap<String, u64> {
        let lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(&of));
        let parts = lines.map(|line| {
            let (_, rest) = line.split_once("status_code=\"").unwrap();
            let (status, _) = rest.split_once('"').unwrap();
            (status.to_owned(), line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        });
        parts.collect()
    };
    let counts = |all: &[(&str, u64)]| -> BTreeMap<String, u64> {
        all.iter().map(|(status, count)| ((*status).to_owned(), *count)).collect()
    };
    assert_eq!(
        by_status("baseten_inference_requests_total"),
        counts(&[("200", 3), ("201", 1), ("404", 2), ("422", 1), ("500", 1), ("503", 1)])
    );
    assert_eq!(
        by_status("baseten_time_to_first_byte_seconds_count"),
        counts(&[("2xx", 4), ("4xx", 3), ("5xx", 2)])
    );
    world.stop().await;
}

#[tokio::test]
async fn a_prometheus_server_reads_the_counters_and_not_too_often() {
    let world = World::start().await;
    let (model, deployment) = served(&world, 3).await;
    let page = world.get("/metrics").await;
    assert_eq!(page.status, 200);
    let text = page.text();
    let labels = format!(
        "model_id=\"{model}\",model_name=\"Measured\",deployment_id=\"{deployment}\",environment=\"production\",rollout_phase=\"stable\""
    );
    let of = |status: &str| format!("{labels},status_code=\"{status}\",is_async=\"false\"");
    let fine = of("2xx");
    for line in [
        format!("baseten_inference_requests_total{{{}}} 3", of("200")),
        format!("baseten_end_to_end_response_time_seconds_count{{{fine}}} 3"),
        format!("baseten_replicas_active{{{labels}}} 1"),
    ] {
        assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
    }
    assert_eq!(world.send(Call::new("GET", "/metrics")).await.status, 401);
    // Whoever may not read takes nobody's turn.
    let invoker = world.create_key("caller", "invoker").await;
    for _ in 0..7 {
        let call = Call::new("GET", "/metrics").header("authorization", format!("Bearer {invoker}"));
        assert_eq!(world.send(call).await.status, 403);
    }
    for _ in 1..6 {
        assert_eq!(world.get("/metrics").await.status, 200);
    }
    let refused = world.get("/metrics").await;
    assert_eq!(refused.status, 429);
    assert!(refused.headers.contains_key("retry-after"));
    world.stop().await;
}

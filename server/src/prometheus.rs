//! `/metrics`: what a Prometheus server reads, under the names that its dashboards know (semantics: Metrics).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use domain::{Actor, Answers, Counters, DeploymentId, Histogram, Outcome, START_PHASES, Seen};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::answer;
use crate::api::Api;
use crate::picture::Picture;
use crate::rest::failure;

/// Answers in a minute, for all who ask together.
const LIMIT: usize = 6;
const MINUTE: i64 = 60_000;
/// The limits of histograms, as powers of two: of microseconds, from a millisecond to eighteen minutes, and of bytes, from
/// 256 to a gibibyte. Starts have every second of those of times: five phases would be very many lines.
const TIMES: [u32; 21] = [10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30];
const STARTS: [u32; 11] = [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30];
const BODIES: [u32; 12] = [8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30];

struct Door {
    api: Arc<Api>,
    /// When the last answers were given, monotonic.
    answered: Mutex<Vec<i64>>,
}

pub fn router(api: Arc<Api>) -> Router {
    let door = Door { api, answered: Mutex::default() };
    Router::new().route("/metrics", get(read)).with_state(Arc::new(door))
}

async fn read(State(door): State<Arc<Door>>, headers: HeaderMap) -> Response {
    let api = &door.api;
    let actor = match api.caller(&headers).await {
        Ok(actor) => actor,
        Err(error) => return failure(&error),
    };
    // Who may not read takes nobody's turn.
    if let Err(error) = api.control.may_read_metrics(&actor) {
        return failure(&error);
    }
    if let Some(wait) = door.wait(api.clock.monotonic()) {
        let message =
            format!("/metrics answers {LIMIT} times a minute; read it each minute, and again in {wait} s");
        let mut response = answer::error(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED", &message);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait));
        return response;
    }
    match write(api, &actor).await {
        Ok(text) => {
            let mut response = Response::new(text.into());
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        Err(error) => failure(&error),
    }
}

impl Door {
    /// Counts an answer, or says in how many seconds there may be one.
    fn wait(&self, now: i64) -> Option<u64> {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.retain(|at| now - at < MINUTE);
        if answered.len() < LIMIT {
            answered.push(now);
            return None;
        }
        let first = answered.iter().min().copied().unwrap_or(now);
        Some(((first + MINUTE - now).max(0) as u64).div_ceil(1000).max(1))
    }
}

async fn write(api: &Api, actor: &Actor) -> Result<String, control::Error> {
    let control::MeasuredNow { models, counted, crashes } = api.control.measured(actor).await?;
    let counted: BTreeMap<DeploymentId, Counters> =
        counted.into_iter().map(|one| (one.deployment, one.counters)).collect();
    let mut page = Page::default();
    for picture in models.into_iter().map(|state| api.draw(actor, state)) {
        for deployment in &picture.deployments {
            let labels = labels(&picture, deployment);
            if let Some(counters) = counted.get(&deployment.id) {
                page.requests(&labels, counters);
            }
            if let Some(phases) = api.start_times.of(&picture.model.id, &deployment.id) {
                page.starts(&labels, &phases);
            }
            page.add(
                "baseten_container_restarts_total",
                "counter",
                "Replicas that ended of themselves.",
                format!("{{{labels}}} {}", crashes.get(&deployment.id).copied().unwrap_or(0)),
            );
            if let Seen::Known(_) = picture.replicas {
                replicas(api, &picture, &deployment.id, &labels, &mut page).await;
            }
        }
    }
    Ok(page.text())
}

/// What each of a deployment's replicas does, and how many there are.
async fn replicas(api: &Api, picture: &Picture, id: &DeploymentId, labels: &str, page: &mut Page) {
    let copies = picture.copies(id);
    let count =
        |wanted: fn(&domain::ObservedReplica) -> bool| copies.iter().filter(|copy| wanted(copy)).count();
    page.gauge(
        "baseten_replicas_active",
        "Replicas that are ready.",
        labels,
        count(|copy| copy.is_ready()) as f64,
    );
    page.gauge(
        "baseten_replicas_starting",
        "Replicas on their way to being ready.",
        labels,
        count(|copy| copy.is_starting()) as f64,
    );
    for copy in copies {
        let labels = format!("{labels},replica=\"{}\"", escaped(copy.id.as_str()));
        page.gauge(
            "baseten_pod_readiness",
            "1 while a replica is ready.",
            &labels,
            f64::from(u8::from(copy.is_ready())),
        );
        let Some(used) = api.runtime.uses(&copy.id).await else { continue };
        page.gauge(
            "baseten_container_cpu_memory_working_set_bytes",
            "Memory of a replica's processes.",
            &labels,
            used.memory as f64,
        );
        page.add(
            "baseten_container_cpu_usage_seconds_total",
            "counter",
            "Processor time of a replica's processes.",
            format!("{{{labels}}} {}", used.cpu_ms as f64 / 1000.0),
        );
    }
}

fn labels(picture: &Picture, deployment: &domain::Deployment) -> String {
    let environment = deployment.environment.as_ref();
    let candidate = environment
        .and_then(|name| picture.promotion(name))
        .is_some_and(|promotion| promotion.candidate == deployment.id);
    let phase = match environment {
        None => "",
        Some(_) if candidate => "promoting",
        Some(_) => "stable",
    };
    format!(
        "model_id=\"{}\",model_name=\"{}\",deployment_id=\"{}\",environment=\"{}\",rollout_phase=\"{phase}\"",
        escaped(picture.model.id.as_str()),
        escaped(picture.model.name.as_str()),
        escaped(deployment.id.as_str()),
        escaped(environment.map_or("", |name| name.as_str())),
    )
}

fn with_status(labels: &str, status: &str) -> String {
    format!("{labels},status_code=\"{status}\",is_async=\"false\"")
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// What the numbers of a histogram are.
#[derive(Clone, Copy)]
enum Scale {
    /// Counted in microseconds.
    Seconds,
    /// Counted in microseconds, too.
    Starts,
    Bytes,
}

impl Scale {
    /// The powers of two that are its limits, and how many of what is counted make one.
    fn limits(self) -> (&'static [u32], f64) {
        match self {
            Self::Seconds => (&TIMES, 1e6),
            Self::Starts => (&STARTS, 1e6),
            Self::Bytes => (&BODIES, 1.0),
        }
    }
}

/// Samples by metric, so that each metric's stand together as the format asks.
#[derive(Default)]
struct Page {
    metrics: BTreeMap<&'static str, (&'static str, &'static str, Vec<String>)>,
}

impl Page {
    /// One sample; `line` is what follows the metric's name.
    fn add(&mut self, name: &'static str, kind: &'static str, help: &'static str, line: String) {
        self.metrics.entry(name).or_insert_with(|| (kind, help, Vec::new())).2.push(line);
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, labels: &str, value: f64) {
        self.add(name, "gauge", help, format!("{{{labels}}} {value}"));
    }

    fn requests(&mut self, labels: &str, counters: &Counters) {
        for (status, count) in &counters.statuses {
            self.ended(labels, &status.to_string(), *count);
        }
        for (class, outcome, answers) in [
            ("2xx", Outcome::Fine, &counters.fine),
            ("4xx", Outcome::ClientError, &counters.client_errors),
            ("5xx", Outcome::ServerError, &counters.server_errors),
        ] {
            let of_class =
                counters.statuses.iter().filter(|(status, _)| Outcome::of_status(*status) == outcome);
            let told: u64 = of_class.map(|(_, count)| count).sum();
            if answers.requests > told {
                self.ended(labels, class, answers.requests - told);
            }
            // A class that never came would be eighty lines of zeros.
            if answers.requests > 0 {
                self.answers(&with_status(labels, class), answers);
            }
        }
        let concurrent = f64::from(counters.in_flight) + f64::from(counters.held);
        self.gauge("baseten_concurrent_requests", "Requests under way or waiting.", labels, concurrent);
        let open = f64::from(counters.websockets);
        self.gauge("baseten_ongoing_websocket_connections", "Websockets that are open.", labels, open);
    }

    /// How many requests came to a status, or to one of a class that is not told apart.
    fn ended(&mut self, labels: &str, status: &str, count: u64) {
        self.add(
            "baseten_inference_requests_total",
            "counter",
            "Requests by their status, as the gateway counted them.",
            format!("{{{}}} {count}", with_status(labels, status)),
        );
    }

    /// How long requests of one class took, and how large they were.
    fn answers(&mut self, labels: &str, counted: &Answers) {
        self.histogram(
            "baseten_end_to_end_response_time_seconds",
            "From a request's arrival to its answer's last byte.",
            labels,
            Scale::Seconds,
            &counted.end_to_end,
        );
        self.histogram(
            "baseten_time_to_first_byte_seconds",
            "From a request's arrival to its answer's first byte.",
            labels,
            Scale::Seconds,
            &counted.first_byte,
        );
        self.histogram(
            "baseten_request_size_bytes",
            "Bodies of requests that were answered to the end, as they came.",
            labels,
            Scale::Bytes,
            &counted.request_sizes,
        );
        self.histogram(
            "baseten_response_size_bytes",
            "Bodies of answers that came to their end, as they went to the client.",
            labels,
            Scale::Bytes,
            &counted.response_sizes,
        );
    }

    /// How long starts took by phase, in the order of [`START_PHASES`]. Phases that never came are left out.
    fn starts(&mut self, labels: &str, phases: &[Histogram; 5]) {
        for (phase, counted) in START_PHASES.iter().zip(phases).filter(|(_, counted)| !counted.is_empty()) {
            self.histogram(
                "slipway_cold_start_seconds",
                "Starts of replicas that got ready, by phase.",
                &format!("{labels},phase=\"{phase}\""),
                Scale::Starts,
                counted,
            );
        }
    }

    fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &str,
        scale: Scale,
        counted: &Histogram,
    ) {
        let (powers, unit) = scale.limits();
        for power in powers {
            let limit = (1u64 << power) as f64 / unit;
            let below = counted.below_power(*power);
            self.add(name, "histogram", help, format!("_bucket{{{labels},le=\"{limit}\"}} {below}"));
        }
        let count = counted.count();
        self.add(name, "histogram", help, format!("_bucket{{{labels},le=\"+Inf\"}} {count}"));
        let sum = counted.sum() as f64 / unit;
        self.add(name, "histogram", help, format!("_sum{{{labels}}} {sum}"));
        self.add(name, "histogram", help, format!("_count{{{labels}}} {count}"));
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, (kind, help, lines)) in &self.metrics {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for line in lines {
                let _ = writeln!(text, "{name}{line}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::size_of;

    #[test]
    fn a_histogram_counts_up_to_each_limit() {
        let mut page = Page::default();
        let durations: Histogram =
            [500, 1500, 90_000].into_iter().map(|micros| (size_of(micros) as u16, 1)).collect();
        // One byte less than the body has, as the gateway counts.
        let bodies = [1023, 1024].into_iter().map(|less| (size_of(less) as u16, 1)).collect();
        let fine =
            Answers { requests: 3, end_to_end: durations, request_sizes: bodies, ..Answers::default() };
        let counters = Counters { fine, websockets: 2, ..Counters::default() };
        page.requests("model_id=\"m\"", &counters);
        let text = page.text();
        let name = "baseten_end_to_end_response_time_seconds";
        let labels = "model_id=\"m\",status_code=\"2xx\",is_async=\"false\"";
        assert!(text.contains(&format!("{name}_bucket{{{labels},le=\"0.001024\"}} 1\n")), "{text}");
        assert!(text.contains(&format!("{name}_bucket{{{labels},le=\"0.002048\"}} 2\n")), "{text}");
        assert!(text.contains(&format!("{name}_bucket{{{labels},le=\"+Inf\"}} 3\n")), "{text}");
        assert!(text.contains(&format!("{name}_count{{{labels}}} 3\n")), "{text}");
        let heads = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(heads, 7, "one for each metric: {text}");
        assert!(text.contains("\nbaseten_ongoing_websocket_connections{model_id=\"m\"} 2\n"), "{text}");
        let name = "baseten_request_size_bytes";
        assert!(text.contains(&format!("{name}_bucket{{{labels},le=\"1024\"}} 1\n")), "{text}");
        assert!(text.contains(&format!("{name}_bucket{{{labels},le=\"4096\"}} 2\n")), "{text}");
    }

    #[test]
    fn each_status_is_counted_by_itself_and_each_class_that_came_has_histograms() {
        let mut page = Page::default();
        let answers = |requests, micros| Answers {
            requests,
            end_to_end: [(size_of(micros) as u16, requests)].into_iter().collect(),
            ..Answers::default()
        };
        let counters = Counters {
            fine: answers(5, 2_000),
            server_errors: answers(4, 9_000_000),
            statuses: vec![(200, 4), (206, 1), (503, 3)],
            ..Counters::default()
        };
        page.requests("model_id=\"m\"", &counters);
        let text = page.text();
        let line = |name: &str, status: &str, count: u64| {
            format!("{name}{{model_id=\"m\",status_code=\"{status}\",is_async=\"false\"}} {count}\n")
        };
        let name = "baseten_inference_requests_total";
        for (status, count) in [("200", 4), ("206", 1), ("503", 3), ("5xx", 1)] {
            assert!(text.contains(&line(name, status, count)), "{text}");
        }
        let told = text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count();
        assert_eq!(told, 4, "nothing is counted twice: {text}");
        let name = "baseten_end_to_end_response_time_seconds_count";
        assert!(text.contains(&line(name, "2xx", 5)) && text.contains(&line(name, "5xx", 4)), "{text}");
        assert!(!text.contains("status_code=\"4xx\""), "there were none: {text}");
    }

    #[test]
    fn starts_are_told_by_phase() {
        let mut page = Page::default();
        let took = |micros| [(size_of(micros) as u16, 1)].into_iter().collect::<Histogram>();
        let phases = [took(0), took(200_000), took(3_000_000), took(9_000), Histogram::default()];
        page.starts("model_id=\"m\"", &phases);
        let text = page.text();
        let name = "slipway_cold_start_seconds";
        assert!(text.contains(&format!("# TYPE {name} histogram\n")), "{text}");
        let load = "model_id=\"m\",phase=\"load\"";
        assert!(text.contains(&format!("{name}_bucket{{{load},le=\"1.048576\"}} 0\n")), "{text}");
        assert!(text.contains(&format!("{name}_bucket{{{load},le=\"4.194304\"}} 1\n")), "{text}");
        assert!(text.contains(&format!("{name}_count{{{load}}} 1\n")), "{text}");
        let queue = "model_id=\"m\",phase=\"queue\"";
        assert!(text.contains(&format!("{name}_bucket{{{queue},le=\"0.001024\"}} 1\n")), "{text}");
        assert!(!text.contains("first_byte"), "nobody waited: {text}");
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}

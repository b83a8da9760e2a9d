//! The metrics API: which numbers, of which time, in which form (semantics: Metrics).

use std::collections::BTreeMap;

use control::MetricSeries;
use domain::{Histogram, Invalid, KEPT, Measured, ReplicaCount, ReplicaUse, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::processes::{Processes, Used};
use super::words;

/// Without a window, in milliseconds: the last hour; what is current is of the last minute.
const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    Current,
    Summary,
    Series,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Metric {
    Requests,
    EndToEnd,
    FirstByte,
    Inference,
    RequestSize,
    ResponseSize,
    Concurrent,
    Websockets,
    Active,
    Starting,
    Ready,
    Cpu,
    Memory,
    Restarts,
}

/// Those that are answered, by name.
const SERVED: [(&str, Metric); 14] = [
    ("baseten_replicas_active", Metric::Active),
    ("baseten_replicas_starting", Metric::Starting),
    ("baseten_inference_requests_total", Metric::Requests),
    ("baseten_end_to_end_response_time_seconds", Metric::EndToEnd),
    ("baseten_time_to_first_byte_seconds", Metric::FirstByte),
    ("baseten_inference_time_seconds", Metric::Inference),
    ("baseten_request_size_bytes", Metric::RequestSize),
    ("baseten_response_size_bytes", Metric::ResponseSize),
    ("baseten_concurrent_requests", Metric::Concurrent),
    ("baseten_ongoing_websocket_connections", Metric::Websockets),
    ("baseten_pod_readiness", Metric::Ready),
    ("baseten_container_cpu_usage_seconds_total", Metric::Cpu),
    ("baseten_container_cpu_memory_working_set_bytes", Metric::Memory),
    ("baseten_container_restarts_total", Metric::Restarts),
];
/// Answered when no metric is named.
const DEFAULT: [Metric; 3] = [Metric::Active, Metric::Requests, Metric::EndToEnd];
/// Names that exist and do not apply here: they are left out of the answer.
const OTHERS: [&str; 6] = [
    "baseten_async_queue_size",
    "baseten_async_webhook_latency_seconds",
    "baseten_async_webhook_requests_total",
    "baseten_gpu_memory_used",
    "baseten_gpu_utilization",
    "baseten_time_in_async_queue_seconds",
];
const QUANTILES: [(&str, u64); 4] = [("0.5", 50), ("0.9", 90), ("0.95", 95), ("0.99", 99)];

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct MetricsRequest {
    mode: Mode,
    start: Option<i64>,
    end: Option<i64>,
    metrics: Vec<Metric>,
}

impl MetricsRequest {
    /// From a query string. Unknown parameters and names are refused.
    pub fn from_pairs(pairs: Vec<(String, String)>) -> Result<Self, Invalid> {
        let mut request = Self { mode: Mode::Current, start: None, end: None, metrics: Vec::new() };
        let mut named = false;
        for (name, value) in pairs {
            match name.as_str() {
                "mode" => {
                    request.mode = match value.as_str() {
                        "CURRENT" => Mode::Current,
                        "SUMMARY" => Mode::Summary,
                        "SERIES" => Mode::Series,
                        other => {
                            let problem = format!("`{other}` is not one of CURRENT, SUMMARY, SERIES");
                            return Err(Invalid::new("mode", problem));
                        }
                    }
                }
                "start_epoch_millis" => request.start = Some(moment("start_epoch_millis", &value)?),
                "end_epoch_millis" => request.end = Some(moment("end_epoch_millis", &value)?),
                "metrics" => {
                    named = true;
                    if let Some((_, metric)) = SERVED.iter().find(|(known, _)| *known == value) {
                        if !request.metrics.contains(metric) {
                            request.metrics.push(*metric);
                        }
                    } else if !OTHERS.contains(&value.as_str()) {
                        let known: Vec<&str> = SERVED.iter().map(|(name, _)| *name).collect();
                        let problem = format!("there is no metric `{value}`; there are {}", known.join(", "));
                        return Err(Invalid::new("metrics", problem));
                    }
                }
                other => {
                    let problem =
                        "is not known; there are mode, start_epoch_millis, end_epoch_millis, metrics";
                    return Err(Invalid::new(other.to_owned(), problem));
                }
            }
        }
        if !named {
            request.metrics = DEFAULT.to_vec();
        }
        if request.mode != Mode::Current {
            // Whether one replica was ready is not kept.
            request.metrics.retain(|metric| *metric != Metric::Ready);
        }
        Ok(request)
    }

    /// Whether it asks how single replicas are at this moment.
    pub fn asks_for_uses(&self) -> bool {
        self.mode == Mode::Current && self.metrics.iter().any(|metric| metric.is_of_processes())
    }

    /// The window that is asked for.
    pub fn window(&self, now: Timestamp) -> Result<(Timestamp, Timestamp), Invalid> {
        if self.mode == Mode::Current {
            return match self.start.or(self.end) {
                None => Ok((now.plus(-MINUTE), now)),
                Some(_) => {
                    Err(Invalid::new("mode", "CURRENT takes no window; use SUMMARY or SERIES with one"))
                }
            };
        }
        let end = self.end.map_or(now, Timestamp::from_millis);
        let start = self.start.map_or_else(|| end.plus(-HOUR), Timestamp::from_millis);
        if start >= end {
            return Err(Invalid::new("start_epoch_millis", "is not before end_epoch_millis"));
        }
        if end.since(start) > KEPT {
            return Err(Invalid::new("start_epoch_millis", "a window has at most 7 days"));
        }
        Ok((start, end))
    }
}

fn moment(field: &'static str, text: &str) -> Result<i64, Invalid> {
    let millis = text.parse().ok().filter(|millis| (0..=253_402_300_799_999).contains(millis));
    millis.ok_or_else(|| Invalid::new(field, format!("`{text}` is not a number of milliseconds since 1970")))
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Metrics {
    start_epoch_millis: i64,
    end_epoch_millis: i64,
    #[schema(value_type = words::MetricsMode)]
    mode: Mode,
    /// Null unless it is a series.
    #[schema(required)]
    step_seconds: Option<i64>,
    /// Everything that ended before is counted, and rates are of the time up to it; null before the first look.
    #[schema(required)]
    complete_through_epoch_millis: Option<i64>,
    metric_descriptors: Vec<Descriptor>,
    metric_values: Vec<Values>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MetricDescriptor)]
struct Descriptor {
    name: &'static str,
    #[schema(value_type = words::MetricUnit)]
    unit_hint: &'static str,
    #[schema(value_type = words::MetricKind)]
    kind: &'static str,
    label_sets: Vec<BTreeMap<&'static str, String>>,
}

/// For each descriptor a number for each of its label sets; null where nothing was measured.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MetricValues)]
struct Values {
    start_epoch_millis: i64,
    values: Vec<Vec<Option<f64>>>,
}

impl Metrics {
    /// `used` is of each replica that runs now, where it is asked for.
    pub fn new(
        request: &MetricsRequest,
        window: (Timestamp, Timestamp),
        series: &MetricSeries,
        used: &[Used],
    ) -> Self {
        let processes = match request.mode {
            Mode::Current => Processes::Now(used),
            Mode::Summary | Mode::Series => Processes::measured(series),
        };
        let steps = series.points.iter().zip(&series.replicas).zip(&series.restarts);
        let metric_values = if request.mode == Mode::Series {
            let steps = series.period.steps().zip(steps);
            steps
                .map(|(start, ((point, replicas), restarts))| {
                    let step = Step {
                        point: point.as_ref(),
                        replicas: replicas.as_ref(),
                        restarts: *restarts,
                        seconds: series.step_seconds(start),
                    };
                    Values {
                        start_epoch_millis: start.millis(),
                        values: values(&request.metrics, step, &processes),
                    }
                })
                .collect()
        } else {
            let whole = series.points.iter().flatten().cloned().reduce(|mut sum, point| {
                sum.add(&point);
                sum
            });
            let last = series.replicas.iter().flatten().last();
            let seconds = series.period_seconds();
            let restarts = series.restarts.iter().sum();
            let step = Step { point: whole.as_ref(), replicas: last, restarts, seconds };
            vec![Values {
                start_epoch_millis: series.period.start.millis(),
                values: values(&request.metrics, step, &processes),
            }]
        };
        Self {
            start_epoch_millis: window.0.millis(),
            end_epoch_millis: window.1.millis(),
            mode: request.mode,
            step_seconds: (request.mode == Mode::Series).then_some(series.period.step / 1000),
            complete_through_epoch_millis: series.complete_through.map(Timestamp::millis),
            metric_descriptors: request.metrics.iter().map(|metric| metric.descriptor(&processes)).collect(),
            metric_values,
        }
    }
}

/// What is known of one step, or of a whole window.
#[derive(Clone, Copy)]
struct Step<'a> {
    point: Option<&'a Measured>,
    replicas: Option<&'a ReplicaCount>,
    restarts: u64,
    /// How much of its time was looked at; `None` if nothing yet.
    seconds: Option<f64>,
}

impl Metric {
    fn is_of_processes(self) -> bool {
        matches!(self, Self::Cpu | Self::Memory | Self::Ready)
    }

    fn descriptor(self, processes: &Processes<'_>) -> Descriptor {
        let name = SERVED.iter().find(|(_, metric)| *metric == self).map_or("", |(name, _)| *name);
        let labels = |key: &'static str, all: &[&'static str]| {
            all.iter().map(|value| BTreeMap::from([(key, (*value).to_owned())])).collect()
        };
        let replicas = || processes.labels().map(|replica| BTreeMap::from([("replica", replica)])).collect();
        let (unit_hint, kind, label_sets) = match self {
            Self::Cpu => ("PER_SECOND", "COUNTER", replicas()),
            Self::Memory => ("BYTES", "GAUGE", replicas()),
            Self::Ready => ("COUNT", "GAUGE", replicas()),
            Self::Restarts => ("PER_SECOND", "COUNTER", vec![BTreeMap::new()]),
            Self::Requests => ("PER_SECOND", "COUNTER", labels("status_code", &["2xx", "4xx", "5xx"])),
            Self::EndToEnd | Self::FirstByte | Self::Inference => {
                ("SECONDS", "HISTOGRAM", labels("quantile", &QUANTILES.map(|(name, _)| name)))
            }
            Self::RequestSize | Self::ResponseSize => {
                ("BYTES", "HISTOGRAM", labels("quantile", &QUANTILES.map(|(name, _)| name)))
            }
            Self::Concurrent | Self::Websockets | Self::Active | Self::Starting => {
                ("COUNT", "GAUGE", vec![BTreeMap::new()])
            }
        };
        Descriptor { name, unit_hint, kind, label_sets }
    }

    fn values(self, step: Step<'_>, processes: &Processes<'_>) -> Vec<Option<f64>> {
        let Step { point, replicas, restarts, seconds } = step;
        let quantiles = |of: fn(&Measured) -> &Histogram, unit: f64| {
            let value = |percent| Some(of(point?).percentile(percent)? as f64 / unit);
            QUANTILES.iter().map(|(_, percent)| value(*percent)).collect()
        };
        match self {
            Self::Requests => {
                let rate = |count: u64| Some(count as f64 / seconds?);
                let outcomes = point.map(|point| point.outcomes);
                vec![
                    outcomes.and_then(|all| rate(all.fine)),
                    outcomes.and_then(|all| rate(all.client_errors)),
                    outcomes.and_then(|all| rate(all.server_errors)),
                ]
            }
            Self::EndToEnd => quantiles(|point| &point.end_to_end, 1e6),
            Self::FirstByte => quantiles(|point| &point.first_byte, 1e6),
            Self::Inference => quantiles(|point| &point.inference, 1e6),
            Self::RequestSize => quantiles(|point| &point.request_sizes, 1.0),
            Self::ResponseSize => quantiles(|point| &point.response_sizes, 1.0),
            Self::Concurrent => vec![point.map(|point| f64::from(point.in_flight + point.held))],
            Self::Websockets => vec![point.map(|point| f64::from(point.websockets))],
            Self::Restarts => vec![seconds.map(|seconds| restarts as f64 / seconds)],
            Self::Active => vec![replicas.map(|count| f64::from(count.ready))],
            Self::Starting => vec![replicas.map(|count| f64::from(count.starting))],
            Self::Cpu => {
                let cores = |used: &ReplicaUse| Some(used.cpu_ms as f64 / 1000.0 / seconds?);
                processes.values(point, |of| of.cores, cores)
            }
            Self::Memory => processes.values(point, |of| of.memory, |used| Some(used.memory as f64)),
            Self::Ready => processes.values(point, |of| Some(f64::from(u8::from(of.is_ready))), |_| None),
        }
    }
}

fn values(metrics: &[Metric], step: Step<'_>, processes: &Processes<'_>) -> Vec<Vec<Option<f64>>> {
    metrics.iter().map(|metric| metric.values(step, processes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{Period, ReplicaId};

    fn request(query: &[(&str, &str)]) -> Result<MetricsRequest, Invalid> {
        MetricsRequest::from_pairs(query.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect())
    }

    fn refusal(query: &[(&str, &str)]) -> String {
        let now = Timestamp::from_millis(1_800_000_000_000);
        match request(query).and_then(|request| request.window(now)) {
            Ok(window) => panic!("{window:?}"),
            Err(invalid) => invalid.to_string(),
        }
    }

    #[test]
    fn a_refusal_names_the_parameter() {
        assert!(refusal(&[("mode", "LAST")]).contains("mode"));
        assert!(refusal(&[("metrics", "baseten_nothing")]).contains("baseten_nothing"));
        assert!(refusal(&[("mode", "SERIES"), ("start_epoch_millis", "x")]).contains("start_epoch_millis"));
        assert!(refusal(&[("mode", "SERIES"), ("start_epoch_millis", "5")]).contains("7 days"));
        assert!(
            refusal(&[("mode", "SERIES"), ("start_epoch_millis", "7"), ("end_epoch_millis", "7")])
                .contains("before")
        );
        assert!(refusal(&[("start_epoch_millis", "5")]).contains("CURRENT"));
        assert!(refusal(&[("steps", "5")]).contains("steps"));
    }

    #[test]
    fn the_machine_is_asked_for_what_is_used_now_alone() {
        let named = ("metrics", "baseten_container_cpu_usage_seconds_total");
        assert!(request(&[named]).unwrap().asks_for_uses());
        assert!(!request(&[("mode", "SERIES"), named]).unwrap().asks_for_uses());
        assert!(!request(&[named, ("mode", "SUMMARY")]).unwrap().asks_for_uses());
    }

    #[test]
    fn whether_a_replica_is_ready_is_told_of_now_alone() {
        let named = ("metrics", "baseten_pod_readiness");
        let current = request(&[named]).unwrap();
        assert!(current.asks_for_uses());
        let replica =
            |name: &str, is_ready| Used { replica: name.to_owned(), is_ready, cores: None, memory: None };
        let series = hour(0);
        let window = (series.period.start, series.period.end);
        let metrics = Metrics::new(&current, window, &series, &[replica("a", true), replica("b", false)]);
        let labels = metrics.metric_descriptors[0].label_sets.iter().map(|set| set["replica"].as_str());
        assert_eq!(labels.collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(metrics.metric_values[0].values, [[Some(1.0), Some(0.0)]]);
        let past = |mode| request(&[("mode", mode), named]).unwrap().metrics;
        assert!(past("SERIES").is_empty() && past("SUMMARY").is_empty(), "it is not kept");
    }

    /// An hour that ends at second 0, looked at until `through`, with 60 requests, 6 s of processor time and 3 restarts in its
    /// last minute.
    fn hour(through: i64) -> MetricSeries {
        let at = |seconds: i64| Timestamp::from_millis(1_800_000_000_000 + seconds * 1000);
        // It is asked for in the middle of its last step.
        let period = Period::new(at(-3630), at(-30), at(-30));
        let steps = period.steps().count();
        let mut last = Measured::nothing(at(-60), at(through));
        last.outcomes.fine = 60;
        last.used.insert(ReplicaId::new("r"), ReplicaUse { memory: 7, cpu_ms: 6000 });
        let mut points = vec![None; steps];
        points[steps - 1] = Some(last);
        let mut restarts = vec![0; steps];
        restarts[steps - 1] = 3;
        let complete_through = Some(at(through));
        MetricSeries { period, points, replicas: vec![None; steps], restarts, complete_through }
    }

    /// The rates of requests, processor time and restarts in the last set of values.
    fn rates(mode: &str, through: i64) -> [Option<f64>; 3] {
        let cpu = ("metrics", "baseten_container_cpu_usage_seconds_total");
        let restarts = ("metrics", "baseten_container_restarts_total");
        let request =
            request(&[("mode", mode), ("metrics", "baseten_inference_requests_total"), cpu, restarts]);
        let (request, series) = (request.unwrap(), hour(through));
        let window = request.window(series.period.end.plus(-30_000)).unwrap();
        let metrics = Metrics::new(&request, window, &series, &[]);
        assert_eq!(metrics.complete_through_epoch_millis, series.complete_through.map(Timestamp::millis));
        let last = &metrics.metric_values.last().unwrap().values;
        [last[0][0], last[1][0], last[2][0]]
    }

    #[test]
    fn a_rate_is_of_the_time_that_was_looked_at() {
        // The step under way has had twenty seconds.
        assert_eq!(rates("SERIES", -40), [Some(3.0), Some(0.3), Some(0.15)]);
        assert_eq!(rates("SERIES", 0), [Some(1.0), Some(0.1), Some(0.05)], "all of a step that is over");
        assert_eq!(rates("SERIES", 300), rates("SERIES", 0), "what was looked at since is not its time");
        let hour = 3600.0 + 60.0 - 40.0;
        assert_eq!(rates("SUMMARY", -40), [Some(60.0 / hour), Some(6.0 / hour), Some(3.0 / hour)]);
    }

    #[test]
    fn of_a_step_that_was_not_looked_at_there_is_no_rate() {
        let request =
            request(&[("mode", "SERIES"), ("metrics", "baseten_container_restarts_total")]).unwrap();
        let series = MetricSeries { complete_through: None, ..hour(0) };
        let metrics = Metrics::new(&request, (series.period.start, series.period.end), &series, &[]);
        assert!(metrics.metric_values.iter().all(|set| set.values == [[None]]), "not zero");
        assert_eq!(metrics.complete_through_epoch_millis, None);
    }

    #[test]
    fn what_does_not_apply_is_left_out_and_not_refused() {
        assert_eq!(
            request(&[("metrics", "baseten_gpu_utilization")]).map(|request| request.metrics),
            Ok(vec![])
        );
        assert_eq!(request(&[]).map(|request| request.metrics), Ok(DEFAULT.to_vec()));
    }
}

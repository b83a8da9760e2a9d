//! From a series to the points of its charts.

use app::view::MetricPoint;
use control::MetricSeries;
use domain::{Histogram, MIB, Measured, ReplicaCount, ReplicaUse, Timestamp};

pub fn metric_points(series: &MetricSeries) -> Vec<MetricPoint> {
    let seconds = series.period.step as f64 / 1000.0;
    let known = series.points.iter().zip(&series.replicas).zip(&series.restarts);
    let steps = series.period.steps().zip(known);
    let through = series.complete_through.unwrap_or_default();
    steps
        .map(|(at, ((measured, replicas), restarts))| MetricPoint {
            restarts: (at <= through).then_some([*restarts as f64]),
            ..point(at, measured.as_ref(), *replicas, seconds, through)
        })
        .collect()
}

fn point(
    at: Timestamp,
    measured: Option<&Measured>,
    replicas: Option<ReplicaCount>,
    seconds: f64,
    through: Timestamp,
) -> MetricPoint {
    // The step under way has not had all its time yet.
    let passed = (through.since(at) as f64 / 1000.0).clamp(1.0, seconds.max(1.0));
    let rate = |count: u64| count as f64 / passed;
    MetricPoint {
        at,
        rates: measured.map(|measured| {
            let outcomes = measured.outcomes;
            [rate(outcomes.fine), rate(outcomes.client_errors), rate(outcomes.server_errors)]
        }),
        end_to_end: measured.and_then(|measured| percentiles(&measured.end_to_end)),
        first_byte: measured.and_then(|measured| percentiles(&measured.first_byte)),
        load: measured.map(|measured| [f64::from(measured.in_flight), f64::from(measured.held)]),
        replicas: replicas.map(|count| [count.wanted, count.starting, count.ready].map(f64::from)),
        cores: used(measured, |used| used.cpu_ms).map(|both| both.map(|millis| millis / 1000.0 / passed)),
        memory: used(measured, |used| used.memory).map(|both| both.map(|bytes| bytes / MIB as f64)),
        restarts: None,
    }
}

/// What all replicas used, and the one that used the most.
fn used(measured: Option<&Measured>, of: fn(&ReplicaUse) -> u64) -> Option<[f64; 2]> {
    let measured = measured?;
    let most = measured.used.values().map(of).max()?;
    Some([of(&measured.used_by_all()?) as f64, most as f64])
}

/// Milliseconds.
fn percentiles(durations: &Histogram) -> Option<[f64; 4]> {
    let value = |percent| durations.percentile(percent).map(|micros| micros as f64 / 1000.0);
    Some([value(50)?, value(90)?, value(95)?, value(99)?])
}

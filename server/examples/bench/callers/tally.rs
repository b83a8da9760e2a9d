//! Many measurements as a few numbers.

use serde_json::{Value, json};

/// Count, and the 50th and 99th of a hundred, in microseconds, of times in nanoseconds.
pub fn percentiles(mut times: Vec<u64>) -> Value {
    times.sort_unstable();
    let at = |percent: usize| {
        let place = (times.len() * percent).div_ceil(100).max(1) - 1;
        times.get(place).map(|time| *time as f64 / 1e3)
    };
    json!({ "count": times.len(), "p50": at(50), "p99": at(99) })
}

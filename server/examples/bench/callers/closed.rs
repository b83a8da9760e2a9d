//! Each connection sends its next request as soon as the last one is answered: how much goes through, and what it costs.

use serde_json::{Value, json};

use super::crowd::Crowd;
use super::poll::now;
use super::{Kind, Target};

/// When it is over.
pub enum Length {
    Seconds(u64),
    Requests(u64),
}

impl Length {
    /// `3s`, or a number of requests.
    pub fn read(text: &str) -> Self {
        match text.strip_suffix('s') {
            Some(seconds) => Self::Seconds(seconds.parse().unwrap()),
            None => Self::Requests(text.parse().unwrap()),
        }
    }
}

pub fn run(target: &Target, kind: Kind, connections: usize, length: Length) -> Value {
    let mut crowd = Crowd::new(target, kind, connections);
    let (before, begin) = (target.proxy.processor(), now());
    let (end, most) = match length {
        Length::Seconds(seconds) => (begin + seconds * 1_000_000_000, u64::MAX),
        Length::Requests(most) => (u64::MAX, most),
    };
    for member in 0..crowd.len().min(most as usize) {
        crowd.send(member);
    }
    let mut ended = Vec::new();
    let mut last = begin;
    while crowd.waiting() > 0 && now() < end {
        crowd.wait((end < u64::MAX).then_some(end), &mut ended);
        for one in &ended {
            last = one.ended;
            if crowd.tally.sent < most {
                crowd.send(one.member);
            }
        }
    }
    let processor = target.proxy.processor() - before;
    let seconds = (last - begin) as f64 / 1e9;
    json!({
        "tally": crowd.tally.json(),
        "per_second": crowd.tally.answered as f64 / seconds,
        "processor_us": processor as f64 / 1e3 / crowd.tally.answered as f64,
        "load": processor as f64 / 1e9 / seconds,
    })
}

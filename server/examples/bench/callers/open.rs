//! Requests that arrive by chance at a steady rate, whether or not earlier ones are answered. What one takes counts from
//! the moment it was due, so that a proxy that stands still is not spared those that would have come meanwhile.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::crowd::Crowd;
use super::poll::now;
use super::tally::percentiles;
use super::{Kind, Target};

/// How long answers are waited for after the last arrival, in nanoseconds.
const PATIENCE: u64 = 5_000_000_000;

/// When no more requests arrive.
pub enum Until {
    /// After so many seconds.
    Passed(u64),
    /// When standard input is closed. Each request is told of, then.
    Told,
}

pub fn run(target: &Target, kind: Kind, connections: usize, rate: f64, until: Until) -> Value {
    let mut crowd = Crowd::new(target, kind, connections);
    let mut idle: VecDeque<usize> = (0..crowd.len()).collect();
    let mut due_of = vec![0; crowd.len()];
    let mut queue = VecDeque::new();
    let (mut took, mut samples, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    // The same arrivals for everybody who is measured.
    let mut chance = StdRng::seed_from_u64(1);
    // What was answered while requests arrived.
    let mut in_time = 0;
    let before = target.proxy.processor();
    let begin = now();
    let (mut end, told, each) = match until {
        Until::Passed(seconds) => (begin + seconds * 1_000_000_000, Arc::default(), false),
        Until::Told => (u64::MAX, told(), true),
    };
    let mut next = begin;
    loop {
        if told.load(Ordering::Relaxed) {
            end = end.min(now());
        }
        while next < end && next <= now() {
            queue.push_back(next);
            next += (-(1.0 - chance.random::<f64>()).ln() * 1e9 / rate) as u64;
        }
        while !queue.is_empty()
            && let Some(member) = idle.pop_front()
            && let Some(due) = queue.pop_front()
        {
            due_of[member] = due;
            crowd.send(member);
        }
        if next >= end && (crowd.waiting() == 0 || now() > end + PATIENCE) {
            break;
        }
        crowd.wait(Some(if next < end { next } else { end + PATIENCE }), &mut ended);
        for one in &ended {
            idle.push_back(one.member);
            took.push(one.ended - due_of[one.member]);
            in_time += u64::from(one.replica.is_some() && one.ended <= end);
            if each {
                samples.push((one.sent, one.replica));
            }
        }
    }
    let processor = target.proxy.processor() - before;
    let passed = (end.min(now()) - begin) as f64 / 1e9;
    // Who was never answered, or never even sent, is as lost as who was refused.
    crowd.tally.lost += crowd.waiting() + queue.len() as u64;
    json!({
        "tally": crowd.tally.json(),
        "took_us": percentiles(took),
        "per_second": in_time as f64 / passed,
        "processor_us": processor as f64 / 1e3 / crowd.tally.answered as f64,
        "samples": samples,
    })
}

/// Becomes true when standard input is closed.
fn told() -> Arc<AtomicBool> {
    let told = Arc::new(AtomicBool::new(false));
    let tell = told.clone();
    std::thread::spawn(move || {
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        tell.store(true, Ordering::Relaxed);
    });
    told
}

//! Connections that made one request each and then say nothing: what each keeps of the proxy's memory, and how many stay
//! open.

use serde_json::{Value, json};

use super::crowd::Crowd;
use super::poll::now;
use super::{Kind, Target};

/// Requests under way while the connections make their first one.
const AT_ONCE: usize = 32;

pub fn run(target: &Target, connections: usize, seconds: u64) -> Value {
    let before = target.proxy.resident();
    let mut crowd = Crowd::new(target, Kind::Plain, connections);
    let mut ended = Vec::new();
    let mut next = 0;
    while next < connections || crowd.waiting() > 0 {
        while next < connections && crowd.waiting() < AT_ONCE as u64 {
            crowd.send(next);
            next += 1;
        }
        crowd.wait(None, &mut ended);
    }
    let end = now() + seconds * 1_000_000_000;
    while now() < end {
        std::thread::sleep(std::time::Duration::from_nanos(end.saturating_sub(now())));
    }
    json!({
        "tally": crowd.tally.json(),
        "before_kib": before,
        "after_kib": target.proxy.resident(),
        "open": crowd.open(),
    })
}

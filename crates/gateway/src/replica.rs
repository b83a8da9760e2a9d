//! One replica as the gateway knows it, shared by all threads and kept across publishes.

use domain::{DeploymentId, ReplicaId};
use http::HeaderValue;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

/// Taken out of the routes: what is in flight ends, nothing new begins.
const CLOSED: u32 = 1 << 31;
/// It refused a connection: passed over until it accepts one again.
const REFUSING: u32 = 1 << 30;
const COUNT: u32 = REFUSING - 1;

static NEXT_KEY: AtomicU64 = AtomicU64::new(0);

/// Requests in flight and whether it takes more, in one padded word: a request begins by one atomic step.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Replica {
    slots: AtomicU32,
    /// Names this replica's connections in the pools; never used twice.
    pub key: u64,
    pub id: ReplicaId,
    pub port: u16,
    /// Its `host` header.
    pub authority: HeaderValue,
    /// `deployment/replica`, for people who look into an answer.
    pub served_by: HeaderValue,
}

impl Replica {
    pub fn new(deployment: &DeploymentId, id: ReplicaId, port: u16) -> Self {
        let header = |text: String| {
            HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("unnamed"))
        };
        Self {
            slots: AtomicU32::new(0),
            key: NEXT_KEY.fetch_add(1, SeqCst),
            authority: header(format!("127.0.0.1:{port}")),
            served_by: header(format!("{deployment}/{id}")),
            id,
            port,
        }
    }

    pub fn in_flight(&self) -> u32 {
        self.slots.load(SeqCst) & COUNT
    }

    /// Its load, if it takes another request within `target`.
    pub fn open_slots(&self, target: u32) -> Option<u32> {
        let slots = self.slots.load(SeqCst);
        (slots < target.min(COUNT)).then_some(slots)
    }

    /// Begins a request if its load is still what was seen.
    pub fn take(&self, seen: u32) -> bool {
        self.slots.compare_exchange(seen, seen + 1, SeqCst, SeqCst).is_ok()
    }

    /// Ends a request.
    pub fn give_back(&self) {
        self.slots.fetch_sub(1, SeqCst);
    }

    pub fn close(&self) {
        self.slots.fetch_or(CLOSED, SeqCst);
    }

    pub fn is_closed(&self) -> bool {
        self.slots.load(SeqCst) & CLOSED != 0
    }

    pub fn reopen(&self) {
        self.slots.fetch_and(!CLOSED, SeqCst);
    }

    /// Marks that it refuses connections; true for whoever marks it first.
    pub fn refuses(&self) -> bool {
        self.slots.fetch_or(REFUSING, SeqCst) & REFUSING == 0
    }

    pub fn accepts(&self) {
        self.slots.fetch_and(!REFUSING, SeqCst);
    }
}

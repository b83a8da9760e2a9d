//! One replica as the gateway knows it, shared by all threads and kept across publishes.

use domain::{DeploymentId, FirstAnswer, ReplicaId};
use http::HeaderValue;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};

/// Taken out of the routes: what is in flight ends, nothing new begins.
const CLOSED: u32 = 1 << 31;
/// It refused a connection: passed over until it accepts one again.
const REFUSING: u32 = 1 << 30;
const COUNT: u32 = REFUSING - 1;

/// What became of those that waited when it was routed: not routed yet, none waited, the first answer is awaited. From 0
/// on, milliseconds until the first answer began.
const FRESH: i64 = -3;
const NONE_WAITED: i64 = -2;
const AWAITED: i64 = -1;

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
    /// When it was made, in monotonic milliseconds: it is routed at once.
    made: i64,
    first_answer: AtomicI64,
    /// Its `host` header.
    pub authority: HeaderValue,
    /// `deployment/replica`, for people who look into an answer.
    pub served_by: HeaderValue,
}

impl Replica {
    /// One that is about to be routed; `now` is monotonic milliseconds.
    pub fn new(deployment: &DeploymentId, id: ReplicaId, port: u16, now: i64) -> Self {
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
            made: now,
            first_answer: AtomicI64::new(FRESH),
        }
    }

    /// A request that had waited is about to be passed on to it; true if it is the first.
    pub fn was_awaited(&self) -> bool {
        self.first_answer.compare_exchange(FRESH, AWAITED, SeqCst, SeqCst).is_ok()
    }

    /// Nobody had waited after all.
    pub fn was_left(&self) {
        let _ = self.first_answer.compare_exchange(AWAITED, FRESH, SeqCst, SeqCst);
    }

    /// Whoever waited for it has been passed on by now.
    pub fn is_routed(&self) {
        let _ = self.first_answer.compare_exchange(FRESH, NONE_WAITED, SeqCst, SeqCst);
    }

    /// The answer to a request that had waited begins; `now` is monotonic milliseconds.
    pub fn answers_awaited(&self, now: i64) {
        let after = (now - self.made).max(0);
        let _ = self.first_answer.compare_exchange(AWAITED, after, SeqCst, SeqCst);
    }

    pub fn first_answer(&self) -> FirstAnswer {
        match self.first_answer.load(SeqCst) {
            AWAITED => FirstAnswer::Awaited,
            after if after >= 0 => FirstAnswer::After(after),
            _ => FirstAnswer::NoneWaited,
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

    pub fn is_refusing(&self) -> bool {
        self.slots.load(SeqCst) & REFUSING != 0
    }

    pub fn accepts(&self) {
        self.slots.fetch_and(!REFUSING, SeqCst);
    }
}

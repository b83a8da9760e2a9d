//! A deployment's pool: who is let in, who waits, who is next (semantics: Holding and waking).

use domain::{Availability, DeploymentId, EnvironmentName, ModelId, Rewrite};
use http::Uri;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::held::{Held, Part};
use crate::metrics::Metrics;
use crate::replica::Replica;

/// How long a call of `wake` counts as demand: at most, while no replica is ready; and once one is. Milliseconds.
const WOKEN: (i64, i64) = (600_000, 10_000);

/// What is published of a deployment; never changed, only replaced.
#[derive(Debug)]
pub(crate) struct View {
    /// Grows with each publish of the model.
    pub serial: u64,
    pub availability: Availability,
    /// `u32::MAX` if there is no limit.
    pub target: u32,
    /// Who finds every place of the ready replicas taken is refused.
    pub rejects_when_full: bool,
    pub replicas: SmallVec<[Arc<Replica>; 4]>,
    pub rewrite: Rewrite,
    /// The predict path, ready to send.
    pub predict: Uri,
}

impl View {
    /// Takes a slot on the least busy replica that has one. `turn` decides among equals.
    fn take(&self, turn: usize) -> Option<Arc<Replica>> {
        let count = self.replicas.len();
        loop {
            let mut best: Option<(u32, &Arc<Replica>)> = None;
            for step in 0..count {
                let replica = &self.replicas[(turn + step) % count];
                if let Some(slots) = replica.open_slots(self.target)
                    && best.is_none_or(|(least, _)| slots < least)
                {
                    best = Some((slots, replica));
                }
            }
            let (seen, replica) = best?;
            if replica.take(seen) {
                return Some(replica.clone());
            }
        }
    }

    pub fn is_ready(&self) -> bool {
        !self.replicas.is_empty()
    }

    /// Whether a replica of it takes connections.
    pub fn is_served(&self) -> bool {
        self.replicas.iter().any(|replica| !replica.is_refusing())
    }
}

/// One deployment, shared by all threads and kept across publishes.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub id: DeploymentId,
    pub model: ModelId,
    pub metrics: Metrics,
    /// Somebody called `wake`: counts as demand until this monotonic millisecond. Written under the queue's lock.
    woken_until: AtomicI64,
    pub last_wake: AtomicI64,
    /// Length of the queue, read without its lock.
    queued: AtomicU32,
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    /// `None` once the deployment is not routed any more.
    view: Option<Arc<View>>,
    /// In the order of arrival, so sorted by number.
    waiting: VecDeque<Waiter>,
    /// What those who wait take together.
    bytes: u64,
    arrived: u64,
    /// All replicas that still have something in flight, routed or not.
    replicas: Vec<Arc<Replica>>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    bytes: u64,
    /// The same, of what all deployments have together.
    part: Part,
    since: Instant,
    environment: Option<EnvironmentName>,
    verdict: oneshot::Sender<Verdict>,
}

/// How a wait ends.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Forward it there.
    Go(Flight),
    /// The routes changed: look up again who serves the address.
    Again,
}

/// A slot on a replica, held while a request is in flight; given back when dropped.
#[derive(Debug)]
pub(crate) struct Flight {
    pub replica: Arc<Replica>,
    pub deployment: Arc<Deployment>,
    /// Nobody is to be told when the slot is free: the queue's lock is held, and the queue is empty.
    quiet: bool,
}

impl Flight {
    fn new(replica: Arc<Replica>, deployment: &Arc<Deployment>) -> Self {
        Self { replica, deployment: deployment.clone(), quiet: false }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.replica.give_back();
        if !self.quiet {
            self.deployment.release();
        }
    }
}

/// How much may wait for one deployment, and what is left for all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room<'a> {
    pub requests: usize,
    pub bytes: u64,
    pub of_all: &'a Held,
}

/// What came of asking for a slot.
pub(crate) enum Entry {
    Now(Flight),
    Wait(Place),
    /// The routes changed meanwhile.
    Again,
    /// Too many wait already.
    Full,
    /// Too many wait already, for all deployments together.
    AllFull,
}

/// A place in the queue; dropping it frees it.
pub(crate) struct Place {
    pub verdict: oneshot::Receiver<Verdict>,
    /// Whether it is the only one waiting.
    pub first: bool,
    number: u64,
    deployment: Arc<Deployment>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.deployment.leave(self.number);
    }
}

impl Deployment {
    pub fn new(id: DeploymentId, model: ModelId, measures: bool) -> Self {
        Self {
            id,
            model,
            metrics: Metrics::new(measures),
            woken_until: AtomicI64::new(i64::MIN),
            last_wake: AtomicI64::new(i64::MIN),
            queued: AtomicU32::new(0),
            queue: Mutex::new(Queue {
                view: None,
                waiting: VecDeque::new(),
                bytes: 0,
                arrived: 0,
                replicas: Vec::new(),
            }),
        }
    }

    /// Asks for a slot, with the view that the request was routed by. `bytes` is what it takes while it waits.
    pub fn enter(
        self: &Arc<Self>,
        view: &View,
        turn: usize,
        environment: Option<&EnvironmentName>,
        bytes: u64,
        room: Room<'_>,
    ) -> Entry {
        if self.queued.load(SeqCst) == 0
            && let Some(replica) = view.take(turn)
        {
            return Entry::Now(Flight::new(replica, self));
        }
        let routed_by = view.serial;
        let mut queue = self.lock();
        let Some(view) = queue.view.clone().filter(|view| view.availability == Availability::Serving) else {
            return Entry::Again;
        };
        // Those who waited were sorted by the newer routes already; by these, it might wait where nothing leads any more.
        if view.serial > routed_by {
            return Entry::Again;
        }
        let length = queue.waiting.len();
        if length >= room.requests || queue.bytes + bytes > room.bytes {
            return Entry::Full;
        }
        if view.rejects_when_full && view.is_ready() {
            let replica = if length == 0 { view.take(turn) } else { None };
            return replica.map_or(Entry::Full, |replica| Entry::Now(Flight::new(replica, self)));
        }
        // Announced before the last look, so that whoever gives a slot back afterwards sees that somebody waits.
        self.queued.store(length as u32 + 1, SeqCst);
        if length == 0
            && let Some(replica) = view.take(turn)
        {
            self.queued.store(0, SeqCst);
            return Entry::Now(Flight::new(replica, self));
        }
        let Some(part) = room.of_all.take(bytes) else {
            self.queued.store(length as u32, SeqCst);
            return Entry::AllFull;
        };
        let (verdict, receiver) = oneshot::channel();
        queue.arrived += 1;
        let number = queue.arrived;
        let since = Instant::now();
        let environment = environment.cloned();
        queue.waiting.push_back(Waiter { number, bytes, part, since, environment, verdict });
        queue.bytes += bytes;
        Entry::Wait(Place { verdict: receiver, first: length == 0, number, deployment: self.clone() })
    }

    /// Gives free slots to those who wait, first come, first served.
    pub fn release(self: &Arc<Self>) {
        if self.queued.load(SeqCst) > 0 {
            let mut queue = self.lock();
            self.grant(&mut queue);
        }
    }

    fn grant(self: &Arc<Self>, queue: &mut Queue) {
        let Some(view) = queue.view.clone() else { return };
        let mut turn = 0;
        while !queue.waiting.is_empty() {
            let Some(replica) = view.take(turn) else { break };
            turn += 1;
            // Before anybody can have answered.
            let first = replica.was_awaited();
            let mut flight = Flight::new(replica, self);
            // Whoever left in this moment hands the slot back, and the next one gets it.
            loop {
                let Some(waiter) = queue.waiting.pop_front() else {
                    flight.quiet = true;
                    if first {
                        flight.replica.was_left();
                    }
                    self.queued.store(0, SeqCst);
                    return;
                };
                queue.bytes -= waiter.bytes;
                match waiter.verdict.send(Verdict::Go(flight)) {
                    Err(Verdict::Go(back)) => flight = back,
                    _ => break,
                }
            }
        }
        self.queued.store(queue.waiting.len() as u32, SeqCst);
    }

    /// Obeys a new view; `keeps` tells whether an environment still sends requests here. `now` is monotonic milliseconds.
    pub fn obey(
        self: &Arc<Self>,
        view: Option<Arc<View>>,
        now: i64,
        keeps: impl Fn(&EnvironmentName) -> bool,
    ) {
        let mut queue = self.lock();
        let routed = view.as_ref().map(|view| view.replicas.as_slice()).unwrap_or_default();
        for replica in &queue.replicas {
            if !routed.iter().any(|other| Arc::ptr_eq(other, replica)) {
                replica.close();
            }
        }
        queue.replicas.retain(|replica| replica.in_flight() > 0 && replica.is_closed());
        for replica in routed {
            replica.reopen();
            if !queue.replicas.iter().any(|other| Arc::ptr_eq(other, replica)) {
                queue.replicas.push(replica.clone());
            }
        }
        let serving = view.as_ref().is_some_and(|view| view.availability == Availability::Serving);
        match &view {
            // As for those who wait, waiting would not help.
            _ if !serving => self.woken_until.store(i64::MIN, Relaxed),
            Some(view) if view.is_ready() => {
                self.woken_until.fetch_min(now.saturating_add(WOKEN.1), Relaxed);
            }
            _ => {}
        }
        queue.view = view;
        let waiting = std::mem::take(&mut queue.waiting);
        for waiter in waiting {
            if serving && waiter.environment.as_ref().is_none_or(&keeps) {
                queue.waiting.push_back(waiter);
            } else {
                queue.bytes -= waiter.bytes;
                // It takes as much again where it asks next.
                drop(waiter.part);
                // If it left meanwhile, there is nobody to tell.
                let _ = waiter.verdict.send(Verdict::Again);
            }
        }
        self.queued.store(queue.waiting.len() as u32, SeqCst);
        self.grant(&mut queue);
        queue.replicas.iter().for_each(|replica| replica.is_routed());
    }

    fn leave(&self, number: u64) {
        if self.queued.load(SeqCst) == 0 {
            return;
        }
        let mut queue = self.lock();
        if let Ok(index) = queue.waiting.binary_search_by_key(&number, |waiter| waiter.number) {
            if let Some(waiter) = queue.waiting.remove(index) {
                queue.bytes -= waiter.bytes;
            }
            self.queued.store(queue.waiting.len() as u32, SeqCst);
        }
    }

    pub fn view(&self) -> Option<Arc<View>> {
        self.lock().view.clone()
    }

    /// The replica of this id, routed or still finishing.
    pub fn replica(&self, id: &domain::ReplicaId) -> Option<Arc<Replica>> {
        self.lock().replicas.iter().find(|replica| replica.id == *id).cloned()
    }

    /// Replicas that are routed, or still finishing.
    pub fn replica_ids(&self) -> SmallVec<[domain::ReplicaId; 4]> {
        self.lock().replicas.iter().map(|replica| replica.id.clone()).collect()
    }

    pub fn in_flight(&self) -> u32 {
        self.lock().replicas.iter().map(|replica| replica.in_flight()).sum()
    }

    /// How long the one that waits longest has waited, in milliseconds; 0 if none waits.
    pub fn longest_wait(&self) -> i64 {
        if self.queued.load(SeqCst) == 0 {
            return 0;
        }
        let waited = self.lock().waiting.front().map(|waiter| waiter.since.elapsed());
        waited.map_or(0, |waited| i64::try_from(waited.as_millis()).unwrap_or(i64::MAX))
    }

    /// Somebody wants a replica and sends no request yet. `now` is monotonic milliseconds.
    pub fn wake(&self, now: i64) {
        // With the lock, so that it is seen whether a replica is ready, or the view that has one sees this.
        let queue = self.lock();
        let is_ready = queue.view.as_ref().is_some_and(|view| view.is_ready());
        self.woken_until.store(now.saturating_add(if is_ready { WOKEN.1 } else { WOKEN.0 }), Relaxed);
    }

    /// Requests that wait. Without any, a `wake` counts as one until a replica is ready, and then for a moment, in which whoever
    /// called it may send what they have; but not beside a request that has come.
    pub fn held(&self, now: i64) -> u32 {
        let queued = self.queued.load(SeqCst);
        if queued > 0 || self.woken_until.load(Relaxed) <= now {
            return queued;
        }
        let queue = self.lock();
        let is_ready = queue.view.as_ref().is_some_and(|view| view.is_ready());
        u32::from(!is_ready || queue.replicas.iter().all(|replica| replica.in_flight() == 0))
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

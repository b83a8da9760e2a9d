//! Deadlines of connections, looked at four times a second by one task, instead of a timer for each request.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How late an alarm may ring.
const EVERY: Duration = Duration::from_millis(250);

/// How long a connection has to have rested that ends for the sake of a new one: before, its client may be about to send.
const RESTED: Duration = Duration::from_secs(1);
/// At each look one of so many does, at least one.
const OUSTED: usize = 32;

/// How a connection has nothing under way; the order is that in which connections end for the sake of new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rest {
    /// Its next request's head has begun to come. Those of which nothing comes end first.
    has_begun: bool,
    since: Instant,
}

/// How a thread ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Ending {
    #[default]
    No,
    /// Each connection closes after the answer it is at.
    Closing(Linger),
    /// Each connection goes to another process after the answer it is at. Those that can't go close.
    Moving(Linger),
}

/// How long connections with nothing under way stay open when a thread ends, in case that a request is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Linger {
    /// When the end began. One that was at an answer then stays as long after that.
    pub since: Instant,
    pub length: Duration,
}

impl Ending {
    /// Whether a connection closes after the answer it is at; `moves` tells whether another process can go on with it.
    pub fn closes(self, moves: bool) -> bool {
        match self {
            Self::No => false,
            Self::Closing(_) => true,
            Self::Moving(_) => !moves,
        }
    }
}

/// One connection's deadline.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    at: Cell<Option<Instant>>,
    has_rung: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
    ending: Rc<Cell<Ending>>,
    /// How its connection rests, if it does.
    rests: Cell<Option<Rest>>,
}

/// All alarms of one thread.
#[derive(Debug)]
pub(crate) struct Alarms {
    /// The moment of the last look.
    now: Cell<Instant>,
    all: RefCell<Vec<Weak<Alarm>>>,
    ending: Rc<Cell<Ending>>,
    ends: Notify,
}

impl Alarm {
    /// Rings at this moment, or up to a quarter of a second later; whatever was set before is forgotten.
    pub fn set(&self, at: Instant) {
        self.at.set(Some(at));
        self.has_rung.set(false);
    }

    /// Rings no more until it is set again.
    pub fn clear(&self) {
        self.at.set(None);
        self.has_rung.set(false);
    }

    /// Ready once it has rung.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_rung.get() {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        match &mut *waiting {
            Some(known) if known.will_wake(cx.waker()) => {}
            other => *other = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// As [`Self::poll`], for a connection that waits for a request: it rings, too, when the thread ends and none can be on its
    /// way any more.
    pub fn poll_rest(&self, cx: &mut Context<'_>) -> Poll<()> {
        let rung = self.poll(cx);
        if let (Poll::Pending, Ending::Closing(linger) | Ending::Moving(linger)) = (rung, self.ending.get()) {
            let since = self.rests.get().map_or(linger.since, |rest| rest.since.max(linger.since));
            let until = since + linger.length;
            // Whoever sends its request byte by byte does not put it off.
            self.at.set(Some(self.at.get().map_or(until, |at| at.min(until))));
        }
        rung
    }

    /// Nothing is under way from this moment on: it may ring for the sake of others.
    pub fn rest(&self, since: Instant) {
        self.rests.set(Some(Rest { has_begun: false, since }));
    }

    /// A request's head has begun to come at this moment, and nothing else is under way: as [`Self::rest`], but it rings later
    /// than those of which nothing comes.
    pub fn rest_in_head(&self, since: Instant) {
        self.rests.set(Some(Rest { has_begun: true, since }));
    }

    pub fn is_resting(&self) -> bool {
        self.rests.get().is_some()
    }

    /// Something is under way.
    pub fn stir(&self) {
        self.rests.set(None);
    }

    /// Whether, and how, the thread is to end.
    pub fn ending(&self) -> Ending {
        self.ending.get()
    }

    fn ring(&self) {
        self.has_rung.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waiting) = self.waiting.borrow_mut().take() {
            waiting.wake();
        }
    }
}

impl Default for Alarms {
    fn default() -> Self {
        Self {
            now: Cell::new(Instant::now()),
            all: RefCell::default(),
            ending: Rc::default(),
            ends: Notify::new(),
        }
    }
}

impl Alarms {
    /// The moment, up to a quarter of a second late: for what is measured in seconds, and often.
    pub fn coarse_now(&self) -> Instant {
        self.now.get()
    }

    pub fn add(&self) -> Rc<Alarm> {
        let alarm = Rc::new(Alarm { ending: self.ending.clone(), ..Alarm::default() });
        self.all.borrow_mut().push(Rc::downgrade(&alarm));
        alarm
    }

    /// Tells every connection that the thread is to end.
    pub fn end(&self, ending: Ending) {
        self.ending.set(ending);
        for alarm in self.all.borrow().iter().filter_map(Weak::upgrade) {
            alarm.wake();
        }
        self.ends.notify_waiters();
    }

    /// Ready once another process decides what becomes of models: who waits for a replica here waits in vain.
    pub async fn moves(&self) {
        loop {
            let ends = self.ends.notified();
            if matches!(self.ending.get(), Ending::Moving(_)) {
                return;
            }
            ends.await;
        }
    }

    /// Ends some of the connections that rest: those that have for the longest, and those within a head last.
    pub fn oust(&self) {
        let now = Instant::now();
        let alarms = self.all.borrow();
        let rested = |alarm: Rc<Alarm>| {
            let rest = alarm.rests.get()?;
            (now.duration_since(rest.since) >= RESTED).then_some((rest, alarm))
        };
        let mut resting: Vec<_> = alarms.iter().filter_map(Weak::upgrade).filter_map(rested).collect();
        resting.sort_unstable_by_key(|(rest, _)| *rest);
        for (_, alarm) in resting.iter().take(resting.len().div_ceil(OUSTED)) {
            alarm.stir();
            alarm.ring();
        }
    }

    /// Wakes whoever waits past its deadline, for ever. While `others_wait` to be connections, some that rest end.
    pub async fn watch(&self, others_wait: impl Fn() -> bool) {
        let mut every = tokio::time::interval(EVERY);
        loop {
            every.tick().await;
            let now = Instant::now();
            self.now.set(now);
            self.all.borrow_mut().retain(|alarm| {
                let Some(alarm) = alarm.upgrade() else { return false };
                if alarm.at.get().is_some_and(|at| at <= now) {
                    alarm.ring();
                }
                true
            });
            if others_wait() {
                self.oust();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_request_when_the_thread_ends_stays_for_a_moment() {
        let alarms = Alarms::default();
        let (early, late, slow) = (alarms.add(), alarms.add(), alarms.add());
        let begin = Instant::now();
        let after = |millis| begin + Duration::from_millis(millis);
        alarms.end(Ending::Closing(Linger { since: begin, length: Duration::from_secs(1) }));
        early.set(after(60_000));
        late.rest(after(3_000));
        slow.rest(begin);
        async fn rings(alarm: &Alarm, begin: Instant) -> u128 {
            poll_fn(|cx| alarm.poll_rest(cx)).await;
            (Instant::now() - begin).as_millis()
        }
        let trickles = async {
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                slow.rest(Instant::now());
                slow.wake();
            }
        };
        let waits = async { tokio::join!(rings(&early, begin), rings(&late, begin), rings(&slow, begin)) };
        let rung = tokio::select! {
            rung = waits => rung,
            () = alarms.watch(|| false) => unreachable!(),
            () = trickles => unreachable!(),
        };
        assert_eq!(rung, (1_000, 4_000, 1_000));
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_rest_the_longest_are_ousted() {
        let alarms = Alarms::default();
        let all: Vec<_> = (0..100).map(|_| alarms.add()).collect();
        let rung = || -> Vec<usize> { (0..100).filter(|at| all[*at].has_rung.get()).collect() };
        let begin = Instant::now();
        for (number, alarm) in all.iter().enumerate().skip(50) {
            alarm.rest(begin + Duration::from_millis(100 - number as u64));
        }
        alarms.oust();
        assert!(rung().is_empty(), "they have only begun");
        tokio::time::advance(Duration::from_secs(2)).await;
        alarms.oust();
        assert_eq!(rung(), [98, 99]);
        all[97].stir();
        alarms.oust();
        assert_eq!(rung(), [95, 96, 98, 99]);
    }

    #[tokio::test(start_paused = true)]
    async fn those_within_a_head_are_ousted_last() {
        let alarms = Alarms::default();
        let (begun, silent) = (alarms.add(), alarms.add());
        let begin = Instant::now();
        begun.rest_in_head(begin);
        silent.rest(begin + Duration::from_millis(500));
        tokio::time::advance(Duration::from_secs(2)).await;
        alarms.oust();
        assert_eq!((silent.has_rung.get(), begun.has_rung.get()), (true, false));
        alarms.oust();
        assert!(begun.has_rung.get());
    }
}

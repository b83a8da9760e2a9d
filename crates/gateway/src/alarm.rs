//! Deadlines of connections, looked at four times a second by one task, instead of a timer for each request.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How late an alarm may ring.
const EVERY: Duration = Duration::from_millis(250);

/// How a thread ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Ending {
    #[default]
    No,
    /// Each connection closes after the answer it is at.
    Closing,
    /// Each connection goes to another process after the answer it is at. Those that can't go close; idle ones stay until
    /// this moment, in case that a request is on its way.
    Moving(Instant),
}

/// One connection's deadline.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    at: Cell<Option<Instant>>,
    has_rung: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
    ending: Rc<Cell<Ending>>,
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

    /// Wakes whoever waits past its deadline, for ever.
    pub async fn watch(&self) {
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
        }
    }
}

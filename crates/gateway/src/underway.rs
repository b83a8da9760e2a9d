//! What is going on in a connection that hyper has.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::body::{Answer, BoxError};

/// The requests of one connection that are being answered.
#[derive(Debug, Default)]
pub(crate) struct Underway {
    begun: Cell<u64>,
    ended: Cell<u64>,
    /// Those that ended before their answer did.
    given_up: Cell<u64>,
    /// By when answers of models must have been read, by the request's number, which is in the order of these moments.
    due: RefCell<BTreeMap<u64, Instant>>,
    /// Whoever looks after the connection.
    waiting: RefCell<Option<Waker>>,
}

impl Underway {
    /// A request is there; it is over when the value is dropped.
    pub fn begin(self: &Rc<Self>) -> OneUnderway {
        let number = self.begun.get();
        self.begun.set(number + 1);
        OneUnderway { of: self.clone(), number, is_answered: false }
    }

    pub fn is_empty(&self) -> bool {
        self.begun.get() == self.ended.get()
    }

    /// The first moment by which an answer must have been read.
    pub fn first_due(&self) -> Option<Instant> {
        self.due.borrow().values().next().copied()
    }

    /// Whether the client gives up most of what it asks for, and more than `most` in all.
    pub fn is_abused(&self, most: u64) -> bool {
        let given_up = self.given_up.get();
        given_up > most && given_up > self.begun.get() / 2
    }

    /// Wakes whoever polls when the last request is over.
    pub fn watch(&self, cx: &Context<'_>) {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waiting = Some(cx.waker().clone());
        }
    }
}

/// A request that is being answered, counted until that was sent or given up.
#[derive(Debug)]
pub(crate) struct OneUnderway {
    of: Rc<Underway>,
    number: u64,
    is_answered: bool,
}

impl OneUnderway {
    /// Its answer must have been read by then; later than that of any request before it.
    pub fn is_due(&self, at: Instant) {
        self.of.due.borrow_mut().insert(self.number, at);
    }
}

impl Drop for OneUnderway {
    fn drop(&mut self) {
        let of = &self.of;
        of.due.borrow_mut().remove(&self.number);
        of.ended.set(of.ended.get() + 1);
        of.given_up.set(of.given_up.get() + u64::from(!self.is_answered));
        if of.is_empty()
            && let Some(waiting) = of.waiting.borrow_mut().take()
        {
            waiting.wake();
        }
    }
}

/// An answer's body that tells when it is over.
pub(crate) struct Watched {
    body: Answer,
    underway: OneUnderway,
}

impl Watched {
    pub fn new(body: Answer, mut underway: OneUnderway) -> Self {
        underway.is_answered = body.is_end_stream();
        Self { body, underway }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => self.underway.is_answered = true,
            Poll::Ready(Some(Ok(frame))) => {
                self.underway.is_answered = frame.is_trailers() || self.body.is_end_stream();
            }
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

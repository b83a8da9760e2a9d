//! What is going on in a connection that hyper has.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::body::{Answer, BoxError};

/// The requests of one connection that are being answered.
#[derive(Debug, Default)]
pub(crate) struct Underway {
    begun: Cell<u64>,
    ended: Cell<u64>,
    /// Those whose answer is all there, and waits to be written.
    sending: Cell<u64>,
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
        OneUnderway { of: self.clone(), number, is_answered: Cell::new(false) }
    }

    pub fn is_empty(&self) -> bool {
        self.begun.get() == self.ended.get()
    }

    /// Whether nothing is to be done but to write answers that are all there.
    pub fn only_sends(&self) -> bool {
        !self.is_empty() && self.sending.get() == self.begun.get() - self.ended.get()
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

    /// Wakes whoever polls when nothing is to be done any more, or nothing but to write.
    pub fn watch(&self, cx: &Context<'_>) {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waiting = Some(cx.waker().clone());
        }
    }

    /// One is answered, or over.
    fn changed(&self) {
        if (self.is_empty() || self.only_sends())
            && let Some(waiting) = self.waiting.borrow_mut().take()
        {
            waiting.wake();
        }
    }
}

/// A request that is being answered, counted until that was sent or given up.
#[derive(Debug)]
pub(crate) struct OneUnderway {
    of: Rc<Underway>,
    number: u64,
    is_answered: Cell<bool>,
}

impl OneUnderway {
    /// Its answer must have been read by then; later than that of any request before it.
    pub fn is_due(&self, at: Instant) {
        self.of.due.borrow_mut().insert(self.number, at);
    }

    /// All of its answer is there.
    fn is_answered(&self) {
        if !self.is_answered.replace(true) {
            self.of.sending.set(self.of.sending.get() + 1);
            self.of.changed();
        }
    }
}

impl Drop for OneUnderway {
    fn drop(&mut self) {
        let of = &self.of;
        of.due.borrow_mut().remove(&self.number);
        of.ended.set(of.ended.get() + 1);
        match self.is_answered.get() {
            true => of.sending.set(of.sending.get() - 1),
            false => of.given_up.set(of.given_up.get() + 1),
        }
        of.changed();
    }
}

/// An answer's body that tells when it is over.
pub(crate) struct Watched {
    body: Answer,
    underway: Rc<OneUnderway>,
}

impl Watched {
    pub fn new(body: Answer, underway: OneUnderway) -> Self {
        let watched = Self { body, underway: Rc::new(underway) };
        watched.look();
        watched
    }

    fn look(&self) {
        if self.body.is_end_stream() {
            self.underway.is_answered();
        }
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
            Poll::Ready(None) => self.underway.is_answered(),
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => self.underway.is_answered(),
            Poll::Ready(Some(Ok(_))) => self.look(),
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

/// As [`Watched`], but it is over only once all of it is written. Over HTTP/2 hyper takes pieces of any size, and lets go of the
/// body, long before its client has let it send them.
pub(crate) struct Sending(pub Watched);

/// A piece of an answer, which is under way until this is written.
pub(crate) struct Piece {
    bytes: Bytes,
    _underway: Rc<OneUnderway>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn copy_to_bytes(&mut self, count: usize) -> Bytes {
        self.bytes.copy_to_bytes(count)
    }
}

impl Body for Sending {
    type Data = Piece;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, BoxError>>> {
        let polled = Pin::new(&mut self.0).poll_frame(cx);
        let underway = &self.0.underway;
        let piece = |bytes| Piece { bytes, _underway: underway.clone() };
        polled.map(|next| next.map(|read| read.map(|frame| frame.map_data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

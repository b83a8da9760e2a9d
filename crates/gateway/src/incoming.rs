//! A request's body on its way to a replica: how much of it is still to come, and how long the client may take.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

use crate::body::Fate;
use crate::buffers::Buffer;
use crate::patience::Patience;
use crate::wire::Wire;

/// Follows one body of known length.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// Bytes of all of it, and those that are still to be passed on.
    length: u64,
    left: u64,
    patience: Patience,
    /// The replica reads no more of it.
    is_broken: bool,
}

impl Incoming {
    /// A body of `length` bytes, which may be waited for as `Patience` says.
    pub fn new(length: u64, body_timeout: Duration) -> Self {
        Self { length, left: length, patience: Patience::new(body_timeout), is_broken: false }
    }

    /// Bytes that were passed on, or dropped.
    pub fn received(&self) -> u64 {
        self.length - self.left
    }

    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Whether nothing further of it will be passed on.
    pub fn is_done(&self) -> bool {
        self.is_over() || self.is_broken
    }

    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// The replica reads no more of it; it may say why before it closes.
    pub fn breaks(&mut self) {
        self.is_broken = true;
    }

    /// Moves what was read of it behind the head's fields.
    pub fn take(&mut self, ahead: &mut Buffer, into: &mut Vec<u8>) {
        let have = self.have(ahead);
        into.extend_from_slice(&ahead[..have]);
        self.drop_of(ahead, have);
    }

    /// Drops what was read of it: nobody will get it.
    pub fn skip(&mut self, ahead: &mut Buffer) {
        let have = self.have(ahead);
        self.drop_of(ahead, have);
    }

    /// Bytes of it that were read.
    fn have(&self, ahead: &Buffer) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX).min(ahead.len())
    }

    fn drop_of(&mut self, ahead: &mut Buffer, count: usize) {
        ahead.consume(count);
        self.left -= count as u64;
    }

    /// Passes on what the client sends of it, as far as both sides are ready.
    pub fn poll_pass<S: Wire>(
        &mut self,
        client: &mut S,
        ahead: &mut Buffer,
        link: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fate>> {
        while !self.is_done() {
            if ahead.is_empty() {
                match poll_read_buf(Pin::new(&mut *client), cx, ahead.room()) {
                    Poll::Ready(Ok(read @ 1..)) => self.patience.came(read as u64),
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Fate::Broken)),
                    Poll::Pending => {
                        ready!(self.patience.poll(cx));
                        return Poll::Ready(Err(Fate::Late));
                    }
                }
            }
            let have = self.have(ahead);
            match ready!(Pin::new(&mut *link).poll_write(cx, &ahead[..have])) {
                Ok(written @ 1..) => self.drop_of(ahead, written),
                // It may have answered before it stopped to read.
                Ok(0) | Err(_) => self.breaks(),
            }
        }
        Poll::Ready(Ok(()))
    }
}

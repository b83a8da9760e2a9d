//! Whether a client is still there.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Sleep, sleep};
use tokio_util::io::poll_read_buf;

use crate::buffers::Buffer;
use crate::wire::Wire;

/// Says nothing: a client may read any number of these before its answer.
const NUDGE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// How often a client that closed its half is looked at.
const EVERY: Duration = Duration::from_millis(250);

/// A client that closes its sending half may wait for its answer all the same. One that has gone looks alike, until
/// something is sent to it: then its machine says that nobody is there.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    /// Set once it has closed its half.
    look: Option<Pin<Box<Sleep>>>,
    /// Its answer has begun, and nothing may be sent in between.
    answering: bool,
}

impl Presence {
    /// From now on what is sent is the answer.
    pub fn answers(&mut self) {
        self.answering = true;
    }

    /// Ready when the client has gone. What it sends meanwhile is kept, as far as there is room.
    pub fn poll_leaves<S: Wire>(
        &mut self,
        client: &mut S,
        ahead: &mut Buffer,
        room: usize,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        while self.look.is_none() {
            if ahead.len() >= room {
                return Poll::Pending;
            }
            ready!(client.poll_stirs(cx));
            match poll_read_buf(Pin::new(&mut *client), cx, ahead.room()) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) if S::HALF_CLOSES => {
                    ahead.tighten();
                    // Within an answer nothing can be put in between, and the next bytes of it may be long in coming. A machine
                    // on which nobody is left says so once it has forgotten the connection: after a minute, mostly.
                    client.probe();
                    if !self.answering && !client.nudge(NUDGE) {
                        return Poll::Ready(());
                    }
                    self.look = Some(Box::pin(sleep(EVERY)));
                }
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => {
                    ahead.tighten();
                    return Poll::Pending;
                }
            }
        }
        let Some(look) = &mut self.look else { return Poll::Pending };
        loop {
            ready!(look.as_mut().poll(cx));
            if client.has_failed() {
                return Poll::Ready(());
            }
            look.set(sleep(EVERY));
        }
    }
}

//! What a client is connected by: plain or encrypted, and with bytes that were read already.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::sent::Sent;

/// A connection to a client.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Whether another process can go on with it.
    const MOVES: bool;

    /// Whether a client that closed its sending half may still be reading.
    const HALF_CLOSES: bool;

    /// Lets go of it, for another process.
    fn release(self) -> io::Result<OwnedFd>;

    /// What the kernel calls it.
    fn socket(&self) -> RawFd;

    /// Ready when reading may bring something. One that can't tell is always ready: whoever asks then needs memory to
    /// read into.
    fn poll_stirs(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// As [`Self::poll_stirs`], of a connection that is new: the runtime takes one to be readable until it was tried.
    fn poll_begins(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Sends something short at once; `false` if that is not possible.
    fn nudge(&self, bytes: &[u8]) -> bool;

    /// Whether the other side has answered that nobody is there.
    fn has_failed(&self) -> bool;

    /// Lets the kernel ask the other side each second whether it is there, while nothing is sent.
    fn probe(&self);
}

/// How soon, and how often, a silent client is asked whether it is there.
const PROBED: Duration = Duration::from_secs(1);

impl Wire for TcpStream {
    const MOVES: bool = true;
    const HALF_CLOSES: bool = true;

    fn release(self) -> io::Result<OwnedFd> {
        self.into_std().map(OwnedFd::from)
    }

    fn socket(&self) -> RawFd {
        self.as_raw_fd()
    }

    fn poll_stirs(&self, cx: &mut Context<'_>) -> Poll<()> {
        // An error is met by whoever reads then.
        self.poll_read_ready(cx).map(drop)
    }

    fn poll_begins(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_peek(cx, &mut ReadBuf::new(&mut [0])).map(drop)
    }

    fn nudge(&self, bytes: &[u8]) -> bool {
        self.try_write(bytes).is_ok_and(|written| written == bytes.len())
    }

    fn has_failed(&self) -> bool {
        !matches!(self.take_error(), Ok(None))
    }

    fn probe(&self) {
        let asked = sockopt::set_tcp_keepidle(self, PROBED)
            .and_then(|()| sockopt::set_tcp_keepintvl(self, PROBED))
            .and_then(|()| sockopt::set_socket_keepalive(self, true));
        if let Err(error) = asked {
            tracing::debug!(%error, "a client that closed its half can't be asked whether it is there");
        }
    }
}

impl Wire for TlsStream<TcpStream> {
    const MOVES: bool = false;
    /// Who ends encryption has no use for an answer.
    const HALF_CLOSES: bool = false;

    fn release(self) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn socket(&self) -> RawFd {
        self.as_raw_fd()
    }

    fn poll_stirs(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn poll_begins(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn nudge(&self, _: &[u8]) -> bool {
        false
    }

    fn has_failed(&self) -> bool {
        true
    }

    fn probe(&self) {}
}

/// A connection of which something was read already.
#[derive(Debug)]
pub(crate) struct Rewound<S> {
    ahead: Vec<u8>,
    from: usize,
    wire: S,
    sent: Arc<Sent>,
}

impl<S: Wire> Rewound<S> {
    pub fn new(ahead: Vec<u8>, wire: S) -> Self {
        let sent = Arc::new(Sent::over(wire.socket()));
        Self { ahead, from: 0, wire, sent }
    }
}

impl<S> Rewound<S> {
    /// What is sent over it, which goes on being counted.
    pub fn sent(&self) -> Arc<Sent> {
        self.sent.clone()
    }

    fn count(&self, wrote: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = wrote {
            self.sent.more(*bytes);
        }
    }

    /// The connection, and what is still ahead of it.
    pub fn into_parts(mut self) -> (Vec<u8>, S) {
        self.ahead.drain(..self.from);
        (self.ahead, self.wire)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.from == this.ahead.len() {
            return Pin::new(&mut this.wire).poll_read(cx, into);
        }
        let count = into.remaining().min(this.ahead.len() - this.from);
        into.put_slice(&this.ahead[this.from..this.from + count]);
        this.from += count;
        if this.from == this.ahead.len() {
            (this.ahead, this.from) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.wire).poll_write(cx, bytes);
        self.count(&wrote);
        wrote
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.wire).poll_write_vectored(cx, bytes);
        self.count(&wrote);
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}

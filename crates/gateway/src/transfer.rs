//! Bytes between buffers and connections.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

use crate::alarm::Alarm;
use crate::buffers::Buffer;

/// Writes two pieces as one; tells how much was written before it failed.
pub(crate) async fn send<W: AsyncWrite + Unpin>(
    to: &mut W,
    [first, second]: [&[u8]; 2],
    alarm: &Alarm,
) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    poll_fn(|cx| {
        while written < first.len() + second.len() {
            let from = written.min(first.len());
            let (first, second) = (&first[from..], &second[written - from..]);
            let to = Pin::new(&mut *to);
            let wrote = match (first, second) {
                (one, []) | ([], one) => to.poll_write(cx, one),
                _ => to.poll_write_vectored(cx, &[IoSlice::new(first), IoSlice::new(second)]),
            };
            let Poll::Ready(wrote) = wrote else {
                return alarm.poll(cx).map(|()| Err((written, io::ErrorKind::TimedOut.into())));
            };
            match wrote {
                Ok(0) => return Poll::Ready(Err((written, io::ErrorKind::WriteZero.into()))),
                Ok(count) => written += count,
                Err(error) => return Poll::Ready(Err((written, error))),
            }
        }
        // What is encrypted was taken in whole, and may wait here.
        match Pin::new(&mut *to).poll_flush(cx) {
            Poll::Pending => alarm.poll(cx).map(|()| Err((written, io::ErrorKind::TimedOut.into()))),
            flushed => flushed.map_err(|error| (written, error)),
        }
    })
    .await
}

/// Reads as soon as there is something to read; memory is taken then.
pub(crate) fn poll_read(
    link: &mut TcpStream,
    back: &mut Buffer,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    ready!(link.poll_read_ready(cx))?;
    let read = poll_read_buf(Pin::new(link), cx, back.room());
    if read.is_pending() {
        back.tighten();
    }
    read
}

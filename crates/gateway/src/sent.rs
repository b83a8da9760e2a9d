//! How much of what was sent to a client it has taken.

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes that a connection was given to send.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    bytes: AtomicU64,
    socket: Option<RawFd>,
}

impl Sent {
    /// Of this socket. What still waits there counts, too.
    pub fn over(socket: RawFd) -> Self {
        Self { bytes: AtomicU64::new(unconfirmed(socket)), socket: Some(socket) }
    }

    /// The kernel took so many more.
    pub fn more(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Bytes that the client's machine has confirmed: the kernel takes megabytes at once, and the next ones only when a good
    /// part of those is gone, so what it takes says little of what a client reads.
    pub fn taken(&self) -> u64 {
        let waiting = self.socket.map_or(0, unconfirmed);
        self.bytes.load(Relaxed).saturating_sub(waiting)
    }
}

/// Bytes of a socket that wait in the kernel; none if it can't tell.
fn unconfirmed(socket: RawFd) -> u64 {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes one number. Of a socket that is closed by now it tells nothing, or of another one.
    match unsafe { libc::ioctl(socket, libc::TIOCOUTQ, &raw mut bytes) } {
        0 => u64::try_from(bytes).unwrap_or_default(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    #[test]
    fn what_nobody_reads_is_not_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut from = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut to, _) = listener.accept().unwrap();
        from.set_nonblocking(true).unwrap();
        let sent = Sent::over(from.as_raw_fd());
        let piece = [0; 1 << 16];
        let mut all = 0;
        while let Ok(wrote) = from.write(&piece) {
            sent.more(wrote);
            all += wrote;
        }
        let before = sent.taken();
        assert!(before < all as u64, "{before} of {all}");
        drop(from.shutdown(std::net::Shutdown::Write));
        let mut read = Vec::new();
        to.read_to_end(&mut read).unwrap();
        assert_eq!(read.len(), all);
    }
}

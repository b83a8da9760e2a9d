//! Bare connections to replicas. Each thread has its own, so taking one needs no lock; an idle one holds no memory but
//! the kernel's.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::pool::{IDLE, KEPT};

/// Idle connections by replica.
#[derive(Debug, Default)]
pub(crate) struct Links {
    idle: RefCell<HashMap<u64, Vec<(TcpStream, Instant)>>>,
}

impl Links {
    /// An idle connection that its replica has not closed, the one used last first. `now` may be coarse, here and below.
    pub fn take(&self, key: u64, now: Instant) -> Option<TcpStream> {
        let mut idle = self.idle.borrow_mut();
        let idle = idle.get_mut(&key)?;
        while let Some((stream, since)) = idle.pop() {
            if now.saturating_duration_since(since) < IDLE && is_quiet(&stream) {
                return Some(stream);
            }
        }
        None
    }

    pub fn put(&self, key: u64, stream: TcpStream, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        let idle = idle.entry(key).or_default();
        if idle.len() < KEPT {
            idle.push((stream, now));
        }
    }

    /// Drops what was idle for too long or was closed, for ever.
    pub async fn sweep(&self) {
        let mut every = tokio::time::interval(Duration::from_secs(1));
        loop {
            every.tick().await;
            self.idle.borrow_mut().retain(|_, idle| {
                idle.retain(|(stream, since)| since.elapsed() < IDLE && is_quiet(stream));
                !idle.is_empty()
            });
        }
    }
}

/// Whether nothing came that nobody asked for, not even the end; what the kernel has told until now counts.
fn is_quiet(stream: &TcpStream) -> bool {
    // Without a system call, unless the kernel has told of something.
    stream.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

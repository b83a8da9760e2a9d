//! Connections to replicas. Each thread has its own, so taking one needs no lock.

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::body::{BoxError, Upload};

/// The sending end of a connection.
pub(crate) type Sender = SendRequest<Upload>;

/// Shorter than what model servers commonly keep idle connections for (5 s): a request sent into a connection that is
/// just being closed could not be sent again.
pub(crate) const IDLE: Duration = Duration::from_secs(3);
const CONNECT: Duration = Duration::from_secs(5);
/// Idle connections kept for one replica.
pub(crate) const KEPT: usize = 1024;

/// Idle connections by replica.
#[derive(Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<u64, Vec<(Sender, Instant)>>>,
}

impl Pool {
    /// An idle connection that is ready, the one used last first.
    pub fn take(&self, key: u64) -> Option<Sender> {
        let mut idle = self.idle.borrow_mut();
        let idle = idle.get_mut(&key)?;
        let index = idle.iter().rposition(|(sender, since)| sender.is_ready() && since.elapsed() < IDLE)?;
        Some(idle.remove(index).0)
    }

    pub fn put(&self, key: u64, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let idle = idle.entry(key).or_default();
        if idle.len() < KEPT {
            idle.push((sender, Instant::now()));
        }
    }

    /// Drops what was idle for too long, for ever.
    pub async fn sweep(&self) {
        let mut every = tokio::time::interval(Duration::from_secs(1));
        loop {
            every.tick().await;
            self.idle.borrow_mut().retain(|_, idle| {
                idle.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < IDLE);
                !idle.is_empty()
            });
        }
    }
}

/// Opens a connection. Fails if nothing listens there.
pub(crate) async fn dial(port: u16) -> Result<Sender, BoxError> {
    let stream = connect(port).await?;
    let (sender, connection) = Builder::new().handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(port, %error, "a connection to a replica broke");
        }
    });
    Ok(sender)
}

/// Opens a bare connection.
pub(crate) async fn connect(port: u16) -> Result<TcpStream, BoxError> {
    let stream = tokio::time::timeout(CONNECT, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

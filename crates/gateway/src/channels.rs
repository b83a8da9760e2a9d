//! HTTP/2 connections to replicas: one for each, with all calls of the thread.

use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use crate::body::{BoxError, Upload};
use crate::http2::Here;
use crate::pool::connect;
use crate::serve::{BUFFER, HELD_BODY};

/// The sending end of a connection.
pub(crate) type Channel = SendRequest<Upload>;

/// Bytes of one answer that may come before its client takes them. All together have no limit of their own, or a client
/// that does not read would hold up the others.
const WINDOW: u32 = HELD_BODY as u32;
const ALL_WINDOWS: u32 = 1 << 30;

/// Open connections by replica.
#[derive(Default)]
pub(crate) struct Channels {
    open: RefCell<HashMap<u64, Channel>>,
}

impl Channels {
    /// A replica's connection, made if there is none. Fails if nothing listens there.
    pub async fn get(&self, key: u64, port: u16) -> Result<Channel, BoxError> {
        let known = self.open.borrow().get(&key).filter(|channel| !channel.is_closed()).cloned();
        if let Some(channel) = known {
            return Ok(channel);
        }
        let stream = connect(port).await?;
        let (channel, connection) = Builder::new(Here)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(ALL_WINDOWS)
            .max_header_list_size(BUFFER as u32)
            // Calls that clients give up, and what was on its way to them: many, and no fault of the replica's.
            .max_concurrent_reset_streams(10_000)
            .max_local_error_reset_streams(None)
            .handshake(TokioIo::new(stream))
            .await?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(port, %error, "a connection to a replica broke");
            }
        });
        self.open.borrow_mut().insert(key, channel.clone());
        Ok(channel)
    }

    /// Drops what was closed, for ever: a replica that has ended has closed its own.
    pub async fn sweep(&self) {
        let mut every = tokio::time::interval(Duration::from_secs(1));
        loop {
            every.tick().await;
            self.open.borrow_mut().retain(|_, channel| !channel.is_closed());
        }
    }
}

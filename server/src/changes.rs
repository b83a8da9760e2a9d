//! Nudges to browsers: something they may show has changed, so they read again.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use domain::{Change, ChangeKind};
use futures::{Stream, StreamExt};
use http::HeaderValue;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// Nudges that may wait for one slow browser before they are counted as missed.
const WAITING: usize = 256;
/// The least time between two bundles of nudges to one browser: ten a second.
const PACE: Duration = Duration::from_millis(100);
/// How often a silent stream shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Where everybody who changes something says so.
#[derive(Debug, Clone)]
pub struct Changes {
    sender: broadcast::Sender<Change>,
    shutdown: CancellationToken,
}

impl Changes {
    /// Streams end when `shutdown` is cancelled.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { sender: broadcast::Sender::new(WAITING), shutdown }
    }

    /// For those who tell by themselves.
    pub fn sender(&self) -> broadcast::Sender<Change> {
        self.sender.clone()
    }

    /// Tells every browser. Without one, nothing happens.
    pub fn tell(&self, change: Change) {
        let _ = self.sender.send(change);
    }

    /// Answers with the stream, for one browser, until `end`.
    pub fn stream(&self, end: impl Future<Output = ()> + Send + 'static) -> Response {
        answer(nudges(self.sender.subscribe(), self.shutdown.clone()).take_until(Box::pin(end)))
    }
}

/// An event stream that says now and then that it lives, and that nobody may keep.
pub fn answer(stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let mut response = Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn nudges(
    receiver: broadcast::Receiver<Change>,
    shutdown: CancellationToken,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    futures::stream::unfold(
        (receiver, shutdown, Vec::<Change>::new()),
        |(mut receiver, shutdown, mut ready)| async {
            if ready.is_empty() {
                ready = tokio::select! {
                    () = shutdown.cancelled() => return None,
                    bundle = bundle(&mut receiver) => bundle?,
                };
            }
            let change = ready.pop()?;
            let event = Event::default().json_data(&change).unwrap_or_default();
            Some((Ok(event), (receiver, shutdown, ready)))
        },
    )
}

/// The next nudges, the latest of each thing only; nothing when there will be no more.
async fn bundle(receiver: &mut broadcast::Receiver<Change>) -> Option<Vec<Change>> {
    let mut latest: HashMap<(ChangeKind, String), Change> = HashMap::new();
    let mut take = |received: Result<Change, RecvError>| match received {
        Ok(change) => {
            latest.insert((change.kind, change.id.clone()), change);
            true
        }
        Err(RecvError::Lagged(_)) => {
            let kind = ChangeKind::Everything;
            latest.insert((kind, String::new()), Change { kind, id: String::new(), generation: 0 });
            true
        }
        Err(RecvError::Closed) => false,
    };
    if !take(receiver.recv().await) {
        return None;
    }
    let end = tokio::time::Instant::now() + PACE;
    while let Ok(received) = tokio::time::timeout_at(end, receiver.recv()).await {
        if !take(received) {
            break;
        }
    }
    Some(latest.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(id: &str, generation: u64) -> Change {
        Change { kind: ChangeKind::Model, id: id.into(), generation }
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_changes_becomes_one_nudge() {
        let sender = broadcast::Sender::new(WAITING);
        let mut receiver = sender.subscribe();
        for generation in 0..100 {
            sender.send(change("a", generation)).unwrap();
        }
        sender.send(change("b", 1)).unwrap();
        let mut bundle = bundle(&mut receiver).await.unwrap();
        bundle.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(bundle, [change("a", 99), change("b", 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_browser_is_told_to_read_everything() {
        let sender = broadcast::Sender::new(2);
        let mut receiver = sender.subscribe();
        for generation in 0..10 {
            sender.send(change("a", generation)).unwrap();
        }
        let bundle = bundle(&mut receiver).await.unwrap();
        assert!(bundle.iter().any(|change| change.kind == ChangeKind::Everything), "{bundle:?}");
    }

    #[tokio::test]
    async fn streams_end_when_the_server_stops() {
        let shutdown = CancellationToken::new();
        let sender = broadcast::Sender::new(2);
        let mut stream = Box::pin(nudges(sender.subscribe(), shutdown.clone()));
        shutdown.cancel();
        assert!(stream.next().await.is_none());
    }
}

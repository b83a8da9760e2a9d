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
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Nudges that may wait for one slow browser before they are counted as missed.
const WAITING: usize = 4096;
/// How long nudges are gathered before they go out together: ten bundles a second at most.
const PACE: Duration = Duration::from_millis(100);
/// The least time between two bundles to one browser, for each browser that looks: so all of them together read fifty
/// times a second at most, but for very many.
const PACE_EACH: Duration = Duration::from_millis(20);
const PACE_AT_MOST: Duration = Duration::from_secs(2);
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
        let nudges = nudges(self.sender.clone(), self.shutdown.clone());
        answer(nudges.take_until(Box::pin(end)))
    }
}

/// An event stream that says now and then that it lives, and that nobody may keep.
pub fn answer(stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let mut response = Sse::new(stream).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// One browser's stream.
struct Nudges {
    all: broadcast::Sender<Change>,
    receiver: broadcast::Receiver<Change>,
    shutdown: CancellationToken,
    /// Gathered, and still to be sent.
    ready: Vec<Change>,
    /// When the next bundle may go out.
    next: Instant,
}

fn nudges(
    all: broadcast::Sender<Change>,
    shutdown: CancellationToken,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let receiver = all.subscribe();
    let nudges = Nudges { all, receiver, shutdown, ready: Vec::new(), next: Instant::now() };
    futures::stream::unfold(nudges, |mut nudges| async {
        if nudges.ready.is_empty() {
            nudges.ready = tokio::select! {
                () = nudges.shutdown.cancelled() => return None,
                bundle = bundle(&mut nudges.receiver, nudges.next) => bundle?,
            };
            nudges.next = Instant::now() + pace(nudges.all.receiver_count());
        }
        let change = nudges.ready.pop()?;
        let event = Event::default().json_data(&change).unwrap_or_default();
        Some((Ok(event), nudges))
    })
}

/// The least time between two bundles where so many browsers look.
fn pace(browsers: usize) -> Duration {
    let each = PACE_EACH.saturating_mul(u32::try_from(browsers).unwrap_or(u32::MAX));
    each.clamp(PACE, PACE_AT_MOST)
}

/// The next nudges, the latest of each thing only, not before `next`; nothing when there will be no more.
async fn bundle(receiver: &mut broadcast::Receiver<Change>, next: Instant) -> Option<Vec<Change>> {
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
    let end = next.max(Instant::now() + PACE);
    // Not by waiting for each: a storm of changes would wake every browser's task for every one of them.
    tokio::time::sleep_until(end).await;
    loop {
        match receiver.try_recv() {
            Ok(change) => take(Ok(change)),
            Err(TryRecvError::Lagged(missed)) => take(Err(RecvError::Lagged(missed))),
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        };
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
        let mut bundle = bundle(&mut receiver, Instant::now()).await.unwrap();
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
        let bundle = bundle(&mut receiver, Instant::now()).await.unwrap();
        assert!(bundle.iter().any(|change| change.kind == ChangeKind::Everything), "{bundle:?}");
    }

    #[test]
    fn many_browsers_are_told_less_often() {
        assert_eq!([1, 10, 100, 10_000].map(|browsers| pace(browsers).as_millis()), [100, 200, 2_000, 2_000]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_change_is_told_soon_and_the_next_ones_at_the_pace_of_all() {
        let sender = broadcast::Sender::new(WAITING);
        let mut all: Vec<_> =
            (0..50).map(|_| Box::pin(nudges(sender.clone(), CancellationToken::new()))).collect();
        let begun = Instant::now();
        let mut told = Vec::new();
        for generation in 0..3 {
            sender.send(change("a", generation)).unwrap();
            let heard = futures::future::join_all(all.iter_mut().map(|stream| stream.next())).await;
            assert!(heard.iter().all(Option::is_some));
            told.push(begun.elapsed().as_millis());
        }
        assert_eq!(told, [100, 1_100, 2_100]);
    }

    #[tokio::test]
    async fn streams_end_when_the_server_stops() {
        let shutdown = CancellationToken::new();
        let sender = broadcast::Sender::new(2);
        let mut stream = Box::pin(nudges(sender, shutdown.clone()));
        shutdown.cancel();
        assert!(stream.next().await.is_none());
    }
}

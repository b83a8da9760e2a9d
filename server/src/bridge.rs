//! From the gateway's threads to the application's runtime.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use gateway::{AppBody, AppRequest, BoxError};
use http::StatusCode;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::PollSemaphore;
use tower::ServiceExt;

use crate::answer;

/// Requests that are worked on at once. Further ones wait in the channel, and when that is full the gateway answers 503.
///
/// It is far more than the threads need to be busy, because some requests have a place and do nothing for minutes: a change that
/// starts (`truss watch` waits 110 s), a model that is tried from its page (as long), an archive that is unpacked. All of them are of
/// people who are known, who are not a thousand. Whoever is not known can hold a place only by sending slowly, and that counts for
/// nothing: see [`Sent`].
const AT_ONCE: usize = 1024;

/// Answers what the gateway passes on, until it passes no more.
///
/// Each request has a task of its own: what somebody asked for is done, even if they don't wait for the answer.
pub async fn carry(requests: mpsc::Receiver<AppRequest>, router: Router) {
    carry_at_most(AT_ONCE, requests, router).await;
}

async fn carry_at_most(at_once: usize, mut requests: mpsc::Receiver<AppRequest>, router: Router) {
    let places = Arc::new(Semaphore::new(at_once));
    while let Some(AppRequest { request, reply, .. }) = requests.recv().await {
        // Nobody closes it.
        let Ok(permit) = places.clone().acquire_owned().await else { return };
        let (router, place) = (router.clone(), Place::with(permit));
        let request = request.map(|body| Body::new(Sent::new(body, place.clone(), places.clone())));
        tokio::spawn(async move {
            // `CONNECT host:1` and the like name a host and no path: there is nothing here to ask.
            let response = if request.uri().path_and_query().is_some() {
                let Ok(response) = router.oneshot(request).await;
                response
            } else {
                answer::error(StatusCode::BAD_REQUEST, "INVALID_REQUEST", "the request names no path")
            };
            // What follows is made as its client takes it, which may be for as long as a page is open.
            place.leave();
            // Whoever asked may be gone.
            let _ = reply.send(response.map(|body| body.map_err(Into::into).boxed_unsync()));
        });
    }
}

/// A request's place among those that are worked on; free again when the request is done.
#[derive(Clone)]
struct Place(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Place {
    fn with(permit: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Mutex::new(Some(permit))))
    }

    fn permit(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self) {
        *self.permit() = None;
    }
}

/// What a client sends. While it is waited for, the place is somebody else's: many who send slowly keep nobody out.
struct Sent {
    body: AppBody,
    place: Place,
    places: PollSemaphore,
    /// What came while the place was somebody else's; the inner one is `None` at the body's end.
    came: Option<Option<Result<Frame<Bytes>, BoxError>>>,
}

impl Sent {
    fn new(body: AppBody, place: Place, places: Arc<Semaphore>) -> Self {
        Self { body, place, places: PollSemaphore::new(places), came: None }
    }
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let sent = &mut *self;
        if sent.came.is_none() {
            let Poll::Ready(frame) = Pin::new(&mut sent.body).poll_frame(cx) else {
                sent.place.leave();
                return Poll::Pending;
            };
            sent.came = Some(frame);
        }
        if sent.place.permit().is_none() {
            let permit = ready!(sent.places.poll_acquire(cx));
            *sent.place.permit() = permit;
        }
        Poll::Ready(sent.came.take().flatten())
    }

    fn is_end_stream(&self) -> bool {
        self.came.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match self.came {
            None => self.body.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use axum::extract::{Request, State};
    use axum::routing::{get, post};
    use domain::ManualClock;
    use engine::Wakes;
    use gateway::{Gateway, GatewayConfig};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::task::JoinSet;
    use tokio_util::sync::{CancellationToken, DropGuard};

    use super::*;

    /// Far longer than anything takes, so that only what hangs fails.
    const SOON: Duration = Duration::from_secs(60);

    /// An application before which so many requests wait at most, and which works on so many at once.
    struct Port {
        address: SocketAddr,
        /// Lets what is held go on.
        go: Arc<Semaphore>,
        /// Tells that a request is worked on.
        begun: mpsc::UnboundedReceiver<()>,
        _serving: DropGuard,
    }

    type Stage = (Arc<Semaphore>, mpsc::UnboundedSender<()>);

    async fn held(State((go, begun)): State<Stage>) -> &'static str {
        begun.send(()).unwrap();
        drop(go.acquire().await.unwrap());
        "held"
    }

    async fn reads(State((_, begun)): State<Stage>, request: Request) -> Bytes {
        begun.send(()).unwrap();
        axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap()
    }

    /// A stream that is silent until its client leaves.
    async fn streams() -> Body {
        Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>())
    }

    fn open(at_once: usize, waiting: usize) -> Port {
        let (go, (begins, begun)) = (Arc::new(Semaphore::new(0)), mpsc::unbounded_channel());
        let router = Router::new()
            .route("/held", get(held))
            .route("/reads", post(reads))
            .route("/streams", get(streams))
            .route("/quick", get(|| async { "quick" }))
            .with_state((go.clone(), begins));
        let gateway = Gateway::new(
            GatewayConfig::default(),
            Arc::new(Wakes::default()),
            Arc::new(ManualClock::default()),
        );
        let listeners = gateway::bind(&["127.0.0.1:0".parse().unwrap()], 1).unwrap();
        let address = listeners.addrs()[0];
        let (sender, requests) = mpsc::channel(waiting);
        let shutdown = CancellationToken::new();
        tokio::spawn(carry_at_most(at_once, requests, router));
        gateway::serve(gateway, listeners, sender, shutdown.clone());
        Port { address, go, begun, _serving: shutdown.drop_guard() }
    }

    impl Port {
        /// Sends the beginning of a request.
        async fn begin(&self, text: &str) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            stream
        }

        async fn has_begun(&mut self) {
            tokio::time::timeout(SOON, self.begun.recv()).await.unwrap().unwrap();
        }
    }

    fn get_of(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    }

    async fn rest(mut stream: TcpStream) -> String {
        let mut text = String::new();
        tokio::time::timeout(SOON, stream.read_to_string(&mut text)).await.unwrap().unwrap();
        text
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_finds_no_place_waits_and_whom_nobody_can_let_wait_is_told_so() {
        let mut port = open(1, 1);
        let first = port.begin(&get_of("/held")).await;
        port.has_begun().await;
        // One waits for the place, and one more in the channel.
        let mut further = JoinSet::new();
        for _ in 0..3 {
            let stream = port.begin(&get_of("/held")).await;
            further.spawn(rest(stream));
        }
        let is_busy = |text: &str| text.starts_with("HTTP/1.1 503 ") && text.contains("Slipway is busy");
        let is_served = |text: &str| text.starts_with("HTTP/1.1 200 ") && text.ends_with("held");
        let refused = further.join_next().await.unwrap().unwrap();
        assert!(is_busy(&refused), "{refused}");
        port.go.add_permits(1);
        let first = rest(first).await;
        assert!(is_served(&first), "{first}");
        let further = further.join_all().await;
        assert!(further.iter().all(|text| is_served(text) || is_busy(text)), "{further:?}");
        assert!(further.iter().any(|text| is_served(text)), "{further:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_sends_slowly_keeps_nobody_out() {
        let mut port = open(1, 1);
        let head =
            "POST /reads HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 5\r\n\r\n";
        let mut slow = port.begin(head).await;
        port.has_begun().await;
        let quick = rest(port.begin(&get_of("/quick")).await).await;
        assert!(quick.ends_with("quick"), "{quick}");
        // It has to wait for a place again.
        let held = port.begin(&get_of("/held")).await;
        port.has_begun().await;
        slow.write_all(b"hello").await.unwrap();
        port.go.add_permits(1);
        assert!(rest(held).await.ends_with("held"));
        let slow = rest(slow).await;
        assert!(slow.ends_with("hello"), "{slow}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stream_keeps_nobody_out() {
        let port = open(1, 1);
        let mut stream = port.begin(&get_of("/streams")).await;
        let mut head = [0; 15];
        tokio::time::timeout(SOON, stream.read_exact(&mut head)).await.unwrap().unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        let quick = rest(port.begin(&get_of("/quick")).await).await;
        assert!(quick.ends_with("quick"), "{quick}");
    }
}

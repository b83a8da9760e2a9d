//! Threads, connections, and what each request is: inference, or the application's.

use http::header::HOST;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::Cell;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::{self, AppRequest};
use crate::body::Answer;
use crate::headers::{Peer, RequestIds};
use crate::pool::Pool;
use crate::{Gateway, Listeners, Tls, address, forward};

/// Bytes that a connection reads ahead. A request's head that is not complete by then is refused (431).
const BUFFER: usize = 64 << 10;
/// Bytes of a held request's body that are in memory at most: a frame that was read, and the buffer behind it.
pub const HELD_BODY: u64 = 2 * BUFFER as u64;

/// The gateway's threads.
pub struct ServeHandle {
    threads: Vec<(JoinHandle<()>, oneshot::Receiver<()>)>,
    shutdown: CancellationToken,
    abort: CancellationToken,
}

impl ServeHandle {
    /// Stops accepting, lets requests in progress end within `drain`, then ends the threads.
    pub async fn join(self, drain: Duration) {
        self.shutdown.cancel();
        let (threads, done): (Vec<_>, Vec<_>) = self.threads.into_iter().unzip();
        let drained = tokio::time::timeout(drain, futures::future::join_all(done)).await;
        if drained.is_err() {
            tracing::warn!("requests were still in progress after {drain:?} and are broken off");
        }
        self.abort.cancel();
        let ended = tokio::task::spawn_blocking(move || {
            threads.into_iter().filter_map(|thread| thread.join().err()).count()
        });
        if ended.await.is_ok_and(|panicked| panicked > 0) {
            tracing::error!("a thread of the gateway had panicked");
        }
    }
}

/// Starts one thread per set of listeners. Called within the application's runtime, on which the bodies of its
/// answers are then produced.
pub fn serve(
    gateway: Arc<Gateway>,
    listeners: Listeners,
    app: mpsc::Sender<AppRequest>,
    shutdown: CancellationToken,
) -> ServeHandle {
    let abort = CancellationToken::new();
    let runtime = Handle::try_current().ok();
    let mut threads = Vec::new();
    let (mut encrypted, tls) = listeners.tls.map_or((Vec::new(), None), |(sets, tls)| (sets, Some(tls)));
    encrypted.resize_with(listeners.by_thread.len(), Vec::new);
    for (index, (plain, encrypted)) in listeners.by_thread.into_iter().zip(encrypted).enumerate() {
        let plain = plain.into_iter().map(|listener| (listener, None));
        let listeners = plain.chain(encrypted.into_iter().map(|listener| (listener, tls.clone()))).collect();
        let (gateway, app, runtime) = (gateway.clone(), app.clone(), runtime.clone());
        let (shutdown, abort) = (shutdown.child_token(), abort.clone());
        let (done, finished) = oneshot::channel();
        let run = move || {
            thread(gateway, listeners, app, runtime, shutdown, abort);
            // Nobody may be waiting for it.
            let _ = done.send(());
        };
        match std::thread::Builder::new().name(format!("gateway-{index}")).spawn(run) {
            Ok(thread) => threads.push((thread, finished)),
            Err(error) => tracing::error!(%error, "could not start a thread of the gateway"),
        }
    }
    ServeHandle { threads, shutdown, abort }
}

/// What the connections of one thread share.
pub(crate) struct Worker {
    pub gateway: Arc<Gateway>,
    pub pool: Rc<Pool>,
    pub ids: RequestIds,
    pub tasks: TaskTracker,
    app: mpsc::Sender<AppRequest>,
    runtime: Option<Handle>,
    turn: Cell<usize>,
}

impl Worker {
    /// A number that grows, to take turns by.
    pub fn turn(&self) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn
    }
}

fn thread(
    gateway: Arc<Gateway>,
    listeners: Vec<(TcpListener, Option<Tls>)>,
    app: mpsc::Sender<AppRequest>,
    runtime: Option<Handle>,
    shutdown: CancellationToken,
    abort: CancellationToken,
) {
    let own = match tokio::runtime::Builder::new_current_thread().enable_all().event_interval(61).build() {
        Ok(own) => own,
        Err(error) => {
            tracing::error!(%error, "could not start a runtime of the gateway");
            return;
        }
    };
    let worker = Rc::new(Worker {
        gateway,
        pool: Rc::default(),
        ids: RequestIds::default(),
        tasks: TaskTracker::new(),
        app,
        runtime,
        turn: Cell::new(0),
    });
    tokio::task::LocalSet::new().block_on(&own, async move {
        let pool = worker.pool.clone();
        tokio::task::spawn_local(async move { pool.sweep().await });
        for (listener, tls) in listeners {
            let (worker, shutdown) = (worker.clone(), shutdown.clone());
            tokio::task::spawn_local(async move { accept(worker, listener, tls, shutdown).await });
        }
        shutdown.cancelled().await;
        worker.tasks.close();
        tokio::select! {
            () = worker.tasks.wait() => {}
            () = abort.cancelled() => {}
        }
    });
}

async fn accept(worker: Rc<Worker>, listener: TcpListener, tls: Option<Tls>, shutdown: CancellationToken) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "could not use a listening socket");
            return;
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = connection(worker.clone(), stream, peer, tls.clone(), shutdown.clone());
                worker.tasks.spawn_local(connection);
            }
            Err(error) => {
                // Out of file descriptors, most likely: asking again at once would only burn the core.
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Tls>,
    shutdown: CancellationToken,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Some(tls) = tls else { return converse(worker, stream, peer, shutdown).await };
    let within = worker.gateway.config.header_timeout;
    match tokio::time::timeout(within, tls.acceptor().accept(stream)).await {
        Ok(Ok(stream)) => converse(worker, stream, peer, shutdown).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a client and the server did not agree on TLS"),
        Err(_) => tracing::debug!(%peer, "a client took too long to begin TLS"),
    }
}

/// Answers the requests of a connection, one after the other.
async fn converse<S>(worker: Rc<Worker>, stream: S, peer: SocketAddr, shutdown: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let header_timeout = worker.gateway.config.header_timeout;
    let from = Rc::new(Peer::new(peer.ip(), &worker.gateway.config.trusted_proxies));
    let service = service_fn(move |request| {
        let (worker, from) = (worker.clone(), from.clone());
        async move { Ok::<_, Infallible>(dispatch(worker, request, peer, from).await) }
    });
    let connection = Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "a client's connection broke");
    }
}

async fn dispatch(
    worker: Rc<Worker>,
    request: Request<Incoming>,
    peer: SocketAddr,
    from: Rc<Peer>,
) -> Response<Answer> {
    let uri = request.uri().clone();
    let host = uri.host().or_else(|| request.headers().get(HOST).and_then(|host| host.to_str().ok()));
    let domain = worker.gateway.config.domain.as_deref();
    match address::parse(domain, host.unwrap_or_default(), uri.path()) {
        Some(address) => forward::call(&worker, request, address, uri.query(), &from).await,
        None => {
            let body_timeout = worker.gateway.config.body_timeout;
            app::ask(&worker.app, worker.runtime.as_ref(), request, peer, body_timeout).await
        }
    }
}

//! Threads, and the connections they accept.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alarm::{Alarms, Ending, Linger};
use crate::app::AppRequest;
use crate::buffers::Buffers;
use crate::channels::Channels;
use crate::conversation::{Client, converse};
use crate::headers::{Peer, RequestIds};
use crate::http2::{self, many};
use crate::links::Links;
use crate::listen::BACKLOG;
use crate::places::{Place, Places};
use crate::pool::Pool;
use crate::prompt::be_prompt;
use crate::seldom::Seldom;
use crate::wire::Wire;
use crate::{Gateway, Listeners, Tls};

/// Bytes that a connection reads ahead. A request's head that is not complete by then is refused (431).
pub(crate) const BUFFER: usize = 64 << 10;
/// Bytes of a held request's body that are in memory at most: a frame that was read, and the buffer behind it.
pub const HELD_BODY: u64 = 2 * BUFFER as u64;

/// How long idle connections that can't go to another process stay open there.
const LINGER: Duration = Duration::from_secs(5);

/// The gateway's threads.
pub struct ServeHandle {
    threads: Vec<(JoinHandle<()>, oneshot::Receiver<()>)>,
    shutdown: CancellationToken,
    abort: CancellationToken,
    /// Where connections go when the threads end, if they go anywhere.
    mover: Arc<OnceLock<Mover>>,
    adopter: Adopter,
}

/// A connection on its way from one process to another.
#[derive(Debug)]
pub struct Moved {
    pub connection: OwnedFd,
    /// What was read of it and not answered: a request that waits for a replica, or the begin of one.
    pub ahead: Vec<u8>,
    /// Nothing was read of it before that, so it may yet turn out to speak HTTP/2.
    pub is_new: bool,
}

/// Takes connections away, to another process.
type Mover = std::sync::mpsc::Sender<Moved>;

/// Brings connections in, from another process.
#[derive(Debug, Clone)]
pub struct Adopter(Vec<mpsc::UnboundedSender<Moved>>);

impl Adopter {
    /// Goes on with a connection that was accepted elsewhere, on the thread whose turn it is.
    pub fn adopt(&self, turn: usize, moved: Moved) {
        // A thread that has ended takes none: the connection closes.
        let _ = self.0[turn % self.0.len()].send(moved);
    }
}

impl ServeHandle {
    /// As [`Self::join`], while another process accepts from the same sockets and goes on with the connections that `mover`
    /// brings to it, each after the answer it is at.
    pub async fn hand_over(self, mover: std::sync::mpsc::Sender<Moved>, drain: Duration) {
        // It is set once, here, and this consumes the handle.
        let _ = self.mover.set(mover);
        self.join(drain).await;
    }

    /// The way in for connections of another process.
    pub fn adopter(&self) -> Adopter {
        self.adopter.clone()
    }

    /// Accepts those that wait to be and nobody else, lets requests in progress end within `drain`, then ends the threads.
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
    let mover = Arc::new(OnceLock::new());
    let mut adopter = Adopter(Vec::new());
    let places = Arc::new(Places::new(gateway.config.max_connections));
    let runtime = Handle::try_current().ok();
    let mut threads = Vec::new();
    let (mut encrypted, tls) = listeners.tls.map_or((Vec::new(), None), |(sets, tls)| (sets, Some(tls)));
    encrypted.resize_with(listeners.by_thread.len(), Vec::new);
    for (index, (plain, encrypted)) in listeners.by_thread.into_iter().zip(encrypted).enumerate() {
        let plain = plain.into_iter().map(|listener| (listener, None));
        let listeners = plain.chain(encrypted.into_iter().map(|listener| (listener, tls.clone()))).collect();
        let (gateway, app, runtime) = (gateway.clone(), app.clone(), runtime.clone());
        let places = places.clone();
        let (shutdown, abort, mover) = (shutdown.child_token(), abort.clone(), mover.clone());
        let (adopts, adopted) = mpsc::unbounded_channel();
        adopter.0.push(adopts);
        let (done, finished) = oneshot::channel();
        let run = move || {
            be_prompt();
            thread(gateway, listeners, places, adopted, app, runtime, shutdown, abort, mover);
            // Nobody may be waiting for it.
            let _ = done.send(());
        };
        match std::thread::Builder::new().name(format!("gateway-{index}")).spawn(run) {
            Ok(thread) => threads.push((thread, finished)),
            Err(error) => tracing::error!(%error, "could not start a thread of the gateway"),
        }
    }
    ServeHandle { threads, shutdown, abort, mover, adopter }
}

/// What the connections of one thread share.
pub(crate) struct Worker {
    pub gateway: Arc<Gateway>,
    pub pool: Rc<Pool>,
    pub ids: RequestIds,
    pub tasks: TaskTracker,
    mover: Arc<OnceLock<Mover>>,
    places: Arc<Places>,
    pub links: Links,
    pub channels: Channels,
    pub buffers: Rc<Buffers>,
    pub alarms: Alarms,
    pub app: mpsc::Sender<AppRequest>,
    pub runtime: Option<Handle>,
    turn: Cell<usize>,
    /// As of the last look at the alarms.
    date: RefCell<(Option<Instant>, Rc<str>)>,
}

impl Worker {
    /// A number that grows, to take turns by.
    pub fn turn(&self) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn
    }

    /// Lets another process go on with a connection, and answer what was read of it.
    pub fn move_away<S: Wire>(&self, wire: S, ahead: &[u8], is_new: bool) {
        match (wire.release(), self.mover.get()) {
            (Ok(connection), Some(mover)) => {
                // If nobody takes it, it closes, as it would have without the other process.
                let _ = mover.send(Moved { connection, ahead: ahead.to_vec(), is_new });
            }
            (Ok(_), None) => {}
            (Err(error), _) => tracing::debug!(%error, "a connection could not go to another process"),
        }
    }

    /// Goes on with a connection that was accepted by another process.
    fn adopt(self: &Rc<Self>, moved: Moved) {
        let stream = TcpStream::from_std(moved.connection.into());
        match stream.and_then(|stream| Ok((stream.peer_addr()?, stream))) {
            Ok((peer, stream)) => {
                // It is a client's already, so it comes in though there may be no place.
                let place = self.places.take();
                let (is_new, ahead) = (moved.is_new, moved.ahead);
                let connection = self::connection(self.clone(), stream, peer, place, None, is_new, ahead);
                self.tasks.spawn_local(connection);
            }
            Err(error) => tracing::debug!(%error, "a connection of another process had ended"),
        }
    }

    /// A place for a connection that was accepted: at once, or when another one ends. `None` when the thread is to end, to
    /// which a place does not matter any more.
    async fn place(&self, shutdown: &CancellationToken) -> Option<Place> {
        if let Some(place) = self.places.take() {
            return Some(place);
        }
        self.places.found_full();
        tokio::select! {
            place = self.places.wait() => Some(place),
            () = shutdown.cancelled() => None,
        }
    }

    /// The moment, as a `date` header has it.
    pub fn date(&self) -> Rc<str> {
        let now = self.alarms.coarse_now();
        let mut date = self.date.borrow_mut();
        if date.0 != Some(now) {
            let since = Duration::from_millis(self.gateway.clock.now().millis().max(0).unsigned_abs());
            *date = (Some(now), httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + since).into());
        }
        date.1.clone()
    }
}

fn thread(
    gateway: Arc<Gateway>,
    listeners: Vec<(TcpListener, Option<Tls>)>,
    places: Arc<Places>,
    mut adopted: mpsc::UnboundedReceiver<Moved>,
    app: mpsc::Sender<AppRequest>,
    runtime: Option<Handle>,
    shutdown: CancellationToken,
    abort: CancellationToken,
    mover: Arc<OnceLock<Mover>>,
) {
    // Not a `LocalSet`: what the kernel wakes would be queued twice, for the set and then within it.
    let own = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    let own = match own {
        Ok(own) => own,
        Err(error) => {
            tracing::error!(%error, "could not start a runtime of the gateway");
            return;
        }
    };
    let linger = gateway.config.linger;
    let worker = Rc::new(Worker {
        gateway,
        pool: Rc::default(),
        ids: RequestIds::default(),
        tasks: TaskTracker::new(),
        mover: mover.clone(),
        places,
        links: Links::default(),
        channels: Channels::default(),
        buffers: Rc::default(),
        alarms: Alarms::default(),
        app,
        runtime,
        turn: Cell::new(0),
        date: RefCell::new((None, Rc::from(""))),
    });
    own.block_on(async move {
        let pool = worker.pool.clone();
        tokio::task::spawn_local(async move { pool.sweep().await });
        let sweeper = worker.clone();
        tokio::task::spawn_local(async move { sweeper.links.sweep().await });
        let sweeper = worker.clone();
        tokio::task::spawn_local(async move { sweeper.channels.sweep().await });
        let watcher = worker.clone();
        tokio::task::spawn_local(async move { watcher.alarms.watch(|| watcher.places.are_wanted()).await });
        for (listener, tls) in listeners {
            let accepts = accept(worker.clone(), listener, tls, shutdown.clone());
            // The thread does not end before the last ones that it accepts are among its tasks.
            worker.tasks.spawn_local(accepts);
        }
        let adopter = worker.clone();
        tokio::task::spawn_local(async move {
            while let Some(moved) = adopted.recv().await {
                adopter.adopt(moved);
            }
        });
        shutdown.cancelled().await;
        worker.alarms.end(match mover.get() {
            Some(_) => Ending::Moving(Linger { since: Instant::now(), length: LINGER }),
            None => Ending::Closing(Linger { since: Instant::now(), length: linger }),
        });
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
    let failed = Seldom::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let place = worker.place(&shutdown).await;
                let connection =
                    connection(worker.clone(), stream, peer, place, tls.clone(), true, Vec::new());
                worker.tasks.spawn_local(connection);
            }
            Err(error) => {
                if let Some(times) = failed.counts(Instant::now()) {
                    tracing::warn!(%error, times, "could not accept a connection");
                }
                if is_out_of_files(&error) {
                    worker.alarms.oust();
                }
                // Asking again at once would only burn the core.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    // Another process accepts from the same socket.
    if worker.mover.get().is_none()
        && let Err(error) = accept_last(&worker, listener, tls.as_ref())
    {
        tracing::warn!(%error, "those that waited to be accepted could not be, and were closed");
    }
}

/// Accepts whoever waits to be, and closes the socket at once: who comes later is refused, and may go elsewhere.
fn accept_last(worker: &Rc<Worker>, listener: tokio::net::TcpListener, tls: Option<&Tls>) -> io::Result<()> {
    // Asked itself, and not by the runtime, which hears of new ones late.
    let listener = listener.into_std()?;
    for _ in 0..=BACKLOG {
        match listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                let (stream, place) = (TcpStream::from_std(stream)?, worker.places.take());
                let connection =
                    connection(worker.clone(), stream, peer, place, tls.cloned(), true, Vec::new());
                worker.tasks.spawn_local(connection);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // It has gone again.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_out_of_files(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// What another process read of one that is adopted comes with it.
async fn connection(
    worker: Rc<Worker>,
    stream: TcpStream,
    peer: SocketAddr,
    place: Option<Place>,
    tls: Option<Tls>,
    is_new: bool,
    ahead: Vec<u8>,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let from = Rc::new(Peer::new(peer.ip(), &worker.gateway.config.trusted_proxies).at(place));
    let client = Client { worker, peer, from };
    match tls {
        None => converse(client, stream, is_new, ahead).await,
        // Apart, so that connections which are not encrypted don't have its size.
        Some(tls) => Box::pin(encrypted(client, stream, tls)).await,
    }
}

async fn encrypted(client: Client, stream: TcpStream, tls: Tls) {
    let (within, peer) = (client.worker.gateway.config.header_timeout, client.peer);
    let alarm = client.worker.alarms.add();
    let now = client.worker.alarms.coarse_now();
    alarm.set(now + within);
    alarm.rest(now);
    let accepted = {
        let mut accepts = pin!(tls.acceptor().accept(stream));
        poll_fn(|cx| match accepts.as_mut().poll(cx) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            Poll::Pending => alarm.poll_rest(cx).map(|()| None),
        })
        .await
    };
    match accepted {
        Some(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(http2::NAME) => {
            many(client, stream, Vec::new(), &alarm).await;
        }
        Some(Ok(stream)) => {
            // Each conversation has its own.
            drop(alarm);
            converse(client, stream, true, Vec::new()).await;
        }
        Some(Err(error)) => tracing::debug!(%peer, %error, "a client and the server did not agree on TLS"),
        None => tracing::debug!(%peer, "a client took too long to begin TLS"),
    }
}

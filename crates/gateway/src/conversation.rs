//! A client's connection: its requests, one after the other, each by the way that suits it.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use http::{HeaderValue, Method};
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use crate::address::{self, Action, Address};
use crate::alarm::{Alarm, Ending};
use crate::buffers::Buffer;
use crate::exchange::{Ended, Exchange};
use crate::forward::Call;
use crate::headers::{FORWARDED_FOR, Peer, REQUEST_ID};
use crate::http2::{PREFACE, many};
use crate::incoming::Incoming;
use crate::keys;
use crate::presence::Presence;
use crate::request_head::{self, FIELDS, RequestHead, Usual, write_known};
use crate::serve::{BUFFER, Worker};
use crate::whole::whole;
use crate::wire::Wire;

/// A client, and whom it came by.
pub(crate) struct Client {
    pub worker: Rc<Worker>,
    pub peer: SocketAddr,
    pub from: Rc<Peer>,
}

/// What a connection goes on with.
enum Next {
    /// The usual kind of request, with what was read behind it.
    Idle(Option<Buffer>),
    /// A request for the application, or of an unusual kind.
    Whole(Buffer),
    /// Many at once: the connection speaks HTTP/2.
    Many(Buffer),
    /// Another process is to answer what was read.
    Moves(Buffer),
    End,
}

/// Answers the requests of a connection until it ends.
///
/// `ahead` was read of it already. It `is_new` if nothing was before that.
pub(crate) async fn converse<S: Wire>(client: Client, mut wire: S, is_new: bool, ahead: Vec<u8>) {
    let alarm = client.worker.alarms.add();
    let mut ahead = (!ahead.is_empty()).then(|| client.worker.buffers.filled(ahead));
    let mut is_first = true;
    loop {
        let worker = &client.worker;
        let begins = is_first && is_new;
        alarm.set(worker.alarms.coarse_now() + worker.gateway.config.header_timeout);
        if ahead.is_none() {
            alarm.rest(worker.alarms.coarse_now());
            match stirs(&wire, is_first, &alarm).await {
                Stirred::Yes => {}
                Stirred::Never => return,
                Stirred::Moves => return client.worker.move_away(wire, &[], begins),
            }
        }
        let buffer = ahead.take().unwrap_or_else(|| client.worker.buffers.take());
        // In boxes, so that a connection that waits for its next request is small.
        let next = Box::pin(next(&client, &mut wire, buffer, begins, &alarm)).await;
        is_first = false;
        let buffer = match next {
            Next::Idle(rest) => {
                ahead = rest;
                continue;
            }
            Next::End => return,
            Next::Moves(buffer) => return client.worker.move_away(wire, &buffer, begins),
            Next::Whole(buffer) => buffer,
            Next::Many(buffer) => return Box::pin(many(client, wire, buffer.to_vec(), &alarm)).await,
        };
        let back = Box::pin(whole(&client, wire, buffer, &alarm)).await;
        let Some((back, rest)) = back else { return };
        wire = back;
        ahead = Some(rest).filter(|rest| !rest.is_empty());
    }
}

/// How a wait for a request ends.
enum Stirred {
    Yes,
    /// Nothing came in time, or the thread ends.
    Never,
    /// Another process goes on with the connection.
    Moves,
}

/// Waits until something comes.
async fn stirs<S: Wire>(wire: &S, is_first: bool, alarm: &Alarm) -> Stirred {
    poll_fn(|cx| {
        if S::MOVES && matches!(alarm.ending(), Ending::Moving(_)) {
            return Poll::Ready(Stirred::Moves);
        }
        let stirs = if is_first { wire.poll_begins(cx) } else { wire.poll_stirs(cx) };
        if stirs.is_ready() {
            return Poll::Ready(Stirred::Yes);
        }
        alarm.poll_rest(cx).map(|()| Stirred::Never)
    })
    .await
}

/// Reads a head, and answers the request if it is of the usual kind. It `begins` the connection if nothing was read before.
async fn next<S: Wire>(
    client: &Client,
    wire: &mut S,
    mut ahead: Buffer,
    begins: bool,
    alarm: &Alarm,
) -> Next {
    let worker = &client.worker;
    let mut has_begun = false;
    let asked = loop {
        match look(client, &ahead) {
            Look::Partial if ahead.len() < BUFFER => {}
            Look::Usual(asked, fields) => break Some((asked, fields)),
            Look::Partial | Look::Unusual => break None,
        }
        // Until its head is complete it has no request that could be lost. Whoever sends it byte by byte does not put that off.
        if !ahead.is_empty() && !has_begun {
            has_begun = true;
            alarm.rest_in_head(worker.alarms.coarse_now());
        }
        let read = poll_fn(|cx| match poll_read_buf(Pin::new(&mut *wire), cx, ahead.room()) {
            Poll::Ready(Ok(1..)) => Poll::Ready(Stirred::Yes),
            Poll::Ready(_) => Poll::Ready(Stirred::Never),
            Poll::Pending => {
                if S::MOVES && matches!(alarm.ending(), Ending::Moving(_)) {
                    return Poll::Ready(Stirred::Moves);
                }
                // One that can't tell when it stirs waits for its next request here.
                if ahead.is_empty() {
                    ahead.release();
                }
                alarm.poll_rest(cx).map(|()| Stirred::Never)
            }
        });
        match read.await {
            Stirred::Yes => {}
            Stirred::Never => return Next::End,
            Stirred::Moves => return Next::Moves(ahead),
        }
    };
    alarm.stir();
    let Some((asked, fields)) = asked else {
        // Only at its begin, where no request can hide behind another.
        let speaks_http2 = begins && ahead.starts_with(PREFACE);
        return if speaks_http2 { Next::Many(ahead) } else { Next::Whole(ahead) };
    };
    let Some(address) = asked.address(worker) else { return Next::Whole(ahead) };
    if !matches!(address.action, Action::Predict | Action::Sync(_)) {
        return Next::Whole(ahead);
    }
    let call = Call {
        worker,
        address,
        query: asked.split().1,
        from: &client.from,
        id: &asked.id,
        head: asked.size as u64,
        length: Some(asked.length),
        started: Instant::now(),
    };
    let refused = call.check(asked.key, asked.method == Method::POST).err();
    let mut exchange = Exchange {
        call,
        client: wire,
        ahead: &mut ahead,
        alarm,
        method: asked.method.as_str(),
        fields,
        size: asked.size,
        body: Incoming::new(asked.length, worker.gateway.config.body_timeout),
        presence: Presence::default(),
        closes: asked.closes,
    };
    match exchange.run(refused).await {
        Ended::Open => Next::Idle(Some(ahead).filter(|ahead| !ahead.is_empty())),
        Ended::Closed => Next::End,
        Ended::Moves => Next::Moves(ahead),
    }
}

/// What a head is.
enum Look {
    Partial,
    Unusual,
    /// With the fields that a replica gets.
    Usual(Box<Asked>, Buffer),
}

/// Reads a head; not where others wait, so that its table of fields is on the stack alone.
fn look(client: &Client, ahead: &[u8]) -> Look {
    match request_head::read(ahead, &mut [MaybeUninit::uninit(); FIELDS]) {
        RequestHead::Partial => Look::Partial,
        RequestHead::Unusual => Look::Unusual,
        RequestHead::Usual(head) => match Asked::of(client, &head) {
            Some((asked, fields)) => Look::Usual(Box::new(asked), fields),
            None => Look::Unusual,
        },
    }
}

/// What is kept of a head that may be passed on.
struct Asked {
    /// Bytes of the head.
    size: usize,
    method: Method,
    target: String,
    host: String,
    key: Option<keys::Digest>,
    id: HeaderValue,
    length: u64,
    closes: bool,
}

impl Asked {
    /// Keeps what is needed, and the fields as a replica gets them.
    fn of(client: &Client, head: &Usual<'_, '_>) -> Option<(Self, Buffer)> {
        let worker = &client.worker;
        let id = worker.ids.from(head.id);
        let mut fields = worker.buffers.take();
        head.write_fields(fields.tail());
        let heard = client.from.heard(head.forwarded_for());
        write_known(fields.tail(), &FORWARDED_FOR, heard.as_bytes());
        write_known(fields.tail(), &REQUEST_ID, id.as_bytes());
        let asked = Self {
            size: head.size,
            method: Method::from_bytes(head.method.as_bytes()).ok()?,
            target: head.target.to_owned(),
            host: head.host.to_owned(),
            key: head.authorization.and_then(keys::presented),
            id,
            length: head.length,
            closes: head.closes,
        };
        Some((asked, fields))
    }

    fn address(&self, worker: &Worker) -> Option<Address<'_>> {
        let (path, _) = self.split();
        address::parse(worker.gateway.config.domain.as_deref(), &self.host, path)
    }

    /// The path, and the query if there is one.
    fn split(&self) -> (&str, Option<&str>) {
        match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&self.target, None),
        }
    }
}

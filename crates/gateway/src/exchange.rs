//! One request of the usual kind, from its client to a replica and back, without a framework in between.

use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Uri};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use crate::alarm::{Alarm, Ending};
use crate::answer_head::{self, AnswerHead, Answered, Told};
use crate::body::Fate;
use crate::buffers::Buffer;
use crate::forward::{Call, Seat, TRIES};
use crate::headers::{self, REQUEST_ID};
use crate::incoming::Incoming;
use crate::outgoing::Outgoing;
use crate::pool;
use crate::presence::Presence;
use crate::respond::{self, Refusal};
use crate::transfer::{poll_read, send};
use crate::wire::Wire;

/// A head of an answer that is not complete by then is not one.
const HEAD: usize = 64 << 10;
/// Bytes that are read of a body while its request waits for a replica, and of a next request meanwhile.
const AHEAD: usize = 64 << 10;
const NEXT: usize = 4 << 10;
/// How long a client that was refused may go on to send its body, so that it reads why.
const LINGER: Duration = Duration::from_secs(2);

/// A request whose head was read.
pub(crate) struct Exchange<'a, S> {
    pub call: Call<'a>,
    pub client: &'a mut S,
    /// What was read of the client and not yet passed on: the head, the body's begin, and perhaps a next request.
    pub ahead: &'a mut Buffer,
    pub alarm: &'a Alarm,
    pub method: &'a str,
    /// The fields that go to the replica, then what was read of the body.
    pub fields: Buffer,
    /// Bytes of the head, which stay in `ahead` until there is a replica.
    pub size: usize,
    pub body: Incoming,
    pub presence: Presence,
    /// The client wants no further answer on this connection.
    pub closes: bool,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The connection takes another request.
    Open,
    Closed,
    /// Nothing of the request was sent, and all that was read of it is still there: another process is to answer it.
    Moves,
}

/// What keeps a replica from answering.
enum Fault {
    /// The client has gone: there is nobody to tell.
    Gone,
    /// Nothing of the request was sent: another connection may be tried.
    Unsent,
    /// The replica broke off, or what it said is no answer.
    Lost,
    Late,
    /// The client's body does not come.
    Body(Fate),
}

/// A replica that answers.
struct Answering {
    link: TcpStream,
    /// What was read of it behind its head.
    back: Buffer,
    /// The head as the client gets it.
    head: Buffer,
    answered: Answered,
}

impl<S: Wire> Exchange<'_, S> {
    /// Answers the request, with a refusal if there is one.
    pub async fn run(&mut self, refused: Option<Refusal>) -> Ended {
        let passed = match refused {
            Some(refusal) => {
                self.ahead.consume(self.size);
                Err(Some(refusal))
            }
            None => match self.admit(None).await {
                Ok(None) => return Ended::Moves,
                admitted => {
                    self.ahead.consume(self.size);
                    match admitted {
                        Ok(Some(seat)) => self.pass(seat).await,
                        Ok(None) => Err(None),
                        Err(refusal) => Err(refusal),
                    }
                }
            },
        };
        match passed {
            Ok(ended) => ended,
            Err(Some(refusal)) => self.refuse(refusal).await.unwrap_or(Ended::Closed),
            Err(None) => Ended::Closed,
        }
    }

    /// Passes it on and relays the answer; `Err(None)` if the client has gone.
    async fn pass(&mut self, mut seat: Seat) -> Result<Ended, Option<Refusal>> {
        let fields = self.fields.tail();
        fields.extend_from_slice(b"\r\n");
        self.body.take(self.ahead, fields);

        let mut tries = 0;
        loop {
            tries += 1;
            let replica = &seat.flight.replica;
            let link = match self.call.worker.links.take(replica.key, self.call.worker.alarms.coarse_now()) {
                Some(link) => Ok(link),
                None => pool::connect(replica.port).await,
            };
            let link = match link {
                Ok(link) => link,
                Err(error) if tries < TRIES => {
                    tracing::debug!(replica = %replica.id, %error, "a replica took no connection");
                    // What was read of the body is with the fields by now, so it can't move any more.
                    seat = self.admit(Some(seat)).await?.ok_or_else(|| Some(Refusal::moving()))?;
                    continue;
                }
                Err(_) => return Err(Some(self.call.lost(seat, "no replica takes connections"))),
            };
            let uri = self.call.rewritten(&seat.view)?;
            let fault = match self.attempt(&seat, &uri, link).await {
                Ok(answering) => return self.relay(seat, answering).await.ok_or(None),
                Err(fault) => fault,
            };
            return Err(match fault {
                Fault::Unsent if tries < TRIES => continue,
                Fault::Unsent | Fault::Lost => Some(self.call.broken(seat, Fate::Fine)),
                Fault::Body(Fate::Late) => Some(self.call.broken(seat, Fate::Late)),
                Fault::Late => Some(self.call.late(seat)),
                Fault::Body(_) | Fault::Gone => None,
            });
        }
    }

    /// Waits for a place on a replica, on another one than that which refused a connection; meanwhile it notices when the
    /// client goes. `None` if another process is to answer it.
    async fn admit(&mut self, refused: Option<Seat>) -> Result<Option<Seat>, Option<Refusal>> {
        let Self { call, client, ahead, fields, alarm, size, body, presence, .. } = self;
        let room = *size + if body.is_over() { NEXT } else { AHEAD };
        alarm.clear();
        let moves = S::MOVES && refused.is_none();
        let mut seat = pin!(async {
            match refused {
                Some(seat) => call.elsewhere(seat).await,
                None if moves => call.admit().await,
                None => call.admit_here().await,
            }
        });
        let mut waits = false;
        poll_fn(|cx| {
            if let Poll::Ready(seat) = seat.as_mut().poll(cx) {
                return Poll::Ready(seat.map(Some).map_err(Some));
            }
            // It does not ring, and wakes when the thread is to end.
            let _ = alarm.poll(cx);
            if moves && matches!(alarm.ending(), Ending::Moving(_)) {
                return Poll::Ready(Ok(None));
            }
            if !std::mem::replace(&mut waits, true) {
                fields.tighten();
                ahead.tighten();
            }
            presence.poll_leaves(*client, ahead, room, cx).map(|()| Err(None))
        })
        .await
    }

    /// Sends the request and reads the head of its answer.
    async fn attempt(&mut self, seat: &Seat, uri: &Uri, mut link: TcpStream) -> Result<Answering, Fault> {
        let worker = self.call.worker;
        let begun = if seat.waited.is_some() { Instant::now() } else { self.call.started };
        self.alarm.set(begun + worker.gateway.config.predict_timeout);

        let mut head = worker.buffers.take();
        write_line(head.tail(), self.method, uri, &seat.flight.replica.authority);
        match send(&mut link, [&head, &self.fields], self.alarm).await {
            Ok(()) => {}
            Err((_, error)) if error.kind() == io::ErrorKind::TimedOut => return Err(Fault::Late),
            Err((0, _)) => return Err(Fault::Unsent),
            // It may say why before it closes.
            Err(_) => self.body.breaks(),
        }
        // While the model works, nothing is held for the request.
        head.release();
        self.fields.release();
        self.ahead.tighten();
        let mut back = worker.buffers.take();
        loop {
            poll_fn(|cx| self.poll_answer(&mut link, &mut back, cx)).await?;
            while !back.is_empty() {
                let waited = seat.waited.map(|waited| waited.as_millis());
                let told = Told {
                    form: self.call.address.form,
                    id: self.call.id,
                    served_by: &seat.flight.replica.served_by,
                    waited,
                    closes: self.closes || !self.body.is_over() || self.is_last(),
                    date: &worker.date(),
                };
                match answer_head::pass(&back, self.method == "HEAD", &told, head.tail()) {
                    AnswerHead::Final(mut answered) => {
                        self.closes = told.closes;
                        back.consume(answered.size);
                        answered.stays &= !self.body.is_broken();
                        return Ok(Answering { link, back, head, answered });
                    }
                    AnswerHead::Interim(size) => back.consume(size),
                    AnswerHead::Partial if back.len() < HEAD => break,
                    AnswerHead::Partial | AnswerHead::Broken => return Err(Fault::Lost),
                }
            }
        }
    }

    /// Reads of the replica, and goes on to send what the client sends.
    fn poll_answer(
        &mut self,
        link: &mut TcpStream,
        back: &mut Buffer,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        if let Poll::Ready(read) = poll_read(link, back, cx) {
            return Poll::Ready(match read {
                Ok(1..) => Ok(()),
                Ok(0) | Err(_) => Err(Fault::Lost),
            });
        }
        self.poll_client(link, cx)
    }

    /// Passes on what the client sends of its body; once that is over, it notices when the client goes.
    fn poll_client<T>(&mut self, link: &mut TcpStream, cx: &mut Context<'_>) -> Poll<Result<T, Fault>> {
        if !self.body.is_done()
            && let Poll::Ready(Err(fate)) = self.body.poll_pass(self.client, self.ahead, link, cx)
        {
            return Poll::Ready(Err(Fault::Body(fate)));
        }
        // Also in the moment in which the body ends, or nobody would be told.
        if self.body.is_done() && self.presence.poll_leaves(self.client, self.ahead, NEXT, cx).is_ready() {
            return Poll::Ready(Err(Fault::Gone));
        }
        self.alarm.poll(cx).map(|()| Err(Fault::Late))
    }

    /// Relays the answer as it comes; `None` if nothing further can be said on this connection.
    async fn relay(&mut self, seat: Seat, answering: Answering) -> Option<Ended> {
        let Answering { mut link, mut back, mut head, answered } = answering;
        let worker = self.call.worker;
        if seat.waited.is_some() {
            seat.flight.replica.answers_awaited(worker.gateway.clock.monotonic());
        }
        let key = seat.flight.replica.key;
        let tally = self.call.tally(seat);
        tally.begins(answered.status);
        self.presence.answers();
        let mut body = Outgoing::new(answered.framing);
        loop {
            let Ok(used) = body.follow(&back, head.tail()) else {
                tally.lost();
                return None;
            };
            back.consume(used);
            if body.is_over() {
                break;
            }
            self.write(&head).await?;
            head.release();
            back.tighten();
            match poll_fn(|cx| self.poll_more(&mut link, &mut back, cx)).await {
                Ok(true) => {}
                Ok(false) if body.ends_with_connection(head.tail()) => break,
                Ok(false) | Err(Fault::Lost) => {
                    tally.lost();
                    return None;
                }
                Err(Fault::Late) => {
                    tally.failed();
                    return None;
                }
                Err(_) => return None,
            }
        }
        // The replica is done with it before the client has read it all.
        if answered.stays && back.is_empty() && self.body.is_over() {
            worker.links.put(key, link, worker.alarms.coarse_now());
        }
        tally.passed(self.body.received(), body.passed());
        tally.finished();
        self.write(&head).await?;
        if !self.body.is_over() {
            self.linger().await;
            return Some(Ended::Closed);
        }
        // As it was told: one that was not told of its end may send its next request already.
        Some(if self.closes { Ended::Closed } else { Ended::Open })
    }

    /// Reads further bytes of an answer; `false` at its connection's end.
    fn poll_more(
        &mut self,
        link: &mut TcpStream,
        back: &mut Buffer,
        cx: &mut Context<'_>,
    ) -> Poll<Result<bool, Fault>> {
        if let Poll::Ready(read) = poll_read(link, back, cx) {
            return Poll::Ready(read.map(|count| count > 0).map_err(|_| Fault::Lost));
        }
        self.poll_client(link, cx)
    }

    /// Tells why there is no answer.
    async fn refuse(&mut self, refusal: Refusal) -> Option<Ended> {
        self.body.skip(self.ahead);
        self.closes |= !self.body.is_over() || self.is_last();
        let worker = self.call.worker;
        let mut head = worker.buffers.take();
        let mut told = refusal.into_response();
        headers::fence(told.headers_mut(), self.call.address.form);
        told.headers_mut().insert(REQUEST_ID, self.call.id.clone());
        respond::write(told, self.method == "HEAD", self.closes, &worker.date(), head.tail());
        self.alarm.set(Instant::now() + worker.gateway.config.body_timeout);
        self.write(&head).await?;
        if !self.body.is_over() {
            self.linger().await;
        }
        Some(if self.closes { Ended::Closed } else { Ended::Open })
    }

    /// Reads on for a moment: a client that is still sending would otherwise meet a broken connection instead of an answer.
    async fn linger(&mut self) {
        self.alarm.set(Instant::now() + LINGER);
        let mut is_told = false;
        poll_fn(|cx| {
            while !is_told {
                match Pin::new(&mut *self.client).poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => is_told = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return self.alarm.poll(cx),
                }
            }
            loop {
                self.ahead.clear();
                match poll_read_buf(Pin::new(&mut *self.client), cx, self.ahead.room()) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.alarm.poll(cx),
                }
            }
        })
        .await;
    }

    /// Whether the connection closes after this answer because the thread ends.
    fn is_last(&self) -> bool {
        self.alarm.ending().closes(S::MOVES)
    }

    /// Writes to the client; `None` if it has gone or takes too long.
    async fn write(&mut self, bytes: &[u8]) -> Option<()> {
        send(self.client, [bytes, b""], self.alarm).await.ok()
    }
}

/// The first lines of a request to a replica.
fn write_line(into: &mut Vec<u8>, method: &str, uri: &Uri, authority: &HeaderValue) {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    // Writing into memory does not fail.
    let _ = write!(into, "{method} {target} HTTP/1.1\r\nhost: ");
    into.extend_from_slice(authority.as_bytes());
    into.extend_from_slice(b"\r\n");
}

//! A replica that takes next to no time: a request is answered with about 1 KB that names the replica's port, or with as much as
//! it has itself if that is a lot. Where it asks for that, the answer comes after some time of work, or is a stream of tokens, each
//! with the moment at which it was written. Its method and path don't matter, so it is ready as soon as it listens.

use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::net::TcpListener;

use rustix::net::sockopt::set_socket_send_buffer_size;
use serde_json::Value;

use super::poll::{Poll, now};
use super::wire::{Head, Wire};

/// Tokens of a stream, and the nanoseconds between them.
pub const TOKENS: usize = 50;
const APART: u64 = 5_000_000;
/// Nanoseconds that work takes; any number of requests are worked on at once.
pub const WORK: u64 = APART;
/// A request that has more bytes than this is answered with as many. All of it fits into a socket's buffer.
const MUCH: usize = 50_000;
const SEND_BUFFER: usize = 200 << 10;
/// The last bytes of a stream.
pub const END: &[u8] = b"data: [DONE]\n\n\r\n0\r\n\r\n";
/// Bytes of an answer's body.
const BODY: usize = 1024;
const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\ntransfer-encoding: chunked\r\n\r\n";
const LISTENER: u64 = 0;

struct Replica {
    port: u16,
    answer: Vec<u8>,
    callers: HashMap<u64, Caller>,
    /// Streams by the moment of their next token; all have the same distance, so that they stay in order.
    due: VecDeque<(u64, u64)>,
}

struct Caller {
    wire: Wire,
    /// Tokens of the running stream that were written; `None` while it waits for an answer that takes work.
    tokens: Option<usize>,
}

/// What a request asks for.
enum Asked {
    Plain,
    Much(usize),
    Stream,
    Work,
}

/// Listens on `$PORT` until it is stopped.
pub fn serve() -> Value {
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut poll = Poll::new();
    poll.add(&listener, LISTENER);
    let mut replica =
        Replica { port, answer: answer(port, BODY), callers: HashMap::new(), due: VecDeque::new() };
    let (mut last, mut ready) = (LISTENER, Vec::new());
    loop {
        poll.wait(replica.due.front().map(|(due, _)| *due), &mut ready);
        for key in &ready {
            if *key != LISTENER {
                replica.hear(*key);
                continue;
            }
            match listener.accept() {
                Ok((stream, _)) => {
                    set_socket_send_buffer_size(&stream, SEND_BUFFER).unwrap();
                    let wire = Wire::new(stream).unwrap();
                    last += 1;
                    poll.add(&wire.stream, last);
                    replica.callers.insert(last, Caller { wire, tokens: None });
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "accepting: {error}"),
            }
        }
        replica.write_what_is_due();
    }
}

impl Replica {
    /// Reads what a caller sent, and answers once the request is whole.
    fn hear(&mut self, key: u64) {
        let Some(caller) = self.callers.get_mut(&key) else { return };
        let mut stays = caller.wire.receive();
        while let Some(asked) = take(&mut caller.wire.received) {
            let sent = match asked {
                Asked::Plain => caller.wire.send(&self.answer),
                Asked::Much(length) => caller.wire.send(&answer(self.port, length)),
                Asked::Stream => {
                    caller.tokens = Some(0);
                    self.due.push_back((now() + APART, key));
                    caller.wire.send(STREAM_HEAD)
                }
                Asked::Work => {
                    caller.tokens = None;
                    self.due.push_back((now() + WORK, key));
                    Ok(())
                }
            };
            stays &= sent.is_ok();
        }
        if !stays {
            self.callers.remove(&key);
        }
    }

    fn write_what_is_due(&mut self) {
        while let Some((due, key)) = self.due.pop_front_if(|(due, _)| *due <= now()) {
            // Who left takes the rest of the stream along.
            let Some(caller) = self.callers.get_mut(&key) else { continue };
            let Some(written) = caller.tokens.as_mut() else {
                if caller.wire.send(&self.answer).is_err() {
                    self.callers.remove(&key);
                }
                continue;
            };
            *written += 1;
            let event = format!("data: {{\"token\":{written},\"at\":{}}}\n\n", now());
            let mut chunk = format!("{:x}\r\n{event}\r\n", event.len()).into_bytes();
            if *written == TOKENS {
                chunk.extend(b"e\r\n");
                chunk.extend(END);
            } else {
                self.due.push_back((due + APART, key));
            }
            if caller.wire.send(&chunk).is_err() {
                self.callers.remove(&key);
            }
        }
    }
}

/// Takes a request out of what was received, once it is whole.
fn take(received: &mut Vec<u8>) -> Option<Asked> {
    let head = Head::read(received)?;
    let end = match head.body {
        Some(body) => head.length + body,
        None if received.ends_with(b"0\r\n\r\n") => received.len(),
        None => return None,
    };
    let body = received.get(head.length..end)?;
    let asks = |word: &[u8]| body.windows(word.len()).take(64).any(|part| part == word);
    let asked = match body.len() {
        much @ MUCH.. => Asked::Much(much),
        _ if asks(b"\"stream\":true") => Asked::Stream,
        _ if asks(b"\"work\":true") => Asked::Work,
        _ => Asked::Plain,
    };
    received.drain(..end);
    Some(asked)
}

/// An answer whose body has `length` bytes.
fn answer(port: u16, length: usize) -> Vec<u8> {
    let start = format!("{{\"replica\":\"{port}\",\"text\":\"");
    let body = format!("{start}{}\"}}", "x".repeat(length - start.len() - 2));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    format!("{head}content-length: {length}\r\n\r\n{body}").into_bytes()
}

//! A replica that takes next to no time: a request is answered with about 1 KB that names the replica's port, or, where it
//! asks for that, with a stream of tokens, each with the moment at which it was written. Its method and path don't matter,
//! so it is ready as soon as it listens.

use std::collections::{HashMap, VecDeque};
use std::io::ErrorKind;
use std::net::TcpListener;

use serde_json::Value;

use super::poll::{Poll, now};
use super::wire::{Head, Wire};

/// Tokens of a stream, and the nanoseconds between them.
pub const TOKENS: usize = 50;
const APART: u64 = 5_000_000;
/// The last bytes of a stream.
pub const END: &[u8] = b"data: [DONE]\n\n\r\n0\r\n\r\n";
/// Bytes of an answer's body.
const BODY: usize = 1024;
const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\ntransfer-encoding: chunked\r\n\r\n";
const LISTENER: u64 = 0;

struct Replica {
    answer: Vec<u8>,
    callers: HashMap<u64, Caller>,
    /// Streams by the moment of their next token; all have the same distance, so that they stay in order.
    due: VecDeque<(u64, u64)>,
}

struct Caller {
    wire: Wire,
    /// Tokens of the running stream that were written.
    tokens: usize,
}

/// Listens on `$PORT` until it is stopped.
pub fn serve() -> Value {
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut poll = Poll::new();
    poll.add(&listener, LISTENER);
    let mut replica = Replica { answer: answer(port), callers: HashMap::new(), due: VecDeque::new() };
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
                    let wire = Wire::new(stream).unwrap();
                    last += 1;
                    poll.add(&wire.stream, last);
                    replica.callers.insert(last, Caller { wire, tokens: 0 });
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "accepting: {error}"),
            }
        }
        replica.write_tokens();
    }
}

impl Replica {
    /// Reads what a caller sent, and answers once the request is whole.
    fn hear(&mut self, key: u64) {
        let Some(caller) = self.callers.get_mut(&key) else { return };
        let mut stays = caller.wire.receive();
        while let Some(streams) = take(&mut caller.wire.received) {
            if streams {
                caller.tokens = 0;
                self.due.push_back((now() + APART, key));
            }
            stays &= caller.wire.send(if streams { STREAM_HEAD } else { &self.answer }).is_ok();
        }
        if !stays {
            self.callers.remove(&key);
        }
    }

    fn write_tokens(&mut self) {
        while let Some((due, key)) = self.due.pop_front_if(|(due, _)| *due <= now()) {
            // Who left takes the rest of the stream along.
            let Some(caller) = self.callers.get_mut(&key) else { continue };
            caller.tokens += 1;
            let event = format!("data: {{\"token\":{},\"at\":{}}}\n\n", caller.tokens, now());
            let mut chunk = format!("{:x}\r\n{event}\r\n", event.len()).into_bytes();
            if caller.tokens == TOKENS {
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

/// Takes a request out of what was received, once it is whole; says whether it asks for a stream.
fn take(received: &mut Vec<u8>) -> Option<bool> {
    let head = Head::read(received)?;
    let end = match head.body {
        Some(body) => head.length + body,
        None if received.ends_with(b"0\r\n\r\n") => received.len(),
        None => return None,
    };
    let body = received.get(head.length..end)?;
    let streams = body.windows(13).take(64).any(|part| part == b"\"stream\":true");
    received.drain(..end);
    Some(streams)
}

fn answer(port: u16) -> Vec<u8> {
    let start = format!("{{\"replica\":\"{port}\",\"text\":\"");
    let body = format!("{start}{}\"}}", "x".repeat(BODY - start.len() - 2));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    format!("{head}content-length: {BODY}\r\n\r\n{body}").into_bytes()
}

//! Streams of tokens: how far behind the replica's own writing each token arrives, and what it costs to bring it.

use serde_json::{Value, json};

use super::poll::{Poll, now};
use super::replica::{END, TOKENS};
use super::tally::percentiles;
use super::wire::Wire;
use super::{Kind, Target};

/// Streams begin so far apart, in nanoseconds, so that the tokens of all of them don't come at once.
const APART: u64 = 100_000;
/// What begins the moment at which a token was written.
const AT: &[u8] = b"\"at\":";

struct Stream {
    wire: Wire,
    /// Bytes of the answer in which tokens were looked for.
    read: usize,
    tokens: usize,
}

pub fn run(target: &Target, connections: usize, streams: usize) -> Value {
    let request = target.request(Kind::Stream);
    let mut poll = Poll::new();
    let mut all: Vec<Stream> = Vec::with_capacity(connections);
    for key in 0..connections {
        let wire = Wire::connect(target.address).unwrap();
        poll.add(&wire.stream, key as u64);
        all.push(Stream { wire, read: 0, tokens: 0 });
    }
    let (mut begun, mut whole, mut broken) = (0, 0, 0);
    let (mut lags, mut ready) = (Vec::with_capacity(streams * TOKENS), Vec::new());
    let (before, begin) = (target.proxy.processor(), now());
    while whole + broken < streams {
        let next = begin + begun as u64 * APART;
        if begun < connections.min(streams) && now() >= next {
            all[begun].wire.send(&request).unwrap();
            begun += 1;
            continue;
        }
        poll.wait((begun < connections.min(streams)).then_some(next), &mut ready);
        for key in ready.iter().map(|key| *key as usize) {
            let stream = &mut all[key];
            let open = stream.wire.receive();
            stream.learn(now(), &mut lags);
            let ended = stream.wire.received.ends_with(END);
            if !ended && open {
                continue;
            }
            if ended && stream.tokens == TOKENS {
                whole += 1
            } else {
                broken += 1
            }
            if !open {
                stream.wire = Wire::connect(target.address).unwrap();
                poll.add(&stream.wire.stream, key as u64);
            }
            (stream.read, stream.tokens) = (0, 0);
            stream.wire.received.clear();
            if begun < streams && begun >= connections {
                stream.wire.send(&request).unwrap();
                begun += 1;
            }
        }
    }
    let processor = target.proxy.processor() - before;
    json!({
        "whole": whole,
        "broken": broken,
        "processor_us": processor as f64 / 1e3 / lags.len() as f64,
        "lag_us": percentiles(lags),
    })
}

impl Stream {
    /// Notes how old each token is that has come whole.
    fn learn(&mut self, now: u64, lags: &mut Vec<u64>) {
        let received = &self.wire.received;
        while let Some(end) = received[self.read..].windows(2).position(|two| two == b"\n\n") {
            let event = &received[self.read..self.read + end];
            if let Some(start) = event.windows(AT.len()).position(|part| part == AT) {
                let digits = event[start + AT.len()..].iter().take_while(|byte| byte.is_ascii_digit());
                let at = digits.fold(0, |at, digit| at * 10 + u64::from(digit - b'0'));
                lags.push(now.saturating_sub(at));
                self.tokens += 1;
            }
            self.read += end + 2;
        }
    }
}

//! Kept-alive connections that send the same request again and again, each one at a time. One that is closed is opened
//! anew; a request is never sent twice.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::poll::{Poll, now};
use super::wire::{Head, Wire};
use super::{Kind, Target};

pub struct Crowd<'a> {
    target: &'a Target,
    request: Vec<u8>,
    poll: Poll,
    ready: Vec<u64>,
    members: Vec<Member>,
    pub tally: Tally,
}

struct Member {
    wire: Wire,
    /// When the request that waits for its answer was sent.
    sent: Option<u64>,
}

/// A request that came to its end.
pub struct Ended {
    pub member: usize,
    pub sent: u64,
    pub ended: u64,
    /// The port of the replica that answered with 200; `None` if the request was lost.
    pub replica: Option<u16>,
}

/// What became of all requests.
#[derive(Default)]
pub struct Tally {
    pub sent: u64,
    pub answered: u64,
    /// Answered with another status, or not at all.
    pub lost: u64,
    /// Connections that were closed by the other side.
    pub closed: u64,
    /// Answers by the port of their replica.
    by: BTreeMap<u16, u64>,
}

impl Tally {
    pub fn json(&self) -> Value {
        let Self { sent, answered, lost, closed, by } = self;
        json!({ "sent": sent, "answered": answered, "lost": lost, "closed": closed, "by": by })
    }
}

impl<'a> Crowd<'a> {
    pub fn new(target: &'a Target, kind: Kind, members: usize) -> Self {
        let mut crowd = Self {
            target,
            request: target.request(kind),
            poll: Poll::new(),
            ready: Vec::new(),
            members: Vec::with_capacity(members),
            tally: Tally::default(),
        };
        for member in 0..members {
            let wire = Wire::connect(target.address).unwrap();
            crowd.poll.add(&wire.stream, member as u64);
            crowd.members.push(Member { wire, sent: None });
        }
        crowd
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Requests under way.
    pub fn waiting(&self) -> u64 {
        self.tally.sent - self.tally.answered - self.tally.lost
    }

    /// Sends a member's next request; its former one has ended.
    pub fn send(&mut self, member: usize) {
        self.tally.sent += 1;
        let Member { wire, sent } = &mut self.members[member];
        *sent = Some(now());
        // If the connection is closed, reading tells.
        let _ = wire.send(&self.request);
    }

    /// Waits until something comes, or until a moment, and tells of the requests that have ended since.
    pub fn wait(&mut self, until: Option<u64>, ended: &mut Vec<Ended>) {
        ended.clear();
        let mut ready = std::mem::take(&mut self.ready);
        self.poll.wait(until, &mut ready);
        for member in ready.iter().map(|key| *key as usize) {
            let open = self.members[member].wire.receive();
            let answer = answer(&mut self.members[member].wire.received);
            let stays = open && answer.as_ref().is_none_or(|answer| !answer.closes);
            if let Some(sent) = self.members[member].sent.take_if(|_| answer.is_some() || !open) {
                let replica = answer.and_then(|answer| answer.replica);
                match replica {
                    Some(replica) => {
                        self.tally.answered += 1;
                        *self.tally.by.entry(replica).or_default() += 1;
                    }
                    None => self.tally.lost += 1,
                }
                ended.push(Ended { member, sent, ended: now(), replica });
            }
            if !stays {
                self.tally.closed += 1;
                let wire = Wire::connect(self.target.address).unwrap();
                self.poll.add(&wire.stream, member as u64);
                self.members[member].wire = wire;
            }
        }
        self.ready = ready;
    }

    /// How many connections the other side has kept open.
    pub fn open(&mut self) -> usize {
        self.members.iter_mut().map(|member| usize::from(member.wire.receive())).sum()
    }
}

struct Answer {
    replica: Option<u16>,
    closes: bool,
}

/// Takes the answer out of what was received, once it is whole.
fn answer(received: &mut Vec<u8>) -> Option<Answer> {
    let head = Head::read(received)?;
    let end = match head.body {
        Some(body) => head.length + body,
        None if received.ends_with(b"0\r\n\r\n") => received.len(),
        None => return None,
    };
    let body = received.get(head.length..end)?;
    let replica = || {
        let digits = body.strip_prefix(b"{\"replica\":\"")?.split(|byte| *byte == b'"').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    let replica = if received.starts_with(b"HTTP/1.1 200 ") { replica() } else { None };
    received.drain(..end);
    Some(Answer { replica, closes: head.closes })
}

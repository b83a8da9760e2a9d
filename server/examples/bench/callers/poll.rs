//! Waiting for many sockets, and for a moment, with the resolution of the clock.

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::{ClockId, Timespec, clock_gettime};

const SECOND: u64 = 1_000_000_000;

/// Nanoseconds of the monotonic clock, which all processes of a machine share.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * SECOND + time.tv_nsec as u64
}

pub struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    pub fn new() -> Self {
        Self { epoll: epoll::create(CreateFlags::CLOEXEC).unwrap(), events: Vec::with_capacity(256) }
    }

    /// From now on `key` is among the ready ones whenever the socket has something to read.
    pub fn add(&self, socket: &impl AsFd, key: u64) {
        epoll::add(&self.epoll, socket, EventData::new_u64(key), EventFlags::IN | EventFlags::RDHUP).unwrap();
    }

    /// Waits until a socket is ready, or until a moment of [`now`]; puts the keys of those that are ready into `ready`.
    pub fn wait(&mut self, until: Option<u64>, ready: &mut Vec<u64>) {
        ready.clear();
        let Some(until) = until else { return self.look(None, ready) };
        self.look(Some(&Timespec::default()), ready);
        let left = until.saturating_sub(now());
        if ready.is_empty() && left > 0 {
            // An epoll by itself counts whole milliseconds.
            let left = Timespec { tv_sec: (left / SECOND) as i64, tv_nsec: (left % SECOND) as i64 };
            match poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&left)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => self.look(Some(&Timespec::default()), ready),
                Err(error) => panic!("waiting for sockets: {error}"),
            }
        }
    }

    fn look(&mut self, wait: Option<&Timespec>, ready: &mut Vec<u64>) {
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), wait) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("waiting for sockets: {error}"),
        }
        ready.extend(self.events.iter().map(|event| {
            let data = event.data;
            data.u64()
        }));
    }
}

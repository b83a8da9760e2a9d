//! What a running server does with a new one: it hands over the folder, then what it has in progress.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use domain::ReplicaId;
use gateway::Moved;
use tokio::time::Instant;

use super::messages::{Brought, SERVING, YOURS};
use super::wire::{TOGETHER, expect, send_with, write_line};

/// How often the former tells what it is busy with.
const EVERY: Duration = Duration::from_secs(1);

/// A new server that has the sockets and waits for the folder.
#[derive(Debug)]
pub struct Successor(pub(super) UnixStream);

impl Successor {
    /// Tells that the folder is free, and waits until the new server accepts connections.
    ///
    /// # Errors
    /// If it ends before that.
    pub async fn takes(self) -> anyhow::Result<Heir> {
        let Self(mut stream) = self;
        let taken = tokio::task::spawn_blocking(move || {
            write_line(&mut stream, YOURS)?;
            // Its start may take long, as with a large database; its end is heard.
            stream.set_read_timeout(None)?;
            expect(&mut stream, SERVING)?;
            Ok(Heir(stream))
        });
        taken.await?
    }
}

/// A new server that serves.
#[derive(Debug)]
pub struct Heir(UnixStream);

impl Heir {
    /// Brings it connections until no more come, and tells it each second what is `busy` here. Blocks.
    ///
    /// # Errors
    /// If it has ended; connections close then.
    pub fn gets(
        mut self,
        connections: &mpsc::Receiver<Moved>,
        busy: impl Fn() -> BTreeMap<ReplicaId, u32>,
    ) -> anyhow::Result<()> {
        let mut told = Instant::now();
        self.is_told(busy())?;
        loop {
            match connections.recv_timeout(EVERY) {
                Ok(first) => {
                    let together = [first].into_iter().chain(connections.try_iter()).take(TOGETHER);
                    self.is_brought(&together.collect::<Vec<_>>())?;
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if told.elapsed() >= EVERY {
                self.is_told(busy())?;
                told = Instant::now();
            }
        }
    }

    fn is_told(&mut self, busy: BTreeMap<ReplicaId, u32>) -> anyhow::Result<()> {
        let news = Brought { ahead: Vec::new(), new: Vec::new(), busy };
        write_line(&mut self.0, &serde_json::to_string(&news)?)
    }

    fn is_brought(&mut self, connections: &[Moved]) -> anyhow::Result<()> {
        let ahead = connections.iter().map(|moved| moved.ahead.len()).collect();
        let new = connections.iter().map(|moved| moved.is_new).collect();
        let line = serde_json::to_string(&Brought { ahead, new, busy: BTreeMap::new() })?;
        let fds: Vec<BorrowedFd<'_>> = connections.iter().map(|moved| moved.connection.as_fd()).collect();
        send_with(&self.0, &format!("{line}\n"), &fds)?;
        for moved in connections {
            self.0.write_all(&moved.ahead)?;
        }
        Ok(())
    }
}

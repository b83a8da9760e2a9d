//! The new server's end.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::{Context, ensure};
use domain::ReplicaId;
use gateway::{Moved, SharedSocket};

use super::messages::{Brought, Bundle, HELLO, MORE, SERVING, TAKE, Told, YOURS};
use super::wire::{SOCKET, expect, prepare, receive_with, short, write_line};

/// The running server, as a new one sees it.
#[derive(Debug)]
pub struct Predecessor {
    pub sockets: Vec<SharedSocket>,
    stream: UnixStream,
}

impl Predecessor {
    /// Asks the server that runs on a data folder for its sockets; `None` if none runs there. Blocks.
    ///
    /// # Errors
    /// If it does not answer as it should.
    pub fn find(folder: &Path) -> anyhow::Result<Option<Self>> {
        let Ok(path) = short(&folder.join(SOCKET)) else { return Ok(None) };
        let mut stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error) if is_nobody(&error) => return Ok(None),
            Err(error) => return Err(error).context("asking the running server to hand over"),
        };
        prepare(&stream)?;
        write_line(&mut stream, HELLO)?;
        let mut sockets = Vec::new();
        loop {
            let (line, fds) = receive_with(&mut stream)?;
            let bundle: Bundle =
                serde_json::from_str(&line).with_context(|| format!("the running server said `{line}`"))?;
            ensure!(bundle.sockets.len() == fds.len(), "the running server's sockets did not arrive");
            let pairs = bundle.sockets.into_iter().zip(fds);
            sockets.extend(pairs.map(|(Told { addr, encrypted }, socket)| SharedSocket {
                addr,
                encrypted,
                socket,
            }));
            if !bundle.more {
                return Ok(Some(Self { sockets, stream }));
            }
            write_line(&mut stream, MORE)?;
        }
    }

    /// Has the running server let go of the data folder. Blocks until it has.
    ///
    /// # Errors
    /// If it does not.
    pub fn step_aside(&mut self) -> anyhow::Result<()> {
        write_line(&mut self.stream, TAKE)?;
        expect(&mut self.stream, YOURS).context("waiting for the running server to let go of its data folder")
    }

    /// Tells it that connections are accepted here now. From then on it accepts none. `false` if it has ended meanwhile, because
    /// somebody told it to.
    ///
    /// # Errors
    /// If it can't be told: it may still accept.
    pub fn is_replaced(&mut self) -> anyhow::Result<bool> {
        match self.stream.write_all(format!("{SERVING}\n").as_bytes()) {
            Ok(()) => Ok(true),
            Err(error) if has_ended(&error) => Ok(false),
            Err(error) => Err(error).with_context(|| format!("telling it `{SERVING}`")),
        }
    }

    /// Takes over the connections that it has, and hears how busy it keeps each replica, until it ends. Blocks.
    ///
    /// # Errors
    /// If it says what can't be understood.
    pub fn brings(
        mut self,
        mut adopt: impl FnMut(Moved),
        busy: impl Fn(BTreeMap<ReplicaId, u32>),
    ) -> anyhow::Result<()> {
        // Its last request may take long.
        self.stream.set_read_timeout(None)?;
        while let Ok((line, fds)) = receive_with(&mut self.stream) {
            let brought: Brought =
                serde_json::from_str(&line).with_context(|| format!("it said `{line}`"))?;
            ensure!(brought.ahead.len() == fds.len(), "its connections did not arrive");
            if fds.is_empty() {
                busy(brought.busy);
            }
            let new = brought.new.into_iter().chain(std::iter::repeat(false));
            for ((length, connection), is_new) in brought.ahead.into_iter().zip(fds).zip(new) {
                let mut ahead = vec![0; length];
                self.stream.read_exact(&mut ahead)?;
                adopt(Moved { connection, ahead, is_new });
            }
        }
        Ok(())
    }
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn has_ended(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

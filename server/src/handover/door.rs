//! Where a running server is knocked at, and how it greets a new one.

use std::fs::Permissions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::ensure;
use gateway::SharedSocket;

use super::heir::Successor;
use super::messages::{Bundle, HELLO, MORE, TAKE, Told};
use super::wire::{SOCKET, TOGETHER, expect, prepare, read_line, send_with, short};

/// The running server's end: where a new one knocks.
#[derive(Debug)]
pub struct Door {
    path: PathBuf,
    listener: tokio::net::UnixListener,
    sockets: Vec<SharedSocket>,
}

impl Door {
    /// Opens it in the data folder, for the server's own user.
    ///
    /// # Errors
    /// If the folder takes no socket.
    pub fn open(folder: &Path, sockets: Vec<SharedSocket>) -> io::Result<Self> {
        let path = folder.join(SOCKET);
        Ok(Self { listener: listen(&path)?, path, sockets })
    }

    /// Opens it again, after a server that had begun to take over put its own in this one's place.
    ///
    /// # Errors
    /// If the folder takes no socket.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.listener = listen(&self.path)?;
        Ok(())
    }

    /// Closes it, and the sockets with it: nobody takes over from here any more.
    pub fn close(self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the door for another server is closed, and its socket is left");
        }
    }

    /// Waits for a new server that has taken the sockets. One that breaks off is logged, and the next one is waited for.
    pub async fn knocked(&self) -> Successor {
        loop {
            let met = async {
                let stream = self.listener.accept().await?.0.into_std()?;
                let sockets =
                    self.sockets.iter().map(SharedSocket::duplicate).collect::<io::Result<Vec<_>>>()?;
                tokio::task::spawn_blocking(move || greet(stream, &sockets)).await?
            };
            match met.await {
                Ok(successor) => return successor,
                Err(error) => tracing::warn!("a new server began to take over and broke off: {error:#}"),
            }
        }
    }
}

fn listen(path: &Path) -> io::Result<tokio::net::UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(short(path)?)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    tokio::net::UnixListener::from_std(listener)
}

fn greet(mut stream: UnixStream, sockets: &[SharedSocket]) -> anyhow::Result<Successor> {
    prepare(&stream)?;
    let hello = read_line(&mut stream)?;
    ensure!(hello == HELLO, "it said `{hello}`; this one knows `{HELLO}`");
    let mut bundles = sockets.chunks(TOGETHER).peekable();
    while let Some(bundle) = bundles.next() {
        let told = bundle.iter().map(|socket| Told { addr: socket.addr, encrypted: socket.encrypted });
        let told = Bundle { sockets: told.collect(), more: bundles.peek().is_some() };
        let fds: Vec<BorrowedFd<'_>> = bundle.iter().map(|socket| socket.socket.as_fd()).collect();
        send_with(&stream, &format!("{}\n", serde_json::to_string(&told)?), &fds)?;
        // One at a time, so that a line never comes with another one's sockets.
        expect(&mut stream, if told.more { MORE } else { TAKE })?;
    }
    Ok(Successor(stream))
}

//! A new server takes over from the running one: its listening sockets first, so that no connection is refused, then its
//! data folder; the former one answers what it has begun, and ends.
//!
//! Both talk over a socket in the data folder, one line at a time:
//!
//! | new | former |
//! | --- | --- |
//! | `slipway handover 1` | |
//! | | the sockets' addresses, with the sockets |
//! | `take` | stops deciding, lets go of the folder |
//! | | `yours` |
//! | `serving` | accepts no more |
//! | | `connections`, with those on which nothing is in progress, and how busy it keeps each replica, again and again |
//! | | finishes the last request, records the last push, and ends |

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use domain::ReplicaId;
use gateway::{Moved, SharedSocket};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

const SOCKET: &str = "handover.sock";
const HELLO: &str = "slipway handover 1";
const TAKE: &str = "take";
const YOURS: &str = "yours";
const SERVING: &str = "serving";
/// How long either waits for the other's next line. The former's last looks, and the new one's start, are within it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the former tells what it is busy with.
const EVERY: Duration = Duration::from_secs(1);
/// Bytes of the longest line: what thousands of replicas are busy with.
const LINE: usize = 1 << 20;
/// Sockets that go with one line; the kernel takes 253.
const TOGETHER: usize = 64;

/// One socket's address, as it is told.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    addr: SocketAddr,
    encrypted: bool,
}

/// Some of the sockets.
#[derive(Debug, Serialize, Deserialize)]
struct Bundle {
    sockets: Vec<Told>,
    more: bool,
}

/// The running server's end: where a new one knocks.
#[derive(Debug)]
pub struct Door {
    path: PathBuf,
    listener: tokio::net::UnixListener,
    sockets: Vec<SharedSocket>,
}

/// A new server that has the sockets and waits for the folder.
#[derive(Debug)]
pub struct Successor(UnixStream);

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
        expect(&mut stream, if told.more { "more" } else { TAKE })?;
    }
    Ok(Successor(stream))
}

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

/// What a server that ends brings: connections, or news of what it is still busy with.
#[derive(Debug, Serialize, Deserialize)]
struct Brought {
    /// For each connection, how many bytes were read of it; they follow the line.
    ahead: Vec<usize>,
    /// For each connection, whether nothing was read of it before those; a server that does not say so means no.
    #[serde(default)]
    new: Vec<bool>,
    /// Requests that it has in progress on each replica; meant if there are no connections.
    busy: BTreeMap<ReplicaId, u32>,
}

/// The new server's end.
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
            write_line(&mut stream, "more")?;
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

fn prepare(stream: &UnixStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

fn write_line(stream: &mut UnixStream, line: &str) -> anyhow::Result<()> {
    stream.write_all(format!("{line}\n").as_bytes()).with_context(|| format!("telling it `{line}`"))
}

fn expect(stream: &mut UnixStream, line: &str) -> anyhow::Result<()> {
    let found = read_line(stream).with_context(|| format!("waiting for `{line}`"))?;
    ensure!(found == line, "it said `{found}` instead of `{line}`");
    Ok(())
}

/// Reads byte by byte: what is behind the line is not this one's to take.
fn read_line(stream: &mut UnixStream) -> anyhow::Result<String> {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            bail!("the other one has ended");
        }
        match byte {
            [b'\n'] => return Ok(String::from_utf8(line)?),
            [byte] if line.len() < 1024 => line.push(byte),
            _ => bail!("the other one said a line without an end"),
        }
    }
}

fn send_with(stream: &UnixStream, text: &str, fds: &[BorrowedFd<'_>]) -> anyhow::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(TOGETHER))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ensure!(ancillary.push(SendAncillaryMessage::ScmRights(fds)), "too many sockets for one message");
    let sent = sendmsg(stream, &[IoSlice::new(text.as_bytes())], &mut ancillary, SendFlags::empty())?;
    (&*stream).write_all(&text.as_bytes()[sent..])?;
    Ok(())
}

/// Reads a line and the files that came with it, byte by byte: the kernel joins what was said before them with it otherwise.
fn receive_with(stream: &mut UnixStream) -> anyhow::Result<(String, Vec<OwnedFd>)> {
    let (mut line, mut fds) = (Vec::new(), Vec::new());
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(TOGETHER))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut byte = [0];
        let mut into = [IoSliceMut::new(&mut byte)];
        let received = recvmsg(&*stream, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        ensure!(received.bytes > 0, "the running server has ended");
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(came) = message {
                fds.extend(came);
            }
        }
        match byte {
            [b'\n'] => return Ok((String::from_utf8(line)?, fds)),
            [byte] if line.len() < LINE => line.push(byte),
            _ => bail!("the running server said a line without an end"),
        }
    }
}

/// A path that fits a socket's address, which has room for 107 bytes: relative to here if that is shorter.
fn short(path: &Path) -> io::Result<PathBuf> {
    const ROOM: usize = 107;
    let here = std::env::current_dir()?;
    let relative = path.strip_prefix(&here).unwrap_or(path);
    if relative.as_os_str().len() <= ROOM {
        return Ok(relative.to_owned());
    }
    let message = format!("{} is too long for a socket's address ({ROOM} bytes)", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::net::TcpListener;

    fn sockets(count: usize) -> Vec<SharedSocket> {
        (0..count)
            .map(|at| {
                let socket = TcpListener::bind("127.0.0.1:0").unwrap();
                SharedSocket {
                    addr: socket.local_addr().unwrap(),
                    encrypted: at % 2 == 1,
                    socket: socket.into(),
                }
            })
            .collect()
    }

    #[tokio::test]
    async fn every_socket_arrives_as_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Predecessor::find(folder.path()).unwrap().is_none(), "nobody runs here");
        let given = sockets(TOGETHER * 2 + 3);
        let expected: Vec<_> = given.iter().map(|socket| (socket.addr, socket.encrypted)).collect();
        let door = Door::open(folder.path(), given).unwrap();
        let path = folder.path().to_owned();
        let taking = tokio::task::spawn_blocking(move || {
            let mut found = Predecessor::find(&path).unwrap().unwrap();
            found.step_aside().unwrap();
            for socket in &found.sockets {
                let listens = TcpListener::from(socket.socket.try_clone().unwrap());
                assert_eq!(listens.local_addr().unwrap(), socket.addr);
            }
            let told: Vec<_> = found.sockets.iter().map(|socket| (socket.addr, socket.encrypted)).collect();
            found.is_replaced().unwrap();
            let (mut adopted, heard) = (Vec::new(), RefCell::new(Vec::new()));
            let adopt = |moved: Moved| adopted.push((moved.is_new, moved.ahead));
            found.brings(adopt, |busy| heard.borrow_mut().push(busy)).unwrap();
            (told, adopted, heard.into_inner())
        });
        let heir = door.knocked().await.takes().await.unwrap();
        let (sender, connections) = mpsc::channel();
        let expect = |at: usize| (at % 3 == 1, vec![at as u8; at * 1_000]);
        for (at, socket) in sockets(150).into_iter().enumerate() {
            let (is_new, ahead) = expect(at);
            sender.send(Moved { connection: socket.socket, ahead, is_new }).unwrap();
        }
        drop(sender);
        let busy = BTreeMap::from([(ReplicaId::new("r1"), 2)]);
        let bring = busy.clone();
        tokio::task::spawn_blocking(move || heir.gets(&connections, || bring.clone()).unwrap())
            .await
            .unwrap();
        let (told, adopted, heard) = taking.await.unwrap();
        assert_eq!(told, expected);
        assert_eq!(adopted, (0..150).map(expect).collect::<Vec<_>>());
        assert_eq!(heard.first(), Some(&busy));
    }

    #[tokio::test]
    async fn one_that_breaks_off_is_not_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let door = Door::open(folder.path(), sockets(1)).unwrap();
        let path = folder.path().to_owned();
        let taking = tokio::task::spawn_blocking(move || {
            let mut stranger = UnixStream::connect(path.join(SOCKET)).unwrap();
            stranger.write_all(b"hello?\n").unwrap();
            drop(Predecessor::find(&path).unwrap());
            Predecessor::find(&path).unwrap().unwrap().step_aside().unwrap();
        });
        let successor = door.knocked().await;
        let waiting = successor.takes().await;
        taking.await.unwrap();
        assert!(waiting.unwrap_err().to_string().contains("waiting for `serving`"));
    }

    #[tokio::test]
    async fn who_ends_before_it_is_replaced_leaves_everything_to_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let door = Door::open(folder.path(), sockets(1)).unwrap();
        let path = folder.path().to_owned();
        let (ends, ended) = mpsc::channel::<()>();
        let taking = tokio::task::spawn_blocking(move || {
            let mut found = Predecessor::find(&path).unwrap().unwrap();
            found.step_aside().unwrap();
            let _ = ended.recv();
            assert!(!found.is_replaced().unwrap());
            found
        });
        let Successor(mut stream) = door.knocked().await;
        write_line(&mut stream, YOURS).unwrap();
        door.close();
        drop(stream);
        drop(ends);
        let found = taking.await.unwrap();
        let socket = TcpListener::from(found.sockets[0].socket.try_clone().unwrap());
        assert!(std::net::TcpStream::connect(socket.local_addr().unwrap()).is_ok(), "it accepts there");
        assert!(Predecessor::find(folder.path()).unwrap().is_none(), "nobody finds the former one");
        assert!(!folder.path().join(SOCKET).exists());
    }

    #[test]
    fn a_long_path_is_told() {
        let long = format!("/{}", "x".repeat(120));
        assert!(short(Path::new(&long)).unwrap_err().to_string().contains("too long"));
    }
}

//! Lines, and files that go with them, over a socket in the data folder.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

/// The socket's name in the data folder.
pub(super) const SOCKET: &str = "handover.sock";
/// How long either waits for the other's next line. The former's last looks, and the new one's start, are within it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of the longest line: what thousands of replicas are busy with.
const LINE: usize = 1 << 20;
/// Sockets that go with one line; the kernel takes 253.
pub(super) const TOGETHER: usize = 64;

pub(super) fn prepare(stream: &UnixStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

pub(super) fn write_line(stream: &mut UnixStream, line: &str) -> anyhow::Result<()> {
    stream.write_all(format!("{line}\n").as_bytes()).with_context(|| format!("telling it `{line}`"))
}

pub(super) fn expect(stream: &mut UnixStream, line: &str) -> anyhow::Result<()> {
    let found = read_line(stream).with_context(|| format!("waiting for `{line}`"))?;
    ensure!(found == line, "it said `{found}` instead of `{line}`");
    Ok(())
}

/// Reads byte by byte: what is behind the line is not this one's to take.
pub(super) fn read_line(stream: &mut UnixStream) -> anyhow::Result<String> {
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

pub(super) fn send_with(stream: &UnixStream, text: &str, fds: &[BorrowedFd<'_>]) -> anyhow::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(TOGETHER))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ensure!(ancillary.push(SendAncillaryMessage::ScmRights(fds)), "too many sockets for one message");
    let sent = sendmsg(stream, &[IoSlice::new(text.as_bytes())], &mut ancillary, SendFlags::empty())?;
    (&*stream).write_all(&text.as_bytes()[sent..])?;
    Ok(())
}

/// Reads a line and the files that came with it, byte by byte: the kernel joins what was said before them with it otherwise.
pub(super) fn receive_with(stream: &mut UnixStream) -> anyhow::Result<(String, Vec<OwnedFd>)> {
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
pub(super) fn short(path: &Path) -> io::Result<PathBuf> {
    const ROOM: usize = 107;
    let here = std::env::current_dir()?;
    let relative = path.strip_prefix(&here).unwrap_or(path);
    if relative.as_os_str().len() <= ROOM {
        return Ok(relative.to_owned());
    }
    let message = format!("{} is too long for a socket's address ({ROOM} bytes)", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

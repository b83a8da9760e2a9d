//! What a starting replica tells by itself, so that nobody has to ask when (semantics: Holding and waking).
//!
//! A pipe with a name in the replica's own folder: whoever starts its model writes a line for each step, and the
//! supervisor reads it at once. Without a reader, because the server is gone, the writer's attempt to open it fails and
//! nothing else happens; the next server finds out by asking. What is told is never believed without an answer on the
//! replica's port.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use domain::Timestamp;
use rustix::fs::{CWD, FileType, Mode, OFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The pipe's name in the replica's folder; `launch.py` knows it too.
const NAME: &str = "bell";
/// Bytes read at once; a line is far shorter, and is written in one piece.
const CHUNK: usize = 1024;

/// A step that a replica has come to, with the moment by its own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// Its model begins to load.
    Loads(Timestamp),
    /// Its model has loaded.
    Loaded(Timestamp),
    /// Its port takes connections.
    Listens(Timestamp),
}

/// The reading end.
pub(crate) struct Bell(AsyncFd<OwnedFd>);

/// Makes the pipe, before the process starts.
pub(crate) fn hang(folder: &Path) -> io::Result<()> {
    let mode = Mode::RUSR | Mode::WUSR;
    Ok(rustix::fs::mknodat(CWD, folder.join(NAME), FileType::Fifo, mode, 0)?)
}

impl Bell {
    /// Opens a replica's pipe; one without is asked now and then instead.
    pub fn open(folder: &Path) -> Option<Self> {
        // For writing too, so that reading never ends because a writer left.
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let pipe = rustix::fs::open(folder.join(NAME), flags, Mode::empty()).ok()?;
        // SAFETY: the pipe owns its descriptor and gives the same one as long as it lives; it is dropped with the watcher.
        unsafe { AsyncFd::register_with_interest(pipe, Interest::READABLE) }.ok().map(Self)
    }

    /// Waits for what is told next.
    pub async fn told(&self) -> Vec<Told> {
        let mut bytes = [0; CHUNK];
        loop {
            let Ok(mut ready) = self.0.readable().await else { return std::future::pending().await };
            match ready.try_io(|pipe| Ok(rustix::io::read(pipe.get_ref(), &mut bytes)?)) {
                Ok(Ok(count)) => return parse(&bytes[..count]),
                Ok(Err(_)) => return std::future::pending().await,
                Err(_would_block) => {}
            }
        }
    }

    /// What was told and not read yet, without waiting.
    pub fn rest(&self) -> Vec<Told> {
        let mut bytes = [0; CHUNK];
        rustix::io::read(self.0.get_ref(), &mut bytes)
            .map_or_else(|_| Vec::new(), |count| parse(&bytes[..count]))
    }
}

/// Lines of `word milliseconds`; what can't be understood is left out.
pub(crate) fn parse(bytes: &[u8]) -> Vec<Told> {
    let lines = String::from_utf8_lossy(bytes);
    let told = lines.lines().filter_map(|line| {
        let (word, millis) = line.split_once(' ')?;
        let at = Timestamp::from_millis(millis.trim().parse().ok()?);
        match word {
            "loads" => Some(Told::Loads(at)),
            "loaded" => Some(Told::Loaded(at)),
            "listens" => Some(Told::Listens(at)),
            _ => None,
        }
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_are_understood_and_nonsense_is_not() {
        let at = Timestamp::from_millis;
        let told = parse(b"loads 5\nlistens 7\nnonsense\nloaded never\nsings 3\nloaded 9\n");
        assert_eq!(told, [Told::Loads(at(5)), Told::Listens(at(7)), Told::Loaded(at(9))]);
    }

    #[tokio::test]
    async fn what_is_told_arrives_however_often_writers_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        hang(folder.path()).unwrap();
        let bell = Bell::open(folder.path()).unwrap();
        for millis in 1..=3 {
            let mut writer = std::fs::OpenOptions::new().write(true).open(folder.path().join(NAME)).unwrap();
            writeln!(writer, "loaded {millis}").unwrap();
            drop(writer);
            assert_eq!(bell.told().await, [Told::Loaded(Timestamp::from_millis(millis))]);
            assert_eq!(bell.rest(), [], "each line once");
        }
        assert!(Bell::open(&folder.path().join("none")).is_none());
    }
}

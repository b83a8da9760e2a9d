//! Follows the files a replica writes to. It writes to files and not to pipes, so that it outlives the server.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use domain::ReplicaId;
use rustix::fs::{FallocateFlags, fallocate};

use crate::parse::{Parsed, TRACEBACK, parse};

/// Read at once, at most; the rest waits for the next turn.
const CHUNK: u64 = 1 << 20;
/// What was read is given back to the disk beyond this many bytes.
const FREE_BEYOND: u64 = 4 << 20;
/// A line without an end is taken as one beyond this many bytes.
const LONGEST_LINE: usize = 64 * 1024;
/// Bytes that are read of each output once its process has ended. A file may be far longer than what was ever written.
const MOST_AT_THE_END: u64 = 16 << 20;
/// Lines of a traceback that are kept together.
const LONGEST_TRACEBACK: usize = 200;
/// Messages remembered, to say why a process ended.
const REMEMBERED: usize = 60;

/// Both output files of one replica.
pub(crate) struct Follower {
    replica: ReplicaId,
    outputs: Vec<Output>,
    offsets: PathBuf,
    /// The last messages, oldest first.
    pub last: VecDeque<String>,
}

struct Output {
    path: PathBuf,
    offset: u64,
    /// How much of it was given back to the disk.
    freed: u64,
    partial: Vec<u8>,
    /// A traceback that has begun, and its bytes: it is one line of the log.
    traceback: Vec<String>,
    traceback_bytes: u64,
}

pub(crate) const OUTPUTS: [&str; 2] = ["out.log", "err.log"];

impl Follower {
    /// Goes on where a former server stopped, if one did.
    pub fn open(folder: &Path, replica: ReplicaId) -> Self {
        let offsets = folder.join("offsets");
        let saved = std::fs::read_to_string(&offsets).unwrap_or_default();
        let mut saved = saved.split_whitespace().map(|text| text.parse().unwrap_or(0));
        let outputs = OUTPUTS
            .map(|name| Output {
                path: folder.join(name),
                offset: saved.next().unwrap_or(0),
                freed: 0,
                partial: Vec::new(),
                traceback: Vec::new(),
                traceback_bytes: 0,
            })
            .into();
        Self { replica, outputs, offsets, last: VecDeque::new() }
    }

    /// The lines written since the last call. With `ended`, an unfinished last line counts too.
    pub fn read(&mut self, ended: bool) -> Vec<Parsed> {
        let mut lines = Vec::new();
        let mut moved = false;
        for output in &mut self.outputs {
            match output.read(&mut lines, ended) {
                Ok(more) => moved |= more,
                Err(error) => {
                    tracing::debug!(path = %output.path.display(), %error, "could not read an output")
                }
            }
        }
        if moved {
            // Always as long, so that it finds room on a full disk, too: in the place of what was saved before.
            let text: Vec<String> =
                self.outputs.iter().map(|output| format!("{:020}", output.taken())).collect();
            if let Err(error) = overwrite(&self.offsets, &text.join(" ")) {
                tracing::debug!(%error, "could not save how far an output was read");
            }
        }
        let parsed: Vec<Parsed> = lines.iter().map(|line| parse(line, &self.replica)).collect();
        for line in &parsed {
            self.last.push_back(line.message.clone());
        }
        while self.last.len() > REMEMBERED {
            self.last.pop_front();
        }
        parsed
    }
}

fn overwrite(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    file.write_all(text.as_bytes())
}

impl Output {
    /// Up to where lines were handed on: what was only begun is read again by the next server, from its beginning.
    fn taken(&self) -> u64 {
        self.offset - self.partial.len() as u64 - self.traceback_bytes
    }

    /// Whether anything was read.
    fn read(&mut self, lines: &mut Vec<String>, ended: bool) -> io::Result<bool> {
        let mut any = false;
        loop {
            let size = std::fs::metadata(&self.path)?.len();
            if size < self.offset {
                (self.offset, self.freed, self.traceback_bytes) = (0, 0, 0);
                self.partial.clear();
            }
            if size == self.offset {
                break;
            }
            if ended && size - self.offset > MOST_AT_THE_END {
                let left_out = size - self.offset - MOST_AT_THE_END;
                self.offset += left_out;
                self.partial.clear();
                lines.push(format!(
                    "{left_out} bytes of output are left out: more than could be read when it ended"
                ));
            }
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.offset))?;
            let mut bytes = Vec::new();
            file.take(CHUNK).read_to_end(&mut bytes)?;
            if bytes.is_empty() {
                break;
            }
            self.offset += bytes.len() as u64;
            any = true;
            self.split(&bytes, lines);
            if !ended {
                break;
            }
        }
        if ended && !self.partial.is_empty() {
            let rest = std::mem::take(&mut self.partial);
            self.take(String::from_utf8_lossy(&rest).into_owned(), rest.len(), lines);
        }
        // Nothing more of it came in this while.
        if ended || !any {
            self.end_traceback(lines);
        }
        if self.offset - self.freed > FREE_BEYOND {
            self.free()?;
        }
        Ok(any)
    }

    /// Gives the disk back what was read. The file keeps its length, so a line written meanwhile is not lost.
    fn free(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let read = self.taken();
        if fallocate(&file, hole, 0, read).is_err() && read == self.offset {
            // A file system without holes: emptied, and the process, which appends, begins anew.
            file.set_len(0)?;
            self.offset = 0;
        }
        self.freed = self.offset;
        Ok(())
    }

    fn split(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            let whole = self.partial.last() == Some(&b'\n');
            if whole || self.partial.len() > LONGEST_LINE {
                let line = std::mem::take(&mut self.partial);
                let text = String::from_utf8_lossy(&line);
                self.take(text.trim_end_matches(['\n', '\r']).to_owned(), line.len(), lines);
            }
        }
    }

    /// A whole line: handed on, or part of a traceback, which goes to the first line that is not indented.
    fn take(&mut self, line: String, bytes: usize, lines: &mut Vec<String>) {
        let begins = self.traceback.is_empty();
        if begins && !line.starts_with(TRACEBACK) {
            if !line.is_empty() {
                lines.push(line);
            }
            return;
        }
        self.traceback_bytes += bytes as u64;
        let goes_on = begins || line.is_empty() || line.starts_with([' ', '\t']);
        self.traceback.push(line);
        if !goes_on || self.traceback.len() >= LONGEST_TRACEBACK {
            self.end_traceback(lines);
        }
    }

    fn end_traceback(&mut self, lines: &mut Vec<String>) {
        if !self.traceback.is_empty() {
            lines.push(std::mem::take(&mut self.traceback).join("\n"));
            self.traceback_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_lines_wait_and_a_restart_loses_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut out = File::create(folder.path().join("out.log")).unwrap();
        File::create(folder.path().join("err.log")).unwrap();
        let id = ReplicaId::new("abcde");
        let texts = |lines: Vec<Parsed>| lines.into_iter().map(|line| line.message).collect::<Vec<_>>();
        let mut follower = Follower::open(folder.path(), id.clone());
        write!(out, "one\ntwo\nthr").unwrap();
        assert_eq!(texts(follower.read(false)), ["one", "two"]);
        let mut follower = Follower::open(folder.path(), id);
        let saved = || std::fs::metadata(folder.path().join("offsets")).unwrap().len();
        let before = saved();
        writeln!(out, "ee").unwrap();
        assert_eq!(texts(follower.read(false)), ["three"]);
        assert_eq!(saved(), before, "a full disk has no room for more");
        write!(out, "end").unwrap();
        assert_eq!(texts(follower.read(true)), ["end"]);
    }

    #[test]
    fn a_traceback_is_one_line_however_it_arrives() {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join("out.log")).unwrap();
        let mut err = File::create(folder.path().join("err.log")).unwrap();
        let id = ReplicaId::new("abcde");
        let texts = |lines: Vec<Parsed>| lines.into_iter().map(|line| line.message).collect::<Vec<_>>();
        let mut follower = Follower::open(folder.path(), id.clone());
        let begin = "Traceback (most recent call last):\n  File \"m.py\", line 1\n";
        let whole = format!("{begin}    load()\nValueError: no weights");
        write!(err, "before\n{begin}").unwrap();
        assert_eq!(texts(follower.read(false)), ["before"]);
        // The next server reads what was only begun.
        let mut follower = Follower::open(folder.path(), id);
        assert!(follower.read(false).is_empty());
        write!(err, "    load()\nValueError: no weights\nafter\n").unwrap();
        let lines = follower.read(false);
        assert_eq!(lines[0].level, Some(domain::LogLevel::Error));
        assert_eq!(texts(lines), [whole, "after".to_owned()]);
        // One that is left unfinished is not held back for long.
        write!(err, "{begin}").unwrap();
        assert!(follower.read(false).is_empty());
        assert_eq!(texts(follower.read(false)), [begin.trim_end()]);
    }
}

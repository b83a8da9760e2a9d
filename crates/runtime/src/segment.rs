//! One file of a log, read from any moment on, in either direction, a block at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What every line begins with; its moment follows.
const HEAD: &[u8] = b"{\"nanos\":";
/// Bytes read at once.
const BLOCK: u64 = 64 * 1024;

pub(crate) struct Segment {
    file: File,
    size: u64,
}

impl Segment {
    /// Opens a file as long as it is at this moment.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }

    /// The moment of the first line.
    pub fn first_moment(&self) -> Option<i64> {
        let mut head = [0; 64];
        let read = self.file.read_at(&mut head, 0).ok()?;
        moment(&head[..read])
    }

    /// Hands on lines of `from` or later, oldest first, until `go_on` says no; then the answer is false.
    pub fn forward(&self, from: i64, mut go_on: impl FnMut(&[u8]) -> bool) -> io::Result<bool> {
        self.scan(self.near(from)?, |_, line| moment(line).is_some_and(|at| at < from) || go_on(line))
    }

    /// Hands on lines before `to`, newest first, until `go_on` says no; then the answer is false.
    pub fn backward(&self, to: i64, mut go_on: impl FnMut(&[u8]) -> bool) -> io::Result<bool> {
        let mut at = self.size;
        if to < i64::MAX {
            self.scan(self.near(to)?, |begin, line| match moment(line) {
                Some(found) if found >= to => {
                    at = begin;
                    false
                }
                _ => true,
            })?;
        }
        // The end of a line whose beginning is not read yet.
        let mut tail: Vec<u8> = Vec::new();
        while at > 0 {
            let begin = at.saturating_sub(BLOCK);
            let mut bytes = vec![0; (at - begin) as usize];
            self.file.read_exact_at(&mut bytes, begin)?;
            bytes.append(&mut tail);
            let whole = if begin == 0 {
                Some(0)
            } else {
                bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1)
            };
            if let Some(whole) = whole {
                if !bytes[whole..].rsplit(|byte| *byte == b'\n').all(&mut go_on) {
                    return Ok(false);
                }
                bytes.truncate(whole);
            }
            tail = bytes;
            at = begin;
        }
        Ok(true)
    }

    /// A place before the first line of `nanos` or later, at most about a block away from it.
    fn near(&self, nanos: i64) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.size / BLOCK);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let mut found = None;
            // What has no moment, as after a crash, goes with what follows it.
            self.scan(middle * BLOCK, |_, line| {
                found = moment(line);
                found.is_none()
            })?;
            match found {
                Some(found) if found < nanos => low = middle,
                _ => high = middle - 1,
            }
        }
        Ok(low * BLOCK)
    }

    /// Hands on each line that begins at `at` or later, with where it begins, until `go_on` says no.
    fn scan(&self, at: u64, mut go_on: impl FnMut(u64, &[u8]) -> bool) -> io::Result<bool> {
        let mut block = vec![0; BLOCK as usize];
        // From the byte before on: if that ends a line, the next one begins here.
        let mut read_to = at.saturating_sub(1);
        let mut begin = read_to;
        let mut inside = at > 0;
        let mut rest: Vec<u8> = Vec::new();
        while read_to < self.size {
            let wanted = BLOCK.min(self.size - read_to) as usize;
            let read = self.file.read_at(&mut block[..wanted], read_to)?;
            if read == 0 {
                break;
            }
            read_to += read as u64;
            let mut piece = &block[..read];
            while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
                rest.extend_from_slice(&piece[..end]);
                piece = &piece[end + 1..];
                if !std::mem::take(&mut inside) && !go_on(begin, &rest) {
                    return Ok(false);
                }
                begin += rest.len() as u64 + 1;
                rest.clear();
            }
            rest.extend_from_slice(piece);
        }
        Ok(rest.is_empty() || inside || go_on(begin, &rest))
    }
}

/// The moment that a line begins with.
pub(crate) fn moment(line: &[u8]) -> Option<i64> {
    let digits = line.strip_prefix(HEAD)?;
    // A number without its comma may be cut short.
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).filter(|end| digits[*end] == b',')?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(nanos: i64, length: usize) -> String {
        format!("{{\"nanos\":{nanos},\"message\":\"{}\"}}\n", "m".repeat(length))
    }

    fn segment(text: &str) -> (tempfile::TempDir, Segment) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0");
        std::fs::write(&path, text).unwrap();
        (folder, Segment::open(&path).unwrap())
    }

    fn moments(segment: &Segment, forward: bool, bound: i64) -> Vec<i64> {
        let mut found = Vec::new();
        let take = |line: &[u8]| {
            found.extend(moment(line));
            true
        };
        assert!(if forward { segment.forward(bound, take) } else { segment.backward(bound, take) }.unwrap());
        found
    }

    #[test]
    fn every_place_is_found_in_both_directions() {
        // Short and long lines, some longer than a block, over several blocks.
        let lengths = [10, 3_000, 70_000, 0, 200_000, 64 * 1024 - 30, 500];
        let all: Vec<i64> = (1..20).map(|n| n * 10).collect();
        let text: String =
            all.iter().map(|n| line(*n, lengths[(*n / 10) as usize % lengths.len()])).collect();
        let (_folder, segment) = segment(&text);
        for bound in (0..=205).step_by(5) {
            let after: Vec<i64> = all.iter().copied().filter(|nanos| *nanos >= bound).collect();
            assert_eq!(moments(&segment, true, bound), after, "{bound}");
            let mut before: Vec<i64> = all.iter().copied().filter(|nanos| *nanos < bound).collect();
            before.reverse();
            assert_eq!(moments(&segment, false, bound), before, "{bound}");
        }
        assert_eq!(moments(&segment, false, i64::MAX).len(), all.len());
        assert_eq!(segment.first_moment(), Some(10));
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        let (_folder, segment) = segment("");
        assert!(moments(&segment, true, 0).is_empty() && moments(&segment, false, i64::MAX).is_empty());
        assert_eq!(segment.first_moment(), None);
    }

    #[test]
    fn who_has_enough_stops() {
        let text: String = (1..9_000).map(|n| line(n, 40)).collect();
        let (_folder, segment) = segment(&text);
        let mut seen = 0;
        let mut three = |_: &[u8]| {
            seen += 1;
            seen < 3
        };
        assert!(!segment.forward(5_000, &mut three).unwrap());
        assert_eq!(seen, 3);
    }
}

//! A bound on what is read between two files.
//!
//! Long names and extended headers are collected in memory before anything of them can be looked at; a small gzip
//! could make them gigabytes.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// Far above what names and headers of one file need.
const METADATA_BYTES: u64 = 1024 * 1024;

#[derive(Default)]
pub(super) struct Budget(Rc<Cell<u64>>);

impl Budget {
    pub(super) fn limit<R: Read>(&self, inner: R) -> Limited<R> {
        Limited { inner, left: Rc::clone(&self.0) }
    }

    /// From here on headers are read.
    pub(super) fn metadata(&self) {
        self.0.set(METADATA_BYTES);
    }

    /// From here on content is read, which has a limit of its own.
    pub(super) fn content(&self) {
        self.0.set(u64::MAX);
    }
}

pub(super) struct Limited<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its headers are too large"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.inner.read(&mut buffer[..most])?;
        self.left.set(left - read as u64);
        Ok(read)
    }
}

//! An answer's body on its way to the client: where it ends, and in which framing it goes out.

use std::io::Write;

use crate::answer_head::Framing;
use crate::chunks::{Chunks, Misframed};

/// Follows one body.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// So many bytes passed, and so many are still to come.
    Length { passed: u64, left: u64 },
    /// Chunks pass as they are.
    Chunked(Chunks),
    /// Whatever comes goes out in chunks, since the client's connection outlives the replica's.
    UntilClosed { passed: u64 },
}

impl Outgoing {
    pub fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(left) => Self::Length { passed: 0, left },
            Framing::Chunked => Self::Chunked(Chunks::new()),
            Framing::UntilClosed => Self::UntilClosed { passed: 0 },
        }
    }

    pub fn is_over(&self) -> bool {
        match self {
            Self::Length { left, .. } => *left == 0,
            Self::Chunked(chunks) => chunks.is_over(),
            Self::UntilClosed { .. } => false,
        }
    }

    /// Bytes of it that passed, without its framing.
    pub fn passed(&self) -> u64 {
        match self {
            Self::Length { passed, .. } | Self::UntilClosed { passed } => *passed,
            Self::Chunked(chunks) => chunks.passed(),
        }
    }

    /// Writes what belongs to the body; answers how many bytes that were.
    ///
    /// # Errors
    /// If its chunks are none.
    pub fn follow(&mut self, bytes: &[u8], into: &mut Vec<u8>) -> Result<usize, Misframed> {
        let used = match self {
            Self::Length { passed, left } => {
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= used as u64;
                *passed += used as u64;
                used
            }
            Self::Chunked(chunks) => chunks.follow(bytes)?,
            Self::UntilClosed { passed } => {
                *passed += bytes.len() as u64;
                if !bytes.is_empty() {
                    // Writing into memory does not fail.
                    let _ = write!(into, "{:x}\r\n", bytes.len());
                    into.extend_from_slice(bytes);
                    into.extend_from_slice(b"\r\n");
                }
                return Ok(bytes.len());
            }
        };
        into.extend_from_slice(&bytes[..used]);
        Ok(used)
    }

    /// Whether the body is whole when the replica closes its connection; writes its end then.
    pub fn ends_with_connection(&self, into: &mut Vec<u8>) -> bool {
        let ends = matches!(self, Self::UntilClosed { .. });
        if ends {
            into.extend_from_slice(b"0\r\n\r\n");
        }
        ends
    }
}

//! Changes to a Truss in place, as `truss watch` sends them.

mod apply;
mod op;

use thiserror::Error;

pub use apply::{Patched, apply};
pub use op::{Action, Op};

/// Why a change can't be applied.
#[derive(Debug, Error)]
pub enum PatchError {
    /// Nothing but a push can do it.
    #[error("{0}")]
    NeedsPush(String),
    /// It is wrong as it is; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// The disk would not have it.
    #[error("`{path}` can't be changed: {source}")]
    File {
        path: String,
        #[source]
        source: std::io::Error,
    },
}

#[cfg(test)]
mod tests;

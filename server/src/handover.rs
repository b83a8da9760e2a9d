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

mod door;
mod heir;
mod messages;
mod predecessor;
#[cfg(test)]
mod tests;
mod wire;

pub use door::Door;
pub use heir::{Heir, Successor};
pub use predecessor::Predecessor;

//! Makes intent real: observe, plan, execute.
//!
//! A request records intent in the store and wakes a model; nothing more happens inside it. The engine looks at the
//! model, asks [`domain::plan`] what should follow, and makes it so in the one safe order. First run, retry, restart
//! and cancel go through the same look.

mod build_times;
mod builds;
mod caught;
mod engine;
mod execute;
mod history;
mod observe;
mod room;
mod schedule;
mod secrets;
#[cfg(feature = "simulation")]
pub mod simulation;
mod start_times;
mod turns;
mod usage;
mod wakes;

pub use builds::Builds;
pub use engine::{Engine, Parts, Publisher};
pub use start_times::StartTimes;
pub use wakes::Wakes;

/// Why a look at a model did not come to its end. The next look starts over from what is stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the store could not be read or written: {0}")]
    Store(#[from] store::Error),
}

//! A whole world on simulated time: the real engine on a real store, with a machine and a load that follow a script.
//!
//! Scenarios read aloud and have golden transcripts; histories are random and seeded. After every look the promise
//! about capacity and traffic is checked from outside ([`domain::check_invariant`]).

mod history;
mod load;
mod machine;
mod scenario;
mod table;
mod world;

pub use history::{Outcome, play};
pub use load::Load;
pub use machine::{Machine, Script};
pub use scenario::perform;
pub use table::Table;
pub use world::World;

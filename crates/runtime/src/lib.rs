//! The only starter of things: replicas as processes of this machine.

mod bell;
mod build;
mod exposure;
mod external;
mod facts;
mod files;
mod follow;
mod local;
mod logs;
mod manifest;
mod pace;
mod parse;
mod ports;
mod probe;
mod process;
mod registry;
mod reload;
mod search;
mod spawn;
mod strays;
mod supervise;
mod tools;
mod usage;

pub use facts::{HostFacts, host_facts};
pub use local::{LocalConfig, LocalRuntime};
pub use tools::TRUSS_VERSION;

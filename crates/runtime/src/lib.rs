//! The only starter of things: replicas as processes of this machine.

mod adopt;
#[cfg(test)]
mod bad_input;
mod bell;
mod build;
mod cgroup;
mod envs;
mod exposure;
mod external;
mod facts;
mod files;
mod follow;
mod grpc;
mod local;
mod logs;
mod manifest;
mod news;
mod pace;
mod parse;
mod ports;
mod probe;
mod process;
mod registry;
mod reload;
mod search;
mod segment;
mod sizes;
mod slots;
mod spawn;
mod strays;
mod supervise;
mod tidy;
mod told;
mod tools;
mod usage;

pub use facts::{HostFacts, host_facts, memory_limits};
pub use local::{LocalConfig, LocalRuntime};
pub use tidy::{Retention, Tidied};
pub use tools::TRUSS_VERSION;

//! The only starter of things: replicas as processes of this machine.

mod adopt;
#[cfg(test)]
mod bad_input;
mod bell;
mod build;
mod cgroup;
mod devices;
mod environment;
mod envs;
mod exposure;
mod external;
mod facts;
mod files;
mod follow;
mod interpreter;
mod isolation;
mod local;
mod logs;
mod manifest;
mod news;
mod owner;
mod pace;
mod parse;
mod ports;
mod probe;
mod process;
mod registry;
mod reload;
mod sandbox;
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
mod workshop;

pub use facts::{HostFacts, host_facts, memory_limits};
pub use isolation::{Isolated, Isolation, IsolationSettings, UserIds, isolation};
pub use local::{LocalConfig, LocalRuntime};
pub use tidy::{Retention, Tidied};
pub use tools::TRUSS_VERSION;

//! A Truss: a folder with a `config.yaml`, a model and its data, as the `truss` command line packs and pushes it.
//!
//! This crate reads and checks the format and lays it out for a process. It starts nothing and knows nothing of models,
//! deployments or stores.
//!
//! | To … | use |
//! |---|---|
//! | read a pushed or written configuration | [`Config`] |
//! | say what is wrong with it, and what is ignored here | [`validate()`], [`validate_files`] |
//! | unpack an upload that may be hostile | [`unpack`] |
//! | know what to install | [`InstallPlan`] |
//! | follow `truss watch` | [`patch::apply`], [`hash::tree`], [`Signature`] |
//! | lay out a folder that a process can be started in | [`lay_out`] |

pub mod archive;
#[cfg(test)]
mod bad_input;
mod bounded;
pub mod config;
pub mod hash;
pub mod ignore;
pub mod layout;
pub mod patch;
pub mod requirements;
pub mod validate;
pub mod wheel;
pub mod yaml;

pub use archive::{ArchiveError, Limits, Unpacked, unpack};
pub use config::{Config, ConfigError, Serves, Transport};
pub use hash::{HashError, Signature};
pub use ignore::IgnoreRules;
pub use layout::{LayoutError, lay_out};
pub use requirements::{InstallPlan, RequirementsError, Step};
pub use validate::{DockerOnly, Validation, validate, validate_files, validate_python, validate_with};
pub use wheel::Wheel;

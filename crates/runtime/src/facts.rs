use std::path::{Path, PathBuf};

use crate::cgroup::{Controller, Groups};
use crate::files::Files;
use crate::tools::{find_uv, pythons};

/// What this machine has of what models need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// `uv` and its version.
    pub uv: Option<(PathBuf, String)>,
    /// Pythons that `uv` finds, newest first.
    pub pythons: Vec<(String, PathBuf)>,
    /// Whether the Truss server code is there already.
    pub wheel: bool,
}

/// Looks around; fetches nothing.
pub async fn host_facts(data_dir: &Path) -> HostFacts {
    let uv = find_uv(&data_dir.join("uv")).await;
    let pythons = match &uv {
        Some((path, _)) => pythons(path).await,
        None => Vec::new(),
    };
    let wheel = Files::new(data_dir).is_ok_and(|files| truss::Wheel::open(files.wheel()).is_ok());
    HostFacts { uv, pythons, wheel }
}

/// Whether replicas can be held to the memory they were given on this host; `Err` says why not.
pub fn memory_limits() -> Result<(), String> {
    Groups::find().can(Controller::Memory)
}

/// Whether the number of a replica's processes can be limited on this host; `Err` says why not.
pub fn process_limits() -> Result<(), String> {
    Groups::find().can(Controller::Processes)
}

/// Whether replicas share processors that are short by their instance types on this host; `Err` says why not.
pub fn processor_weights() -> Result<(), String> {
    Groups::find().can(Controller::Processor)
}

//! What is written down of a replica, so that the next server finds it.

use std::io;
use std::path::Path;

use domain::{ArtifactId, DeploymentId, Endpoints, ModelId, ReplicaId, Reserved, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cgroup::Group;
use crate::process::Identity;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub id: ReplicaId,
    pub model: ModelId,
    pub deployment: DeploymentId,
    pub identity: Identity,
    pub port: u16,
    pub started_at: Timestamp,
    #[serde(default)]
    pub spawned_at: Option<Timestamp>,
    #[serde(default)]
    pub loaded_at: Option<Timestamp>,
    pub ready_at: Option<Timestamp>,
    pub endpoints: Endpoints,
    /// What it holds of the machine.
    #[serde(default)]
    pub reserved: Reserved,
    /// The numbers of its graphics cards.
    #[serde(default)]
    pub cards: Vec<u32>,
    /// What holds it to what it was given, where the host permits.
    #[serde(default)]
    pub group: Option<Group>,
    /// The key of the environment it runs in.
    #[serde(default)]
    pub env: Option<String>,
    /// What it was started from, or reloaded to; `None` if a former version wrote this.
    #[serde(default)]
    pub artifact: Option<ArtifactId>,
}

const NAME: &str = "replica.json";

impl Manifest {
    pub fn read(folder: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(folder.join(NAME))?;
        serde_json::from_str(&text).map_err(io::Error::other)
    }

    /// Written whole or not at all.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let fresh = folder.join("replica.json.new");
        std::fs::write(&fresh, serde_json::to_string_pretty(self).map_err(io::Error::other)?)?;
        std::fs::rename(fresh, folder.join(NAME))
    }
}

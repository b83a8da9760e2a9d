use serde::{Deserialize, Serialize};

use crate::{DeploymentName, ModelId, ModelName, Timestamp};

/// A named thing that can be called; it has deployments and environments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub id: ModelId,
    pub name: ModelName,
    pub created_at: Timestamp,
    /// The number the next unnamed deployment gets. Only grows, so names are not reused after deletion.
    pub next_number: u64,
    /// Grows with each change of intent; the gateway says which one it serves.
    pub generation: u64,
    /// Whether the pushed archive may be downloaded again.
    pub allow_download: bool,
}

impl Model {
    /// Takes the next default deployment name, skipping names in use.
    pub fn take_name(&mut self, in_use: impl Fn(&DeploymentName) -> bool) -> DeploymentName {
        loop {
            let name = DeploymentName::numbered(self.next_number);
            self.next_number += 1;
            if !in_use(&name) {
                return name;
            }
        }
    }
}

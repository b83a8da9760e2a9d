//! How much of the disk a deployment holds.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use domain::{ArtifactId, Deployment, EnvironmentUse, StorageUse};

use crate::build::COMPLETE;
use crate::files::{Files, artifact_size, size};
use crate::tidy::env_key;
use crate::{envs, external};

/// Measures, and remembers what does not change: an environment's size once it is whole, and which one a configuration
/// needs.
#[derive(Clone, Default)]
pub(crate) struct Sizes(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    environments: HashMap<String, u64>,
    artifacts: HashMap<ArtifactId, u64>,
    keys: HashMap<(ArtifactId, u64), Option<String>>,
}

impl Sizes {
    /// Reads the disk; an environment of several GB may take seconds, once.
    pub fn measure(&self, files: &Files, deployment: &Deployment) -> StorageUse {
        let environment = self.key(files, deployment).and_then(|key| {
            let key = envs::in_use(files, &key).to_owned();
            let env = files.env(&key);
            // One that was removed is made again by the next build, and need not be as large.
            if !env.join(COMPLETE).is_file() {
                self.known(|known| known.environments.remove(&key));
                return None;
            }
            let bytes = self.known(|known| known.environments.get(&key).copied());
            let bytes = bytes.unwrap_or_else(|| {
                let bytes = size(&env);
                self.known(|known| known.environments.insert(key.clone(), bytes));
                bytes
            });
            Some(EnvironmentUse { key, bytes })
        });
        StorageUse {
            artifact: self.artifact(files, deployment),
            logs: size(&files.logs(&deployment.id)),
            environment,
            external: external::held(files, deployment.sources().into_iter().map(|(_, config)| config)),
        }
    }

    /// What was pushed does not change, except in the development slot.
    fn artifact(&self, files: &Files, deployment: &Deployment) -> u64 {
        let id = &deployment.artifact;
        let known = self.known(|known| known.artifacts.get(id).copied());
        if let Some(bytes) = known.filter(|_| !deployment.is_development() && files.artifact(id).exists()) {
            return bytes;
        }
        let bytes = artifact_size(files, id.as_str());
        self.known(|known| known.artifacts.insert(id.clone(), bytes));
        bytes
    }

    fn key(&self, files: &Files, deployment: &Deployment) -> Option<String> {
        let mut hasher = DefaultHasher::new();
        deployment.config.to_string().hash(&mut hasher);
        let name = (deployment.artifact.clone(), hasher.finish());
        if let Some(key) = self.known(|known| known.keys.get(&name).cloned()) {
            return key;
        }
        let key = env_key(files, &deployment.artifact, &deployment.config);
        // Before the first build there is no server code to know it by.
        if key.is_some() {
            self.known(|known| known.keys.insert(name, key.clone()));
        }
        key
    }

    fn known<T>(&self, work: impl FnOnce(&mut Known) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

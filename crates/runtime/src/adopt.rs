//! Taking over the replicas that a former server left running.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::{LogLevel, ReplicaState};
use tokio::task::JoinSet;

use crate::LocalRuntime;
use crate::bounds::end_left;
use crate::files::remove_tree;
use crate::manifest::Manifest;
use crate::probe::{Health, probe};
use crate::strays::stop_strays;

/// How long a replica that was ready may take to say so: the server that starts answers nobody meanwhile.
const ANSWER: Duration = Duration::from_millis(300);

impl LocalRuntime {
    /// Adopts what lives, and removes what the others left. Builds of a former server end.
    pub(crate) async fn adopt_all(self: &Arc<Self>) {
        let Ok(folders) = std::fs::read_dir(self.files.replicas()) else { return };
        let (mut kept, mut tokens, mut gone) = (JoinSet::new(), BTreeSet::new(), Vec::new());
        for folder in folders.flatten().map(|entry| entry.path()) {
            match Manifest::read(&folder) {
                Ok(manifest) if manifest.identity.is_alive() => {
                    tokens.insert(manifest.identity.token.clone());
                    kept.spawn(asked(manifest, folder));
                }
                // Ended, or never written down: nothing of it may be left.
                _ => gone.push(folder),
            }
        }
        end_left(&self.files).await;
        let strays = stop_strays(&self.files, &tokens).await;
        if strays > 0 {
            tracing::warn!(strays, "stopped processes that a former server had left");
        }
        for folder in gone {
            self.leave_group(&folder);
            if let Err(error) = remove_tree(&folder).await {
                tracing::warn!(folder = %folder.display(), %error, "could not remove what a replica left");
            }
        }
        while let Some(asked) = kept.join_next().await {
            if let Ok((manifest, folder, health)) = asked {
                self.adopt(manifest, folder, health);
            }
        }
    }

    /// Removes the control group of a replica that ended while no server watched.
    fn leave_group(&self, folder: &Path) {
        let written = Manifest::read(folder).map(|manifest| manifest.group);
        let group = match (written, folder.file_name().and_then(|name| name.to_str())) {
            (Ok(group), _) => group,
            // It was never written down.
            (Err(_), Some(name)) => Some(self.groups().left_by(&self.files.name_on_machine(name))),
            (Err(_), None) => None,
        };
        if let Some(group) = group {
            group.end();
        }
    }

    /// One that was ready and does not answer now may only be busy: it is watched like any other that is unready, so it is asked
    /// again at once, and then has the time that a ready one has.
    fn adopt(&self, manifest: Manifest, folder: PathBuf, health: Health) {
        let state = match (health, manifest.ready_at) {
            (Health::Ready, Some(_)) => ReplicaState::Ready,
            (_, Some(_)) => ReplicaState::Unready,
            _ => ReplicaState::Loading,
        };
        let text = format!("replica {} was left running by a former server and is adopted", manifest.id);
        self.platform(&manifest.deployment, LogLevel::Info, &text);
        if self.sandboxes.replicas.is_some() && manifest.identity.inner.is_none() {
            let text = format!(
                "replica {} was started without a sandbox and goes on without one; terminate it, and its successor has one",
                manifest.id
            );
            tracing::warn!("{text}");
            self.platform(&manifest.deployment, LogLevel::Warning, &text);
        }
        self.registry.lock().ports.mark(manifest.port);
        self.watch_over(manifest, folder, state, None);
    }
}

/// Asks one that was ready how it is.
async fn asked(manifest: Manifest, folder: PathBuf) -> (Manifest, PathBuf, Health) {
    let health = match manifest.ready_at {
        Some(_) => probe(manifest.port, &manifest.endpoints, ANSWER).await,
        None => Health::NotReady,
    };
    (manifest, folder, health)
}

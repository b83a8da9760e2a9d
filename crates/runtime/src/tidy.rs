//! Gives the disk back: archives nobody refers to, environments nobody uses, log lines that are too old.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use domain::{ArtifactId, Deployment, Timestamp};
use serde_json::Value;
use truss::{Config, Wheel};

use crate::build::plan;
use crate::files::{Files, size};
use crate::local::LocalRuntime;
use crate::{envs, external, files};

/// How long an archive must have been seen without a deployment, in milliseconds: a push unpacks before it records.
const PUSH_TAKES: i64 = 30 * 60 * 1000;

/// How long things are kept that nobody uses, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// A Python environment after its last use, so that deleting and pushing again is quick.
    pub environments: i64,
    /// Lines of a deployment's log.
    pub logs: i64,
}

/// What a round removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tidied {
    pub artifacts: usize,
    pub environments: usize,
    /// Of archives and environments together.
    pub bytes: u64,
}

/// Archives without a deployment, and when that was first seen.
#[derive(Default)]
pub(crate) struct Unclaimed(Mutex<HashMap<String, Timestamp>>);

impl LocalRuntime {
    /// Removes what no deployment among `live` needs any more. `live` are all that were not deleted; what a build or a
    /// replica uses stays in any case.
    pub async fn tidy(&self, live: Vec<Deployment>, keep: Retention) -> Tidied {
        let now = self.clock.now();
        let mut tidied = Tidied::default();
        let sources = live.iter().flat_map(Deployment::sources).map(|(artifact, _)| artifact.to_string());
        let named: BTreeSet<String> = sources.chain(self.building()).collect();
        for name in self.unclaimed.long_enough(&self.files, &named, now) {
            tidied.bytes += files::artifact_size(&self.files, &name);
            match files::remove_artifact(&self.files, &name) {
                Ok(()) => tidied.artifacts += 1,
                Err(error) => tracing::warn!(archive = name, %error, "could not remove an unused archive"),
            }
        }
        let running = self.environments_in_use();
        let (files, logs) = (self.files.clone(), self.logs.clone());
        let work = move || {
            let mut used = running;
            let sources = live.iter().flat_map(Deployment::sources);
            let keys = sources.filter_map(|(artifact, config)| env_key(&files, artifact, config));
            used.extend(keys.map(|key| envs::in_use(&files, &key).to_owned()));
            let (mut count, mut bytes) = (0, 0);
            for key in envs::keys(&files) {
                let env = files.env(&key);
                if used.contains(&key) {
                    if let Err(error) = envs::note_use(&env, now) {
                        tracing::warn!(environment = key, %error, "could not note that an environment is used");
                    }
                    continue;
                }
                let large = size(&env);
                match envs::remove_unused(&env, now.plus(-keep.environments), now) {
                    Ok(true) => {
                        count += 1;
                        bytes += large;
                    }
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(environment = key, %error, "could not remove an unused environment");
                    }
                }
            }
            envs::empty_bin(&files);
            let configs = live.iter().flat_map(Deployment::sources).map(|(_, config)| config);
            bytes += external::remove_unused(&files, configs, now.plus(-keep.environments));
            for deployment in &live {
                if let Err(error) = logs.expire(&deployment.id, now.plus(-keep.logs)) {
                    tracing::warn!(deployment = %deployment.id, %error, "could not remove old lines of a log");
                }
            }
            (count, bytes)
        };
        if let Ok((count, bytes)) = tokio::task::spawn_blocking(work).await {
            tidied.environments = count;
            tidied.bytes += bytes;
        }
        tidied
    }
}

impl Unclaimed {
    /// Archives that were without a deployment for so long that no push can be about to record one.
    fn long_enough(&self, files: &Files, named: &BTreeSet<String>, now: Timestamp) -> Vec<String> {
        let found = files::artifact_names(files);
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.retain(|name, _| found.contains(name) && !named.contains(name));
        let unnamed = found.into_iter().filter(|name| !named.contains(name));
        unnamed
            .filter(|name| {
                let first = *since.entry(name.clone()).or_insert(now);
                now.since(first) >= PUSH_TAKES
            })
            .collect()
    }
}

/// The key of the environment that code with a configuration is built for; none if it could not run at all. What it runs
/// in is [`envs::in_use`].
pub(crate) fn env_key(files: &Files, artifact: &ArtifactId, config: &Value) -> Option<String> {
    let config = Config::from_json(config).ok()?;
    let wheel = Wheel::open(files.wheel()).ok()?;
    plan(&config, &files.artifact(artifact), &wheel).ok().map(|plan| plan.key)
}

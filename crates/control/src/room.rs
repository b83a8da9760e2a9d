//! What a deployment gets of the machine, and how much of it is held (semantics: Instance types and room).

use std::collections::BTreeSet;

use domain::{
    Action, Actor, Ask, Compute, Deployment, Environment, EnvironmentUse, Host, Lifecycle, Reserved, Seen,
    StorageUse, Strategy, could_hold,
};
use truss::Config;

use crate::{ControlPlane, Error};

/// What one deployment holds of the disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub deployment: Deployment,
    pub held: StorageUse,
    /// Other live deployments that run in the same environment.
    pub environment_shared_by: usize,
}

/// What all deployments hold of the disk together; what is shared counts once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoredTotal {
    pub artifacts: u64,
    pub logs: u64,
    pub environments: u64,
    pub external: u64,
}

impl ControlPlane {
    /// What a configuration asks for is what a deployment gets, or a sentence for each field that asks for too much.
    pub(crate) fn room_for(&self, config: &Config) -> Result<Compute, Vec<String>> {
        let resources = &config.resources;
        let (Some(milli_cpu), Some(memory)) = (resources.milli_cpu(), resources.memory_bytes()) else {
            // The check of the fields says so.
            return Ok(Compute::default());
        };
        let accelerator = resources
            .accelerator
            .as_ref()
            .map(|asked| (asked.name.clone(), u32::try_from(asked.count).unwrap_or(u32::MAX)));
        let instance_type = resources.instance_type.clone().filter(|name| !name.is_empty());
        self.parts.host.choose(&Ask { milli_cpu, memory, accelerator, instance_type })
    }

    /// What models may use of the machine.
    pub fn host(&self) -> &Host {
        &self.parts.host
    }

    /// What living replicas hold together; nothing if that could not be seen.
    pub fn held(&self, actor: &Actor) -> Result<Option<Reserved>, Error> {
        self.may(actor, Action::View)?;
        let Seen::Known(held) = self.parts.runtime.held() else { return Ok(None) };
        let sum = |sum: Reserved, one: Reserved| Reserved {
            memory: sum.memory.saturating_add(one.memory),
            gpus: sum.gpus.saturating_add(one.gpus),
        };
        Ok(Some(held.iter().map(|holding| holding.reserved).fold(Reserved::default(), sum)))
    }

    /// What every live deployment holds of the disk, oldest first, and all of them together.
    pub async fn storage(&self, actor: &Actor) -> Result<(Vec<Stored>, StoredTotal), Error> {
        self.may(actor, Action::View)?;
        let mut all = Vec::new();
        for deployment in self.parts.store.live_deployments().await? {
            let held = self.parts.runtime.storage(&deployment).await;
            all.push(Stored { deployment, held, environment_shared_by: 0 });
        }
        let users = |key: &str, all: &[Stored]| {
            let same = |stored: &&Stored| environment_of(stored).is_some_and(|other| other.key == key);
            all.iter().filter(same).count()
        };
        let mut total = StoredTotal::default();
        let (mut artifacts, mut environments, mut external) = (Vec::new(), Vec::new(), BTreeSet::new());
        for index in 0..all.len() {
            let stored = &all[index];
            total.logs += stored.held.logs;
            if !artifacts.contains(&stored.deployment.artifact) {
                artifacts.push(stored.deployment.artifact.clone());
                total.artifacts += stored.held.artifact;
            }
            for file in &stored.held.external {
                if external.insert(file.key.clone()) {
                    total.external += file.bytes;
                }
            }
            let Some(EnvironmentUse { key, bytes }) = environment_of(stored).cloned() else { continue };
            let shared_by = users(&key, &all) - 1;
            if !environments.contains(&key) {
                environments.push(key);
                total.environments += bytes;
            }
            all[index].environment_shared_by = shared_by;
        }
        Ok((all, total))
    }

    /// What one deployment holds of the disk.
    pub async fn storage_of(&self, actor: &Actor, deployment: &Deployment) -> Result<Stored, Error> {
        let (all, _) = self.storage(actor).await?;
        let found = all.into_iter().find(|stored| stored.deployment.id == deployment.id);
        found.ok_or_else(|| Error::NotFound(format!("{} was deleted meanwhile", deployment.name)))
    }

    /// Every deployment that was not deleted; for upkeep.
    pub async fn live_deployments(&self) -> Result<Vec<Deployment>, Error> {
        Ok(self.parts.store.live_deployments().await?)
    }

    /// Refuses a promotion whose two sides could never run at once on this machine.
    pub(crate) fn fits_both(
        &self,
        environment: &Environment,
        candidate: &Deployment,
        previous: Option<&Deployment>,
        strategy: Strategy,
    ) -> Result<(), Error> {
        let gate = environment.autoscaling.min_replica.max(1);
        let step = match strategy {
            Strategy::Rolling { config } => config.step(gate),
            Strategy::Direct | Strategy::Canary { .. } => gate,
        };
        let mut peak = vec![(candidate.compute.reserved, step)];
        if let Some(previous) = previous.filter(|previous| previous.id != candidate.id) {
            // One that sleeps is not woken before traffic moves, and by a direct promotion never.
            let sleeps = previous.lifecycle == Lifecycle::Inactive
                || (previous.target == 0 && !matches!(strategy, Strategy::Canary { .. }));
            let stays = match strategy {
                Strategy::Rolling { config } => {
                    let removed = if config.surges() { 0 } else { step };
                    gate.saturating_sub(removed).max(1) + config.extra(gate)
                }
                Strategy::Direct | Strategy::Canary { .. } => gate,
            };
            peak.push((previous.compute.reserved, if sleeps { 0 } else { stays }));
        }
        let nothing = peak.iter().all(|(reserved, _)| reserved.is_nothing());
        if nothing {
            return Ok(());
        }
        let how = match strategy {
            Strategy::Rolling { .. } => "in its first step".to_owned(),
            _ if gate == 1 => "with 1 replica of each side".to_owned(),
            _ => format!("with {gate} replicas of each side"),
        };
        could_hold(&self.parts.host, &peak).map_err(|numbers| {
            Error::Conflict(format!(
                "{} can't be promoted to {}: {how} the two need {numbers}; lower min_replica, or deactivate the \
                 current deployment first",
                candidate.name, environment.name,
            ))
        })
    }
}

fn environment_of(stored: &Stored) -> Option<&EnvironmentUse> {
    stored.held.environment.as_ref()
}

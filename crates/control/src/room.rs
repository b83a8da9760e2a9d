//! What a deployment gets of the machine, and how much of it is held (semantics: Instance types and room).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{MutexGuard, PoisonError};

use domain::{
    Action, Actor, Ask, Compute, Deployment, DeploymentId, Environment, EnvironmentUse, Host, Lifecycle,
    Reserved, Seen, StorageUse, Strategy, could_hold,
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
        self.look_at_storage().await
    }

    /// The same for upkeep, so that one deployment's page knows with whom it shares.
    pub async fn look_at_storage(&self) -> Result<(Vec<Stored>, StoredTotal), Error> {
        let mut all = Vec::new();
        let mut total = StoredTotal::default();
        let (mut artifacts, mut external) = (BTreeSet::new(), BTreeSet::new());
        let mut users: Users = HashMap::new();
        for deployment in self.parts.store.live_deployments().await? {
            let held = self.parts.runtime.storage(&deployment).await;
            total.logs += held.logs;
            if artifacts.insert(deployment.artifact.clone()) {
                total.artifacts += held.artifact;
            }
            for file in &held.external {
                if external.insert(file.key.clone()) {
                    total.external += file.bytes;
                }
            }
            if let Some(EnvironmentUse { key, bytes }) = &held.environment {
                let of_key = users.entry(key.clone()).or_default();
                if of_key.is_empty() {
                    total.environments += bytes;
                }
                of_key.insert(deployment.id.clone());
            }
            all.push(Stored { deployment, held, environment_shared_by: 0 });
        }
        for stored in &mut all {
            stored.environment_shared_by = others(&users, stored);
        }
        *self.users() = users;
        Ok((all, total))
    }

    /// What one deployment holds of the disk. With how many others it shares its environment is as of the last look at all.
    pub async fn storage_of(&self, actor: &Actor, deployment: &Deployment) -> Result<Stored, Error> {
        self.may(actor, Action::View)?;
        let held = self.parts.runtime.storage(deployment).await;
        let mut stored = Stored { deployment: deployment.clone(), held, environment_shared_by: 0 };
        let mut users = self.users();
        if let Some(environment) = &stored.held.environment {
            users.entry(environment.key.clone()).or_default().insert(deployment.id.clone());
        }
        stored.environment_shared_by = others(&users, &stored);
        drop(users);
        Ok(stored)
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Live deployments by the key of the environment they run in.
pub(crate) type Users = HashMap<String, HashSet<DeploymentId>>;

/// How many others run in the same environment.
fn others(users: &Users, stored: &Stored) -> usize {
    let same = stored.held.environment.as_ref().and_then(|environment| users.get(&environment.key));
    same.map_or(0, |same| same.len() - usize::from(same.contains(&stored.deployment.id)))
}

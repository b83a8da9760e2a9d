//! What a deployment gets of the machine, and how much of it is held (semantics: Instance types and room).

use domain::{
    Action, Actor, Ask, Compute, Deployment, Environment, Host, Lifecycle, Reserved, Seen, Strategy,
    could_hold,
};
use truss::Config;

use crate::{ControlPlane, Error};

impl ControlPlane {
    /// What a configuration asks for is what a deployment gets, or a sentence for each field that asks for too much.
    pub(crate) fn room_for(&self, config: &Config) -> Result<Compute, Vec<String>> {
        match asked_by(config) {
            Some(ask) => self.parts.host.choose(&ask),
            // The check of the fields says so.
            None => Ok(Compute::default()),
        }
    }

    /// The size that `candidate` gets by a promotion that keeps the instance type of the environment's `current`
    /// deployment: `None` where it stays as it is, with the reason if that is because it asks for more.
    pub(crate) fn kept_size(
        &self,
        candidate: &Deployment,
        current: &Deployment,
    ) -> (Option<Compute>, Option<String>) {
        let config = Config::from_json(&candidate.config).ok();
        let Some(ask) = config.as_ref().and_then(asked_by) else { return (None, None) };
        match self.parts.host.kept(&candidate.compute, &ask, &current.compute) {
            Ok(size) => (size, None),
            Err(lacks) => (None, Some(lacks.join("; "))),
        }
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

    /// Every deployment that was not deleted; for upkeep.
    pub async fn live_deployments(&self) -> Result<Vec<Deployment>, Error> {
        Ok(self.parts.store.live_deployments().await?)
    }

    /// Refuses a promotion whose two sides could never run at once on this machine. `kept` says that the candidate has the
    /// environment's instance type in the place of its own.
    pub(crate) fn fits_both(
        &self,
        environment: &Environment,
        candidate: &Deployment,
        previous: Option<&Deployment>,
        strategy: Strategy,
        kept: bool,
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
        let way_out = match kept {
            true => {
                ", deactivate the current deployment first, or let it keep its own instance type \
                 (`preserve_env_instance_type: false`)"
            }
            false => ", or deactivate the current deployment first",
        };
        could_hold(&self.parts.host, &peak).map_err(|numbers| {
            Error::Conflict(format!(
                "{} can't be promoted to {}: {how} the two need {numbers}; lower min_replica{way_out}",
                candidate.name, environment.name,
            ))
        })
    }
}

/// What a configuration asks for; `None` where its amounts can't be read.
fn asked_by(config: &Config) -> Option<Ask> {
    let resources = &config.resources;
    let (milli_cpu, memory) = (resources.milli_cpu()?, resources.memory_bytes()?);
    let accelerator = resources
        .accelerator
        .as_ref()
        .map(|asked| (asked.name.clone(), u32::try_from(asked.count).unwrap_or(u32::MAX)));
    let instance_type = resources.instance_type.clone().filter(|name| !name.is_empty());
    Some(Ask { milli_cpu, memory, accelerator, instance_type })
}

//! What the replicas of a deployment can carry, and what each side of a promotion must keep.

use std::collections::BTreeSet;

use super::Work;
use crate::{DeploymentId, EnvironmentName, Hold, Position, Promotion, STAGES, Strategy, Weight};

impl Work<'_> {
    /// Concurrent requests that the environment of a promotion has now.
    pub(super) fn environment_demand(&self, promotion: &Promotion) -> u32 {
        let sides = [Some(&promotion.candidate), promotion.previous.as_ref()];
        self.demand_at(&promotion.environment, sides.into_iter().flatten())
    }

    /// Whether the environment of a promotion has requests: now, or had some since the last look, which may be over already.
    pub(super) fn has_requests(&self, promotion: &Promotion) -> bool {
        let sides = [Some(&promotion.candidate), promotion.previous.as_ref()];
        self.environment_demand(promotion) > 0
            || sides.into_iter().flatten().any(|side| self.arrivals(side) > 0)
    }

    /// Concurrent requests of an environment as a whole: of whoever serves it now, and of these.
    pub(super) fn demand_at<'b>(
        &'b self,
        environment: &EnvironmentName,
        also: impl Iterator<Item = &'b DeploymentId>,
    ) -> u32 {
        let served = self.seen.published.iter().flat_map(|routes| &routes.environments);
        let shares = served.filter(|route| &route.name == environment).flat_map(|route| &route.shares);
        let all: BTreeSet<&DeploymentId> = shares.map(|share| &share.deployment).chain(also).collect();
        all.into_iter().map(|id| self.seen.demand.get(id).map_or(0, |demand| demand.total())).sum()
    }

    /// Requests that the ready replicas of a deployment may carry.
    pub(super) fn capacity(&self, id: &DeploymentId) -> u32 {
        let target = self
            .deployment(id)
            .map_or(1, |deployment| deployment.effective_autoscaling(&self.environments).concurrency_target);
        self.ready(id).saturating_mul(target)
    }

    /// The greatest share of `demand` that the ready replicas of a deployment carry.
    pub(super) fn most_share(&self, id: &DeploymentId, demand: u32) -> Weight {
        if self.carries(id, Weight::WHOLE, demand).is_ok() {
            return Weight::WHOLE;
        }
        let most = Weight::ratio(self.capacity(id).min(demand), demand);
        if self.carries(id, most, demand).is_ok() { most } else { Weight::ZERO }
    }

    pub(super) fn at_maximum(&self, id: &DeploymentId) -> bool {
        self.deployment(id).is_some_and(|deployment| {
            self.ready(id) >= deployment.effective_autoscaling(&self.environments).max_replica
        })
    }

    /// Replicas that a share of `demand` needs on a deployment.
    pub(super) fn replicas_for_share(&self, id: &DeploymentId, weight: Weight, demand: u32) -> u32 {
        let Some(deployment) = self.deployment(id) else { return 1 };
        let settings = deployment.effective_autoscaling(&self.environments);
        let load = share_of(demand, weight);
        load.div_ceil(u64::from(settings.concurrency_target)).clamp(1, u64::from(settings.max_replica.max(1)))
            as u32
    }

    /// Whether a deployment can carry a share of the environment's demand.
    pub(super) fn carries(&self, id: &DeploymentId, weight: Weight, demand: u32) -> Result<(), Hold> {
        if weight == Weight::ZERO {
            return Ok(());
        }
        let ready = self.ready(id);
        if ready == 0 {
            return Err(Hold::CandidateDown);
        }
        if share_of(demand, weight) <= u64::from(self.capacity(id)) || self.at_maximum(id) {
            return Ok(());
        }
        let waiting = self.deployment(id).and_then(|deployment| deployment.waiting.clone());
        Err(Hold::Capacity { ready, needed: self.replicas_for_share(id, weight, demand), waiting })
    }

    /// Replicas the gate asks for.
    pub(super) fn gate(&self, promotion: &Promotion) -> u32 {
        self.environments
            .iter()
            .find(|environment| environment.name == promotion.environment)
            .map_or(1, |environment| environment.autoscaling.min_replica.max(1))
    }

    /// What each side must keep while a promotion runs: neither goes to zero, and the way back stays open.
    pub(super) fn keep_floors(&mut self, promotion: &Promotion) {
        if promotion.phase.is_over() {
            return;
        }
        if let Strategy::Rolling { config } = promotion.strategy {
            return self.pin_sides(promotion, &config);
        }
        let demand = self.environment_demand(promotion);
        let next = Position::at((promotion.position.stage + 1).min(STAGES), 0);
        let direct = !matches!(promotion.strategy, Strategy::Canary { .. }) || promotion.previous.is_none();
        let coming = if direct || promotion.rolls_forward() { Weight::WHOLE } else { next.weight() };
        let for_share = self.replicas_for_share(&promotion.candidate, coming, demand);
        let candidate = self.gate(promotion).max(for_share);
        self.floors.insert(promotion.candidate.clone(), candidate);
        if let Some(previous) = &promotion.previous {
            let whole = self.replicas_for_share(previous, Weight::WHOLE, demand);
            let floor = match promotion.gate_passed_at {
                Some(_) => promotion.previous_floor.max(whole).max(1),
                None => 1,
            };
            // One that sleeps is not woken for a promotion that has not moved traffic yet.
            let target = self.deployment(previous).map_or(0, |deployment| deployment.target);
            let sleeps = promotion.gate_passed_at.is_none() && (self.ready(previous) == 0 || target == 0);
            self.floors.insert(previous.clone(), if sleeps { 0 } else { floor });
        }
    }
}

/// Concurrent requests in a share of `demand`, rounded up.
pub(crate) fn share_of(demand: u32, weight: Weight) -> u64 {
    (u64::from(demand) * u64::from(weight.basis_points())).div_ceil(10_000)
}

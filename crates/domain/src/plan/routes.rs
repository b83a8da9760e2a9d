//! The routing table that follows from what is stored and what is ready.

use super::Work;
use super::carry::share_of;
use crate::{
    Availability, Backpressure, Build, Deployment, DeploymentId, DeploymentRoute, Environment,
    EnvironmentRoute, Exemption, Lifecycle, ModelRoutes, Phase, Promotion, ReplicaAddress, Rewrite, Share,
    Weight,
};

impl Work<'_> {
    pub(super) fn routes(&mut self) -> ModelRoutes {
        let live: Vec<Deployment> =
            self.deployments.iter().filter(|deployment| deployment.deleted_at.is_none()).cloned().collect();
        let deployments = live.iter().map(|deployment| self.deployment_route(deployment)).collect();
        let mut environments = Vec::new();
        for index in 0..self.environments.len() {
            let shares = self.shares(&self.environments[index]);
            let version = self.version_of(index, &shares);
            environments.push(EnvironmentRoute {
                name: self.environments[index].name.clone(),
                version,
                shares,
            });
        }
        ModelRoutes {
            model: self.seen.model.id.clone(),
            name: self.seen.model.name.clone(),
            generation: self.seen.model.generation,
            environments,
            deployments,
            development: live
                .iter()
                .find(|deployment| deployment.is_development())
                .map(|deployment| deployment.id.clone()),
        }
    }

    fn deployment_route(&self, deployment: &Deployment) -> DeploymentRoute {
        let mut replicas: Vec<_> = self
            .ready_replicas(&deployment.id)
            .map(|replica| ReplicaAddress { id: replica.id.clone(), port: replica.port })
            .collect();
        replicas.sort_by(|a, b| a.id.cmp(&b.id));
        let settings = deployment.effective_autoscaling(&self.environments);
        DeploymentRoute {
            id: deployment.id.clone(),
            availability: availability(deployment),
            concurrency_target: Some(settings.concurrency_target),
            rejects_when_full: deployment.effective_backpressure(&self.environments)
                == Some(Backpressure::RejectOnFull),
            replicas,
            rewrite: rewrite(deployment),
        }
    }

    /// Raises the version when the split is another one than the gateway serves.
    fn version_of(&mut self, index: usize, shares: &[Share]) -> u64 {
        let environment = &self.environments[index];
        let split = |shares: &[Share]| -> Vec<(DeploymentId, Weight)> {
            shares.iter().map(|share| (share.deployment.clone(), share.weight)).collect()
        };
        let served = self
            .seen
            .published
            .as_ref()
            .and_then(|routes| routes.environments.iter().find(|route| route.name == environment.name));
        if served.is_some_and(|route| split(&route.shares) != split(shares)) {
            self.environments[index].shares_version += 1;
        }
        self.environments[index].shares_version
    }

    fn shares(&self, environment: &Environment) -> Vec<Share> {
        let running = self
            .promotions
            .iter()
            .find(|promotion| promotion.environment == environment.name && promotion.is_running());
        let Some(current) = &environment.current else { return Vec::new() };
        let moving = running.filter(|promotion| {
            promotion.gate_passed_at.is_some()
                && promotion.phase != Phase::Releasing
                && &promotion.candidate != current
        });
        match moving {
            None => {
                let demand = self.demand_at(&environment.name, std::iter::once(current));
                vec![self.share(current, Weight::WHOLE, demand)]
            }
            Some(promotion) => self.split(current, promotion),
        }
    }

    /// The split of a running rollout: the stage's share, less what the candidate can't carry.
    fn split(&self, current: &DeploymentId, promotion: &Promotion) -> Vec<Share> {
        let demand = self.environment_demand(promotion);
        let candidate = &promotion.candidate;
        let mut weight = promotion.position.weight();
        if self.ready(candidate) == 0 {
            weight = Weight::ZERO;
        } else if self.ready(current) == 0 {
            // The current one has nobody to answer, so whoever can does; the excess is held, not lost.
            weight = Weight::WHOLE;
        } else if promotion.position.share.is_some() {
            weight = weight.min(self.most_share(candidate, demand));
        } else if self.carries(candidate, weight, demand).is_err() {
            weight = (0..promotion.position.stage)
                .rev()
                .map(|stage| crate::Position::at(stage, 0).weight())
                .find(|less| self.carries(candidate, *less, demand).is_ok())
                .unwrap_or(Weight::ZERO);
        }
        vec![self.share(current, weight.rest(), demand), self.share(candidate, weight, demand)]
    }

    fn share(&self, id: &DeploymentId, weight: Weight, demand: u32) -> Share {
        let ready = self.ready(id);
        let maximum = self
            .deployment(id)
            .map_or(0, |deployment| deployment.effective_autoscaling(&self.environments).max_replica);
        let exemption = if weight == Weight::ZERO {
            None
        } else if ready == 0 {
            Some(Exemption::Held)
        } else if share_of(demand, weight) <= u64::from(self.capacity(id)) {
            None
        } else if ready >= maximum {
            Some(Exemption::AtMaximum)
        } else {
            Some(Exemption::EnvironmentShort)
        };
        Share { deployment: id.clone(), weight, exemption }
    }
}

fn availability(deployment: &Deployment) -> Availability {
    if deployment.lifecycle == Lifecycle::Inactive {
        return Availability::Inactive {
            reason: format!("Deployment {} is deactivated. Activate it to call it again.", deployment.name),
        };
    }
    let failed = |reason: String| Availability::Failed { reason };
    match &deployment.build {
        Build::Queued | Build::Running { .. } => {
            failed(format!("Deployment {} is still being built.", deployment.name))
        }
        Build::Failed { reason } => failed(format!("The build of {} failed: {reason}", deployment.name)),
        Build::Stopped { .. } => failed(format!("The build of {} was stopped.", deployment.name)),
        Build::Done { .. } => match &deployment.failure {
            Some(reason) => failed(format!("Deployment {} failed: {reason}", deployment.name)),
            None => Availability::Serving,
        },
    }
}

/// Where a replica serves the public actions: a custom server names its own paths.
fn rewrite(deployment: &Deployment) -> Rewrite {
    let custom = deployment.config.get("docker_server").filter(|value| value.is_object());
    let Some(custom) = custom else { return Rewrite::default() };
    let path = |key: &str, otherwise: &str| {
        custom.get(key).and_then(|value| value.as_str()).unwrap_or(otherwise).to_owned()
    };
    Rewrite {
        predict: path("predict_endpoint", "/"),
        websocket: Some(path("predict_endpoint", "/")),
        readiness: path("readiness_endpoint", "/"),
        grpc: deployment.config.pointer("/runtime/transport/kind").is_some_and(|kind| kind == "grpc"),
    }
}

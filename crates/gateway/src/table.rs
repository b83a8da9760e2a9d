//! One model's routes, built from what was published.

use arc_swap::ArcSwap;
use domain::{
    Availability, DeploymentId, DeploymentRoute, EnvironmentName, EnvironmentRoute, ModelId, ModelRoutes,
    SideCounts, Weight,
};
use http::Uri;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::address::Target;
use crate::admission::{Deployment, View};
use crate::metrics::Side;
use crate::replica::Replica;
use crate::split::Split;

/// A model's place in the gateway: stays, while its table is replaced.
#[derive(Debug)]
pub(crate) struct ModelCell {
    pub table: ArcSwap<Table>,
}

/// Immutable; requests keep the one they were routed by.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub generation: u64,
    /// Grows with each publish of the model.
    serial: u64,
    environments: HashMap<EnvironmentName, Arc<Environment>>,
    pub deployments: HashMap<DeploymentId, Entry>,
    development: Option<DeploymentId>,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub deployment: Arc<Deployment>,
    pub view: Arc<View>,
}

/// An environment's shares and its one counter; kept while its shares are.
#[derive(Debug)]
pub(crate) struct Environment {
    version: u64,
    shares: Vec<Routed>,
    split: Option<Split>,
}

#[derive(Debug)]
struct Routed {
    deployment: DeploymentId,
    weight: Weight,
    since: AtomicU64,
    total: Arc<AtomicU64>,
    side: Arc<Side>,
}

/// The way by which a request came to a deployment.
#[derive(Clone, Copy)]
pub(crate) struct Through<'a> {
    pub environment: &'a EnvironmentName,
    /// Counts the answers to those that came this way.
    pub side: &'a Arc<Side>,
}

/// Where a request goes.
pub(crate) enum Resolved<'a> {
    To(&'a Entry, Option<Through<'a>>),
    NoEnvironment,
    /// The environment exists and nothing was promoted to it.
    Empty,
    NoDevelopment,
    NoDeployment,
}

impl Table {
    /// Finds the deployment for a target; asking for an environment takes one turn of its split.
    pub fn resolve(&self, target: &Target) -> Resolved<'_> {
        let find = |id: &DeploymentId| self.deployments.get(id);
        match target {
            Target::Deployment(id) => match find(id) {
                Some(entry) => Resolved::To(entry, None),
                None => Resolved::NoDeployment,
            },
            Target::Development => match self.development.as_ref().and_then(find) {
                Some(entry) => Resolved::To(entry, None),
                None => Resolved::NoDevelopment,
            },
            Target::Environment(name) => {
                let Some((name, environment)) = EnvironmentName::new(name.as_str())
                    .ok()
                    .and_then(|n| self.environments.get_key_value(&n))
                else {
                    return Resolved::NoEnvironment;
                };
                let Some(share) = environment.split.as_ref().map(|split| &environment.shares[split.next()])
                else {
                    return Resolved::Empty;
                };
                share.since.fetch_add(1, Relaxed);
                share.total.fetch_add(1, Relaxed);
                match find(&share.deployment) {
                    Some(entry) => {
                        Resolved::To(entry, Some(Through { environment: name, side: &share.side }))
                    }
                    None => Resolved::Empty,
                }
            }
        }
    }

    /// A deployment, if a target leads to it; takes no turn.
    pub fn leads_to(&self, target: &Target, id: &DeploymentId) -> Option<(&Entry, Option<Through<'_>>)> {
        let entry = self.deployments.get(id)?;
        match target {
            Target::Environment(name) => {
                let name = EnvironmentName::new(name.as_str()).ok()?;
                let (name, environment) = self.environments.get_key_value(&name)?;
                let mut shares = environment.shares.iter().filter(|share| share.weight > Weight::ZERO);
                let share = shares.find(|share| share.deployment == *id)?;
                Some((entry, Some(Through { environment: name, side: &share.side })))
            }
            Target::Development => (self.development.as_ref() == Some(id)).then_some((entry, None)),
            Target::Deployment(other) => (other == id).then_some((entry, None)),
        }
    }

    /// Every deployment that an address may lead to.
    pub fn targets(&self, target: &Target) -> Vec<&Entry> {
        match target {
            Target::Environment(name) => EnvironmentName::new(name.as_str())
                .ok()
                .and_then(|name| self.environments.get(&name))
                .into_iter()
                .flat_map(|environment| &environment.shares)
                .filter(|share| share.weight > Weight::ZERO)
                .filter_map(|share| self.deployments.get(&share.deployment))
                .collect(),
            Target::Development => {
                self.development.iter().filter_map(|id| self.deployments.get(id)).collect()
            }
            Target::Deployment(id) => self.deployments.get(id).into_iter().collect(),
        }
    }

    /// Requests by deployment: since the shares last changed, and in all.
    pub fn routed(&self, environment: &EnvironmentName) -> Vec<(DeploymentId, u64, u64)> {
        let shares = self.environments.get(environment).map(|environment| environment.shares.as_slice());
        shares
            .unwrap_or_default()
            .iter()
            .map(|share| (share.deployment.clone(), share.since.load(Relaxed), share.total.load(Relaxed)))
            .collect()
    }

    /// Answers and errors by deployment, of requests that came by the environment's address.
    pub fn sides(&self, environment: &EnvironmentName) -> Vec<(DeploymentId, SideCounts)> {
        let shares = self.environments.get(environment).map(|environment| environment.shares.as_slice());
        let counts = |share: &Routed| (share.deployment.clone(), share.side.counts());
        shares.unwrap_or_default().iter().map(counts).collect()
    }

    /// Whether an environment sends requests to a deployment.
    pub fn sends(&self, environment: &EnvironmentName, deployment: &DeploymentId) -> bool {
        self.environments.get(environment).is_some_and(|environment| {
            environment.shares.iter().any(|s| s.deployment == *deployment && s.weight > Weight::ZERO)
        })
    }
}

/// Builds the next table, keeping replicas, deployments and counters that are already known. `now` is monotonic
/// milliseconds.
pub(crate) fn build(
    before: &Table,
    routes: ModelRoutes,
    now: i64,
    known: impl Fn(&DeploymentId, &ModelId) -> Arc<Deployment>,
) -> Table {
    let serial = before.serial + 1;
    let deployments = routes.deployments.into_iter().map(|route| {
        let deployment = match before.deployments.get(&route.id) {
            Some(entry) => entry.deployment.clone(),
            None => known(&route.id, &routes.model),
        };
        let view = Arc::new(view(serial, &deployment, &route, now));
        (route.id, Entry { deployment, view })
    });
    let environments = routes.environments.into_iter().map(|route| {
        let name = route.name.clone();
        let kept = before.environments.get(&name);
        (name, environment(kept, route))
    });
    Table {
        generation: routes.generation,
        serial,
        deployments: deployments.collect(),
        environments: environments.collect(),
        development: routes.development,
    }
}

fn view(serial: u64, deployment: &Deployment, route: &DeploymentRoute, now: i64) -> View {
    let replicas = match route.availability {
        Availability::Serving => route.replicas.as_slice(),
        _ => &[],
    };
    let replicas = replicas.iter().map(|address| {
        deployment
            .replica(&address.id)
            .filter(|replica| replica.port == address.port)
            .unwrap_or_else(|| Arc::new(Replica::new(&route.id, address.id.clone(), address.port, now)))
    });
    View {
        serial,
        availability: route.availability.clone(),
        target: route.concurrency_target.unwrap_or(u32::MAX).max(1),
        rejects_when_full: route.rejects_when_full,
        replicas: replicas.collect(),
        predict: route.rewrite.predict.parse().unwrap_or_else(|_| Uri::from_static("/")),
        rewrite: route.rewrite.clone(),
    }
}

fn environment(before: Option<&Arc<Environment>>, route: EnvironmentRoute) -> Arc<Environment> {
    if let Some(before) = before {
        let same = before.shares.len() == route.shares.len()
            && before
                .shares
                .iter()
                .zip(&route.shares)
                .all(|(a, b)| a.deployment == b.deployment && a.weight == b.weight);
        if same && before.version == route.version {
            return before.clone();
        }
    }
    let known = |id: &DeploymentId| {
        before.and_then(|before| before.shares.iter().find(|share| share.deployment == *id))
    };
    let weights: Vec<u16> = route.shares.iter().map(|share| share.weight.basis_points()).collect();
    let shares = route.shares.into_iter().map(|share| Routed {
        total: known(&share.deployment).map(|share| share.total.clone()).unwrap_or_default(),
        side: known(&share.deployment).map(|share| share.side.clone()).unwrap_or_default(),
        deployment: share.deployment,
        weight: share.weight,
        since: AtomicU64::new(0),
    });
    Arc::new(Environment { version: route.version, shares: shares.collect(), split: Split::new(&weights) })
}

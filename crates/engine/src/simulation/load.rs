use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::{
    Demand, DeploymentId, DeploymentTraffic, EnvironmentName, ModelId, ModelRoutes, ReplicaId, SideCounts,
    Traffic,
};

use super::Table;

/// Concurrent requests that clients keep up at each environment's address, split as the table says.
pub struct Load {
    table: Arc<Table>,
    model: ModelId,
    wanted: Mutex<BTreeMap<EnvironmentName, u32>>,
    served: Mutex<BTreeMap<DeploymentId, Served>>,
}

/// What a deployment served, and how often it fails.
#[derive(Debug, Clone, Copy, Default)]
struct Served {
    /// Milliseconds of requests in flight.
    busy: i64,
    /// Each so many answers one is an error.
    fails_every: Option<u64>,
}

/// What a request takes, in milliseconds.
const TAKES: i64 = 100;

impl Load {
    pub fn new(table: Arc<Table>, model: ModelId) -> Self {
        Self { table, model, wanted: Mutex::default(), served: Mutex::default() }
    }

    /// Each `every`th answer of a deployment is an error from now on; 0 for none.
    pub fn fail(&self, deployment: &DeploymentId, every: u64) {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.entry(deployment.clone()).or_default().fails_every = (every > 0).then_some(every);
    }

    /// Time passes, and requests are answered meanwhile.
    pub fn advance(&self, millis: i64) {
        let Some(routes) = self.table.of(&self.model) else { return };
        for (id, _) in self.split(&routes) {
            let in_flight = self.deployment(&id).demand.in_flight;
            let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
            served.entry(id).or_default().busy += millis.saturating_mul(i64::from(in_flight));
        }
    }

    /// The counters of a server that starts are empty.
    pub fn forget(&self) {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.values_mut().for_each(|served| served.busy = 0);
    }

    /// From now on so many requests are under way at an environment's address.
    pub fn set(&self, environment: EnvironmentName, concurrent: u32) {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).insert(environment, concurrent);
    }

    /// Requests at each deployment, by the shares in force.
    fn split(&self, routes: &ModelRoutes) -> BTreeMap<DeploymentId, u32> {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut split = BTreeMap::new();
        for environment in &routes.environments {
            let mut left = wanted.get(&environment.name).copied().unwrap_or(0);
            let whole = left;
            let last = environment.shares.iter().rposition(|share| share.weight.basis_points() > 0);
            for (index, share) in environment.shares.iter().enumerate() {
                let part = (u64::from(whole) * u64::from(share.weight.basis_points()) / 10_000) as u32;
                let part = if Some(index) == last { left } else { part.min(left) };
                left -= part;
                *split.entry(share.deployment.clone()).or_insert(0) += part;
            }
        }
        split
    }
}

impl Traffic for Load {
    fn deployment(&self, deployment: &DeploymentId) -> DeploymentTraffic {
        let Some(routes) = self.table.of(&self.model) else { return DeploymentTraffic::default() };
        let total = self.split(&routes).get(deployment).copied().unwrap_or(0);
        let route = routes.deployments.iter().find(|route| &route.id == deployment);
        let capacity = route.map_or(0, |route| {
            (route.replicas.len() as u32).saturating_mul(route.concurrency_target.unwrap_or(u32::MAX))
        });
        let in_flight = total.min(capacity);
        DeploymentTraffic {
            demand: Demand { in_flight, held: total - in_flight },
            ..DeploymentTraffic::default()
        }
    }

    fn routed(&self, _: &ModelId, _: &EnvironmentName) -> Vec<(DeploymentId, u64, u64)> {
        Vec::new()
    }

    fn sides(&self, _: &ModelId, environment: &EnvironmentName) -> Vec<(DeploymentId, SideCounts)> {
        let routes = self.table.of(&self.model).map(|routes| routes.environments).unwrap_or_default();
        let shares = routes.into_iter().filter(|route| &route.name == environment).flat_map(|r| r.shares);
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = |id: &DeploymentId| {
            let Served { busy, fails_every } = served.get(id).copied().unwrap_or_default();
            let answered = u64::try_from(busy / TAKES).unwrap_or(0);
            SideCounts { answered, errors: fails_every.map_or(0, |every| answered / every) }
        };
        shares.map(|share| (share.deployment.clone(), counts(&share.deployment))).collect()
    }

    /// A replica's last requests end as soon as it leaves the table.
    fn in_flight(&self, replica: &ReplicaId) -> u32 {
        let Some(routes) = self.table.of(&self.model) else { return 0 };
        u32::from(
            routes
                .deployments
                .iter()
                .any(|route| route.replicas.iter().any(|address| &address.id == replica)),
        )
    }
}

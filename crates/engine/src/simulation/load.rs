use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    short: Mutex<Option<Short>>,
    long: Mutex<Long>,
}

/// Requests at production's address that are over as soon as a replica has them, one at a time.
#[derive(Debug)]
struct Short {
    every: i64,
    /// Milliseconds until the next one comes.
    next: i64,
    /// Those that came while no replica was ready.
    waiting: u32,
}

/// The last request of each replica: one of those that clients keep up, which ends some time after the replica left the table.
#[derive(Debug, Default)]
struct Long {
    /// How long after, in milliseconds; 0 for at once.
    takes: i64,
    /// Milliseconds that have passed.
    now: i64,
    /// When each replica was in the table for the last time.
    routed: BTreeMap<ReplicaId, i64>,
}

/// What a deployment served, and how often it fails.
#[derive(Debug, Clone, Copy, Default)]
struct Served {
    /// Milliseconds of requests in flight.
    busy: i64,
    /// Short requests.
    short: u64,
    /// Each so many answers one is an error.
    fails_every: Option<u64>,
}

/// What a request takes, in milliseconds.
const TAKES: i64 = 100;

impl Served {
    fn answered(self) -> u64 {
        u64::try_from(self.busy / TAKES).unwrap_or(0)
    }
}

impl Load {
    pub fn new(table: Arc<Table>, model: ModelId) -> Self {
        Self {
            table,
            model,
            wanted: Mutex::default(),
            served: Mutex::default(),
            short: Mutex::default(),
            long: Mutex::default(),
        }
    }

    fn long_ones(&self) -> MutexGuard<'_, Long> {
        self.long.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the last request of a replica ends so many milliseconds after it left the table; 0 for at once.
    pub fn send_long(&self, takes: i64) {
        self.long_ones().takes = takes;
    }

    fn advance_long(&self, routes: &ModelRoutes, millis: i64) {
        let mut long = self.long_ones();
        long.now += millis;
        let now = long.now;
        for address in routes.deployments.iter().flat_map(|route| &route.replicas) {
            long.routed.insert(address.id.clone(), now);
        }
    }

    fn short_ones(&self) -> MutexGuard<'_, Option<Short>> {
        self.short.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a short request comes each so many milliseconds, at least 1; or none any more.
    pub fn send_short(&self, every: Option<i64>) {
        *self.short_ones() = every.map(|every| Short { every, next: every, waiting: 0 });
    }

    /// Milliseconds until the next short request.
    pub fn due_in(&self) -> Option<i64> {
        self.short_ones().as_ref().map(|short| short.next)
    }

    /// Short requests come to whoever has the last share of production.
    fn receives_short(&self, routes: &ModelRoutes) -> Option<DeploymentId> {
        let production = routes.environments.iter().find(|environment| environment.name.is_production())?;
        let last = production.shares.iter().rfind(|share| share.weight.basis_points() > 0);
        last.map(|share| share.deployment.clone())
    }

    fn advance_short(&self, routes: &ModelRoutes, millis: i64) {
        let Some(deployment) = self.receives_short(routes) else { return };
        let mut short = self.short_ones();
        let Some(short) = short.as_mut() else { return };
        let mut came = 0;
        short.next -= millis;
        while short.next <= 0 {
            short.next += short.every;
            came += 1;
        }
        let route = routes.deployments.iter().find(|route| route.id == deployment);
        let ready = route.is_some_and(|route| !route.replicas.is_empty());
        short.waiting = if ready { 0 } else { short.waiting + came };
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.entry(deployment).or_default().short += u64::from(came);
    }

    /// Each `every`th answer of a deployment is an error from now on; 0 for none.
    pub fn fail(&self, deployment: &DeploymentId, every: u64) {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.entry(deployment.clone()).or_default().fails_every = (every > 0).then_some(every);
    }

    /// Time passes, and requests are answered meanwhile.
    pub fn advance(&self, millis: i64) {
        let Some(routes) = self.table.of(&self.model) else { return };
        self.advance_short(&routes, millis);
        self.advance_long(&routes, millis);
        for (id, _) in self.split(&routes) {
            let in_flight = self.deployment(&id).demand.in_flight;
            let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
            served.entry(id).or_default().busy += millis.saturating_mul(i64::from(in_flight));
        }
    }

    /// The counters of a server that starts are empty, and the requests of the former one have ended with it.
    pub fn forget(&self) {
        self.long_ones().routed.clear();
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        served.values_mut().for_each(|served| (served.busy, served.short) = (0, 0));
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
        let waiting = match self.receives_short(&routes) {
            Some(id) if &id == deployment => self.short_ones().as_ref().map_or(0, |short| short.waiting),
            _ => 0,
        };
        let total = self.split(&routes).get(deployment).copied().unwrap_or(0) + waiting;
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let served = served.get(deployment).copied().unwrap_or_default();
        let route = routes.deployments.iter().find(|route| &route.id == deployment);
        let capacity = route.map_or(0, |route| {
            (route.replicas.len() as u32).saturating_mul(route.concurrency_target.unwrap_or(u32::MAX))
        });
        let in_flight = total.min(capacity);
        DeploymentTraffic {
            demand: Demand { in_flight, held: total - in_flight },
            requests: served.answered() + served.short,
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
            let of_it = served.get(id).copied().unwrap_or_default();
            let answered = of_it.answered();
            SideCounts { answered, errors: of_it.fails_every.map_or(0, |every| answered / every) }
        };
        shares.map(|share| (share.deployment.clone(), counts(&share.deployment))).collect()
    }

    fn in_flight(&self, replica: &ReplicaId) -> u32 {
        let Some(routes) = self.table.of(&self.model) else { return 0 };
        let mut routed = routes.deployments.iter().flat_map(|route| &route.replicas);
        let long = self.long_ones();
        let finishes = long.routed.get(replica).is_some_and(|last| long.now - last < long.takes);
        u32::from(finishes || routed.any(|address| &address.id == replica))
    }
}

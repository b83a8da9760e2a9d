//! The gateway's state: tables, keys, and who is known. No sockets here.

use arc_swap::ArcSwap;
use domain::{Clock, DeploymentId, EnvironmentName, ModelId, ModelRoutes, ReplicaId, Wake};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use tokio::sync::watch;

use crate::admission::Deployment;
use crate::held::Held;
use crate::replica::Replica;
use crate::table::{self, ModelCell, Table};
use crate::{GatewayConfig, KeySnapshot};

/// Obeys published routes, counts traffic, and tells when a model is wanted.
pub struct Gateway {
    pub(crate) config: GatewayConfig,
    pub(crate) wake: Arc<dyn Wake>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) keys: ArcSwap<KeySnapshot>,
    models: ArcSwap<HashMap<ModelId, Arc<ModelCell>>>,
    /// Of all models, for those who read counters.
    pub(crate) deployments: RwLock<HashMap<DeploymentId, Arc<Deployment>>>,
    /// Of all models, routed or still finishing.
    pub(crate) replicas: RwLock<Known>,
    /// One publish at a time; requests never take it.
    publishing: Mutex<()>,
    /// What requests that wait take of the memory.
    pub(crate) held: Held,
    /// Changes with each publish.
    pub(crate) published: watch::Sender<u64>,
    /// Requests that another process still has in progress, by replica.
    pub(crate) elsewhere: ArcSwap<BTreeMap<ReplicaId, u32>>,
    /// Whether every model that there is has been published; before, one that is not known may only be late.
    knows_all: AtomicBool,
}

/// Replicas by id, so that finding one does not look at all deployments.
#[derive(Debug, Default)]
pub(crate) struct Known {
    by_id: HashMap<ReplicaId, Weak<Replica>>,
    /// How many may be listed before those that are gone are dropped.
    bound: usize,
}

impl Known {
    pub fn find(&self, id: &ReplicaId) -> Option<Arc<Replica>> {
        self.by_id.get(id)?.upgrade()
    }

    fn all(&self) -> impl Iterator<Item = Arc<Replica>> {
        self.by_id.values().filter_map(Weak::upgrade)
    }

    fn add(&mut self, table: &Table) {
        for replica in table.deployments.values().flat_map(|entry| &entry.view.replicas) {
            self.by_id.insert(replica.id.clone(), Arc::downgrade(replica));
        }
        if self.by_id.len() > self.bound {
            self.by_id.retain(|_, replica| replica.strong_count() > 0);
            self.bound = self.by_id.len() * 2 + 64;
        }
    }
}

impl Gateway {
    /// A gateway that knows no model and no key.
    pub fn new(config: GatewayConfig, wake: Arc<dyn Wake>, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            held: Held::new(config.hold_bytes_in_all),
            config,
            wake,
            clock,
            keys: ArcSwap::default(),
            models: ArcSwap::default(),
            deployments: RwLock::default(),
            replicas: RwLock::default(),
            publishing: Mutex::new(()),
            published: watch::Sender::new(0),
            elsewhere: ArcSwap::default(),
            knows_all: AtomicBool::new(true),
        })
    }

    /// Replaces a model's routes. When this returns, every request that starts meets the new ones, and those that
    /// wait were passed on, sent to whoever serves their address now, or refused.
    pub fn publish(&self, routes: ModelRoutes) {
        let _one_at_a_time = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = self.cell(&routes.model);
        let before = cell.as_ref().map_or_else(Arc::default, |cell| cell.table.load_full());
        let (model, now) = (routes.model.clone(), self.clock.monotonic());
        let next = Arc::new(table::build(&before, routes, now, |id, model| self.known(id, model)));
        self.replicas.write().unwrap_or_else(PoisonError::into_inner).add(&next);
        match cell {
            Some(cell) => cell.table.store(next.clone()),
            // With its table, or a request could meet a model without environments.
            None => self.add(model, next.clone()),
        }
        for entry in next.deployments.values() {
            let deployment = &entry.deployment;
            let keeps = |environment: &EnvironmentName| next.sends(environment, &deployment.id);
            deployment.obey(Some(entry.view.clone()), now, keeps);
        }
        let mut gone: Vec<_> = before.deployments.values().map(|entry| &entry.deployment).collect();
        gone.retain(|deployment| !next.deployments.contains_key(&deployment.id));
        self.dismiss(&gone);
        self.published.send_modify(|count| *count += 1);
    }

    /// Drops a model: its addresses answer 404 from now on.
    pub fn forget(&self, model: &ModelId) {
        let _one_at_a_time = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(cell) = self.cell(model) else { return };
        let mut models = HashMap::clone(&self.models.load());
        models.remove(model);
        self.models.store(Arc::new(models));
        let before = cell.table.swap(Arc::default());
        let gone: Vec<_> = before.deployments.values().map(|entry| &entry.deployment).collect();
        self.dismiss(&gone);
        self.published.send_modify(|count| *count += 1);
    }

    /// Replicas that have requests in progress, with how many.
    pub fn busy(&self) -> BTreeMap<ReplicaId, u32> {
        let known = self.replicas.read().unwrap_or_else(PoisonError::into_inner);
        let counts = known.all().map(|replica| (replica.id.clone(), replica.in_flight()));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Counts what another process still has in progress as if it were in progress here, so that no replica is taken from
    /// under it.
    pub fn set_elsewhere(&self, busy: BTreeMap<ReplicaId, u32>) {
        self.elsewhere.store(Arc::new(busy));
    }

    /// Says that models are still to be published, as after a start: a request for one that is not known waits.
    pub fn expect_models(&self) {
        self.knows_all.store(false, Ordering::SeqCst);
    }

    /// Says that every model has been published: what is not known now does not exist.
    pub fn knows_all(&self) {
        self.knows_all.store(true, Ordering::SeqCst);
        self.published.send_modify(|count| *count += 1);
    }

    /// Whether a model is not known and may only be late, as after a start.
    pub(crate) fn is_late(&self, model: &ModelId) -> bool {
        !self.knows_all.load(Ordering::SeqCst) && self.table(model).is_none()
    }

    /// Waits until a model is known, or known not to exist.
    pub(crate) async fn until_known(&self, model: &ModelId) {
        let mut published = self.published.subscribe();
        while self.is_late(model) && published.changed().await.is_ok() {}
    }

    /// Replaces the keys in force.
    pub fn set_keys(&self, keys: Arc<KeySnapshot>) {
        self.keys.store(keys);
    }

    pub(crate) fn table(&self, model: &ModelId) -> Option<arc_swap::Guard<Arc<Table>>> {
        self.models.load().get(model).map(|cell| cell.table.load())
    }

    fn cell(&self, model: &ModelId) -> Option<Arc<ModelCell>> {
        self.models.load().get(model).cloned()
    }

    fn add(&self, model: ModelId, table: Arc<Table>) {
        let mut models = HashMap::clone(&self.models.load());
        models.insert(model, Arc::new(ModelCell { table: ArcSwap::new(table) }));
        self.models.store(Arc::new(models));
    }

    fn known(&self, id: &DeploymentId, model: &ModelId) -> Arc<Deployment> {
        let mut all = self.deployments.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Deployment::new(id.clone(), model.clone(), self.config.measures));
        all.entry(id.clone()).or_insert_with(new).clone()
    }

    /// Ends the waits of deployments that are not routed any more. They stay known until their last request ended.
    fn dismiss(&self, gone: &[&Arc<Deployment>]) {
        if gone.is_empty() {
            return;
        }
        for deployment in gone {
            deployment.obey(None, self.clock.monotonic(), |_| false);
        }
        let mut all = self.deployments.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, deployment| deployment.view().is_some() || deployment.in_flight() > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{ManualClock, ModelName, Timestamp};

    struct NoWake;

    impl Wake for NoWake {
        fn wake(&self, _: &ModelId) {}
    }

    #[test]
    fn a_model_is_never_known_before_its_routes_are() {
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(0)));
        let gateway = Gateway::new(GatewayConfig::default(), Arc::new(NoWake), clock);
        let models: Vec<ModelId> = (0..2_000).map(|number| ModelId::new(format!("model{number}"))).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for model in &models {
                    gateway.publish(ModelRoutes {
                        model: model.clone(),
                        name: ModelName::new("iris").unwrap(),
                        generation: 1,
                        environments: Vec::new(),
                        deployments: Vec::new(),
                        development: None,
                    });
                }
            });
            for model in &models {
                let table = std::iter::repeat_with(|| gateway.table(model)).flatten().next().unwrap();
                assert_eq!(table.generation, 1, "{model}");
            }
        });
    }
}

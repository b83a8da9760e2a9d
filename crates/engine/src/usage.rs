//! Meters what deployments use, and flushes it now and then (semantics: Usage).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use domain::{
    Deployment, DeploymentId, ModelId, ModelName, Moment, ObservedReplica, ReplicaId, Seen, UpTime,
    is_metered,
};
use store::UsageDelta;

use crate::Engine;

/// How often use is written, in milliseconds.
const FLUSH_EVERY: i64 = 60_000;
const DAY: i64 = 86_400_000;
/// Rows that are written in one transaction.
const TOGETHER: usize = 500;
/// Rows that may wait while the database can't be written: beyond that the oldest are lost.
const MOST_WAITING: usize = 20_000;

/// Remembers up to where use was counted, and what of it is not written yet.
pub(crate) struct Meter {
    began: Moment,
    flushed_at: i64,
    /// Models that had replicas when they were counted last.
    up: BTreeMap<ModelId, Up>,
    /// Requests of each deployment that are counted already.
    requests: BTreeMap<DeploymentId, u64>,
    /// Minutes of deployments that could not be counted when they began.
    put_off: BTreeMap<DeploymentId, u64>,
    /// What is counted and not written, by day and deployment.
    waiting: BTreeMap<(i64, DeploymentId), UsageDelta>,
}

/// A model's replicas whose time counts.
#[derive(Default)]
struct Up {
    /// When they were counted, in monotonic milliseconds.
    at: i64,
    replicas: BTreeMap<ReplicaId, UpTime>,
}

impl Meter {
    pub fn new(at: Moment) -> Self {
        Self {
            began: at,
            flushed_at: at.monotonic,
            up: BTreeMap::new(),
            requests: BTreeMap::new(),
            put_off: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    pub fn due_at(&self) -> i64 {
        self.flushed_at + FLUSH_EVERY
    }

    /// Counts what is then to be written.
    fn add(&mut self, delta: UsageDelta) {
        match self.waiting.entry((delta.day, delta.deployment.clone())) {
            Entry::Vacant(free) => {
                free.insert(delta);
            }
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                let minutes = known.minutes + delta.minutes;
                let requests = known.requests + delta.requests;
                *known = UsageDelta { minutes, requests, ..delta };
            }
        }
        if self.waiting.len() > MOST_WAITING
            && let Some((_, lost)) = self.waiting.pop_first()
        {
            let deployment = lost.deployment;
            tracing::error!(%deployment, "too much use waits to be written; the oldest is lost");
        }
    }

    /// The oldest of what is to be written; it stays until it is [`Self::written`].
    fn to_write(&self) -> Vec<UsageDelta> {
        self.waiting.values().take(TOGETHER).cloned().collect()
    }

    fn written(&mut self, deltas: &[UsageDelta]) {
        for delta in deltas {
            self.waiting.remove(&(delta.day, delta.deployment.clone()));
        }
    }

    /// Notes how long replicas were up; their minutes are taken once their deployments can be read, which says whose are free.
    fn go_on(&mut self, model: &ModelId, replicas: &[ObservedReplica], at: Moment) {
        let mut up = self.up.remove(model).unwrap_or_default();
        let passed = at.monotonic - up.at;
        up.at = at.monotonic;
        for replica in replicas.iter().filter(|replica| replica.ready_at.is_some()) {
            match up.replicas.entry(replica.id.clone()) {
                Entry::Occupied(mut known) => known.get_mut().go_on(replica, passed),
                // Seen only later, it might have ended long before, and nobody would know when.
                Entry::Vacant(free) => {
                    if let Some(time) = self.started_here(replica, at) {
                        free.insert(time);
                    }
                }
            }
        }
        if !up.replicas.is_empty() {
            self.up.insert(model.clone(), up);
        }
    }

    /// What a replica that was not counted yet has been up; nothing of one that a former server started.
    fn started_here(&self, replica: &ObservedReplica, at: Moment) -> Option<UpTime> {
        let here = self.here(at);
        // After the clock was set back its age still tells that this server started it.
        let is_own =
            replica.started_at >= self.began.now || (0..=here).contains(&at.now.since(replica.started_at));
        // However the clock was set since, it is no older than this server.
        let most = replica.started_at.plus(here);
        is_own.then(|| UpTime::first_seen(replica, at.now.min(most), None))
    }

    /// How long this server has run, in milliseconds, however the clock was set since.
    fn here(&self, at: Moment) -> i64 {
        (at.monotonic - self.began.monotonic).max(0)
    }

    /// The model is gone, with these deployments. What they used is written all the same.
    pub fn forget(&mut self, model: &ModelId, deployments: &[DeploymentId]) {
        self.up.remove(model);
        self.requests.retain(|deployment, _| !deployments.contains(deployment));
        self.put_off.retain(|deployment, _| !deployments.contains(deployment));
    }

    pub fn is_due(&self, monotonic: i64) -> bool {
        monotonic >= self.due_at()
    }
}

/// A model as it is metered.
pub(crate) struct Metered<'a> {
    pub model: &'a ModelId,
    pub name: &'a ModelName,
    pub deployments: &'a [Deployment],
    /// Those there are, also those that have ended and are about to be forgotten.
    pub replicas: &'a [ObservedReplica],
}

/// Minutes that replicas began.
#[derive(Default)]
struct Begun {
    minutes: BTreeMap<DeploymentId, u64>,
    /// Deployments of which nothing can be counted now, because it is not known up to when one of their replicas is. A row would
    /// say that all of them are.
    uncounted: BTreeSet<DeploymentId>,
}

/// Deployments whose use is counted.
pub(crate) fn metered(deployments: &[Deployment]) -> Vec<DeploymentId> {
    deployments.iter().map(|deployment| deployment.id.clone()).collect()
}

impl Engine {
    /// Whether a deployment had requests that are not counted yet.
    fn has_new_requests(&self, deployment: &DeploymentId) -> bool {
        let before = self.meter.requests.get(deployment).copied().unwrap_or(0);
        self.parts.traffic.requests(deployment) != before
    }

    /// Writes what every model used since the last time. Those that used nothing are not read.
    pub(crate) async fn flush_usage(&mut self, at: Moment) {
        self.meter.flushed_at = at.monotonic;
        let models: Vec<_> = self.models.keys().cloned().collect();
        for model in models {
            // The one before may have taken its time.
            let at = self.moment();
            let Seen::Known(replicas) = self.parts.runtime.observe(&model) else { continue };
            let known = self.models.get(&model).map(|known| known.metered.as_slice()).unwrap_or_default();
            // One that has ended is counted until it is forgotten: without its time it would count from its start again.
            if replicas.is_empty()
                && !self.builds.has_minutes(&model)
                && !known.iter().any(|deployment| self.has_new_requests(deployment))
            {
                // What was not up has used nothing until now.
                self.meter.up.remove(&model);
                continue;
            }
            let state = match self.parts.store.load_model(&model).await {
                Ok(Some(state)) => state,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(%model, %error, "could not read a model to meter its use; counting goes on");
                    self.meter.go_on(&model, &replicas, at);
                    continue;
                }
            };
            let metered = Metered {
                model: &model,
                name: &state.model.name,
                deployments: &state.deployments,
                replicas: &replicas,
            };
            self.meter(metered, at).await;
        }
        self.write_usage().await;
    }

    /// Counts what a model used since it was last metered: minutes that its builds and replicas began, and requests.
    pub(crate) async fn meter(&mut self, metered: Metered<'_>, at: Moment) {
        let Begun { minutes: mut begun, uncounted } = self.minutes_of_replicas(&metered, at).await;
        let mut built = self.builds.take_minutes(metered.model, &uncounted);
        let Metered { model, name, deployments, .. } = metered;
        for deployment in &uncounted {
            let minutes = begun.remove(deployment).unwrap_or(0);
            *self.meter.put_off.entry(deployment.clone()).or_default() += minutes;
        }
        for deployment in deployments.iter().filter(|deployment| !uncounted.contains(&deployment.id)) {
            let total = self.parts.traffic.deployment(&deployment.id).requests;
            let before = self.meter.requests.insert(deployment.id.clone(), total).unwrap_or(0);
            let requests = total.saturating_sub(before) as i64;
            let of_builds =
                built.remove(&deployment.id).filter(|_| !deployment.is_development()).unwrap_or(0);
            let put_off = self.meter.put_off.remove(&deployment.id).unwrap_or(0);
            let minutes = (begun.remove(&deployment.id).unwrap_or(0) + put_off + of_builds) as i64;
            if requests == 0 && minutes == 0 {
                continue;
            }
            let of_type = self.parts.host.find(&deployment.compute.type_id);
            self.meter.add(UsageDelta {
                deployment: deployment.id.clone(),
                model: model.clone(),
                deployment_name: deployment.name.to_string(),
                model_name: name.to_string(),
                environment: deployment.environment.as_ref().map(ToString::to_string),
                instance_type: Some(self.parts.host.type_name(&deployment.compute)),
                price: of_type.and_then(|known| known.price).filter(|_| !deployment.is_development()),
                day: at.now.millis().div_euclid(DAY),
                minutes,
                requests,
                counted_to: at.now,
            });
        }
    }

    /// The minutes that each deployment's replicas began since they were counted last.
    async fn minutes_of_replicas(&mut self, metered: &Metered<'_>, at: Moment) -> Begun {
        let mut begun = Begun::default();
        let mut before = self.meter.up.remove(metered.model).unwrap_or_default();
        let passed = at.monotonic - before.at;
        let mut up = Up { at: at.monotonic, replicas: BTreeMap::new() };
        for replica in metered.replicas {
            let of = metered.deployments.iter().find(|deployment| deployment.id == replica.deployment);
            if of.is_none_or(|deployment| !is_metered(deployment, replica)) {
                continue;
            }
            let time = match before.replicas.remove(&replica.id) {
                Some(mut time) => {
                    time.go_on(replica, passed);
                    Some(time)
                }
                None => self.first_seen(replica, at).await,
            };
            match time {
                Some(mut time) => {
                    *begun.minutes.entry(replica.deployment.clone()).or_default() += time.take_minutes();
                    up.replicas.insert(replica.id.clone(), time);
                }
                None => {
                    begun.uncounted.insert(replica.deployment.clone());
                }
            }
        }
        if !up.replicas.is_empty() {
            self.meter.up.insert(metered.model.clone(), up);
        }
        begun
    }

    /// What a replica that was not counted yet has been up; nothing while the database can't say what a former server counted.
    async fn first_seen(&self, replica: &ObservedReplica, at: Moment) -> Option<UpTime> {
        let own = self.meter.started_here(replica, at);
        if own.is_some() {
            return own;
        }
        let began = self.meter.began.now;
        match self.parts.store.usage_counted_to(&replica.deployment).await {
            // A clock that was set back must not keep anything from being counted.
            Ok(to) => {
                let to = to.map_or(replica.started_at, |to| to.min(began));
                let now = began.plus(self.meter.here(at));
                Some(UpTime::first_seen(replica, now, Some(to)))
            }
            Err(error) => {
                let deployment = &replica.deployment;
                tracing::warn!(%deployment, %error, "could not read up to when a replica is counted; it is counted later");
                None
            }
        }
    }

    /// Writes what is counted. What can't be written waits for the next time, so that a full disk, or a database that is away
    /// for a while, costs the usage log nothing. If it was written and only the answer was lost, it counts twice: use that was
    /// never written would be worse.
    pub(crate) async fn write_usage(&mut self) {
        loop {
            let deltas = self.meter.to_write();
            if deltas.is_empty() {
                return;
            }
            if let Err(error) = self.parts.store.add_usage(&deltas).await {
                let waiting = self.meter.waiting.len();
                tracing::error!(%error, waiting, "could not write what was used; it is kept, and written later");
                return;
            }
            self.meter.written(&deltas);
        }
    }
}

#[cfg(all(test, feature = "simulation"))]
mod tests;

//! Meters what deployments use, and flushes it now and then (semantics: Usage).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use domain::{Deployment, DeploymentId, ModelId, ModelName, Moment, ObservedReplica, Seen};
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
    began: i64,
    flushed_at: i64,
    /// Up to when each model was counted.
    counted_at: BTreeMap<ModelId, i64>,
    /// Requests of each deployment that are counted already.
    requests: BTreeMap<DeploymentId, u64>,
    /// What is counted and not written, by day and deployment.
    waiting: BTreeMap<(i64, DeploymentId), UsageDelta>,
}

impl Meter {
    pub fn new(monotonic: i64) -> Self {
        Self {
            began: monotonic,
            flushed_at: monotonic,
            counted_at: BTreeMap::new(),
            requests: BTreeMap::new(),
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
                let replica_millis = known.replica_millis + delta.replica_millis;
                let requests = known.requests + delta.requests;
                *known = UsageDelta { replica_millis, requests, ..delta };
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

    /// The model is gone, with these deployments. What they used is written all the same.
    pub fn forget(&mut self, model: &ModelId, deployments: &[DeploymentId]) {
        self.counted_at.remove(model);
        self.requests.retain(|deployment, _| !deployments.contains(deployment));
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
    /// Those that were up until now.
    pub replicas: Vec<&'a ObservedReplica>,
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
            let Seen::Known(replicas) = self.parts.runtime.observe(&model) else { continue };
            let known = self.models.get(&model).map(|known| known.metered.as_slice()).unwrap_or_default();
            if !replicas.iter().any(ObservedReplica::is_alive)
                && !known.iter().any(|deployment| self.has_new_requests(deployment))
            {
                // What was not up has used nothing until now.
                self.meter.counted_at.insert(model, at.monotonic);
                continue;
            }
            let state = match self.parts.store.load_model(&model).await {
                Ok(Some(state)) => state,
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(%model, %error, "could not read a model to meter its use; counting goes on");
                    continue;
                }
            };
            let metered = Metered {
                model: &model,
                name: &state.model.name,
                deployments: &state.deployments,
                replicas: replicas.iter().filter(|replica| replica.is_alive()).collect(),
            };
            self.meter(metered, at);
        }
        self.write_usage().await;
    }

    /// Counts what a model used since it was last metered: milliseconds of replicas, and requests.
    pub(crate) fn meter(&mut self, metered: Metered<'_>, at: Moment) {
        let Metered { model, name, deployments, replicas } = metered;
        let since = self.meter.counted_at.insert(model.clone(), at.monotonic).unwrap_or(self.meter.began);
        let passed = (at.monotonic - since).max(0);
        for deployment in deployments {
            let total = self.parts.traffic.deployment(&deployment.id).requests;
            let before = self.meter.requests.insert(deployment.id.clone(), total).unwrap_or(0);
            let requests = total.saturating_sub(before) as i64;
            let of_mine = replicas.iter().filter(|replica| replica.deployment == deployment.id);
            let replica_millis: i64 =
                of_mine.map(|replica| passed.min(at.now.since(replica.started_at)).max(0)).sum();
            if requests == 0 && replica_millis == 0 {
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
                // Development is shown and not charged.
                price: of_type.and_then(|known| known.price).filter(|_| !deployment.is_development()),
                day: at.now.millis().div_euclid(DAY),
                replica_millis,
                requests,
            });
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
mod tests {
    use std::sync::Arc;

    use domain::{Clock, Host, InstanceType, Price, Runtime};
    use store::{ModelState, Store};

    use super::*;
    use crate::simulation::{Script, World};

    fn delta(deployment: &str, day: i64) -> UsageDelta {
        UsageDelta {
            deployment: DeploymentId::new(deployment),
            model: ModelId::new("m"),
            deployment_name: "v1".into(),
            model_name: "iris".into(),
            environment: None,
            instance_type: None,
            price: None,
            day,
            replica_millis: 10,
            requests: 1,
        }
    }

    fn used<'a>(state: &'a ModelState, replicas: &'a [ObservedReplica]) -> Metered<'a> {
        Metered {
            model: &state.model.id,
            name: &state.model.name,
            deployments: &state.deployments,
            replicas: replicas.iter().collect(),
        }
    }

    fn day(at: Moment) -> i64 {
        at.now.millis().div_euclid(DAY)
    }

    /// A world whose deployment has run for a while, with its replica, and the moment some seconds later.
    async fn running(script: Script) -> (World, ModelState, Vec<ObservedReplica>, impl Fn(i64) -> Moment) {
        let mut world = World::new(1).await.expect("a world");
        world.deploy("v1", Script { ready_after_ms: 1_000, ..script }).await.expect("deployed");
        world.run(30_000).await.expect("it ran");
        let state = world.state().await.expect("a state");
        let Seen::Known(replicas) = world.machine.observe(&world.model) else { panic!("it answers") };
        assert_eq!(replicas.len(), 1);
        let (now, monotonic) = (world.clock.now(), world.clock.monotonic());
        let later = move |seconds: i64| {
            let millis = seconds * 1_000;
            Moment { now: now.plus(millis), monotonic: monotonic + millis }
        };
        (world, state, replicas, later)
    }

    #[test]
    fn what_waits_is_added_up_and_does_not_grow_for_ever() {
        let mut meter = Meter::new(0);
        for day in [2, 1, 2] {
            meter.add(delta("a", day));
        }
        let told: Vec<_> =
            meter.to_write().iter().map(|delta| (delta.day, delta.replica_millis, delta.requests)).collect();
        assert_eq!(told, [(1, 10, 1), (2, 20, 2)]);
        for number in 0..MOST_WAITING {
            meter.add(delta(&number.to_string(), 3));
        }
        assert_eq!(meter.waiting.len(), MOST_WAITING);
        let written = meter.to_write();
        assert!(written.iter().all(|delta| delta.day == 3), "the oldest went");
        meter.written(&written);
        assert_eq!(meter.waiting.len(), MOST_WAITING - TOGETHER);
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_written_later_and_once() {
        let (mut world, state, replicas, later) = running(Script::default()).await;
        let folder = tempfile::tempdir().unwrap();
        let away = Store::open_scratch(&folder.path().join("away.db")).await.unwrap();
        away.close().await;
        let engine = &mut world.engine;
        let there = std::mem::replace(&mut engine.parts.store, away);
        for seconds in [10, 20] {
            engine.meter(used(&state, &replicas), later(seconds));
            engine.write_usage().await;
        }
        engine.parts.store = there.clone();
        // The replica has ended meanwhile.
        engine.meter(used(&state, &[]), later(30));
        engine.write_usage().await;
        engine.write_usage().await;
        let rows = there.usage(day(later(0)), day(later(30))).await.unwrap();
        let up = later(20).now.since(replicas[0].started_at);
        assert_eq!(rows.iter().map(|row| row.replica_millis).collect::<Vec<_>>(), [up]);
    }

    #[tokio::test]
    async fn development_is_shown_and_not_charged() {
        for (development, price) in [(true, None), (false, Some(Price(580_000)))] {
            let (mut world, state, replicas, later) =
                running(Script { development, ..Script::default() }).await;
            let known = InstanceType {
                id: state.deployments[0].compute.type_id.clone(),
                name: "2x8".into(),
                milli_cpu: 2_000,
                memory: 8 << 30,
                gpus: 0,
                gpu_type: None,
                price: Some(Price(580_000)),
            };
            let engine = &mut world.engine;
            engine.parts.host = Arc::new(Host { types: vec![known], ..(*engine.parts.host).clone() });
            engine.meter(used(&state, &replicas), later(10));
            engine.write_usage().await;
            let rows = engine.parts.store.usage(day(later(0)), day(later(10))).await.unwrap();
            assert_eq!(rows.iter().map(|row| row.price).collect::<Vec<_>>(), [price]);
            assert!(rows[0].replica_millis > 0);
        }
    }
}

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::{Change, Clock, DeploymentId, Host, Memory, ModelId, ModelRoutes, Moment, Runtime, Traffic};
use store::{Store, Vault};

use crate::history::{Record, Waiting};
use crate::room::WaitingRoom;
use crate::schedule::{SWEEP_EVERY, Schedule, sampled_again};
use crate::usage::Meter;
use crate::wakes::Woken;
use crate::{Builds, StartTimes, Wakes};

/// Takes routing tables; the gateway does.
pub trait Publisher: Send + Sync {
    /// Serves this table from now on: when it returns, no new request follows the former one.
    fn publish(&self, routes: ModelRoutes);
    /// The model is gone.
    fn forget(&self, model: &ModelId);
    /// Every model that there was at the start has been published; said once.
    fn knows_all(&self);
}

/// What the engine works with.
#[derive(Clone)]
pub struct Parts {
    pub store: Store,
    pub runtime: Arc<dyn Runtime>,
    /// What models may use of the machine.
    pub host: Arc<Host>,
    /// Builds that may run at once; one may in any case.
    pub builds_at_once: usize,
    pub traffic: Arc<dyn Traffic>,
    pub publisher: Arc<dyn Publisher>,
    pub clock: Arc<dyn Clock>,
    pub wakes: Arc<Wakes>,
    /// Tells browsers to read again.
    pub changes: Arc<dyn Fn(Change) + Send + Sync>,
    /// Fills a buffer with random bytes.
    pub random: Arc<dyn Fn(&mut [u8]) + Send + Sync>,
    /// Opens secrets for the replicas that declare them.
    pub vault: Vault,
}

/// What the engine remembers of a model between looks.
#[derive(Default)]
pub(crate) struct Known {
    pub memory: Memory,
    pub published: Option<ModelRoutes>,
    /// Those whose use is metered.
    pub metered: Vec<DeploymentId>,
    /// What browsers were last told of, to tell them only what is news.
    pub shown: u64,
    pub record: Record,
}

/// Looks at models that are due or were woken.
pub struct Engine {
    pub(crate) parts: Parts,
    pub(crate) models: BTreeMap<ModelId, Known>,
    pub(crate) builds: Builds,
    pub(crate) meter: Meter,
    pub(crate) room: WaitingRoom,
    pub(crate) waiting: Waiting,
    pub(crate) start_times: Arc<StartTimes>,
    pub(crate) schedule: Schedule,
    /// When to see whether the gateway has counted something of a model that rests until its next look.
    pub(crate) samples: Schedule,
    /// When the store is asked for models that nobody told of.
    sweep_at: i64,
    /// Models of the first sweep that were not looked at yet; `None` before it, and empty for ever after.
    unseen: Option<BTreeSet<ModelId>>,
}

/// How soon a model whose look failed is looked at again, in milliseconds.
const AFTER_FAILURE: i64 = 1_000;

impl Engine {
    pub fn new(parts: Parts) -> Self {
        let builds = Builds::new(parts.clone());
        let at = Moment { now: parts.clock.now(), monotonic: parts.clock.monotonic() };
        let meter = Meter::new(at);
        Self {
            parts,
            models: BTreeMap::new(),
            builds,
            meter,
            room: WaitingRoom::default(),
            waiting: Waiting::default(),
            start_times: Arc::default(),
            schedule: Schedule::default(),
            samples: Schedule::default(),
            sweep_at: i64::MIN,
            unseen: None,
        }
    }

    /// What it counts of starts, for whoever shows it.
    pub fn start_times(&self) -> Arc<StartTimes> {
        self.start_times.clone()
    }

    /// Looks at everything that is due or was woken, and says when to look next (monotonic milliseconds).
    pub async fn tick(&mut self) -> i64 {
        let at = self.moment();
        let Woken { asked, again: mut line } = self.parts.wakes.take();
        if at.monotonic >= self.sweep_at {
            line.extend(self.sweep(at).await);
        }
        line.extend(self.schedule.take_due(at.monotonic));
        if self.samples.next().is_some_and(|due| due <= at.monotonic) {
            let busy = self.busy(at.monotonic, |model| asked.contains(model) || line.contains(model));
            line.extend(busy);
        }
        if !asked.is_empty() {
            self.look_first(asked, &mut line, at).await;
        }
        while !line.is_empty() {
            // However long the line is, whoever is asked for meanwhile goes first.
            let asked = self.parts.wakes.take_asked();
            self.look_first(asked, &mut line, at).await;
            if let Some(model) = line.pop_first() {
                self.look_now(&model, at).await;
            }
        }
        if self.meter.is_due(at.monotonic) {
            // Looks of this tick may have counted up to now.
            self.flush_usage(self.moment()).await;
        }
        if self.waiting.due_at().is_some_and(|due| due <= at.monotonic) {
            self.flush_scaling(at.monotonic).await;
        }
        let others = [self.waiting.due_at(), self.schedule.next(), self.samples.next()];
        let next = self.sweep_at.min(self.meter.due_at());
        others.into_iter().flatten().fold(next, i64::min)
    }

    /// Looks at models that somebody may wait for, before those in the line.
    async fn look_first(&mut self, asked: BTreeSet<ModelId>, line: &mut BTreeSet<ModelId>, at: Moment) {
        for model in asked {
            line.remove(&model);
            self.look_now(&model, at).await;
        }
    }

    /// Looks at a model, and tries again later if that fails.
    async fn look_now(&mut self, model: &ModelId, at: Moment) {
        let looked = self.look(model).await;
        if let Err(error) = &looked {
            tracing::error!(%model, %error, "could not carry out what a model needs; trying again in a second");
            self.schedule.set(model, at.monotonic + AFTER_FAILURE);
            // What this look would have found is not known: nothing rests.
            self.samples.remove(model);
        }
        let is_settled = match looked {
            Ok(()) => self.is_settled(model),
            Err(_) => self.is_published(model),
        };
        if is_settled && self.unseen.as_mut().is_some_and(|unseen| unseen.remove(model)) {
            self.seen_all();
        }
    }

    /// Models that are to be sampled now because the gateway has counted something since their last look, or has something
    /// under way; but for those that are looked at in any case. The others have rested until now.
    fn busy(&mut self, now: i64, is_looked_at: impl Fn(&ModelId) -> bool) -> Vec<ModelId> {
        let mut busy = Vec::new();
        for model in self.samples.take_due(now) {
            let Some(known) = self.models.get_mut(&model).filter(|_| !is_looked_at(&model)) else { continue };
            let traffic = &self.parts.traffic;
            let mut counted = known.memory.requests.iter();
            if counted.all(|(deployment, requests)| traffic.is_quiet(deployment, *requests)) {
                known.memory.rest(now);
                self.samples.set(&model, sampled_again(now));
            } else {
                busy.push(model);
            }
        }
        busy
    }

    /// Models that have no look before them: at the start all of them, later those whose wake was lost.
    async fn sweep(&mut self, at: Moment) -> Vec<ModelId> {
        match self.parts.store.all_model_ids().await {
            Ok(all) => {
                if self.unseen.is_none() {
                    // Where the list could not be read at once, some were asked for and are published already.
                    let unseen = all.iter().filter(|model| !self.is_published(model));
                    self.unseen = Some(unseen.cloned().collect());
                    self.seen_all();
                }
                self.sweep_at = at.monotonic + SWEEP_EVERY;
                all.into_iter().filter(|model| !self.schedule.knows(model)).collect()
            }
            Err(error) => {
                tracing::error!(%error, "could not list the models; trying again in a second");
                self.sweep_at = at.monotonic + AFTER_FAILURE;
                Vec::new()
            }
        }
    }

    /// Whether a model's first look has had its effect: it was published, or it is gone.
    fn is_settled(&self, model: &ModelId) -> bool {
        self.models.get(model).is_none_or(|known| known.published.is_some())
    }

    fn is_published(&self, model: &ModelId) -> bool {
        self.models.get(model).is_some_and(|known| known.published.is_some())
    }

    /// Tells when the last model of the first sweep has had its look.
    fn seen_all(&self) {
        if self.unseen.as_ref().is_some_and(BTreeSet::is_empty) {
            self.parts.publisher.knows_all();
        }
    }

    /// Ticks until `shutdown` ends; then ends the builds, which the next server begins anew, and saves what is metered.
    pub async fn run(mut self, shutdown: impl Future<Output = ()> + Send) {
        tokio::pin!(shutdown);
        let wakes = self.parts.wakes.clone();
        loop {
            let next = self.tick().await;
            let wait = (next - self.parts.clock.monotonic()).clamp(0, SWEEP_EVERY) as u64;
            tokio::select! {
                () = &mut shutdown => break,
                () = wakes.woken() => {}
                () = tokio::time::sleep(Duration::from_millis(wait)) => {}
            }
        }
        // Nothing of them may go on where another server builds.
        self.builds.end().await;
        let at = self.moment();
        self.flush_usage(at).await;
        self.flush_scaling(at.monotonic).await;
    }

    /// Waits for the builds that run now. Simulations do, because their time stands still meanwhile.
    pub async fn finish_builds(&mut self) {
        self.builds.finish().await;
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment { now: self.parts.clock.now(), monotonic: self.parts.clock.monotonic() }
    }

    /// Asks for another look, after whoever waits for one.
    pub(crate) fn again(&self, model: &ModelId) {
        self.parts.wakes.again(model);
    }

    pub(crate) fn random_bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        (self.parts.random)(&mut bytes);
        bytes
    }
}

#[cfg(all(test, feature = "simulation"))]
mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use domain::Wake;

    use super::*;
    use crate::simulation::World;

    /// Takes tables, and asks for a model as soon as it has the first one.
    struct Impatient {
        wakes: Arc<Wakes>,
        wanted: ModelId,
        published: Mutex<Vec<ModelId>>,
    }

    impl Impatient {
        fn published(&self) -> MutexGuard<'_, Vec<ModelId>> {
            self.published.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl Publisher for Impatient {
        fn publish(&self, routes: ModelRoutes) {
            let mut published = self.published();
            if published.is_empty() {
                self.wakes.wake(&self.wanted);
            }
            published.push(routes.model);
        }

        fn forget(&self, _: &ModelId) {}

        fn knows_all(&self) {}
    }

    #[tokio::test]
    async fn whoever_is_asked_for_goes_before_the_others_of_a_start() {
        let mut world = World::new(1).await.unwrap();
        world.add_idle_models(5).await.unwrap();
        let mut models = world.engine.parts.store.all_model_ids().await.unwrap();
        models.sort();
        let wanted = models.pop().unwrap();
        let wakes = world.engine.parts.wakes.clone();
        let impatient = Arc::new(Impatient { wakes, wanted: wanted.clone(), published: Mutex::default() });
        world.engine.parts.publisher = impatient.clone();
        world.tick().await;
        models.insert(1, wanted);
        assert_eq!(*impatient.published(), models);
        // Their second looks find nothing new.
        world.tick().await;
        assert_eq!(impatient.published().len(), models.len());
    }
}

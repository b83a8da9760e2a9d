//! What the gateway counted since a rollout's first stage, which is less than what it counted in all.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use app::view::Counted;
use domain::{
    Change, ChangeKind, DeploymentId, EnvironmentName, ModelId, ModelRoutes, Promotion, PromotionId,
    Timestamp, Traffic, Weight,
};
use engine::Publisher;
use store::Store;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

/// Counts of one deployment: requests by the environment's address, and errors.
type Counts = HashMap<DeploymentId, (u64, u64)>;

/// Ended rollouts whose counts are kept for their pages.
const REMEMBERED: usize = 500;

/// What is known of one rollout's counts.
struct Account {
    model: ModelId,
    environment: EnvironmentName,
    candidate: DeploymentId,
    /// No traffic has moved yet.
    waits: bool,
    /// Where the counters stood when its first stage began.
    began: Counts,
    /// Where they stood before the routes last changed: a side that has left is not counted by the gateway any more.
    last: Counts,
    /// The how manieth one to end, if it has.
    ended: Option<u64>,
}

/// Remembers, for each rollout that this server saw running, where the counters stood when its first stage began, and what they
/// came to.
pub struct Rollouts {
    traffic: Arc<dyn Traffic>,
    /// The counters began at zero then: what began before it has counted from zero.
    started_at: Timestamp,
    accounts: Mutex<Accounts>,
}

#[derive(Default)]
struct Accounts {
    by_id: HashMap<PromotionId, Account>,
    /// How many have ended.
    ended: u64,
}

/// The least time between two looks at what changed.
const APART: Duration = Duration::from_millis(20);

impl Rollouts {
    pub fn new(traffic: Arc<dyn Traffic>, started_at: Timestamp) -> Arc<Self> {
        Arc::new(Self { traffic, started_at, accounts: Mutex::default() })
    }

    /// Looks at rollouts whenever something changes, until there are no more changes.
    pub fn follow(self: Arc<Self>, store: Store, mut changes: broadcast::Receiver<Change>) -> JoinHandle<()> {
        tokio::spawn(async move {
            loop {
                let mut change = match changes.recv().await {
                    Ok(change) => Some(change),
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                };
                // A storm of changes of a model is one look at it.
                let mut models = BTreeSet::new();
                while let Some(one) = change {
                    if one.kind == ChangeKind::Model {
                        models.insert(ModelId::new(one.id));
                    }
                    change = changes.try_recv().ok();
                }
                for model in models {
                    // What can't be read now is read at the next change, or at the next look at the page.
                    if let Ok(Some(state)) = store.load_model(&model).await {
                        state.promotions.iter().for_each(|promotion| self.see(promotion));
                    }
                }
                tokio::time::sleep(APART).await;
            }
        })
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a promotion: as long as no traffic has moved, its beginning is now.
    pub fn see(&self, promotion: &Promotion) {
        let mut accounts = self.accounts();
        if !promotion.is_running() {
            accounts.end(&promotion.id);
            return;
        }
        let waits = promotion.gate_passed_at.is_none();
        if !waits && accounts.by_id.contains_key(&promotion.id) {
            return;
        }
        let older = promotion.gate_passed_at.is_some_and(|passed| passed < self.started_at);
        let sides = std::iter::once(&promotion.candidate).chain(&promotion.previous);
        let now = self.now(&promotion.model, &promotion.environment);
        let of = |id: &DeploymentId| (id.clone(), now.get(id).copied().unwrap_or_default());
        let last: Counts = sides.map(of).collect();
        let began = if older { Counts::new() } else { last.clone() };
        let account = Account {
            model: promotion.model.clone(),
            environment: promotion.environment.clone(),
            candidate: promotion.candidate.clone(),
            waits,
            began,
            last,
            ended: None,
        };
        accounts.add(promotion.id.clone(), account);
    }

    /// Takes note of what was counted before a model's routes change; a rollout whose candidate had nothing begins with the
    /// routes that give it something.
    fn before_change(&self, routes: &ModelRoutes) {
        let mut accounts = self.accounts();
        for account in accounts.of(&routes.model) {
            let now = self.now(&account.model, &account.environment);
            account.bring(now);
            if account.waits {
                account.began = account.last.clone();
                account.waits = !moves(routes, &account.environment, &account.candidate);
            }
        }
    }

    /// What the gateway counts of those who serve an environment.
    fn now(&self, model: &ModelId, environment: &EnvironmentName) -> Counts {
        let answered: HashMap<_, _> = self.traffic.sides(model, environment).into_iter().collect();
        let routed = self.traffic.routed(model, environment).into_iter();
        routed
            .map(|(id, _, all)| {
                let errors = answered.get(&id).map_or(0, |side| side.errors);
                (id, (all, errors))
            })
            .collect()
    }

    /// What one side of a rollout has served from the first stage to its end; nothing before it, and for rollouts that this
    /// server never saw running. Latencies are of now, so an ended one has none.
    pub fn counted(&self, promotion: &Promotion, deployment: &DeploymentId) -> Option<Counted> {
        promotion.gate_passed_at?;
        self.see(promotion);
        let mut accounts = self.accounts();
        let account = accounts.by_id.get_mut(&promotion.id)?;
        if account.ended.is_none() {
            let now = self.now(&account.model, &account.environment);
            account.bring(now);
        }
        let before = account.began.get(deployment).copied().unwrap_or_default();
        let (requests, errors) = account.last.get(deployment).copied().unwrap_or_default();
        let traffic = account.ended.is_none().then(|| self.traffic.deployment(deployment));
        let millis = |micros: u64| (micros > 0).then_some(micros as f64 / 1000.0);
        Some(Counted {
            requests: requests.saturating_sub(before.0),
            errors: errors.saturating_sub(before.1),
            p50_ms: traffic.as_ref().and_then(|traffic| millis(traffic.p50_micros)),
            p95_ms: traffic.as_ref().and_then(|traffic| millis(traffic.p95_micros)),
        })
    }

    /// A publisher that has counts noted before routes change.
    pub fn before(self: &Arc<Self>, publisher: Arc<dyn Publisher>) -> Arc<dyn Publisher> {
        Arc::new(Noted { rollouts: self.clone(), publisher })
    }
}

impl Account {
    /// Brings both sides up to date; who is not counted any more keeps what it had.
    fn bring(&mut self, now: Counts) {
        for (side, counts) in &mut self.last {
            if let Some(newer) = now.get(side) {
                *counts = *newer;
            }
        }
    }
}

impl Accounts {
    /// Those of a model that still run.
    fn of(&mut self, model: &ModelId) -> impl Iterator<Item = &mut Account> {
        self.by_id.values_mut().filter(move |account| account.model == *model && account.ended.is_none())
    }

    /// Adds one, and forgets the one that ended first if there are many.
    fn add(&mut self, id: PromotionId, account: Account) {
        self.by_id.insert(id, account);
        let ended = self.by_id.iter().filter_map(|(id, account)| Some((account.ended?, id)));
        if self.by_id.len() > REMEMBERED
            && let Some((_, oldest)) = ended.min()
        {
            let oldest = oldest.clone();
            self.by_id.remove(&oldest);
        }
    }

    fn end(&mut self, id: &PromotionId) {
        if let Some(account) = self.by_id.get_mut(id).filter(|account| account.ended.is_none()) {
            self.ended += 1;
            account.ended = Some(self.ended);
        }
    }
}

/// Whether routes send the candidate anything of its environment's traffic.
fn moves(routes: &ModelRoutes, environment: &EnvironmentName, candidate: &DeploymentId) -> bool {
    let route = routes.environments.iter().find(|route| route.name == *environment);
    route.is_some_and(|route| {
        route.shares.iter().any(|share| share.deployment == *candidate && share.weight > Weight::ZERO)
    })
}

struct Noted {
    rollouts: Arc<Rollouts>,
    publisher: Arc<dyn Publisher>,
}

impl Publisher for Noted {
    fn publish(&self, routes: ModelRoutes) {
        self.rollouts.before_change(&routes);
        self.publisher.publish(routes);
    }

    fn forget(&self, model: &ModelId) {
        self.rollouts.accounts().by_id.retain(|_, account| account.model != *model);
        self.publisher.forget(model);
    }

    fn knows_all(&self) {
        self.publisher.knows_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        DeploymentTraffic, Environment, EnvironmentRoute, ModelName, Phase, ReplicaId, Share, SideCounts,
        Strategy,
    };
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct Counter(AtomicU64);

    impl Traffic for Counter {
        fn deployment(&self, _: &DeploymentId) -> DeploymentTraffic {
            DeploymentTraffic::default()
        }

        fn sides(&self, _: &ModelId, _: &EnvironmentName) -> Vec<(DeploymentId, SideCounts)> {
            let answered = self.0.load(Ordering::Relaxed);
            if answered == u64::MAX {
                return Vec::new();
            }
            vec![(DeploymentId::new("old"), SideCounts { answered, errors: answered / 10 })]
        }

        fn routed(&self, _: &ModelId, _: &EnvironmentName) -> Vec<(DeploymentId, u64, u64)> {
            let all = self.0.load(Ordering::Relaxed);
            if all == u64::MAX { Vec::new() } else { vec![(DeploymentId::new("old"), 0, all)] }
        }

        fn in_flight(&self, _: &ReplicaId) -> u32 {
            0
        }
    }

    fn promotion(gate_passed_at: Option<i64>) -> Promotion {
        let at = Timestamp::from_millis;
        let mut environment = Environment::new(ModelId::new("m"), EnvironmentName::production(), at(0));
        environment.current = Some(DeploymentId::new("old"));
        let (id, candidate) = (PromotionId::new("p"), DeploymentId::new("new"));
        let canary = Strategy::Canary { window_ms: 60_000 };
        Promotion {
            phase: Phase::RampingUp,
            gate_passed_at: gate_passed_at.map(at),
            previous_floor: 1,
            ..Promotion::new(id, &environment, candidate, canary, "ada", at(0), at(0))
        }
    }

    #[test]
    fn what_came_before_the_first_stage_does_not_count() {
        let traffic = Arc::new(Counter::default());
        let rollouts = Rollouts::new(traffic.clone(), Timestamp::from_millis(0));
        traffic.0.store(90, Ordering::Relaxed);
        rollouts.see(&promotion(None));
        traffic.0.store(100, Ordering::Relaxed);
        rollouts.see(&promotion(None));
        assert_eq!(rollouts.counted(&promotion(None), &DeploymentId::new("old")), None);
        traffic.0.store(140, Ordering::Relaxed);
        let counted = rollouts.counted(&promotion(Some(5)), &DeploymentId::new("old")).unwrap();
        assert_eq!((counted.requests, counted.errors), (40, 4));
    }

    /// Routes that give the candidate so many percent.
    fn routes(percent: u32) -> ModelRoutes {
        let share =
            |id: &str, weight: Weight| Share { deployment: DeploymentId::new(id), weight, exemption: None };
        let weight = Weight::percent(percent);
        ModelRoutes {
            model: ModelId::new("m"),
            name: ModelName::new("iris").unwrap(),
            generation: 1,
            environments: vec![EnvironmentRoute {
                name: EnvironmentName::production(),
                version: 1,
                shares: vec![share("old", weight.rest()), share("new", weight)],
            }],
            deployments: Vec::new(),
            development: None,
        }
    }

    #[test]
    fn what_was_served_until_traffic_moves_does_not_count() {
        let traffic = Arc::new(Counter::default());
        let rollouts = Rollouts::new(traffic.clone(), Timestamp::from_millis(0));
        rollouts.see(&promotion(None));
        traffic.0.store(100, Ordering::Relaxed);
        rollouts.before_change(&routes(0));
        traffic.0.store(300, Ordering::Relaxed);
        // Nothing was told of the model meanwhile.
        rollouts.before_change(&routes(10));
        traffic.0.store(340, Ordering::Relaxed);
        rollouts.before_change(&routes(20));
        traffic.0.store(350, Ordering::Relaxed);
        let counted = rollouts.counted(&promotion(Some(5)), &DeploymentId::new("old")).unwrap();
        assert_eq!((counted.requests, counted.errors), (50, 5));
    }

    #[test]
    fn what_a_side_served_is_kept_when_it_leaves() {
        let traffic = Arc::new(Counter::default());
        let rollouts = Rollouts::new(traffic.clone(), Timestamp::from_millis(0));
        rollouts.see(&promotion(None));
        rollouts.before_change(&routes(10));
        traffic.0.store(40, Ordering::Relaxed);
        rollouts.before_change(&routes(100));
        // It is not among those who serve any more.
        traffic.0.store(u64::MAX, Ordering::Relaxed);
        rollouts.before_change(&routes(100));
        let ended = Promotion { phase: Phase::Canceled, ..promotion(Some(5)) };
        rollouts.see(&ended);
        // It serves again, which is none of that rollout's.
        traffic.0.store(90, Ordering::Relaxed);
        rollouts.before_change(&routes(0));
        let counted = rollouts.counted(&ended, &DeploymentId::new("old")).unwrap();
        assert_eq!((counted.requests, counted.errors), (40, 4));
    }

    #[test]
    fn the_one_that_ended_first_is_forgotten_first() {
        let rollouts = Rollouts::new(Arc::new(Counter::default()), Timestamp::from_millis(0));
        let of = |number: usize| Promotion { id: PromotionId::new(number.to_string()), ..promotion(Some(5)) };
        for number in 0..REMEMBERED {
            rollouts.see(&of(number));
        }
        for number in [7, 3] {
            rollouts.see(&Promotion { phase: Phase::Canceled, ..of(number) });
        }
        rollouts.see(&of(REMEMBERED));
        let known = |number: usize| rollouts.accounts().by_id.contains_key(&of(number).id);
        assert_eq!((known(7), known(3), known(0), known(REMEMBERED)), (false, true, true, true));
    }

    #[test]
    fn a_rollout_older_than_the_counters_counts_from_zero() {
        let traffic = Arc::new(Counter::default());
        let rollouts = Rollouts::new(traffic.clone(), Timestamp::from_millis(10));
        traffic.0.store(30, Ordering::Relaxed);
        let counted = rollouts.counted(&promotion(Some(5)), &DeploymentId::new("old")).unwrap();
        assert_eq!(counted.requests, 30);
    }
}

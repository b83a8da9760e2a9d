//! What the gateway counted since a rollout's first stage, which is less than what it counted in all.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use app::view::Counted;
use domain::{Change, ChangeKind, DeploymentId, ModelId, Promotion, PromotionId, Timestamp, Traffic};
use store::Store;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

/// Counts of one deployment: requests by the environment's address, and errors.
type Counts = HashMap<DeploymentId, (u64, u64)>;

/// Remembers, for each running rollout, where the counters stood when its first stage began.
pub struct Rollouts {
    traffic: Arc<dyn Traffic>,
    /// The counters began at zero then: what began before it has counted from zero.
    started_at: Timestamp,
    began: Mutex<HashMap<PromotionId, Counts>>,
}

/// The least time between two looks at what changed.
const APART: Duration = Duration::from_millis(20);

impl Rollouts {
    pub fn new(traffic: Arc<dyn Traffic>, started_at: Timestamp) -> Arc<Self> {
        Arc::new(Self { traffic, started_at, began: Mutex::default() })
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

    /// Takes note of a promotion: as long as no traffic has moved, its beginning is now.
    pub fn see(&self, promotion: &Promotion) {
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        if !promotion.is_running() {
            return;
        }
        let waiting = promotion.gate_passed_at.is_none();
        if !waiting && began.contains_key(&promotion.id) {
            return;
        }
        let older = promotion.gate_passed_at.is_some_and(|passed| passed < self.started_at);
        let counts = if older { Counts::new() } else { self.now(promotion) };
        began.insert(promotion.id.clone(), counts);
        // Those that ended long ago are only remembered for their page; a few hundred cost nothing.
        if began.len() > 500 {
            let id = promotion.id.clone();
            began.retain(|known, _| *known == id);
        }
    }

    fn now(&self, promotion: &Promotion) -> Counts {
        let routed = self.traffic.routed(&promotion.model, &promotion.environment);
        let answered = self.traffic.sides(&promotion.model, &promotion.environment);
        let sides = std::iter::once(&promotion.candidate).chain(&promotion.previous);
        sides
            .map(|id| {
                let requests = routed.iter().find(|(found, _, _)| found == id).map_or(0, |(_, _, all)| *all);
                let errors =
                    answered.iter().find(|(found, _)| found == id).map_or(0, |(_, side)| side.errors);
                (id.clone(), (requests, errors))
            })
            .collect()
    }

    /// What one side of a rollout has served since the first stage; nothing before it, and for rollouts that this
    /// server never saw running.
    pub fn counted(&self, promotion: &Promotion, deployment: &DeploymentId) -> Option<Counted> {
        promotion.gate_passed_at?;
        self.see(promotion);
        let now = self.now(promotion);
        let began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        let before = began.get(&promotion.id)?.get(deployment).copied().unwrap_or_default();
        let (requests, errors) = now.get(deployment).copied().unwrap_or_default();
        let traffic = self.traffic.deployment(deployment);
        let millis = |micros: u64| (micros > 0).then_some(micros as f64 / 1000.0);
        Some(Counted {
            requests: requests.saturating_sub(before.0),
            errors: errors.saturating_sub(before.1),
            p50_ms: millis(traffic.p50_micros),
            p95_ms: millis(traffic.p95_micros),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{
        CleanupStrategy, DeploymentTraffic, EnvironmentName, Phase, Position, ReplicaId, SideCounts, Strategy,
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
            vec![(DeploymentId::new("old"), SideCounts { answered, errors: answered / 10 })]
        }

        fn routed(&self, _: &ModelId, _: &EnvironmentName) -> Vec<(DeploymentId, u64, u64)> {
            vec![(DeploymentId::new("old"), 0, self.0.load(Ordering::Relaxed))]
        }

        fn in_flight(&self, _: &ReplicaId) -> u32 {
            0
        }
    }

    fn promotion(gate_passed_at: Option<i64>) -> Promotion {
        let at = Timestamp::from_millis;
        Promotion {
            id: PromotionId::new("p"),
            model: ModelId::new("m"),
            environment: EnvironmentName::production(),
            candidate: DeploymentId::new("new"),
            previous: Some(DeploymentId::new("old")),
            strategy: Strategy::Canary { window_ms: 60_000 },
            cleanup: CleanupStrategy::Keep,
            settings_update: None,
            phase: Phase::RampingUp,
            position: Position::default(),
            counted_at: at(0),
            started_at: at(0),
            started_by: "ada".into(),
            gate_passed_at: gate_passed_at.map(at),
            ended_at: None,
            gate_deadline: at(0),
            total: 0,
            previous_floor: 1,
            hold: None,
            stop_on_errors: true,
            evidence: Default::default(),
            candidate_down_since: None,
            signal: None,
            signal_by: None,
            signal_at: None,
            paused_at: None,
            failing: None,
            reason: None,
            version: 0,
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

    #[test]
    fn a_rollout_older_than_the_counters_counts_from_zero() {
        let traffic = Arc::new(Counter::default());
        let rollouts = Rollouts::new(traffic.clone(), Timestamp::from_millis(10));
        traffic.0.store(30, Ordering::Relaxed);
        let counted = rollouts.counted(&promotion(Some(5)), &DeploymentId::new("old")).unwrap();
        assert_eq!(counted.requests, 30);
    }
}

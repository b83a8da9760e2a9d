//! How many replicas each deployment should have.

use serde_json::json;

use super::Work;
use crate::status::count;
use crate::{AutoscalingSettings, DeploymentId, DeploymentKind, EventKind, Limit, ScaleCause, decide};

/// A fresh deployment is not put to sleep before a client that waits for it can have seen it active, in milliseconds.
const SEEN_AFTER: i64 = 60_000;
/// How often load is sampled while replicas run, in milliseconds.
pub const SAMPLE_EVERY: i64 = 2_000;

impl Work<'_> {
    /// Finds out which requests came since the last look. Of a deployment that is looked at for the first time none are known to
    /// have come.
    pub(super) fn count_arrivals(&mut self) {
        let seen = self.seen;
        for (id, total) in &seen.requests {
            if let Some(before) = self.memory.requests.get(id) {
                // Fewer than before: the gateway has begun to count anew.
                let came = total.checked_sub(*before).unwrap_or(*total);
                if came > 0 {
                    self.arrived.insert(id.clone(), came);
                }
            }
        }
        if self.memory.requests != seen.requests {
            self.memory.requests.clone_from(&seen.requests);
        }
    }

    /// Requests that came since the last look, ended ones included.
    pub(super) fn arrivals(&self, id: &DeploymentId) -> u64 {
        self.arrived.get(id).copied().unwrap_or(0)
    }

    /// Whether the gateway has nothing under way at any deployment of the model, and nothing came since the last look.
    pub(super) fn is_quiet(&self) -> bool {
        self.arrived.is_empty() && self.seen.demand.values().all(|demand| demand.total() == 0)
    }

    pub(super) fn autoscale(&mut self) {
        let live = &self.deployments;
        self.memory.scalers.retain(|id, _| live.iter().any(|deployment| deployment.id == *id));
        for index in 0..self.deployments.len() {
            self.autoscale_one(index);
        }
    }

    fn autoscale_one(&mut self, index: usize) {
        let at = self.at;
        let deployment = &self.deployments[index];
        let id = deployment.id.clone();
        let floor = self.floors.get(&id).copied().unwrap_or(0);
        if !deployment.may_run() {
            self.memory.scalers.remove(&id);
            return;
        }
        if let Some(pinned) = self.pinned.get(&id).copied() {
            if let Some(scaler) = self.memory.scalers.get_mut(&id) {
                scaler.was_not_looked_at();
            }
            return self.retarget(&id, pinned, ScaleCause::Rolling);
        }
        let Some(active_since) = deployment.active_since else {
            // Until it has served for the first time only a floor may raise it.
            if floor > deployment.target {
                self.retarget(&id, floor, ScaleCause::Promotion);
            }
            return;
        };
        let settings = match deployment.kind {
            DeploymentKind::Published => deployment.effective_autoscaling(&self.environments).clone(),
            DeploymentKind::Development => {
                AutoscalingSettings { min_replica: 0, max_replica: 1, ..deployment.autoscaling.clone() }
            }
        };
        let demand = self.seen.demand.get(&id).copied().unwrap_or_default();
        let current = deployment.target;
        // What one that goes to sleep still finishes does not keep it awake; a request that waits wakes it.
        let (load, arrived) = match current {
            0 => (demand.held, 0),
            _ => (demand.total(), self.arrivals(&id)),
        };
        if current == 0 && load == 0 {
            self.memory.scalers.remove(&id);
        }
        let scaler = self.memory.scalers.entry(id.clone()).or_default();
        scaler.sample(at.monotonic, load, settings.autoscaling_window);
        scaler.note_arrivals(arrived);
        let mut decision = decide(scaler, &settings, current, floor, at.now, at.monotonic);
        decision.young = at.now.since(active_since) < SEEN_AFTER;
        if decision.applied == 0 && current > 0 && decision.young {
            decision.applied = 1;
            decision.limit = Limit::Delay;
            self.look_when(active_since.plus(SEEN_AFTER));
        }
        if let Some(again) = decision.look_again {
            self.look_by(again);
        }
        if current.max(decision.applied) > 0 || load > 0 {
            // Where nothing is there, and nothing was in the whole window, only time changes the decision, and it says when.
            let is_idle = decision.instant_load == 0 && decision.average_load == 0.0;
            if is_idle && self.is_quiet() && decision.applied == current && self.ready(&id) == current {
                self.sample_by(at.monotonic + SAMPLE_EVERY);
            } else {
                self.look_by(at.monotonic + SAMPLE_EVERY);
            }
        }
        if decision.applied == current {
            return;
        }
        self.deployments[index].target = decision.applied;
        let name = &self.deployments[index].name;
        let sentence = match decision.applied {
            0 => format!("{name} goes to sleep: no requests for {} s", settings.scale_down_delay),
            n => format!(
                "{name} goes from {current} to {}: {:.1} requests in flight on average, {} aimed at for each",
                count(n, "replica"),
                decision.average_load,
                f64::from(settings.concurrency_target) * f64::from(settings.target_utilization_percentage)
                    / 100.0
            ),
        };
        let data = json!({ "decision": decision, "floor": floor, "settings": settings });
        self.record(EventKind::ScalingDecision, Some(&id), None, sentence, data);
    }
}

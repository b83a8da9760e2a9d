//! How a promotion ends: success, failure, cancel, and what becomes of both deployments.

use serde_json::json;

use super::Work;
use crate::{
    CleanupStrategy, DeploymentId, EventKind, Invalid, Lifecycle, Phase, Position, Promotion, STAGES,
    ScaleCause, Signal, Strategy, Weight,
};

impl Work<'_> {
    pub(super) fn end_canceled(&mut self, promotion: &mut Promotion, by: &str) {
        if let Some(reason) = promotion.failing.take() {
            return self.end_failed(promotion, reason);
        }
        let percent = promotion.percent();
        promotion.reason = Some(format!("canceled by {by} at {percent} %"));
        self.restore(promotion);
        promotion.phase = Phase::Canceled;
        self.end(promotion);
        self.let_go(&promotion.candidate.clone());
        let sentence = format!(
            "promotion of {} to {} canceled by {by} at {percent} %; all traffic is back",
            self.name_of(&promotion.candidate),
            promotion.environment
        );
        self.record_end(EventKind::ModelPromotionCanceled, promotion, sentence, percent);
    }

    pub(super) fn fail(&mut self, promotion: &mut Promotion, reason: String) {
        if self.failure_waits(promotion) {
            let sentence = format!("{reason}; its traffic goes back before it has failed");
            let data = json!({ "promotion": promotion.id, "percent": promotion.percent() });
            let kind = EventKind::ModelPromotionStep;
            self.record(kind, Some(&promotion.candidate), Some(&promotion.environment), sentence, data);
            promotion.failing = Some(reason);
            promotion.signal = Some(Signal::ForceCancel);
            return self.cancel(promotion);
        }
        self.end_failed(promotion, reason);
    }

    /// Whether the previous deployment gave up so many replicas that it can't have all traffic back at once.
    fn failure_waits(&self, promotion: &Promotion) -> bool {
        let Strategy::Rolling { .. } = promotion.strategy else { return false };
        let Some(previous) = &promotion.previous else { return false };
        let demand = self.environment_demand(promotion);
        promotion.gate_passed_at.is_some()
            && promotion.failing.is_none()
            && self.ready(&promotion.candidate) > 0
            && self.carries(previous, Weight::WHOLE, demand).is_err()
    }

    pub(super) fn end_failed(&mut self, promotion: &mut Promotion, reason: String) {
        let percent = u32::from(promotion.position.weight().basis_points()) / 100;
        promotion.phase = Phase::Failed;
        self.restore(promotion);
        promotion.reason = Some(reason.clone());
        self.end(promotion);
        self.let_go(&promotion.candidate.clone());
        let sentence = format!(
            "promotion of {} to {} failed at {percent} %: {reason}",
            self.name_of(&promotion.candidate),
            promotion.environment
        );
        self.record_end(EventKind::ModelPromotionFailed, promotion, sentence, percent);
    }

    pub(super) fn record_end(
        &mut self,
        kind: EventKind,
        promotion: &Promotion,
        sentence: String,
        percent: u32,
    ) {
        let data = json!({ "promotion": promotion.id, "percent": percent });
        self.record(kind, Some(&promotion.candidate), Some(&promotion.environment), sentence, data);
    }

    pub(super) fn end(&mut self, promotion: &mut Promotion) {
        promotion.ended_at = Some(self.at.now);
        promotion.hold = None;
        promotion.signal = None;
        promotion.paused_at = None;
        promotion.counted_at = self.at.now;
    }

    /// A previous deployment that a rolling promotion took replicas from has its part of them back.
    fn restore(&mut self, promotion: &Promotion) {
        let Strategy::Rolling { .. } = promotion.strategy else { return };
        let Some(previous) = &promotion.previous else { return };
        let target = self.deployment(previous).map_or(0, |deployment| deployment.target);
        if target > 0 {
            self.retarget(previous, target.max(promotion.total), ScaleCause::Restored);
        }
    }

    /// Detaches a candidate that did not make it: it sleeps, stays visible and can be called by its own address.
    pub(super) fn let_go(&mut self, candidate: &DeploymentId) {
        if let Some(deployment) = self.deployment_mut(candidate) {
            deployment.environment = None;
            deployment.autoscaling.min_replica = 0;
            if deployment.active_since.is_some() {
                self.retarget(candidate, 0, ScaleCause::NotPromoted);
            }
        }
    }

    pub(super) fn succeed(&mut self, promotion: &mut Promotion) {
        promotion.phase = Phase::Succeeded;
        promotion.position = match promotion.strategy {
            Strategy::Rolling { .. } => Position { share: Some(Weight::WHOLE), ..promotion.position },
            _ => Position::at(STAGES, promotion.position.elapsed_ms),
        };
        self.end(promotion);
        let settings = self.environment_mut(&promotion.environment).map(|environment| {
            environment.current = Some(promotion.candidate.clone());
            environment.autoscaling.clone()
        });
        if let Some(candidate) = self.deployment_mut(&promotion.candidate) {
            candidate.environment = Some(promotion.environment.clone());
        }
        if let (Some(previous), Some(settings)) = (promotion.previous.clone(), settings)
            && previous != promotion.candidate
        {
            if let Strategy::Rolling { .. } = promotion.strategy {
                self.pass_load(&previous, &promotion.candidate);
            }
            self.retire(&previous, promotion, settings);
        }
        let mut sentence = format!("{} serves {}", self.name_of(&promotion.candidate), promotion.environment);
        // They were judged when it began, but other settings may have been changed since.
        if let Err(refusal) = self.update_settings(promotion) {
            sentence = format!("{sentence}; its settings stay as they are, because {refusal}");
        }
        self.record_end(EventKind::ModelPromotionSucceeded, promotion, sentence, 100);
    }

    /// One scaler decided for both sides: the load that it has seen is the environment's, so it goes on with what serves that now.
    fn pass_load(&mut self, previous: &DeploymentId, candidate: &DeploymentId) {
        self.memory.scalers.remove(candidate);
        if let Some(scaler) = self.memory.scalers.remove(previous) {
            self.memory.scalers.insert(candidate.clone(), scaler);
        }
    }

    /// Changes the environment's settings as was asked when the promotion began; `Err` says why that is not possible any
    /// more. What served before keeps those it ran under.
    fn update_settings(&mut self, promotion: &Promotion) -> Result<(), Invalid> {
        let Some(update) = &promotion.settings_update else { return Ok(()) };
        let name = &promotion.environment;
        let Some(environment) = self.environment_mut(name) else { return Ok(()) };
        let before = environment.settings();
        environment.patch(update)?;
        let mut data = environment.settings();
        if data != before {
            data["previous_settings"] = before;
            let sentence = format!("settings of {name} were changed, as its promotion asked");
            self.record(EventKind::EnvironmentUpdated, None, Some(name), sentence, data);
        }
        Ok(())
    }

    pub(super) fn retire(
        &mut self,
        previous: &DeploymentId,
        promotion: &Promotion,
        settings: crate::AutoscalingSettings,
    ) {
        let backpressure =
            self.environment_mut(&promotion.environment).and_then(|environment| environment.backpressure);
        let Some(deployment) = self.deployment_mut(previous) else { return };
        if deployment.environment.as_ref() != Some(&promotion.environment) {
            return;
        }
        deployment.environment = None;
        deployment.autoscaling = settings;
        deployment.backpressure = backpressure;
        match promotion.cleanup {
            CleanupStrategy::Keep => return,
            CleanupStrategy::ScaleToZero => deployment.autoscaling.min_replica = 0,
            CleanupStrategy::Deactivate => deployment.lifecycle = Lifecycle::Inactive,
        }
        self.retarget(previous, 0, ScaleCause::Replaced);
    }
}

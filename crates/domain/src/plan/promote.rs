//! Moves running promotions: gate, stages, cancel, failure, success.

use std::collections::BTreeSet;

use serde_json::json;

use super::errors::JUDGE_EVERY;
use super::{Counting, Work};
use crate::rollout::{stage_at, stage_end};
use crate::{
    Build, CleanupStrategy, DeploymentId, EnvironmentName, EventKind, Hold, Lifecycle, Phase, Position,
    Promotion, STAGES, Signal, Step, Strategy, Weight, next_step,
};

/// How long a candidate without a ready replica is waited for after traffic has moved, in milliseconds.
const CANDIDATE_GRACE: i64 = 60_000;
/// A canceled promotion goes back, ready or not, after this long, in milliseconds: a person asked for it.
const WAY_BACK_LIMIT: i64 = 600_000;
/// A live position is saved at least this often, in milliseconds.
const SAVE_EVERY: i64 = 5_000;

impl Work<'_> {
    pub(super) fn move_promotions(&mut self) {
        for index in 0..self.promotions.len() {
            let mut promotion = self.promotions[index].clone();
            self.move_one(&mut promotion);
            if promotion.phase.is_over() {
                self.memory.counting.remove(&promotion.id);
                self.memory.counted_from.remove(&promotion.id);
            }
            self.promotions[index] = promotion;
        }
        let running: Vec<_> = self.promotions.iter().map(|promotion| promotion.id.clone()).collect();
        self.memory.counting.retain(|id, _| running.contains(id));
        self.memory.counted_from.retain(|id, _| running.contains(id));
    }

    fn move_one(&mut self, promotion: &mut Promotion) {
        if promotion.signal == Some(Signal::Cancel) {
            return self.cancel(promotion);
        }
        if let Some(reason) = self.candidate_broken(promotion) {
            return self.fail(promotion, reason);
        }
        match promotion.phase {
            Phase::Releasing => self.release(promotion),
            Phase::RampingUp => self.ramp_up(promotion),
            Phase::RampingDown => self.cancel(promotion),
            Phase::Paused | Phase::Succeeded | Phase::Failed | Phase::Canceled => {}
        }
        self.keep_floors(promotion);
    }

    /// Concurrent requests that the environment of a promotion has now.
    pub(super) fn environment_demand(&self, promotion: &Promotion) -> u32 {
        let sides = [Some(&promotion.candidate), promotion.previous.as_ref()];
        self.demand_at(&promotion.environment, sides.into_iter().flatten())
    }

    /// Concurrent requests of an environment as a whole: of whoever serves it now, and of these.
    pub(super) fn demand_at<'b>(
        &'b self,
        environment: &EnvironmentName,
        also: impl Iterator<Item = &'b DeploymentId>,
    ) -> u32 {
        let served = self.seen.published.iter().flat_map(|routes| &routes.environments);
        let shares = served.filter(|route| &route.name == environment).flat_map(|route| &route.shares);
        let all: BTreeSet<&DeploymentId> = shares.map(|share| &share.deployment).chain(also).collect();
        all.into_iter().map(|id| self.seen.demand.get(id).map_or(0, |demand| demand.total())).sum()
    }

    /// Requests that the ready replicas of a deployment may carry.
    pub(super) fn capacity(&self, id: &DeploymentId) -> u32 {
        let target = self
            .deployment(id)
            .map_or(1, |deployment| deployment.effective_autoscaling(&self.environments).concurrency_target);
        self.ready(id).saturating_mul(target)
    }

    fn at_maximum(&self, id: &DeploymentId) -> bool {
        self.deployment(id).is_some_and(|deployment| {
            self.ready(id) >= deployment.effective_autoscaling(&self.environments).max_replica
        })
    }

    /// Replicas that a share of `demand` needs on a deployment.
    fn replicas_for_share(&self, id: &DeploymentId, weight: Weight, demand: u32) -> u32 {
        let Some(deployment) = self.deployment(id) else { return 1 };
        let settings = deployment.effective_autoscaling(&self.environments);
        let load = share_of(demand, weight);
        load.div_ceil(u64::from(settings.concurrency_target)).clamp(1, u64::from(settings.max_replica.max(1)))
            as u32
    }

    /// Whether a deployment can carry a share of the environment's demand.
    pub(super) fn carries(&self, id: &DeploymentId, weight: Weight, demand: u32) -> Result<(), Hold> {
        if weight == Weight::ZERO {
            return Ok(());
        }
        let ready = self.ready(id);
        if ready == 0 {
            return Err(Hold::CandidateDown);
        }
        if share_of(demand, weight) <= u64::from(self.capacity(id)) || self.at_maximum(id) {
            return Ok(());
        }
        let waiting = self.deployment(id).and_then(|deployment| deployment.waiting.clone());
        Err(Hold::Capacity { ready, needed: self.replicas_for_share(id, weight, demand), waiting })
    }

    fn candidate_broken(&self, promotion: &Promotion) -> Option<String> {
        let Some(candidate) = self.deployment(&promotion.candidate) else {
            return Some("the candidate no longer exists".into());
        };
        if candidate.deleted_at.is_some() {
            return Some("the candidate was deleted".into());
        }
        if candidate.lifecycle == Lifecycle::Inactive {
            return Some("the candidate was deactivated".into());
        }
        match &candidate.build {
            Build::Failed { reason } => return Some(format!("the candidate's build failed: {reason}")),
            Build::Stopped { .. } => return Some("the candidate's build was stopped".into()),
            _ => {}
        }
        candidate.failure.as_ref().map(|reason| format!("the candidate failed to deploy: {reason}"))
    }

    /// Replicas the gate asks for.
    fn gate(&self, promotion: &Promotion) -> u32 {
        self.environments
            .iter()
            .find(|environment| environment.name == promotion.environment)
            .map_or(1, |environment| environment.autoscaling.min_replica.max(1))
    }

    fn release(&mut self, promotion: &mut Promotion) {
        let now = self.at.now;
        let built = self.deployment(&promotion.candidate).is_some_and(|candidate| candidate.is_built());
        let needed = self.gate(promotion);
        let ready = self.ready(&promotion.candidate);
        let demand = self.environment_demand(promotion);
        let window = match promotion.strategy {
            Strategy::Canary { window_ms } if promotion.previous.is_some() && window_ms > 0 => {
                Some(window_ms)
            }
            _ => None,
        };
        let first = Position { stage: 1, elapsed_ms: 0 };
        let first_share = if window.is_some() { first.weight() } else { Weight::WHOLE };
        let hold = if !built {
            Some(Hold::Building)
        } else if ready < needed {
            let candidate = self.deployment(&promotion.candidate);
            let waiting = candidate.and_then(|candidate| candidate.waiting.clone());
            Some(waiting.map_or(Hold::Gate { ready, needed }, |waiting| Hold::Room {
                ready,
                needed,
                waiting,
            }))
        } else {
            self.carries(&promotion.candidate, first_share, demand).err()
        };
        if let Some(hold) = hold {
            if now >= promotion.gate_deadline {
                let sentence = hold.sentence();
                return self.fail(promotion, format!("the gate was not passed in time ({sentence})"));
            }
            promotion.hold = Some(hold);
            self.look_when(promotion.gate_deadline);
            return;
        }
        promotion.hold = None;
        promotion.gate_passed_at = Some(now);
        promotion.counted_at = now;
        promotion.previous_floor = promotion.previous.as_ref().map_or(0, |previous| self.ready(previous));
        let Some(window_ms) = window else { return self.succeed(promotion) };
        promotion.phase = Phase::RampingUp;
        promotion.position = first;
        self.begin_evidence(promotion);
        self.count(promotion, first, true);
        self.look_by(self.at.monotonic + stage_end(1, window_ms).min(SAVE_EVERY));
        self.step_event(promotion);
    }

    fn ramp_up(&mut self, promotion: &mut Promotion) {
        let Strategy::Canary { window_ms } = promotion.strategy else { return self.succeed(promotion) };
        let evidence = self.evidence(promotion);
        if let Some(reason) = self.too_many_errors(promotion, &evidence) {
            promotion.evidence = evidence;
            return self.fail(promotion, reason);
        }
        if promotion.stop_on_errors && self.environment_demand(promotion) > 0 {
            self.look_by(self.at.monotonic + JUDGE_EVERY);
        }
        let saved = promotion.position;
        let counting = self.memory.counting.get(&promotion.id).copied();
        let live = counting
            .map(|counting| counting.position)
            .filter(|live| live.stage == saved.stage && live.elapsed_ms >= saved.elapsed_ms)
            .unwrap_or(saved);
        let passed = counting
            .filter(|counting| counting.running)
            .map_or(0, |counting| self.at.monotonic - counting.counted_at);
        let demand = self.environment_demand(promotion);
        let step =
            next_step(live, window_ms, passed, |weight| self.carries(&promotion.candidate, weight, demand));
        match step {
            Step::Finish => {
                promotion.evidence = evidence;
                self.succeed(promotion);
            }
            Step::Hold(hold) => self.hold(promotion, live, hold),
            Step::Advance { position } => {
                self.go_on(promotion);
                promotion.position = position;
                promotion.counted_at = self.at.now;
                self.keep_evidence(promotion, evidence);
                self.count(promotion, position, true);
                self.step_event(promotion);
                self.look_for_stage(position, window_ms);
            }
            Step::Stay { counted_ms } => {
                self.go_on(promotion);
                let position = Position { elapsed_ms: live.elapsed_ms + counted_ms, ..live };
                self.count(promotion, position, true);
                if position.elapsed_ms - saved.elapsed_ms >= SAVE_EVERY || counting.is_none() {
                    promotion.position = position;
                    promotion.counted_at = self.at.now;
                    self.keep_evidence(promotion, evidence);
                }
                self.look_for_stage(position, window_ms);
            }
        }
    }

    fn look_for_stage(&mut self, position: Position, window_ms: i64) {
        let boundary = (stage_end(position.stage, window_ms) - position.elapsed_ms).max(1);
        let due_already = stage_at(position.elapsed_ms, window_ms) > position.stage;
        self.look_by(self.at.monotonic + if due_already { 1 } else { boundary.min(SAVE_EVERY) });
    }

    fn count(&mut self, promotion: &Promotion, position: Position, running: bool) {
        let counting = Counting { position, counted_at: self.at.monotonic, running };
        self.memory.counting.insert(promotion.id.clone(), counting);
    }

    /// Nothing stands in the way any more.
    fn go_on(&mut self, promotion: &mut Promotion) {
        promotion.candidate_down_since = None;
        if promotion.hold.take().is_some() {
            promotion.counted_at = self.at.now;
        }
    }

    fn hold(&mut self, promotion: &mut Promotion, live: Position, hold: Hold) {
        self.count(promotion, live, false);
        if hold == Hold::CandidateDown {
            let since = *promotion.candidate_down_since.get_or_insert(self.at.now);
            if self.at.now.since(since) >= CANDIDATE_GRACE {
                let seconds = CANDIDATE_GRACE / 1000;
                let exit =
                    self.deployment(&promotion.candidate).and_then(|candidate| candidate.last_exit.clone());
                let cause = exit.map(|exit| format!(": {exit}")).unwrap_or_default();
                return self.fail(
                    promotion,
                    format!("no replica of the candidate was ready for {seconds} s{cause}"),
                );
            }
            self.look_when(since.plus(CANDIDATE_GRACE));
        } else {
            promotion.candidate_down_since = None;
        }
        // A hold is a fact for people; its numbers may change without being worth a write each time.
        let same_kind = promotion
            .hold
            .as_ref()
            .is_some_and(|now| std::mem::discriminant(now) == std::mem::discriminant(&hold));
        if !same_kind {
            let sentence = hold.sentence();
            promotion.hold = Some(hold);
            promotion.position = live;
            promotion.counted_at = self.at.now;
            let data = json!({ "percent": promotion.percent() });
            self.record(
                EventKind::ModelPromotionStep,
                Some(&promotion.candidate),
                Some(&promotion.environment),
                sentence,
                data,
            );
        }
        self.look_by(self.at.monotonic + 1_000);
    }

    /// Takes traffic back: at once where the previous deployment can carry it, else as far as it can.
    fn cancel(&mut self, promotion: &mut Promotion) {
        let by = promotion.signal_by.clone().unwrap_or_else(|| "Slipway".into());
        let moved = promotion.gate_passed_at.is_some();
        let demand = self.environment_demand(promotion);
        let given_up = promotion.phase == Phase::RampingDown
            && self.at.now.since(promotion.counted_at) >= WAY_BACK_LIMIT;
        let fits = |work: &Self, stage: u32| {
            let kept = Position { stage, elapsed_ms: 0 }.weight();
            promotion.previous.as_ref().is_none_or(|previous| {
                // One that lost nothing takes everything back at once, even where load has outgrown both sides.
                let whole = work.ready(previous) >= promotion.previous_floor.max(1);
                given_up || whole || work.carries(previous, kept.rest(), demand).is_ok()
            })
        };
        let stage = (0..=promotion.position.stage).find(|stage| fits(self, *stage));
        match stage {
            _ if !moved => self.end_canceled(promotion, &by),
            Some(0) => self.end_canceled(promotion, &by),
            other => {
                let stage = other.unwrap_or(promotion.position.stage);
                if promotion.phase != Phase::RampingDown {
                    promotion.phase = Phase::RampingDown;
                    promotion.counted_at = self.at.now;
                }
                promotion.position = Position { stage, elapsed_ms: promotion.position.elapsed_ms };
                promotion.hold = None;
                promotion.reason = Some(format!(
                    "canceled by {by}; the previous deployment has lost replicas, so traffic goes back as they start"
                ));
                self.keep_floors(promotion);
                self.look_by(self.at.monotonic + 250);
            }
        }
    }

    fn end_canceled(&mut self, promotion: &mut Promotion, by: &str) {
        let percent = promotion.percent();
        promotion.reason = Some(format!("canceled by {by} at {percent} %"));
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

    fn fail(&mut self, promotion: &mut Promotion, reason: String) {
        let percent = u32::from(promotion.position.weight().basis_points()) / 100;
        promotion.phase = Phase::Failed;
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

    fn record_end(&mut self, kind: EventKind, promotion: &Promotion, sentence: String, percent: u32) {
        let data = json!({ "promotion": promotion.id, "percent": percent });
        self.record(kind, Some(&promotion.candidate), Some(&promotion.environment), sentence, data);
    }

    fn end(&mut self, promotion: &mut Promotion) {
        promotion.ended_at = Some(self.at.now);
        promotion.hold = None;
        promotion.signal = None;
        promotion.counted_at = self.at.now;
    }

    /// Detaches a candidate that did not make it: it sleeps, stays visible and can be called by its own address.
    fn let_go(&mut self, candidate: &DeploymentId) {
        if let Some(deployment) = self.deployment_mut(candidate) {
            deployment.environment = None;
            deployment.autoscaling.min_replica = 0;
            if deployment.active_since.is_some() {
                deployment.target = 0;
            }
        }
    }

    fn succeed(&mut self, promotion: &mut Promotion) {
        promotion.phase = Phase::Succeeded;
        promotion.position = Position { stage: STAGES, elapsed_ms: promotion.position.elapsed_ms };
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
            self.retire(&previous, promotion, settings);
        }
        let sentence = format!("{} serves {}", self.name_of(&promotion.candidate), promotion.environment);
        self.record_end(EventKind::ModelPromotionSucceeded, promotion, sentence, 100);
    }

    fn retire(
        &mut self,
        previous: &DeploymentId,
        promotion: &Promotion,
        settings: crate::AutoscalingSettings,
    ) {
        let Some(deployment) = self.deployment_mut(previous) else { return };
        if deployment.environment.as_ref() != Some(&promotion.environment) {
            return;
        }
        deployment.environment = None;
        deployment.autoscaling = settings;
        match promotion.cleanup {
            CleanupStrategy::Keep => {}
            CleanupStrategy::ScaleToZero => {
                deployment.autoscaling.min_replica = 0;
                deployment.target = 0;
            }
            CleanupStrategy::Deactivate => {
                deployment.lifecycle = Lifecycle::Inactive;
                deployment.target = 0;
            }
        }
    }

    fn step_event(&mut self, promotion: &Promotion) {
        let so_far = self.so_far(promotion, &promotion.evidence).map(|text| format!("; {text}"));
        let sentence = format!(
            "stage {} of {STAGES}: {} % of {} goes to {}{}",
            promotion.position.stage,
            promotion.percent(),
            promotion.environment,
            self.name_of(&promotion.candidate),
            so_far.unwrap_or_default()
        );
        let data = json!({
            "promotion": promotion.id,
            "stage": promotion.position.stage,
            "percent": promotion.percent(),
            "evidence": promotion.evidence,
        });
        self.record(
            EventKind::ModelPromotionStep,
            Some(&promotion.candidate),
            Some(&promotion.environment),
            sentence,
            data,
        );
    }

    /// What each side must keep while a promotion runs: neither goes to zero, and the way back stays open.
    fn keep_floors(&mut self, promotion: &Promotion) {
        if promotion.phase.is_over() {
            return;
        }
        let demand = self.environment_demand(promotion);
        let next = Position { stage: (promotion.position.stage + 1).min(STAGES), elapsed_ms: 0 };
        let direct = !matches!(promotion.strategy, Strategy::Canary { .. }) || promotion.previous.is_none();
        let coming = if direct { Weight::WHOLE } else { next.weight() };
        let for_share = self.replicas_for_share(&promotion.candidate, coming, demand);
        let candidate = self.gate(promotion).max(for_share);
        self.floors.insert(promotion.candidate.clone(), candidate);
        if let Some(previous) = &promotion.previous {
            let whole = self.replicas_for_share(previous, Weight::WHOLE, demand);
            let floor = match promotion.gate_passed_at {
                Some(_) => promotion.previous_floor.max(whole).max(1),
                None => 1,
            };
            // One that sleeps is not woken for a promotion that has not moved traffic yet.
            let sleeps = promotion.gate_passed_at.is_none() && self.ready(previous) == 0;
            self.floors.insert(previous.clone(), if sleeps { 0 } else { floor });
        }
    }
}

/// Concurrent requests in a share of `demand`, rounded up.
pub(crate) fn share_of(demand: u32, weight: Weight) -> u64 {
    (u64::from(demand) * u64::from(weight.basis_points())).div_ceil(10_000)
}

//! Moves a rolling promotion: both sides' replicas, and the share that follows them (semantics: Rolling).

use serde_json::json;

use super::Work;
use super::scale::SAMPLE_EVERY;
use crate::rollout::SAVE_EVERY;
use crate::status::count;
use crate::{
    DeploymentId, EventKind, Hold, Phase, Position, Promotion, RollingConfig, RollingStep, Sides, Signal,
    Strategy, Weight, decide, next_rolling_step, share_kept, share_of_ready, sides_of, targets, targets_back,
};

impl Work<'_> {
    /// Before traffic moves: the extra replicas of the previous deployment, then the first of the candidate.
    pub(super) fn release_rolling(&mut self, promotion: &mut Promotion, config: &RollingConfig) {
        let Some(previous) = self.awake(promotion) else {
            // Nobody to take over from step by step.
            promotion.total = promotion.total.max(1);
            if !self.waits_at_gate(promotion, 1, Weight::WHOLE) {
                self.pass_gate(promotion);
                self.succeed(promotion);
            }
            return;
        };
        self.rescale(promotion, &previous);
        let extra = config.extra(promotion.total);
        // Once they have come, some may leave for the first step: they are not missing then.
        let came = promotion.hold.as_ref().is_some_and(|hold| !matches!(hold, Hold::Overhead { .. }));
        let all = promotion.total + extra;
        let needed = if came { targets(config, Weight::ZERO, promotion.total).previous } else { all };
        let ready = self.ready(&previous);
        if extra > 0 && ready < needed {
            let hold = Hold::Overhead { ready, needed: all };
            if self.at.now >= promotion.gate_deadline {
                let sentence = hold.sentence();
                return self.fail(promotion, format!("the rollout could not begin in time ({sentence})"));
            }
            promotion.hold = Some(hold);
            return self.look_when(promotion.gate_deadline);
        }
        let step = config.step(promotion.total);
        let first = share_of_ready(self.ready(&promotion.candidate).min(step), promotion.total);
        if self.waits_at_gate(promotion, 1, first) {
            return;
        }
        self.pass_gate(promotion);
        self.begin_step(promotion, config);
        promotion.phase = Phase::RampingUp;
        promotion.position = Position { stage: 1, elapsed_ms: 0, share: Some(first) };
        self.count(promotion, promotion.position, true);
        self.step_event(promotion);
        self.look_by(self.at.monotonic + 1);
    }

    /// Takes the next step as soon as replicas of the candidate are ready for it.
    pub(super) fn roll(&mut self, promotion: &mut Promotion, config: &RollingConfig) {
        let Some(evidence) = self.judged(promotion) else { return };
        self.rescale_sides(promotion);
        let (live, passed) = self.live(promotion);
        let demand = self.environment_demand(promotion);
        let ready = self.ready(&promotion.candidate);
        let step = next_rolling_step(config, live, promotion.total, ready, passed, |weight| {
            self.carries(&promotion.candidate, weight, demand)
        });
        match step {
            RollingStep::Finish => {
                promotion.evidence = evidence;
                self.succeed(promotion);
            }
            RollingStep::Hold(Hold::Step { ready, needed, .. }) => {
                self.await_step(promotion, live, ready, needed);
            }
            RollingStep::Hold(hold) => self.hold(promotion, live, hold),
            RollingStep::Shift { share } => {
                self.go_on(promotion);
                self.begin_step(promotion, config);
                promotion.position = Position { stage: live.stage + 1, elapsed_ms: 0, share: Some(share) };
                promotion.counted_at = self.at.now;
                self.keep_evidence(promotion, evidence);
                self.count(promotion, promotion.position, true);
                self.step_event(promotion);
                self.look_by(self.at.monotonic + 1);
            }
            RollingStep::Stay { counted_ms } => {
                self.go_on(promotion);
                let position = Position { elapsed_ms: live.elapsed_ms + counted_ms, ..live };
                self.count(promotion, position, true);
                if position.elapsed_ms - promotion.position.elapsed_ms >= SAVE_EVERY {
                    promotion.position = position;
                    promotion.counted_at = self.at.now;
                    self.keep_evidence(promotion, evidence);
                }
                let left = (config.stabilization_ms() - position.elapsed_ms).max(1);
                self.look_by(self.at.monotonic + left.min(SAVE_EVERY));
            }
        }
    }

    /// From now on the next step has the time of a deployment to become ready.
    fn begin_step(&mut self, promotion: &mut Promotion, config: &RollingConfig) {
        let minutes = self.deployment(&promotion.candidate).map_or(0, |one| one.deploy_timeout_minutes);
        let limit = i64::from(minutes) * 60_000 + config.stabilization_ms();
        promotion.gate_deadline = self.at.now.plus(limit);
    }

    /// Waits for a step's replicas for as long as a deployment may take to become ready.
    fn await_step(&mut self, promotion: &mut Promotion, live: Position, ready: u32, needed: u32) {
        let Some(candidate) = self.deployment(&promotion.candidate) else { return };
        let hold = Hold::Step { ready, needed, waiting: candidate.waiting.clone() };
        let minutes = candidate.deploy_timeout_minutes;
        if self.at.now >= promotion.gate_deadline {
            let sentence = hold.sentence();
            return self.fail(promotion, format!("a step took longer than {minutes} minutes ({sentence})"));
        }
        self.hold(promotion, live, hold);
    }

    /// The way back of a cancel: step by step where the strategy has steps, else at once.
    pub(super) fn go_back(&mut self, promotion: &mut Promotion) {
        let (Strategy::Rolling { .. }, Some(previous)) = (promotion.strategy, promotion.previous.clone())
        else {
            return self.cancel(promotion);
        };
        let (ready, share) = (self.ready(&previous), promotion.position.weight());
        let demand = self.environment_demand(promotion);
        let kept = share_kept(share, ready, promotion.total);
        let carried = self.carries(&previous, kept.rest(), demand).is_ok();
        let in_any_case = promotion.gate_passed_at.is_none() || self.is_back_in_any_case(promotion);
        if in_any_case || (kept == Weight::ZERO && carried) {
            let by = promotion.signal_by.clone().unwrap_or_else(|| "Slipway".into());
            return self.end_canceled(promotion, &by);
        }
        self.begin_going_back(promotion);
        if kept < share && carried {
            let stage = promotion.position.stage + 1;
            promotion.position = Position { stage, share: Some(kept), ..promotion.position };
            self.step_event(promotion);
        }
        self.rescale(promotion, &previous);
        self.keep_floors(promotion);
        self.look_by(self.at.monotonic + 250);
    }

    /// The position in which the candidate keeps what the previous deployment does not carry yet.
    pub(super) fn share_left(&self, promotion: &Promotion, demand: u32) -> Position {
        let carried = promotion.previous.as_ref().map_or(Weight::ZERO, |id| self.most_share(id, demand));
        let left = promotion.position.weight().min(carried.rest());
        Position { share: Some(left), ..promotion.position }
    }

    /// The replicas of each side, which follow the share and not each side's own load.
    pub(super) fn pin_sides(&mut self, promotion: &Promotion, config: &RollingConfig) {
        let Some(previous) = &promotion.previous else { return };
        if promotion.gate_passed_at.is_none() && self.awake(promotion).is_none() {
            self.floors.insert(promotion.candidate.clone(), 1);
            return;
        }
        let (share, total) = (promotion.position.share.unwrap_or(Weight::ZERO), promotion.total);
        let demand = self.environment_demand(promotion);
        let kept = self.kept_demand(promotion, demand);
        let extra = config.extra(total);
        let (back, step_by_step) = (promotion.goes_back(), promotion.signal == Some(Signal::Cancel));
        let mut sides = match back && step_by_step {
            true => targets_back(config, share, total),
            false => targets(config, share, total),
        };
        if promotion.rolls_forward() {
            sides.candidate = total.max(self.replicas_for_share(&promotion.candidate, Weight::WHOLE, kept));
        }
        if (back && !step_by_step) || promotion.hold == Some(Hold::CandidateDown) {
            sides.previous = total.max(self.replicas_for_share(previous, Weight::WHOLE, kept)) + extra;
        }
        if matches!(promotion.hold, Some(Hold::Overhead { .. })) {
            // The extra replicas come first.
            sides = Sides { candidate: 1, previous: total + extra };
        }
        // Capacity leaves after traffic does.
        sides.previous = sides.previous.max(self.replicas_for_share(previous, share.rest(), demand));
        sides.candidate = sides.candidate.max(self.replicas_for_share(&promotion.candidate, share, kept));
        // What a burst added to its part stays as long as the burst counts; of the part itself a step may take some.
        let raised = self.replicas_for_share(previous, share.rest(), kept);
        if raised > sides_of(share, total).previous + extra {
            sides.previous = sides.previous.max(raised);
        }
        self.pinned.insert(previous.clone(), sides.previous);
        self.pinned.insert(promotion.candidate.clone(), sides.candidate);
    }

    /// The most that the environment had within the scale-down delay: what a burst needed is not stopped at the next look, while it
    /// still starts. Where a side waits for room, nothing is kept for what is over.
    fn kept_demand(&mut self, promotion: &Promotion, demand: u32) -> u32 {
        let environment = self.environments.iter().find(|one| one.name == promotion.environment);
        let delay = environment.map_or(0, |one| i64::from(one.autoscaling.scale_down_delay) * 1000);
        let sides = [Some(&promotion.candidate), promotion.previous.as_ref()];
        let waits = |id: &DeploymentId| self.deployment(id).is_some_and(|side| side.waiting.is_some());
        let kept_ms = if sides.into_iter().flatten().any(waits) { 0 } else { delay };
        let peak = self.memory.peaks.entry(promotion.id.clone()).or_default();
        let kept = peak.note(self.at.monotonic, demand, kept_ms);
        if let Some(ends) = peak.ends_at(kept_ms) {
            self.look_by(ends);
        }
        kept
    }

    /// What serves now, if it does; one that sleeps is not woken to be replaced.
    fn awake(&self, promotion: &Promotion) -> Option<DeploymentId> {
        let previous = promotion.previous.as_ref()?;
        let deployment = self.deployment(previous)?;
        let serves = deployment.may_run() && deployment.target > 0;
        serves.then(|| previous.clone())
    }

    /// Both sides are scaled by the load, paused or not; before the gate only if there is one that serves.
    pub(super) fn rescale_sides(&mut self, promotion: &mut Promotion) {
        let Strategy::Rolling { .. } = promotion.strategy else { return };
        let previous = match promotion.gate_passed_at {
            Some(_) => promotion.previous.clone(),
            None => self.awake(promotion),
        };
        if let Some(previous) = previous {
            self.rescale(promotion, &previous);
        }
    }

    /// Both sides are scaled as one, by the load of the environment; the share stays.
    pub(super) fn rescale(&mut self, promotion: &mut Promotion, previous: &DeploymentId) {
        let environment = self.environments.iter().find(|one| one.name == promotion.environment);
        let Some(settings) = environment.map(|environment| environment.autoscaling.clone()) else { return };
        if promotion.total == 0 {
            let target = self.deployment(previous).map_or(1, |deployment| deployment.target);
            promotion.total = target.clamp(settings.min_replica.max(1), settings.max_replica.max(1));
        }
        let demand = self.environment_demand(promotion);
        let at = self.at;
        let scaler = self.memory.scalers.entry(previous.clone()).or_default();
        scaler.sample(at.monotonic, demand, settings.autoscaling_window);
        let floor = 1;
        let decision = decide(scaler, &settings, promotion.total, floor, at.now, at.monotonic);
        self.look_by(decision.look_again.unwrap_or(i64::MAX).min(at.monotonic + SAMPLE_EVERY));
        if decision.applied == promotion.total {
            return;
        }
        let sentence = format!(
            "{} goes from {} to {} over both sides: {:.1} requests in flight on average",
            promotion.environment,
            promotion.total,
            count(decision.applied, "replica"),
            decision.average_load
        );
        promotion.total = decision.applied;
        let sides = sides_of(promotion.position.share.unwrap_or(Weight::ZERO), promotion.total);
        // All that it was decided by, so that it can be recomputed like that of a single deployment.
        let data = json!({
            "total": promotion.total,
            "candidate": sides.candidate,
            "previous": sides.previous,
            "decision": decision,
            "floor": floor,
            "settings": settings,
        });
        let (candidate, environment) = (promotion.candidate.clone(), promotion.environment.clone());
        self.record(EventKind::ModelPromotionStep, Some(&candidate), Some(&environment), sentence, data);
    }
}

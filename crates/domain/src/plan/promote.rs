//! Moves running promotions: gate, stages, cancel, failure, success.

use serde_json::json;

use super::errors::JUDGE_EVERY;
use super::{Counting, Work};
use crate::rollout::{save_every, stage_at, stage_end};
use crate::{
    Build, DeploymentId, EventKind, Evidence, Hold, Lifecycle, ObservedReplica, Phase, Position, Promotion,
    Signal, Step, Strategy, Timestamp, Weight, next_step,
};

/// How long a candidate that has lost its last ready replica is waited for after traffic has moved, in milliseconds.
const CANDIDATE_GRACE: i64 = 60_000;

impl Work<'_> {
    pub(super) fn move_promotions(&mut self) {
        for index in 0..self.promotions.len() {
            let mut promotion = self.promotions[index].clone();
            if !self.memory.looked {
                self.allow_another_start(&mut promotion);
            }
            self.move_one(&mut promotion);
            if promotion.phase.is_over() {
                self.memory.counting.remove(&promotion.id);
                self.memory.counted_from.remove(&promotion.id);
                self.memory.peaks.remove(&promotion.id);
                self.memory.tried.remove(&promotion.id);
            }
            self.promotions[index] = promotion;
        }
        let running: Vec<_> = self.promotions.iter().map(|promotion| promotion.id.clone()).collect();
        self.memory.counting.retain(|id, _| running.contains(id));
        self.memory.counted_from.retain(|id, _| running.contains(id));
        self.memory.peaks.retain(|id, _| running.contains(id));
        self.memory.tried.retain(|id, _| running.contains(id));
    }

    /// A deployment was ready, or a process of it has failed: what its promotions wait for is no first start any more.
    pub(super) fn note_tried(&mut self, deployment: &DeploymentId) {
        for promotion in self.promotions.iter().filter(|promotion| &promotion.candidate == deployment) {
            self.memory.tried.entry(promotion.id.clone()).or_insert(self.at.now);
        }
    }

    /// Where the candidate's processes ended with a former server, as when the machine was restarted, those that start in their
    /// place have the time of a deployment again.
    fn allow_another_start(&self, promotion: &mut Promotion) {
        let Some(candidate) = self.deployment(&promotion.candidate) else { return };
        let mine = |replica: &&ObservedReplica| replica.deployment == candidate.id;
        if self.replicas.iter().filter(mine).any(ObservedReplica::is_alive) {
            return;
        }
        let settles = match promotion.strategy {
            Strategy::Rolling { config } => config.stabilization_ms(),
            Strategy::Direct | Strategy::Canary { .. } => 0,
        };
        // A pause is added when it ends.
        let paused = promotion.paused_at.map_or(0, |since| self.at.now.since(since).max(0));
        let limit = i64::from(candidate.deploy_timeout_minutes) * 60_000 + settles - paused;
        promotion.gate_deadline = promotion.gate_deadline.max(self.at.now.plus(limit));
    }

    fn move_one(&mut self, promotion: &mut Promotion) {
        if self.ready(&promotion.candidate) > 0 {
            self.note_tried(&promotion.candidate);
        }
        match promotion.signal {
            Some(Signal::ForceCancel) => return self.cancel(promotion),
            Some(Signal::Cancel) => return self.go_back(promotion),
            Some(Signal::Pause) => self.pause(promotion),
            Some(Signal::Resume) => self.resume(promotion),
            Some(Signal::RollForward) | None => {}
        }
        if let Some(reason) = self.candidate_broken(promotion) {
            return self.fail(promotion, reason);
        }
        match promotion.phase {
            _ if promotion.rolls_forward() => self.roll_forward(promotion),
            Phase::Releasing => self.release(promotion),
            Phase::RampingUp => self.ramp_up(promotion),
            Phase::RampingDown => self.go_back(promotion),
            Phase::Paused => self.stay_paused(promotion),
            Phase::Succeeded | Phase::Failed | Phase::Canceled => {}
        }
        self.keep_floors(promotion);
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

    fn release(&mut self, promotion: &mut Promotion) {
        if let Strategy::Rolling { config } = promotion.strategy {
            return self.release_rolling(promotion, &config);
        }
        let needed = self.gate(promotion);
        let window = match promotion.strategy {
            Strategy::Canary { window_ms } if promotion.previous.is_some() && window_ms > 0 => {
                Some(window_ms)
            }
            _ => None,
        };
        let first = Position::at(1, 0);
        let first_share = if window.is_some() { first.weight() } else { Weight::WHOLE };
        if self.waits_at_gate(promotion, needed, first_share) {
            return;
        }
        self.pass_gate(promotion);
        let Some(window_ms) = window else { return self.succeed(promotion) };
        promotion.phase = Phase::RampingUp;
        promotion.position = first;
        self.count(promotion, first, true);
        self.look_for_stage(promotion, first, window_ms, save_every(window_ms, false));
        self.step_event(promotion);
    }

    /// Whether the candidate lacks replicas to begin with; past the deadline that is a failure.
    pub(super) fn waits_at_gate(&mut self, promotion: &mut Promotion, needed: u32, share: Weight) -> bool {
        let built = self.deployment(&promotion.candidate).is_some_and(|candidate| candidate.is_built());
        let ready = self.ready(&promotion.candidate);
        let demand = self.environment_demand(promotion);
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
            self.carries(&promotion.candidate, share, demand).err()
        };
        let Some(hold) = hold else { return false };
        if self.at.now >= promotion.gate_deadline {
            let sentence = hold.sentence();
            self.fail(promotion, format!("the gate was not passed in time ({sentence})"));
        } else {
            promotion.hold = Some(hold);
            self.look_when(promotion.gate_deadline);
        }
        true
    }

    /// Traffic begins to move.
    pub(super) fn pass_gate(&mut self, promotion: &mut Promotion) {
        promotion.hold = None;
        promotion.gate_passed_at = Some(self.at.now);
        promotion.counted_at = self.at.now;
        promotion.previous_floor = promotion.previous.as_ref().map_or(0, |previous| self.ready(previous));
        self.begin_evidence(promotion);
    }

    fn ramp_up(&mut self, promotion: &mut Promotion) {
        let window_ms = match promotion.strategy {
            Strategy::Direct => return self.succeed(promotion),
            Strategy::Rolling { config } => return self.roll(promotion, &config),
            Strategy::Canary { window_ms } => window_ms,
        };
        let Some(evidence) = self.judged(promotion) else { return };
        let is_first_look = !self.memory.counting.contains_key(&promotion.id);
        let (live, passed) = self.live(promotion);
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
                self.look_for_stage(promotion, position, window_ms, save_every(window_ms, false));
            }
            Step::Stay { counted_ms } => {
                self.go_on(promotion);
                let position = Position { elapsed_ms: live.elapsed_ms + counted_ms, ..live };
                self.count(promotion, position, true);
                let every = save_every(window_ms, evidence != promotion.evidence);
                if position.elapsed_ms - promotion.position.elapsed_ms >= every || is_first_look {
                    promotion.position = position;
                    promotion.counted_at = self.at.now;
                    self.keep_evidence(promotion, evidence);
                }
                let every = save_every(window_ms, evidence != promotion.evidence);
                self.look_for_stage(promotion, position, window_ms, every);
            }
        }
    }

    /// What both sides have answered; nothing if that ended the promotion.
    pub(super) fn judged(&mut self, promotion: &mut Promotion) -> Option<Evidence> {
        let evidence = self.evidence(promotion);
        if let Some(reason) = self.too_many_errors(promotion, &evidence) {
            promotion.evidence = evidence;
            self.fail(promotion, reason);
            return None;
        }
        if promotion.stop_on_errors && self.has_requests(promotion) {
            self.look_by(self.at.monotonic + JUDGE_EVERY);
        }
        Some(evidence)
    }

    /// Where a rollout stands, which may be further than what was saved, and the milliseconds since that count.
    pub(super) fn live(&self, promotion: &Promotion) -> (Position, i64) {
        let saved = promotion.position;
        let counting = self.memory.counting.get(&promotion.id);
        let live = counting
            .map(|counting| counting.position)
            .filter(|live| live.stage == saved.stage && live.elapsed_ms >= saved.elapsed_ms)
            .unwrap_or(saved);
        let running = counting.filter(|counting| counting.running);
        (live, running.map_or(0, |counting| self.at.monotonic - counting.counted_at))
    }

    /// Asks for a look when the stage of this position is over, and when it is to be saved, as it is each so many milliseconds.
    fn look_for_stage(&mut self, promotion: &Promotion, live: Position, window_ms: i64, every: i64) {
        let boundary = (stage_end(live.stage, window_ms) - live.elapsed_ms).max(1);
        let due_already = stage_at(live.elapsed_ms, window_ms) > live.stage;
        self.look_by(self.at.monotonic + if due_already { 1 } else { boundary });
        // As long as requests are there, looks come more often than it is saved.
        if self.is_quiet() {
            let unsaved = live.elapsed_ms - promotion.position.elapsed_ms;
            self.look_by(self.at.monotonic + (every - unsaved).max(1));
        }
    }

    pub(super) fn count(&mut self, promotion: &Promotion, position: Position, running: bool) {
        let counting = Counting { position, counted_at: self.at.monotonic, running };
        self.memory.counting.insert(promotion.id.clone(), counting);
    }

    /// Nothing stands in the way any more.
    pub(super) fn go_on(&mut self, promotion: &mut Promotion) {
        promotion.candidate_down_since = None;
        if promotion.hold.take().is_some() {
            promotion.counted_at = self.at.now;
        }
    }

    pub(super) fn hold(&mut self, promotion: &mut Promotion, live: Position, hold: Hold) {
        let is_first_look = !self.memory.counting.contains_key(&promotion.id);
        self.count(promotion, live, false);
        if hold == Hold::CandidateDown {
            if is_first_look {
                // The time without a server is not the candidate's fault.
                promotion.candidate_down_since = None;
            }
            let since = *promotion.candidate_down_since.get_or_insert(self.at.now);
            let (until, limit) = self.waits_for_candidate(promotion, since);
            if self.at.now >= until {
                let exit =
                    self.deployment(&promotion.candidate).and_then(|candidate| candidate.last_exit.clone());
                let cause = exit.map(|exit| format!(": {exit}")).unwrap_or_default();
                let reason = format!("no replica of the candidate was ready for {limit}{cause}");
                return self.fail(promotion, reason);
            }
            self.look_when(until);
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

    /// Until when a candidate is waited for that has been down since some moment, and how long that is. One that this server has
    /// seen neither ready nor fail starts as at the first time, because the machine was restarted: it has the time of a deployment.
    fn waits_for_candidate(&self, promotion: &Promotion, since: Timestamp) -> (Timestamp, String) {
        match self.memory.tried.get(&promotion.id) {
            Some(tried) => (since.max(*tried).plus(CANDIDATE_GRACE), format!("{} s", CANDIDATE_GRACE / 1000)),
            None => {
                let candidate = self.deployment(&promotion.candidate);
                let minutes = candidate.map_or(0, |candidate| candidate.deploy_timeout_minutes);
                (since.plus(i64::from(minutes) * 60_000), format!("{minutes} minutes"))
            }
        }
    }

    pub(super) fn step_event(&mut self, promotion: &Promotion) {
        let so_far = self.so_far(promotion, &promotion.evidence).map(|text| format!("; {text}"));
        let sentence = format!(
            "{}: {} % of {} goes to {}{}",
            promotion.step(),
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
}

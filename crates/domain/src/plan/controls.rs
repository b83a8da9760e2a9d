//! What people ask of a running promotion (semantics: Controls).

use super::Work;
use crate::rollout::{SAVE_EVERY, stage_end};
use crate::{Hold, Phase, Position, Promotion, STAGES, Strategy, Weight};

/// A person's word counts, ready or not, after this long, in milliseconds: a way back or forward is gone then.
const LIMIT: i64 = 600_000;

impl Work<'_> {
    /// Stands still from now on: the share stays, and no time counts. Both sides go on scaling.
    pub(super) fn pause(&mut self, promotion: &mut Promotion) {
        promotion.signal = None;
        if promotion.phase == Phase::Paused {
            return;
        }
        let (live, passed) = self.live(promotion);
        let elapsed_ms = match promotion.strategy {
            Strategy::Canary { window_ms } if live.stage > 0 => {
                (live.elapsed_ms + passed.max(0)).min(stage_end(live.stage, window_ms)).max(live.elapsed_ms)
            }
            Strategy::Rolling { .. } => live.elapsed_ms + passed.max(0),
            _ => live.elapsed_ms,
        };
        promotion.phase = Phase::Paused;
        promotion.paused_at = Some(self.at.now);
        promotion.counted_at = self.at.now;
        promotion.position = Position { elapsed_ms, ..live };
        promotion.hold = Some(Hold::Paused);
        self.count(promotion, promotion.position, false);
    }

    /// Goes on where it was paused.
    pub(super) fn resume(&mut self, promotion: &mut Promotion) {
        promotion.signal = None;
        self.unpause(promotion);
    }

    fn unpause(&mut self, promotion: &mut Promotion) {
        let Some(since) = promotion.paused_at.take() else { return };
        promotion.hold = None;
        promotion.counted_at = self.at.now;
        // The time of the gate stood still, too, and that of a step.
        promotion.gate_deadline = promotion.gate_deadline.plus(self.at.now.since(since).max(0));
        promotion.phase = match promotion.gate_passed_at {
            Some(_) => Phase::RampingUp,
            None => Phase::Releasing,
        };
        self.count(promotion, promotion.position, promotion.gate_passed_at.is_some());
    }

    /// While it is paused both sides are scaled, and the candidate is watched, like at any other time.
    pub(super) fn stay_paused(&mut self, promotion: &mut Promotion) {
        if promotion.gate_passed_at.is_none() {
            self.rescale_sides(promotion);
            promotion.hold = Some(Hold::Paused);
            return;
        }
        let Some(evidence) = self.judged(promotion) else { return };
        self.rescale_sides(promotion);
        let down = self.ready(&promotion.candidate) == 0;
        let hold = if down { Hold::CandidateDown } else { Hold::Paused };
        self.hold(promotion, promotion.position, hold);
        let saved_before = self.at.now.since(promotion.counted_at);
        if promotion.phase == Phase::Paused && evidence != promotion.evidence && saved_before >= SAVE_EVERY {
            promotion.counted_at = self.at.now;
            self.keep_evidence(promotion, evidence);
        }
    }

    /// Sends everything to the candidate: at once where it can carry it, else as far as it can.
    pub(super) fn roll_forward(&mut self, promotion: &mut Promotion) {
        self.unpause(promotion);
        if promotion.phase == Phase::RampingDown {
            promotion.phase = Phase::RampingUp;
            promotion.reason = None;
            promotion.failing = None;
        }
        if promotion.gate_passed_at.is_none() {
            // One replica is what nobody can go without.
            if self.waits_at_gate(promotion, 1, Weight::ZERO) {
                return;
            }
            self.pass_gate(promotion);
            promotion.phase = Phase::RampingUp;
        }
        let ready = self.ready(&promotion.candidate);
        if ready == 0 {
            return self.hold(promotion, promotion.position, Hold::CandidateDown);
        }
        let demand = self.environment_demand(promotion);
        let evidence = self.evidence(promotion);
        let given_up = promotion.signal_at.is_some_and(|asked| self.at.now.since(asked) >= LIMIT);
        let most = self.most_share(&promotion.candidate, demand);
        if promotion.previous.is_none() || most == Weight::WHOLE || given_up {
            promotion.evidence = evidence;
            return self.succeed(promotion);
        }
        let here = promotion.position;
        let position = match promotion.strategy {
            _ if most <= here.weight() => here,
            Strategy::Rolling { .. } => Position { stage: here.stage + 1, share: Some(most), ..here },
            // Whole stages, so that what is shown as reached was.
            _ => Position::at(u32::from(most.basis_points()) * STAGES / 10_000, here.elapsed_ms),
        };
        let moves = position != promotion.position;
        let needed = self.replicas_for_share(&promotion.candidate, Weight::WHOLE, demand);
        self.hold(promotion, position, Hold::Forward { ready, needed });
        if moves {
            promotion.position = position;
            promotion.counted_at = self.at.now;
            self.keep_evidence(promotion, evidence);
            self.step_event(promotion);
        }
    }

    /// Takes traffic back: at once where the previous deployment can carry it, else as far as it can.
    pub(super) fn cancel(&mut self, promotion: &mut Promotion) {
        let by = promotion.signal_by.clone().unwrap_or_else(|| "Slipway".into());
        let moved = promotion.gate_passed_at.is_some();
        let demand = self.environment_demand(promotion);
        let given_up = self.is_back_in_any_case(promotion);
        let fits = |work: &Self, kept: Weight| {
            promotion.previous.as_ref().is_none_or(|previous| {
                // One that lost nothing takes everything back at once, even where load has outgrown both sides.
                let whole = work.ready(previous) >= promotion.previous_floor.max(1);
                given_up || whole || work.carries(previous, kept.rest(), demand).is_ok()
            })
        };
        let here = promotion.position;
        let back = match promotion.strategy {
            _ if !moved || fits(self, Weight::ZERO) => None,
            Strategy::Rolling { .. } => Some(self.share_left(promotion, demand)),
            _ => {
                let stage = (1..=here.stage).find(|stage| fits(self, Position::at(*stage, 0).weight()));
                Some(Position::at(stage.unwrap_or(here.stage), here.elapsed_ms))
            }
        };
        match back {
            None => self.end_canceled(promotion, &by),
            Some(position) => {
                self.begin_going_back(promotion);
                promotion.position = position;
                let why = match promotion.strategy {
                    Strategy::Rolling { .. } => "needs more replicas",
                    _ => "has lost replicas",
                };
                let cause = match &promotion.failing {
                    Some(reason) => format!("failing: {reason}"),
                    None => format!("canceled by {by}"),
                };
                promotion.reason = Some(format!(
                    "{cause}; the previous deployment {why}, so traffic goes back as they start"
                ));
                self.keep_floors(promotion);
                self.look_by(self.at.monotonic + 250);
            }
        }
    }

    /// Whether a canceled promotion has waited long enough for the previous deployment.
    pub(super) fn is_back_in_any_case(&self, promotion: &Promotion) -> bool {
        promotion.phase == Phase::RampingDown && self.at.now.since(promotion.counted_at) >= LIMIT
    }

    pub(super) fn begin_going_back(&mut self, promotion: &mut Promotion) {
        if promotion.phase != Phase::RampingDown {
            promotion.phase = Phase::RampingDown;
            promotion.paused_at = None;
            promotion.counted_at = self.at.now;
        }
        promotion.hold = None;
    }
}

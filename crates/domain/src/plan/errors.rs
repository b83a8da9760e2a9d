//! A canary whose candidate fails more than what it is to replace ends by itself (semantics: Stop on errors).

use super::Work;
use crate::{DeploymentId, ENOUGH, Evidence, Judgement, Promotion, SideCounts, judge};

/// How often the answers of a running canary are judged at least, in milliseconds.
pub(super) const JUDGE_EVERY: i64 = 1_000;

impl Work<'_> {
    /// What both sides have answered since traffic began to move: what was stored, and what was counted since.
    pub(super) fn evidence(&mut self, promotion: &Promotion) -> Evidence {
        let counters = self.counters(promotion);
        let from = self.memory.counted_from.entry(promotion.id.clone());
        let (stored, began) = from.or_insert((promotion.evidence, counters));
        Evidence {
            candidate: stored.candidate.plus(counters.candidate.since(began.candidate)),
            current: stored.current.plus(counters.current.since(began.current)),
        }
    }

    /// Counts from now on: traffic begins to move.
    pub(super) fn begin_evidence(&mut self, promotion: &mut Promotion) {
        promotion.evidence = Evidence::default();
        let from = (promotion.evidence, self.counters(promotion));
        self.memory.counted_from.insert(promotion.id.clone(), from);
    }

    /// Writes the evidence down with the position, and counts on from there.
    pub(super) fn keep_evidence(&mut self, promotion: &mut Promotion, evidence: Evidence) {
        promotion.evidence = evidence;
        let from = (evidence, self.counters(promotion));
        self.memory.counted_from.insert(promotion.id.clone(), from);
    }

    fn counters(&self, promotion: &Promotion) -> Evidence {
        let sides = self.seen.sides.get(&promotion.environment);
        let of = |id: &DeploymentId| sides.and_then(|sides| sides.get(id)).copied().unwrap_or_default();
        Evidence {
            candidate: of(&promotion.candidate),
            current: promotion.previous.as_ref().map(of).unwrap_or_default(),
        }
    }

    /// Why a promotion must not go on, if its candidate fails more.
    pub(super) fn too_many_errors(&self, promotion: &Promotion, evidence: &Evidence) -> Option<String> {
        let watched = promotion.stop_on_errors && promotion.previous.is_some();
        if !watched || judge(evidence) != Judgement::Worse {
            return None;
        }
        Some(format!("the candidate fails more: {}", self.both_counts(promotion, evidence)))
    }

    /// What the evidence says so far, for the sentence of a step; nothing where nobody watches.
    pub(super) fn so_far(&self, promotion: &Promotion, evidence: &Evidence) -> Option<String> {
        if !promotion.stop_on_errors || promotion.previous.is_none() || promotion.position.stage <= 1 {
            return None;
        }
        let answered = evidence.candidate.answered;
        Some(match judge(evidence) {
            Judgement::NotEnough => {
                format!("not enough evidence to judge it by its errors: {answered} of {ENOUGH} answers")
            }
            _ => self.both_counts(promotion, evidence),
        })
    }

    fn both_counts(&self, promotion: &Promotion, evidence: &Evidence) -> String {
        let side = |id: &DeploymentId, counts: SideCounts| {
            format!("{} of {} answers of {} were errors", counts.errors, counts.answered, self.name_of(id))
        };
        let candidate = side(&promotion.candidate, evidence.candidate);
        let Some(previous) = &promotion.previous else { return candidate };
        let current = evidence.current;
        format!("{candidate}, {} of {} of {}", current.errors, current.answered, self.name_of(previous))
    }
}

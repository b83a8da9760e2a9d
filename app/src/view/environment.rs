//! One environment: the ladder of its rollout, both sides, its decisions and settings.

use domain::{AutoscalingSettings, Phase, PromotionSettings, Timestamp};
use serde::{Deserialize, Serialize};

use super::{AccessView, Permit, PromoteChoices, Served};

/// The rollout page of an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentPage {
    pub as_of: Timestamp,
    pub model_id: String,
    pub model_name: String,
    pub name: String,
    pub headline: String,
    /// Where it is called, as a full URL.
    pub address: String,
    pub current: Option<Served>,
    /// The running promotion, or the last one.
    pub rollout: Option<Rollout>,
    pub controls: RolloutControls,
    pub promote: Permit,
    pub choices: PromoteChoices,
    pub settings: PromotionSettings,
    pub scaling: AutoscalingSettings,
    /// Whether the person may change either settings.
    pub may_change_settings: Permit,
    pub access: AccessView,
    pub actions: EnvironmentActions,
    /// Whether sample traffic may be sent now.
    pub sample: Permit,
    /// The sample traffic that is being sent, or was sent last.
    pub sample_run: Option<SampleRun>,
}

/// What may be asked of the running promotion by the person who looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutControls {
    pub cancel: Permit,
    /// Where a plain cancel takes its time.
    pub force_cancel: Permit,
    pub pause: Permit,
    pub resume: Permit,
    pub roll_forward: Permit,
}

/// Some requests with the model's example input, sent so that there is something to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleRun {
    /// How many it sends in all.
    pub of: u32,
    pub sent: u32,
    /// Answered by 200.
    pub answered: u32,
    /// Refused by the model, as an input that it does not know: 400 to 499.
    pub refused: u32,
    /// Answered by 500 and above, or not at all.
    pub failed: u32,
    /// Whether it goes on.
    pub running: bool,
}

/// What may be done to an environment by the person who looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentActions {
    /// Activates what it serves.
    pub activate: Permit,
    /// Deactivates what it serves.
    pub deactivate: Permit,
    pub delete: Permit,
}

/// A promotion as it goes, or went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    pub promotion_id: String,
    pub phase: Phase,
    pub running: bool,
    /// What it does or waits for, or how it ended.
    pub sentence: String,
    /// Ten stages over the window, or all at once.
    pub canary: bool,
    /// Replicas that have moved, and of how many, if it goes replica by replica.
    pub moved: Option<(u32, u32)>,
    /// Length of the window in seconds; 0 for one that is no canary.
    pub window_seconds: u32,
    /// Share of traffic that goes to the candidate as set, 0 to 100.
    pub percent: u8,
    /// The highest stage reached, 0 to 10.
    pub stage: u8,
    /// When each reached stage began, the first one first.
    pub reached: Vec<Timestamp>,
    /// When the next stage is due; nothing while it is held, paused or over.
    pub next_stage_at: Option<Timestamp>,
    /// When it will have succeeded if nothing holds it.
    pub finishes_at: Option<Timestamp>,
    pub started_at: Timestamp,
    pub started_by: Option<String>,
    pub ended_at: Option<Timestamp>,
    /// What served before; nothing for the first promotion.
    pub previous: Option<Side>,
    pub candidate: Side,
    /// Newest first.
    pub decisions: Vec<Decision>,
}

/// One side of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Side {
    pub served: Served,
    /// Share of traffic as set, 0 to 100.
    pub percent: u8,
    /// What the gateway counted since the first stage began; nothing before.
    pub counted: Option<Counted>,
}

/// Requests as the gateway counted them, not as they were meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    pub requests: u64,
    /// Answers of 500 and above, and timeouts.
    pub errors: u64,
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
}

/// One line of the log of decisions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    pub at: Timestamp,
    pub sentence: String,
    /// Who; nothing when it was Slipway itself.
    pub by: Option<String>,
}

/// One rung of the ladder.
#[derive(Debug, Clone, PartialEq)]
pub struct Rung {
    /// 10, 20, … 100.
    pub percent: u8,
    pub state: RungState,
    pub reached_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RungState {
    Done,
    Now,
    ToCome,
    /// The promotion ended before this stage.
    Skipped,
}

impl Rollout {
    /// The ten rungs, from 10 to 100 %.
    pub fn rungs(&self) -> Vec<Rung> {
        (1..=10u8)
            .map(|number| {
                let state = match number {
                    n if n < self.stage => RungState::Done,
                    n if n == self.stage && self.running => RungState::Now,
                    n if n == self.stage => RungState::Done,
                    _ if self.running => RungState::ToCome,
                    _ => RungState::Skipped,
                };
                let reached_at = self.reached.get(usize::from(number) - 1).copied();
                Rung { percent: number * 10, state, reached_at }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn states(rollout: &Rollout) -> String {
        rollout
            .rungs()
            .iter()
            .map(|rung| match rung.state {
                RungState::Done => '#',
                RungState::Now => '>',
                RungState::ToCome => '.',
                RungState::Skipped => '-',
            })
            .collect()
    }

    #[test]
    fn a_running_ladder_shows_done_now_and_to_come() {
        let mut rollout = sample::rollout();
        rollout.stage = 4;
        assert_eq!(states(&rollout), "###>......");
        rollout.stage = 0;
        assert_eq!(states(&rollout), "..........", "waiting for the candidate, no rung is lit");
    }

    #[test]
    fn a_cancelled_ladder_keeps_what_was_reached_and_skips_the_rest() {
        let mut rollout = sample::rollout();
        rollout.running = false;
        rollout.stage = 4;
        assert_eq!(states(&rollout), "####------");
        rollout.stage = 10;
        assert_eq!(states(&rollout), "##########");
    }

    #[test]
    fn rungs_are_ten_even_steps() {
        let percents: Vec<u8> = sample::rollout().rungs().iter().map(|rung| rung.percent).collect();
        assert_eq!(percents, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
    }
}

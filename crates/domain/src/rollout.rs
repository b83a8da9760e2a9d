//! How a promotion carries traffic: ten stages over a window (semantics: Canary).

use serde::{Deserialize, Serialize};

use crate::{AutoscalingSettings, RollingConfig, Weight};

/// Stages of a canary; each moves a tenth of the traffic.
pub const STAGES: u32 = 10;
/// The position of a rollout that answers is saved at least this often, in milliseconds.
pub(crate) const SAVE_EVERY: i64 = 5_000;
/// That of a rollout that answers nobody, however long its window is.
const SAVE_AT_REST: i64 = 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Strategy {
    /// All traffic at once, when the candidate is ready.
    Direct,
    /// Ten stages evenly over the window.
    Canary { window_ms: i64 },
    /// Replica by replica.
    Rolling { config: RollingConfig },
}

impl Strategy {
    /// Replicas that a candidate starts with.
    pub fn first_replicas(self, settings: &AutoscalingSettings) -> u32 {
        match self {
            Self::Direct | Self::Canary { .. } => settings.min_replica.max(1),
            Self::Rolling { .. } => 1,
        }
    }
}

/// Where a rollout stands. Time counts only while nothing holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// 0 before the gate, then 1 to 10; of a rolling promotion, how often its share has changed.
    pub stage: u32,
    /// Milliseconds of the window that have counted; of a rolling promotion, those since the last step.
    pub elapsed_ms: i64,
    /// The candidate's share where it does not follow from the stage: in a rolling promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Weight>,
}

impl Position {
    /// A stage of a canary.
    pub fn at(stage: u32, elapsed_ms: i64) -> Self {
        Self { stage, elapsed_ms, share: None }
    }

    /// The candidate's share at this position.
    pub fn weight(self) -> Weight {
        self.share.unwrap_or(Weight::percent(self.stage * 100 / STAGES))
    }
}

/// The stage that `elapsed_ms` of a window belongs to, 1 to 10.
pub fn stage_at(elapsed_ms: i64, window_ms: i64) -> u32 {
    if window_ms <= 0 {
        return STAGES;
    }
    let stage = 1 + i128::from(elapsed_ms.max(0)) * i128::from(STAGES) / i128::from(window_ms);
    stage.min(i128::from(STAGES)) as u32
}

/// Why a rollout does not go on, as data; the sentence is made where it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Hold {
    /// The candidate is not built yet.
    Building,
    /// The gate: this many of that many replicas are ready.
    Gate { ready: u32, needed: u32 },
    /// The gate, with no room on the machine for the replicas that lack; `waiting` says what they wait for.
    Room { ready: u32, needed: u32, waiting: String },
    /// The candidate's ready replicas can't carry the share; `waiting` says what those that lack wait for, if they do.
    Capacity {
        ready: u32,
        needed: u32,
        #[serde(default)]
        waiting: Option<String>,
    },
    /// A step of a rolling promotion: this many of that many replicas of the candidate are ready; `waiting` says what
    /// others wait for.
    Step { ready: u32, needed: u32, waiting: Option<String> },
    /// The extra replicas of the current deployment, before a rolling promotion begins.
    Overhead { ready: u32, needed: u32 },
    /// None of the candidate's replicas is ready; its traffic went back.
    CandidateDown,
    /// A person paused it.
    Paused,
    /// A person sends everything to the candidate, which can't carry it yet.
    Forward { ready: u32, needed: u32 },
    /// What the machine runs could not be seen.
    Unknown,
}

impl Hold {
    /// The hold as one sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::Building => "waiting for the candidate's build".into(),
            Self::Gate { ready, needed } => format!(
                "waiting for the candidate's replicas: {ready} of {needed} ready; no traffic has moved"
            ),
            Self::Room { ready, needed, waiting } => format!(
                "waiting for the candidate's replicas: {ready} of {needed} ready, {waiting}; no traffic has moved"
            ),
            Self::Capacity { ready, needed, waiting } => {
                let waiting = waiting.as_ref().map(|waiting| format!(", {waiting}")).unwrap_or_default();
                format!(
                    "holding the stage: the next share needs {needed} ready replicas and the candidate has {ready}{waiting}"
                )
            }
            Self::Step { ready, needed, waiting } => {
                let why = waiting.as_ref().map(|waiting| format!(", {waiting}")).unwrap_or_default();
                format!(
                    "waiting for the candidate's replicas: {ready} of {needed} of this step are ready{why}"
                )
            }
            Self::Overhead { ready, needed } => format!(
                "waiting for extra replicas of the current deployment: {ready} of {needed} ready; no traffic has moved"
            ),
            Self::CandidateDown => {
                "holding: no replica of the candidate is ready, so its traffic went back to the current one"
                    .into()
            }
            Self::Paused => "paused; the split stays as it is".into(),
            Self::Forward { ready, needed } => format!(
                "rolling forward: all traffic needs {needed} ready replicas and the candidate has {ready}"
            ),
            Self::Unknown => "holding: the state of the replicas could not be read".into(),
        }
    }
}

/// What to do next in a rollout that is past its gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Stay, and count `counted_ms` of time.
    Stay { counted_ms: i64 },
    /// Go to this stage.
    Advance { position: Position },
    /// Stay without counting time.
    Hold(Hold),
    /// The window is over.
    Finish,
}

/// Decides the next step after the gate has passed.
///
/// `passed_ms` is measured time since the last look. At most one stage is advanced, so each stage is published at least
/// once however long the last look was ago. `capacity(weight)` says whether the candidate can carry a share.
pub fn next_step(
    position: Position,
    window_ms: i64,
    passed_ms: i64,
    capacity: impl Fn(Weight) -> Result<(), Hold>,
) -> Step {
    if let Err(hold) = capacity(position.weight()) {
        return Step::Hold(hold);
    }
    let elapsed_ms = position.elapsed_ms.saturating_add(passed_ms.max(0));
    let due = stage_at(elapsed_ms, window_ms);
    if due > position.stage {
        let stage = position.stage + 1;
        let next = Position::at(stage, elapsed_ms.min(stage_end(stage, window_ms)));
        return match capacity(next.weight()) {
            // Time stops at the boundary, so that the held stage does not shorten the ones after it.
            Err(hold) => Step::Hold(hold),
            Ok(()) => Step::Advance { position: next },
        };
    }
    if elapsed_ms >= window_ms && position.stage >= STAGES {
        return Step::Finish;
    }
    Step::Stay { counted_ms: elapsed_ms - position.elapsed_ms }
}

/// How often the position of a canary is saved between two stages, in milliseconds: so much of its time may come twice when the
/// server is killed. What was answered since the last save is lost as well; while nothing was, a thousandth of the window is little.
pub(crate) fn save_every(window_ms: i64, answered: bool) -> i64 {
    if answered { SAVE_EVERY } else { (window_ms / 1_000).clamp(SAVE_EVERY, SAVE_AT_REST) }
}

/// When a stage ends, in elapsed milliseconds of the window; a later look may not count beyond it.
pub fn stage_end(stage: u32, window_ms: i64) -> i64 {
    // Rounded up, so that a stage never ends before its share of the window.
    let numerator = i128::from(stage) * i128::from(window_ms);
    ((numerator + i128::from(STAGES) - 1) / i128::from(STAGES)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: i64 = 120_000;

    fn always(_: Weight) -> Result<(), Hold> {
        Ok(())
    }

    #[test]
    fn stages_begin_at_tenths_of_the_window() {
        for stage in 1..=STAGES {
            let begin = i64::from(stage - 1) * WINDOW / 10;
            assert_eq!(stage_at(begin, WINDOW), stage);
            assert_eq!(stage_at(begin + WINDOW / 10 - 1, WINDOW), stage);
        }
        assert_eq!(stage_at(i64::MAX, WINDOW), STAGES);
        assert_eq!(stage_at(5, 0), STAGES);
    }

    #[test]
    fn a_long_absence_advances_one_stage_only() {
        let here = Position::at(2, 13_000);
        let Step::Advance { position } = next_step(here, WINDOW, 90_000, always) else { panic!("advances") };
        assert_eq!(position.stage, 3);
        assert_eq!(position.elapsed_ms, 36_000);
    }

    #[test]
    fn a_whole_window_is_walked_in_ten_steps() {
        let mut position = Position::at(1, 0);
        let mut weights = vec![position.weight().as_percent()];
        for _ in 0..10_000 {
            match next_step(position, WINDOW, 250, always) {
                Step::Stay { counted_ms } => position.elapsed_ms += counted_ms,
                Step::Advance { position: next } => {
                    position = next;
                    weights.push(position.weight().as_percent());
                }
                Step::Finish => break,
                Step::Hold(hold) => panic!("held: {hold:?}"),
            }
        }
        assert_eq!(weights, [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0]);
        assert!(position.elapsed_ms >= WINDOW - 250);
    }

    #[test]
    fn a_long_rollout_that_nobody_calls_is_saved_seldom() {
        let (hour, day) = (3_600_000, 24 * 3_600_000);
        let rests = [1_000, hour, 10 * hour, day, 30 * day].map(|window| save_every(window, false));
        assert_eq!(rests, [5_000, 5_000, 36_000, 60_000, 60_000]);
        assert!([1_000, hour, day].iter().all(|window| save_every(*window, true) == 5_000));
    }

    #[test]
    fn time_never_advances_a_stage_without_capacity() {
        let here = Position::at(3, 35_900);
        let short = |weight: Weight| {
            if weight > Weight::percent(30) {
                Err(Hold::Capacity { ready: 1, needed: 2, waiting: None })
            } else {
                Ok(())
            }
        };
        assert_eq!(
            next_step(here, WINDOW, 500, short),
            Step::Hold(Hold::Capacity { ready: 1, needed: 2, waiting: None })
        );
    }
}

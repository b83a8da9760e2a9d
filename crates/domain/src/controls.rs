//! What people may ask of a running promotion, and when it makes sense (semantics: Controls).

use serde::{Deserialize, Serialize};

use crate::{Phase, Promotion, Strategy, Timestamp};

/// What a person asked of a running promotion; stored with it until it has been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Signal {
    /// The way back at the strategy's own pace.
    Cancel,
    /// The way back at once. Only a rolling promotion knows a slower one.
    ForceCancel,
    Pause,
    Resume,
    /// All traffic to the candidate, whatever the strategy has left to do.
    RollForward,
}

impl Signal {
    /// What it means to a promotion of this strategy: only a rolling one has a slower way back.
    pub fn meant(self, strategy: Strategy) -> Self {
        match (self, strategy) {
            (Self::Cancel, Strategy::Direct | Strategy::Canary { .. }) => Self::ForceCancel,
            (signal, _) => signal,
        }
    }

    /// The word of the record for it, verbatim.
    pub fn action(self) -> &'static str {
        match self {
            Self::Cancel => "GRACEFUL_CANCEL",
            Self::ForceCancel => "FORCE_CANCEL",
            Self::Pause => "PAUSE",
            Self::Resume => "RESUME",
            Self::RollForward => "FORCE_ROLL_FORWARD",
        }
    }

    /// What was asked for, to be followed by "of the promotion to …".
    pub fn noun(self) -> &'static str {
        match self {
            Self::Cancel | Self::ForceCancel => "cancel",
            Self::Pause => "a pause",
            Self::Resume => "the resumption",
            Self::RollForward => "a roll forward",
        }
    }
}

/// What asking comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// It is so already, or will be: nothing to store, nothing to record.
    Already,
    /// The signal is to be stored.
    Store,
}

impl Promotion {
    /// Whether its traffic is going back, or will with the next look.
    pub fn goes_back(&self) -> bool {
        match self.signal {
            Some(signal) => matches!(signal, Signal::Cancel | Signal::ForceCancel),
            None => self.phase == Phase::RampingDown,
        }
    }

    /// Whether it stands still because a person wants it to, or will with the next look.
    pub fn is_paused(&self) -> bool {
        match self.signal {
            Some(signal) => signal == Signal::Pause,
            None => self.phase == Phase::Paused,
        }
    }

    /// Whether a person sends all traffic to its candidate.
    pub fn rolls_forward(&self) -> bool {
        self.signal == Some(Signal::RollForward)
    }

    /// Notes what a person asks of it; the next look does it.
    pub fn send(&mut self, signal: Signal, by: &str, now: Timestamp) {
        self.signal = Some(signal.meant(self.strategy));
        self.signal_by = Some(by.to_owned());
        self.signal_at = Some(now);
    }
}

/// Whether a running promotion takes a signal now; `Err` says why not and what to do instead.
pub fn ask(promotion: &Promotion, signal: Signal) -> Result<Asked, String> {
    let environment = &promotion.environment;
    let back = |verb: &str| {
        format!(
            "The promotion to {environment} can't be {verb}: it was canceled and its traffic is going back. \
             Wait until it has, or roll it forward."
        )
    };
    let already = |yes: bool| Ok(if yes { Asked::Already } else { Asked::Store });
    match signal {
        Signal::Cancel => already(promotion.goes_back()),
        Signal::ForceCancel => {
            already(promotion.goes_back() && promotion.signal.is_none_or(|sent| sent == Signal::ForceCancel))
        }
        Signal::RollForward => already(promotion.rolls_forward()),
        Signal::Pause if promotion.goes_back() => Err(back("paused")),
        Signal::Resume if promotion.goes_back() => Err(back("resumed")),
        Signal::Pause if promotion.rolls_forward() => Err(format!(
            "The promotion to {environment} can't be paused: it is being rolled forward. Cancel it to take its \
             traffic back."
        )),
        Signal::Pause => already(promotion.is_paused()),
        Signal::Resume => already(!promotion.is_paused()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeploymentId, Environment, EnvironmentName, ModelId, PromotionId};

    fn promotion() -> Promotion {
        let began = Timestamp::from_millis(0);
        let mut environment = Environment::new(ModelId::new("model"), EnvironmentName::production(), began);
        environment.current = Some(DeploymentId::new("old"));
        let (id, candidate) = (PromotionId::new("promotion"), DeploymentId::new("new"));
        let canary = Strategy::Canary { window_ms: 100_000 };
        Promotion {
            phase: Phase::RampingUp,
            ..Promotion::new(id, &environment, candidate, canary, "ada", began, began)
        }
    }

    fn answers(phase: Phase, pending: Option<Signal>) -> String {
        let promotion = Promotion { phase, signal: pending, ..promotion() };
        [Signal::Pause, Signal::Resume, Signal::Cancel, Signal::RollForward]
            .map(|signal| match ask(&promotion, signal) {
                Ok(Asked::Store) => 'y',
                Ok(Asked::Already) => '=',
                Err(_) => 'n',
            })
            .into_iter()
            .collect()
    }

    #[test]
    fn each_control_makes_sense_or_says_why_not() {
        use Signal::{Cancel, Pause, Resume, RollForward};
        // In the order: pause, resume, cancel, roll forward.
        for (phase, pending, expected) in [
            (Phase::Releasing, None, "y=yy"),
            (Phase::RampingUp, None, "y=yy"),
            (Phase::Paused, None, "=yyy"),
            (Phase::RampingDown, None, "nn=y"),
            (Phase::RampingUp, Some(Pause), "=yyy"),
            (Phase::Paused, Some(Resume), "y=yy"),
            (Phase::Paused, Some(Cancel), "nn=y"),
            (Phase::RampingUp, Some(RollForward), "n=y="),
            (Phase::RampingDown, Some(RollForward), "n=y="),
        ] {
            assert_eq!(answers(phase, pending), expected, "{phase:?} {pending:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_environment_and_the_way_out() {
        let promotion = Promotion { phase: Phase::RampingDown, ..promotion() };
        let refusal = ask(&promotion, Signal::Pause).unwrap_err();
        assert!(refusal.contains("production") && refusal.contains("roll it forward"), "{refusal}");
    }
}

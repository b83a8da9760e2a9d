//! How often a starting replica is asked whether it is ready.

use std::time::Duration;

use crate::probe::Health;

/// The pause is this part of its age, so that waiting for the next question adds little to what the start itself takes.
const PART: u32 = 500;
const SHORTEST: Duration = Duration::from_millis(2);
/// The longest while nobody listens: a refused connection costs tens of microseconds, and the process itself nothing.
const SILENT: Duration = Duration::from_millis(4);
/// The longest while it answers that it is not ready: that costs it an answer, and perhaps a line of its log.
const ANSWERING: Duration = Duration::from_millis(8);
/// One that has been starting for so long and answers is not hurried any more: its answers would take from its loading, and fill its
/// log.
const PATIENCE: Duration = Duration::from_secs(120);
const UNHURRIED: Duration = Duration::from_millis(50);

/// The pause before the next question to a process of this age, by what came of the last one. Nothing is gained by asking one often
/// that is `unhurried`: it tells by itself, but may have told nobody.
pub(crate) fn pause(age: Duration, health: Health, unhurried: bool) -> Duration {
    let longest = match health {
        _ if unhurried => return UNHURRIED,
        Health::Silent => SILENT,
        _ if age < PATIENCE => ANSWERING,
        _ => UNHURRIED,
    };
    (age / PART).clamp(SHORTEST, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_with_the_age_up_to_what_a_question_costs() {
        let of = |health, millis| pause(Duration::from_millis(millis), health, false).as_millis();
        let silent = [0, 1_000, 1_500, 2_000, 10_000, 600_000].map(|millis| of(Health::Silent, millis));
        assert_eq!(silent, [2, 2, 3, 4, 4, 4]);
        let loads = [0, 1_000, 2_500, 4_000, 119_999, 120_000].map(|millis| of(Health::NotReady, millis));
        assert_eq!(loads, [2, 2, 5, 8, 8, 50]);
    }

    #[test]
    fn what_tells_by_itself_is_asked_now_and_then() {
        for health in [Health::Silent, Health::NotReady] {
            assert_eq!(pause(Duration::from_millis(10), health, true), UNHURRIED);
        }
    }
}

//! How often a starting replica is asked whether it is ready.

use std::time::Duration;

/// One that tells by itself is asked this often all the same: it may have been told to nobody.
const TELLS: Duration = Duration::from_millis(50);
/// The shortest and the longest pause for one that does not.
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(50);
/// The pause is this part of its age, so that waiting for the next question adds little to what the start itself takes.
const PART: u32 = 500;

/// The pause before the next question to a process of this age.
pub(crate) fn pause(age: Duration, tells: bool) -> Duration {
    if tells { TELLS } else { (age / PART).clamp(SHORTEST, LONGEST) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_with_the_age() {
        let of = |millis| pause(Duration::from_millis(millis), false).as_millis();
        assert_eq!((of(0), of(1_000), of(2_500), of(10_000), of(600_000)), (2, 2, 5, 20, 50));
        assert_eq!(pause(Duration::from_millis(10), true), TELLS);
    }
}

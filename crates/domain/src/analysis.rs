//! Whether a candidate fails more than what it is to replace (semantics: Stop on errors).

use serde::{Deserialize, Serialize};

/// Answers of one side of a rollout, and how many of them were errors: 500 to 599, time-outs, broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SideCounts {
    pub answered: u64,
    pub errors: u64,
}

impl SideCounts {
    /// What was counted since `earlier`; nothing if the counters began anew meanwhile.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            answered: self.answered.saturating_sub(earlier.answered),
            errors: self.errors.saturating_sub(earlier.errors),
        }
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            answered: self.answered.saturating_add(other.answered),
            errors: self.errors.saturating_add(other.errors),
        }
    }

    /// Share of errors, 0 to 1; 0 if nothing was answered.
    pub fn rate(self) -> f64 {
        if self.answered == 0 { 0.0 } else { self.errors as f64 / self.answered as f64 }
    }
}

/// What a rollout's traffic says of its candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Evidence {
    pub candidate: SideCounts,
    pub current: SideCounts,
}

/// What follows from the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The candidate answered too few requests to be judged.
    NotEnough,
    /// It does not fail more, or not by enough to tell it from chance.
    NoWorse,
    /// It fails more: by the margin at least, and not by chance.
    Worse,
}

/// Answers of the candidate that a judgement takes.
pub const ENOUGH: u64 = 50;
/// How much higher its rate of errors has to be.
const MARGIN: f64 = 0.05;
/// How improbable the difference has to be if both sides were alike.
const CHANCE: f64 = 0.01;

/// Judges a candidate by the errors of both sides.
pub fn judge(evidence: &Evidence) -> Judgement {
    let Evidence { candidate, current } = *evidence;
    if candidate.answered < ENOUGH {
        return Judgement::NotEnough;
    }
    // Rates are quotients: five points exactly are five points, whatever the last digit says.
    if candidate.rate() - current.rate() < MARGIN - 1e-12 {
        return Judgement::NoWorse;
    }
    if chance_of(candidate, current) < CHANCE { Judgement::Worse } else { Judgement::NoWorse }
}

/// The probability that at least as many of all errors fall on `candidate` if both sides were alike: Fisher's exact test,
/// one-sided.
pub fn chance_of(candidate: SideCounts, current: SideCounts) -> f64 {
    let whole = candidate.answered + current.answered;
    let errors = candidate.errors.min(candidate.answered) + current.errors.min(current.answered);
    let most = candidate.answered.min(errors);
    let least = errors.saturating_sub(current.answered);
    let seen = candidate.errors.min(candidate.answered);
    if seen <= least {
        return 1.0;
    }
    // Probability of exactly `seen`, then each further one from the one before it.
    let exactly = choose(errors, seen) + choose(whole - errors, candidate.answered - seen)
        - choose(whole, candidate.answered);
    let mut term = exactly.exp();
    let mut sum = 0.0;
    let mut count = seen;
    loop {
        sum += term;
        if count >= most || term < sum * 1e-12 {
            return sum.min(1.0);
        }
        let (k, n) = (count as f64, candidate.answered as f64);
        let (all, bad) = (whole as f64, errors as f64);
        term *= (bad - k) * (n - k) / ((k + 1.0) * (all - bad - n + k + 1.0));
        count += 1;
    }
}

/// Natural logarithm of the number of ways to choose `k` of `n`.
fn choose(n: u64, k: u64) -> f64 {
    if k > n { f64::NEG_INFINITY } else { ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k) }
}

/// Exact below 16, by Stirling's series from there on, which is then right to twelve digits.
fn ln_factorial(n: u64) -> f64 {
    if n < 16 {
        return (1..=n).map(|k| (k as f64).ln()).sum();
    }
    let x = n as f64;
    let inverse = 1.0 / x;
    let series =
        inverse / 12.0 - inverse.powi(3) / 360.0 + inverse.powi(5) / 1260.0 - inverse.powi(7) / 1680.0;
    x * x.ln() - x + 0.5 * (std::f64::consts::TAU * x).ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(errors: u64, answered: u64) -> SideCounts {
        SideCounts { answered, errors }
    }

    type Row = ((u64, u64), (u64, u64), f64);

    const TABLE: [Row; 10] = [
        ((5, 50), (0, 450), 8.300897542363e-06),
        ((3, 50), (0, 450), 9.464712557645e-04),
        ((4, 50), (1, 50), 1.810892429449e-01),
        ((10, 100), (45, 450), 5.608328615667e-01),
        ((1, 2), (1, 2), 8.333333333333e-01),
        ((7, 10), (2, 12), 1.702786377709e-02),
        ((60, 600), (10, 5400), 9.866840024457e-51),
        ((200, 1000), (150, 1000), 1.944210502991e-03),
        ((12, 15), (0, 3), 2.450980392157e-02),
        ((0, 60), (5, 100), 1.000000000000e+00),
    ];

    #[test]
    fn probabilities_are_those_of_the_tables() {
        // (candidate, current, one-sided probability), computed with exact integer arithmetic.
        for (candidate, current, expected) in TABLE {
            let found = chance_of(side(candidate.0, candidate.1), side(current.0, current.1));
            assert!((found - expected).abs() < 1e-9 + expected * 1e-6, "{candidate:?} {current:?}: {found}");
        }
    }

    #[test]
    fn judgements() {
        use Judgement::{NoWorse, NotEnough, Worse};
        for (candidate, current, expected) in [
            ((49, 49), (0, 1000), NotEnough),
            ((50, 50), (0, 1000), Worse),
            ((0, 50), (0, 0), NoWorse),
            // Nothing to compare with: it can't be told from chance.
            ((50, 50), (0, 0), NoWorse),
            ((5, 50), (0, 450), Worse),
            ((3, 50), (0, 450), Worse),
            // Five points and more, and yet by chance.
            ((4, 50), (1, 50), NoWorse),
            ((10, 100), (45, 450), NoWorse),
            // Significant, and too small to matter.
            ((400, 10_000), (100, 10_000), NoWorse),
            ((600, 10_000), (100, 10_000), Worse),
            ((100_000, 1_000_000), (900_000, 9_000_000), NoWorse),
            ((150_001, 1_000_000), (900_000, 9_000_000), Worse),
            ((0, 1_000), (500, 1_000), NoWorse),
        ] {
            let evidence =
                Evidence { candidate: side(candidate.0, candidate.1), current: side(current.0, current.1) };
            assert_eq!(judge(&evidence), expected, "{candidate:?} {current:?}");
        }
    }

    /// Sides that are alike are looked at after every answer, for as long as a rollout may take; hardly any is stopped.
    #[test]
    fn sides_that_are_alike_are_left_alone() {
        let mut state = 11_u64;
        let mut dice = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1_u64 << 24) as f64
        };
        for (rate, allowed) in [(0.0, 0), (0.002, 2), (0.02, 8), (0.2, 8), (0.5, 8)] {
            let mut stopped = 0;
            for _ in 0..100 {
                let mut evidence = Evidence::default();
                for request in 0..3_000 {
                    let stage = 1 + request / 300;
                    let to = if dice() * 10.0 < f64::from(stage) {
                        &mut evidence.candidate
                    } else {
                        &mut evidence.current
                    };
                    to.answered += 1;
                    to.errors += u64::from(dice() < rate);
                    if request % 10 == 0 && judge(&evidence) == Judgement::Worse {
                        stopped += 1;
                        break;
                    }
                }
            }
            assert!(stopped <= allowed, "{stopped} of 100 at a rate of {rate}");
        }
    }
}

//! How many tests a runner says it ran.

/// Tests that passed and that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub passed: u64,
    pub failed: u64,
}

impl Tally {
    /// One check without tests of its own.
    pub fn one(success: bool) -> Self {
        Self { passed: u64::from(success), failed: u64::from(!success) }
    }

    /// Reads the summaries of cargo test, nextest, Playwright and Node's runner. Nothing found counts as one check.
    pub fn read(text: &str, success: bool) -> Self {
        let mut tally = Self::default();
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("test result: ") {
                // cargo test: `ok. 5 passed; 0 failed; 0 ignored; …`
                tally.add(before(rest, "passed"), before(rest, "failed"));
            } else if line.starts_with("Summary [") && line.contains("tests run:") {
                // nextest: `Summary [ 1.2s] 25 tests run: 24 passed (1 slow), 1 failed, 2 timed out, 0 skipped`
                let broken = before(line, "failed") + before(line, "timed out") + before(line, "exec failed");
                tally.add(before(line, "passed"), broken);
            } else if let Some(count) = playwright(line, "passed") {
                tally.add(count, 0);
            } else if let Some(count) = playwright(line, "failed").or_else(|| playwright(line, "did not run"))
            {
                tally.add(0, count);
            } else if let Some(count) = line.strip_prefix("ℹ pass ").or_else(|| line.strip_prefix("# pass "))
            {
                tally.add(count.parse().unwrap_or(0), 0);
            } else if let Some(count) = line.strip_prefix("ℹ fail ").or_else(|| line.strip_prefix("# fail "))
            {
                tally.add(0, count.parse().unwrap_or(0));
            }
        }
        if tally == Self::default() || (!success && tally.failed == 0) {
            let one = Self::one(success);
            tally.add(one.passed, one.failed);
        }
        tally
    }

    fn add(&mut self, passed: u64, failed: u64) {
        self.passed += passed;
        self.failed += failed;
    }
}

/// The number right before a word, or 0.
fn before(text: &str, word: &str) -> u64 {
    let Some(at) = text.find(&format!(" {word}")) else { return 0 };
    text[..at]
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// Playwright: a line of its own, `12 passed (1.2m)` or `1 failed`.
fn playwright(line: &str, word: &str) -> Option<u64> {
    let (count, rest) = line.split_once(' ')?;
    (rest == word || rest.starts_with(&format!("{word} ("))).then(|| count.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, success: bool) -> (u64, u64) {
        let tally = Tally::read(text, success);
        (tally.passed, tally.failed)
    }

    #[test]
    fn each_runner_is_understood() {
        let cargo = "test result: ok. 5 passed; 0 failed; 0 ignored\ntest result: FAILED. 2 passed; 1 failed; 0 ignored";
        assert_eq!(read(cargo, false), (7, 1));
        let nextest = "     Summary [   1.207s] 25 tests run: 24 passed (1 slow), 1 failed, 0 skipped";
        assert_eq!(read(nextest, false), (24, 1));
        assert_eq!(read("  1 failed\n    [chromium] › a.spec.ts\n  12 passed (1.2m)", false), (12, 1));
        assert_eq!(read("ℹ tests 3\nℹ pass 3\nℹ fail 0", true), (3, 0));
    }

    #[test]
    fn a_check_without_tests_counts_as_one() {
        assert_eq!(read("Checking app", true), (1, 0));
        assert_eq!(read("error: could not compile", false), (0, 1));
    }

    #[test]
    fn a_runner_that_breaks_off_has_failed() {
        assert_eq!(read("test result: ok. 5 passed; 0 failed; 0 ignored", false), (5, 1));
    }
}

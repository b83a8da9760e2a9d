//! `slipway doctor`: what on this machine would go wrong, and the fix for each.

mod machine;
pub mod names;
mod python;
mod storage;

use std::io::IsTerminal;
use std::process::ExitCode;

use crate::config::Config;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub subject: &'static str,
    pub verdict: Verdict,
    pub sentence: String,
    /// What to do, when it is not well.
    pub fix: Option<String>,
}

impl Finding {
    pub fn ok(subject: &'static str, sentence: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Ok, sentence: sentence.into(), fix: None }
    }

    pub fn warn(subject: &'static str, sentence: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Warn, sentence: sentence.into(), fix: Some(fix.into()) }
    }

    pub fn fail(subject: &'static str, sentence: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { subject, verdict: Verdict::Fail, sentence: sentence.into(), fix: Some(fix.into()) }
    }

    /// As lines for a terminal.
    fn lines(&self, colour: bool) -> String {
        let (word, code) = match self.verdict {
            Verdict::Ok => ("ok  ", "32"),
            Verdict::Warn => ("warn", "33"),
            Verdict::Fail => ("FAIL", "31"),
        };
        let word = if colour { format!("\u{1b}[{code}m{word}\u{1b}[0m") } else { word.to_owned() };
        let fix = self.fix.as_ref().map(|fix| format!("\n       fix: {fix}")).unwrap_or_default();
        format!("{word}   {}: {}{fix}", self.subject, self.sentence)
    }
}

/// Looks at everything and prints it. Fails if anything would keep Slipway from working.
pub async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let mut findings = names::check(config).await;
    findings.extend(machine::ports(config).await);
    findings.extend(python::check(config).await);
    findings.extend(storage::check(config).await);
    findings.push(machine::open_files());
    findings.push(machine::memory_limits(config));
    findings.push(machine::process_limits(config));
    findings.push(machine::processor_weights());
    findings.push(machine::isolation(config));
    findings.push(machine::room(config));
    findings.push(machine::clock(config));
    let colour = std::io::stdout().is_terminal();
    for finding in &findings {
        println!("{}", finding.lines(colour));
    }
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_ends_with_what_to_do() {
        let lines = Finding::warn("disk", "2 GB free", "make room").lines(false);
        assert_eq!(lines, "warn   disk: 2 GB free\n       fix: make room");
    }
}

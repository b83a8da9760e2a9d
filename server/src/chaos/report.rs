//! What came of it, for people: a page of Markdown.

use std::fmt::Write;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Held,
    /// What did not hold.
    Missed(Vec<String>),
    /// Why it could not be tried here.
    NotTried(String),
    /// Why there is nothing to try.
    Void(String),
}

/// One thing that was done to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    pub name: &'static str,
    /// When it began, since the traffic did.
    pub at: Duration,
    pub verdict: Verdict,
    /// What was measured.
    pub figures: Vec<String>,
}

/// What became of all requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requests {
    pub sent: u64,
    pub good: u64,
    /// Without an answer, because the server had been killed and no model answered again yet.
    pub while_dead: u64,
    /// Not let in, because the server had been asked to end and the next one did not listen yet.
    pub while_away: u64,
    /// Lost with a replica that was killed: none may be sent a second time, because it may have had its effect.
    pub on_killed_replicas: u64,
    /// All other failures: when each came, and what it was.
    pub unexplained: Vec<(Duration, String)>,
}

#[derive(Debug, Clone)]
pub struct Report {
    pub database: &'static str,
    pub rate: u32,
    pub acts: Vec<Act>,
    pub requests: Requests,
    /// What was done when it was interrupted, if it was.
    pub interrupted: Option<&'static str>,
}

/// Failures that are listed one by one.
const LISTED: usize = 20;

impl Report {
    /// Whether everything held that was tried.
    pub fn held(&self) -> bool {
        let missed = self.acts.iter().any(|act| matches!(act.verdict, Verdict::Missed(_)));
        !missed && self.requests.unexplained.is_empty()
    }

    /// All of it as a sentence or two.
    fn verdict(&self) -> String {
        let not_tried = self.acts.iter().filter(|act| matches!(act.verdict, Verdict::NotTried(_)));
        let not_tried: Vec<&str> = not_tried.map(|act| act.name).collect();
        let mut verdict = match (self.held(), self.interrupted, not_tried.as_slice()) {
            (false, ..) => "**Something did not hold.**".to_owned(),
            (true, None, []) => return "Everything held.".to_owned(),
            (true, ..) => "Everything held that was tried.".to_owned(),
        };
        if !not_tried.is_empty() {
            let _ = write!(verdict, " Not tried: {}.", not_tried.join("; "));
        }
        if let Some(during) = self.interrupted {
            let _ = write!(verdict, " **Interrupted** during: {during}; this is what was seen until then.");
        }
        verdict
    }

    pub fn text(&self) -> String {
        let mut text = String::from("# What this server survives\n\n");
        let verdict = self.verdict();
        let _ = writeln!(
            text,
            "`slipway doctor --chaos`, version {}, on {}, {} requests a second: {verdict}\n",
            env!("CARGO_PKG_VERSION"),
            self.database,
            self.rate
        );
        text += "| at | what was done | held | measured |\n| --- | --- | --- | --- |\n";
        for act in &self.acts {
            let (held, more) = match &act.verdict {
                Verdict::Held => ("yes", Vec::new()),
                Verdict::Missed(why) => ("**no**", why.clone()),
                Verdict::NotTried(why) => ("not tried", vec![why.clone()]),
                Verdict::Void(why) => ("does not apply", vec![why.clone()]),
            };
            let told: Vec<String> =
                more.iter().chain(&act.figures).map(|text| text.replace('|', "\\|")).collect();
            let _ =
                writeln!(text, "| {} s | {} | {held} | {} |", act.at.as_secs(), act.name, told.join("; "));
        }
        text += &self.requests.text();
        text
    }
}

impl Requests {
    fn text(&self) -> String {
        let mut text = String::from("\n| requests | |\n| --- | --- |\n");
        for (name, count) in [
            ("sent", self.sent),
            ("answered with success", self.good),
            ("had no answer because the server had been killed", self.while_dead),
            ("were refused a connection between an end in order and the next start", self.while_away),
            ("were lost with a replica that was killed, and are never sent twice", self.on_killed_replicas),
            ("failed otherwise", self.unexplained.len() as u64),
        ] {
            let _ = writeln!(text, "| {name} | {count} |");
        }
        for (at, what) in self.unexplained.iter().take(LISTED) {
            let _ = writeln!(text, "\n- at {:.3} s: {what}", at.as_secs_f64());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdict: Verdict, unexplained: Vec<(Duration, String)>) -> Report {
        let figures = vec!["answered after 0.4 s".to_owned()];
        let act = Act { name: "the server is killed", at: Duration::from_secs(12), verdict, figures };
        let requests = Requests { sent: 10, good: 8, while_dead: 2, unexplained, ..Requests::default() };
        Report { database: "SQLite", rate: 100, acts: vec![act], requests, interrupted: None }
    }

    #[test]
    fn what_was_not_tried_is_told_first_and_spoils_nothing() {
        let report = report(Verdict::NotTried("needs root".into()), Vec::new());
        let text = report.text();
        assert!(report.held());
        let headline = "Everything held that was tried. Not tried: the server is killed.";
        assert!(text.contains(headline) && !text.contains("Everything held."), "{text}");
        let row = "| 12 s | the server is killed | not tried | needs root; answered after 0.4 s |";
        assert!(text.contains(row), "{text}");
    }

    #[test]
    fn what_does_not_apply_is_nothing_that_was_left_out() {
        let text = report(Verdict::Void("a file has no connection".into()), Vec::new()).text();
        assert!(text.contains("Everything held.") && text.contains("| does not apply |"), "{text}");
    }

    #[test]
    fn an_interrupted_run_tells_what_was_seen_and_does_not_claim_the_rest() {
        let report = Report { interrupted: Some("replicas are killed"), ..report(Verdict::Held, Vec::new()) };
        let text = report.text();
        assert!(text.contains("**Interrupted** during: replicas are killed"), "{text}");
        assert!(!text.contains("Everything held."), "{text}");
        assert!(text.contains("| 12 s | the server is killed | yes |"), "{text}");
    }

    #[test]
    fn a_missed_bar_and_a_failure_nobody_explains_are_seen() {
        assert!(!report(Verdict::Missed(vec!["two replicas were started again".into()]), Vec::new()).held());
        let report = report(Verdict::Held, vec![(Duration::from_millis(1500), "502".into())]);
        assert!(!report.held());
        assert!(report.text().contains("at 1.500 s: 502"), "{}", report.text());
    }
}

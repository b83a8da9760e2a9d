//! `.truss_ignore`: which files of a Truss don't count, in the pattern language of `.gitignore`.

use std::fs;
use std::io;
use std::path::Path;

use regex::{Regex, RegexSet, RegexSetBuilder};

/// The file in a Truss that replaces the default list.
pub const FILE: &str = ".truss_ignore";
/// Patterns at most, and bytes that all of them together may take once they are understood.
const MOST: usize = 2_000;
const LARGEST: usize = 10 << 20;

/// Patterns in order; the last one that matches decides.
#[derive(Clone, Debug, Default)]
pub struct IgnoreRules {
    rules: Vec<Rule>,
    /// All of them as one automaton: kept one by one, each would take as much as a thousand lines of text.
    patterns: RegexSet,
}

#[derive(Clone, Debug)]
struct Rule {
    ignores: bool,
    expression: String,
}

/// The patterns can't be kept.
#[derive(Debug, thiserror::Error)]
#[error(
    "{FILE}: it has more than {MOST} patterns, or they take more than {} MiB once they are understood; shorten the list",
    LARGEST >> 20
)]
pub struct TooLarge;

impl IgnoreRules {
    /// Reads one pattern per line; blank lines and lines that start with `#` are comments. What can't be understood as a
    /// pattern matches nothing.
    pub fn parse(text: &str) -> Result<Self, TooLarge> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        if lines.clone().count() > MOST {
            return Err(TooLarge);
        }
        Self::of(lines.filter_map(rule).collect())
    }

    fn of(rules: Vec<Rule>) -> Result<Self, TooLarge> {
        let expressions = rules.iter().map(|rule| &rule.expression);
        let patterns = RegexSetBuilder::new(expressions).size_limit(LARGEST).build().map_err(|_| TooLarge)?;
        Ok(Self { rules, patterns })
    }

    /// The rules of a Truss: its own file, or the default list of the `truss` package (see [`crate::Wheel`]).
    pub fn of_truss(truss: &Path, default: &str) -> io::Result<Self> {
        let text = match fs::read_to_string(truss.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => default.to_owned(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{FILE}: it is not UTF-8 text"),
                ));
            }
            Err(error) => return Err(error),
        };
        Self::parse(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Adds the rule that leaves out what is in the data folder, as the command line does for its own hashes.
    ///
    /// A signature that a server keeps should not use it: the command line leaves data out of what it compares only when
    /// it was started inside the Truss, and takes files it finds no record of for a change that can't be patched.
    pub fn without_data(mut self, data_dir: &str) -> Result<Self, TooLarge> {
        self.rules.extend(rule(&format!("{data_dir}/*")));
        Self::of(self.rules)
    }

    /// Whether a relative path (with `/`) is ignored. A folder's own path may be ignored by a pattern for folders only.
    pub fn ignores(&self, path: &str, is_folder: bool) -> bool {
        self.decides(path) || (is_folder && self.decides(&format!("{path}/")))
    }

    fn decides(&self, path: &str) -> bool {
        let last = self.patterns.matches(path).iter().next_back();
        last.and_then(|index| self.rules.get(index)).is_some_and(|rule| rule.ignores)
    }
}

fn rule(line: &str) -> Option<Rule> {
    let (ignores, pattern) = match line.strip_prefix('!') {
        Some(rest) => (false, rest),
        None => (true, line),
    };
    let expression = expression(pattern)?;
    // One that can't be understood would spoil the others with it.
    Regex::new(&expression).ok()?;
    Some(Rule { ignores, expression })
}

/// A regular expression that matches the path itself and everything below it.
fn expression(pattern: &str) -> Option<String> {
    let only_folders = pattern.ends_with('/');
    let body = pattern.strip_suffix('/').unwrap_or(pattern);
    let anchored = body.contains('/');
    let segments: Vec<&str> = body.split('/').skip_while(|segment| segment.is_empty()).collect();
    if segments.is_empty() {
        return None;
    }
    if segments.iter().all(|segment| matches!(*segment, "*" | "**")) && segments.len() == 1 {
        return Some(if only_folders { "/".into() } else { "(?s:.)".into() });
    }
    let mut expression = String::from(if anchored { "^" } else { "^(?s:.+/)?" });
    let last = segments.len() - 1;
    let mut needs_slash = false;
    for (index, segment) in segments.iter().enumerate() {
        match *segment {
            "**" if index == 0 => expression.push_str("(?s:.+/)?"),
            "**" if index == last => {
                expression.push('/');
                return Some(expression);
            }
            "**" => expression.push_str("(?s:/.+)?"),
            segment => {
                if needs_slash {
                    expression.push('/');
                }
                expression.push_str(&glob(segment));
                needs_slash = true;
            }
        }
    }
    expression.push_str(if only_folders { "/" } else { "(?:/|$)" });
    Some(expression)
}

fn glob(segment: &str) -> String {
    if segment == "*" {
        return "[^/]+".into();
    }
    let mut expression = String::new();
    let mut rest = segment;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '\\' => {
                let escaped = rest.chars().next();
                rest = escaped.map_or(rest, |c| &rest[c.len_utf8()..]);
                expression.push_str(&regex::escape(&escaped.unwrap_or('\\').to_string()));
            }
            '[' => match class(rest) {
                Some((class, after)) => {
                    expression.push_str(&class);
                    rest = after;
                }
                None => expression.push_str("\\["),
            },
            c => expression.push_str(&regex::escape(&c.to_string())),
        }
    }
    expression
}

/// `[a-c]`, `[!x]`: what comes after the opening bracket, as a class, and what follows it.
fn class(text: &str) -> Option<(String, &str)> {
    let (negated, body) = match text.strip_prefix(['!', '^']) {
        Some(body) => (true, body),
        None => (false, text),
    };
    // A bracket right at the start is a member.
    let end = body.char_indices().skip(1).find(|(_, c)| *c == ']').map(|(at, _)| at)?;
    let members: String =
        body[..end]
            .chars()
            .map(|c| {
                if matches!(c, '\\' | '[' | ']' | '&' | '~' | '^') { format!("\\{c}") } else { c.to_string() }
            })
            .collect();
    Some((format!("[{}{members}]", if negated { "^" } else { "" }), &body[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(rules: &str, path: &str) -> bool {
        IgnoreRules::parse(rules).unwrap().ignores(path, false)
    }

    #[test]
    fn names_match_at_any_depth_and_everything_below() {
        assert!(ignored("__pycache__/", "a/__pycache__/x.pyc"));
        assert!(ignored("*.so", "deep/er/lib.so"));
        assert!(ignored(".git", ".git/config"));
        assert!(!ignored("*.so", "lib.so.txt"));
        assert!(!ignored("lib/", "lib"), "a pattern for folders spares a file of that name");
        assert!(IgnoreRules::parse("lib/").unwrap().ignores("lib", true));
    }

    #[test]
    fn a_slash_anchors_and_stars_stay_within_a_name() {
        assert!(ignored("docs/_build/", "docs/_build/index.html"));
        assert!(!ignored("docs/_build/", "x/docs/_build/index.html"));
        assert!(ignored("/top", "top/a") && !ignored("/top", "a/top"));
        assert!(ignored("data/*", "data/a/b") && !ignored("data/*", "data"));
        assert!(ignored("a/*/c", "a/b/c") && !ignored("a/*/c", "a/b/b/c"));
        assert!(ignored("a/**/c", "a/c") && ignored("a/**/c", "a/b/b/c"));
        assert!(ignored("**/c", "c") && ignored("**/c", "a/b/c"));
        assert!(ignored("a/**", "a/b") && !ignored("a/**", "a"));
    }

    #[test]
    fn classes_escapes_and_the_last_rule_wins() {
        assert!(ignored("*.py[cod]", "m.pyc") && !ignored("*.py[cod]", "m.py"));
        assert!(ignored("a[!b]c", "axc") && !ignored("a[!b]c", "abc"));
        assert!(ignored("\\!x", "!x") && ignored("a[", "a["));
        assert!(!ignored("*.log\n!keep.log", "keep.log") && ignored("*.log\n!keep.log", "other.log"));
        assert!(!ignored("# *.log\n\n", "a.log"));
    }

    #[test]
    fn a_list_without_end_is_refused() {
        let many = |lines: usize| (0..lines).map(|line| format!("*.{line}\n")).collect::<String>();
        assert!(IgnoreRules::parse(&many(200)).unwrap().ignores("a.199", false));
        let refusal = IgnoreRules::parse(&many(MOST + 1)).unwrap_err().to_string();
        assert!(refusal.starts_with(".truss_ignore: "), "{refusal}");
    }

    /// Which paths each pattern matches was computed by the library that the `truss` package uses.
    #[test]
    fn patterns_match_what_they_match_for_the_package() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../fixtures/ignore.json")).unwrap();
        let texts =
            |value: &serde_json::Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
        for row in golden["rows"].as_array().unwrap() {
            let pattern = row["pattern"].as_str().unwrap();
            let rules = IgnoreRules::parse(pattern).unwrap();
            let mut found = texts(&golden["paths"]);
            found.retain(|path| rules.ignores(path, false));
            assert_eq!(found, texts(&row["ignored"]), "{pattern}");
        }
    }
}

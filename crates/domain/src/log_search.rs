//! What a person writes into a log's search field (semantics: Logs).

use crate::LogQuery;

impl LogQuery {
    /// Adds what a person searches for. Words and `"quoted texts"` must occur, those led by `-` must not,
    /// `replica:ID` and `request:ID` (or `requestId:ID`) choose whose lines, and `/…/` is a regular expression. Case is
    /// ignored. Of several ids or expressions the last one counts.
    pub fn searching(mut self, text: &str) -> Self {
        self.ignore_case = true;
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (term, after) = term(rest);
            self.take(term);
            rest = after.trim_start();
        }
        self
    }

    fn take(&mut self, term: Term) {
        match term {
            Term::Pattern(pattern) => self.search_pattern = Some(pattern.to_owned()),
            Term::Word("") | Term::Not("") => {}
            Term::Not(text) => self.excludes.push(text.to_owned()),
            Term::Text(text) => self.includes.push(text.to_owned()),
            Term::Word(word) => match word.split_once(':') {
                Some(("replica", id)) if !id.is_empty() => self.replica = Some(id.to_owned()),
                Some(("request" | "requestId" | "request_id", id)) if !id.is_empty() => {
                    self.request_id = Some(id.to_owned())
                }
                _ => self.includes.push(word.to_owned()),
            },
        }
    }
}

enum Term<'a> {
    Word(&'a str),
    /// Was quoted, so it is nothing but a text.
    Text(&'a str),
    Not(&'a str),
    Pattern(&'a str),
}

/// The first term of a text that begins with one, and what follows it.
fn term(text: &str) -> (Term<'_>, &str) {
    if let Some(inner) = text.strip_prefix('/')
        && let Some(end) = closing_slash(inner)
    {
        return (Term::Pattern(&inner[..end]), &inner[end + 1..]);
    }
    let (not, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text),
    };
    // A quote without its end goes to the end.
    let (found, quoted, rest) = match body.strip_prefix('"') {
        Some(inner) => {
            let (found, rest) = inner.split_once('"').unwrap_or((inner, ""));
            (found, true, rest)
        }
        None => {
            let end = body.find(char::is_whitespace).unwrap_or(body.len());
            (&body[..end], false, &body[end..])
        }
    };
    let term = match (not, quoted) {
        (true, _) => Term::Not(found),
        (false, true) if found.is_empty() => Term::Word(found),
        (false, true) => Term::Text(found),
        (false, false) => Term::Word(found),
    };
    (term, rest)
}

/// Where an expression ends: at a slash that ends a word, so that paths may occur in it.
fn closing_slash(inner: &str) -> Option<usize> {
    inner
        .match_indices('/')
        .map(|(at, _)| at)
        .find(|at| *at > 0 && inner[at + 1..].chars().next().is_none_or(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn searching(text: &str) -> LogQuery {
        LogQuery::default().searching(text)
    }

    #[test]
    fn words_and_texts_must_occur_or_must_not() {
        let query = searching(r#" disk "is full" -retry -"not now" "#);
        assert_eq!(query.includes, ["disk", "is full"]);
        assert_eq!(query.excludes, ["retry", "not now"]);
        assert!(query.ignore_case);
    }

    #[test]
    fn ids_choose_whose_lines() {
        let query = searching("replica:abcde requestId:r-1 key:value");
        assert_eq!((query.replica.as_deref(), query.request_id.as_deref()), (Some("abcde"), Some("r-1")));
        assert_eq!(query.includes, ["key:value"]);
        assert_eq!(searching("\"replica:abcde\"").includes, ["replica:abcde"]);
    }

    #[test]
    fn an_expression_stands_between_slashes() {
        let query = searching(r"/took \d+ ms/ slow");
        assert_eq!(query.search_pattern.as_deref(), Some(r"took \d+ ms"));
        assert_eq!(query.includes, ["slow"]);
        assert_eq!(searching("/v1/models/ x").search_pattern.as_deref(), Some("v1/models"));
        assert_eq!(searching("/v1/models").includes, ["/v1/models"]);
    }

    #[test]
    fn what_is_not_finished_is_taken_as_it_is() {
        for (text, found) in [("\"half", "half"), ("replica:", "replica:"), ("//", "//")] {
            assert_eq!(searching(text).includes, [found], "{text}");
        }
        for nothing in ["", "  ", "-", "\"\"", "-\"\""] {
            let query = searching(nothing);
            assert!(query.includes.is_empty() && query.excludes.is_empty(), "{nothing}");
        }
    }
}

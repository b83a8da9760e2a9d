//! What could not be read, told to who sent it: the field, what is there, and what has to be.

use std::borrow::Cow;

use domain::{Invalid, WholeNumber};

/// How many rows or lines are asked for, in the bodies and queries that are read here.
pub const LIMIT: WholeNumber = WholeNumber::new("limit", 1, 1000);

/// Characters that a refusal repeats at most, of a field's name and of a word.
const LONGEST_NAME: usize = 200;
const LONGEST_WORD: usize = 64;

/// The refusal for what serde says of a `body` or a `query` (the `whole`) at a path. Texts are not repeated: they may be
/// secrets.
pub fn told(whole: &str, path: &str, said: &str) -> Invalid {
    let path = if ["", ".", "?"].contains(&path) { "" } else { path };
    let here = if path.is_empty() { whole } else { path };
    let plain = without_place(said);
    let invalid = |field: &str, problem: String| {
        // Also a text without a letter is a name in JSON.
        let field = if field.is_empty() { whole } else { field };
        Invalid::new(shortened(field, LONGEST_NAME), problem)
    };
    if let Some((name, rest)) = named(plain, "unknown field") {
        let kind = if whole == "query" { "parameter" } else { "field" };
        let problem = match words(rest).as_str() {
            "" => format!("is no {kind} of this; there are none"),
            known => format!("is no {kind} of this; there are {known}"),
        };
        return invalid(&below(path, name), problem);
    }
    if let Some((name, _)) = named(plain, "missing field") {
        return invalid(&below(path, name), "is missing; it has to be given".into());
    }
    if let Some((name, _)) = named(plain, "duplicate field") {
        return invalid(&below(path, name), "is given more than once; give it once".into());
    }
    if let Some((word, rest)) = named(plain, "unknown variant") {
        let problem = format!("`{}` is not one of {}", shortened(word, LONGEST_WORD), words(rest));
        return invalid(here, problem);
    }
    let wrong = plain.strip_prefix("invalid type: ").or_else(|| plain.strip_prefix("invalid value: "));
    if let Some((there, expected)) = wrong.and_then(|wrong| wrong.rsplit_once(", expected ")) {
        let wanted = match (wanted(expected), number(here)) {
            (kind, Some(number)) if kind.starts_with("a whole number") => number.to_string().into(),
            (kind, _) => kind,
        };
        return invalid(here, format!("is {}, and has to be {wanted}", thing(there)));
    }
    // A list is taken for the fields of a struct in their order.
    if plain.starts_with("invalid length ") && plain.contains(", expected struct ") {
        return invalid(here, "is a list, and has to be an object".into());
    }
    match (of_a_text(plain), number(here)) {
        (Some(_), Some(number)) => invalid(here, format!("has to be {number}, written in digits")),
        (Some(problem), None) => invalid(here, problem.to_owned()),
        (None, _) => invalid(here, said.to_owned()),
    }
}

/// What is known of a number by its name, wherever it stands.
fn number(path: &str) -> Option<WholeNumber> {
    let name = path.rsplit('.').next().unwrap_or(path);
    if name == LIMIT.name { Some(LIMIT) } else { WholeNumber::setting(name) }
}

/// Without the line and column that JSON's reader adds.
fn without_place(said: &str) -> &str {
    match said.rsplit_once(" at line ") {
        Some((plain, place)) if place.starts_with(|first: char| first.is_ascii_digit()) => plain,
        _ => said,
    }
}

/// The name in what serde says, and what follows it. What was sent may have backticks of its own.
fn named<'a>(said: &'a str, begin: &str) -> Option<(&'a str, &'a str)> {
    let said = said.strip_prefix(begin)?.strip_prefix(" `")?;
    let follows = ["`, expected ", "`, there are no "].into_iter();
    let last = follows.filter_map(|end| said.rsplit_once(end)).max_by_key(|(name, _)| name.len());
    last.or_else(|| said.split_once('`'))
}

/// A field of what is at a path; serde may be at the field already.
fn below<'a>(path: &'a str, name: &'a str) -> Cow<'a, str> {
    match path.strip_suffix(name) {
        _ if path.is_empty() => name.into(),
        Some(before) if before.is_empty() || before.ends_with('.') => path.into(),
        _ => format!("{path}.{name}").into(),
    }
}

/// The quoted words of a text.
fn words(text: &str) -> String {
    text.split('`').skip(1).step_by(2).collect::<Vec<_>>().join(", ")
}

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What is there, in the words of JSON.
fn thing(there: &str) -> String {
    let number = there.strip_prefix("integer ").or_else(|| there.strip_prefix("floating point "));
    match (number, there.split(' ').next()) {
        (Some(number), _) => format!("the number {}", number.trim_matches('`')),
        (_, Some("string" | "character")) => "a text".into(),
        (_, Some("boolean")) => "true or false".into(),
        (_, Some("sequence")) => "a list".into(),
        (_, Some("map")) => "an object".into(),
        (_, Some("null" | "unit" | "Option")) => "null".into(),
        _ => shortened(there, LONGEST_WORD),
    }
}

/// What has to be there: Rust's words are nobody else's.
fn wanted(expected: &str) -> Cow<'_, str> {
    match expected {
        "u8" => "a whole number from 0 to 255".into(),
        "u16" => "a whole number from 0 to 65535".into(),
        "u32" => "a whole number from 0 to 4294967295".into(),
        "u64" | "usize" => "a whole number that is not below 0".into(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a string" | "str" | "a borrowed string" => "a text".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        "a map" => "an object".into(),
        "unit" => "null".into(),
        other if other.starts_with("struct ") => "an object".into(),
        other => other.replace('`', "").into(),
    }
}

/// What is wrong with a text of a query that has to be something else.
fn of_a_text(said: &str) -> Option<&'static str> {
    Some(match said {
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            "has to be a whole number, written in digits"
        }
        "number too large to fit in target type" => "is larger than any number that it may be",
        "number too small to fit in target type" => "is smaller than any number that it may be",
        "provided string was not `true` or `false`" => "has to be true or false",
        "invalid float literal" | "cannot parse float from empty string" => "has to be a number",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "it is read, and not looked at")]
    struct Outer {
        name: String,
        count: Option<i64>,
        small: Option<u8>,
        share: Option<f64>,
        yes: Option<bool>,
        all: Option<Vec<String>>,
        inner: Option<Inner>,
        level: Option<domain::LogLevel>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "it is read, and not looked at")]
    struct Inner {
        deep: u32,
    }

    fn refusal(text: &str) -> String {
        let mut reader = serde_json::Deserializer::from_str(text);
        let error = serde_path_to_error::deserialize::<_, Outer>(&mut reader).unwrap_err();
        told("body", &error.path().to_string(), &error.into_inner().to_string()).to_string()
    }

    #[test]
    fn a_refusal_names_the_field_and_what_it_has_to_be() {
        for (text, says) in [
            (r#"{"name": 5}"#, "name: is the number 5, and has to be a text"),
            (r#"{"name": null}"#, "name: is null, and has to be a text"),
            (r#"{"count": "two"}"#, "count: is a text, and has to be a whole number"),
            (r#"{"count": 1.5}"#, "count: is the number 1.5, and has to be a whole number"),
            (r#"{"small": 300}"#, "small: is the number 300, and has to be a whole number from 0 to 255"),
            (r#"{"small": -1}"#, "small: is the number -1, and has to be a whole number from 0 to 255"),
            (r#"{"share": []}"#, "share: is a list, and has to be a number"),
            (r#"{"yes": "true"}"#, "yes: is a text, and has to be true or false"),
            (r#"{"all": {"a": 1}}"#, "all: is an object, and has to be a list"),
            (r#"{"inner": true}"#, "inner: is true or false, and has to be an object"),
            (
                r#"{"inner": {"deep": "x"}}"#,
                "inner.deep: is a text, and has to be a whole number from 0 to 4294967295",
            ),
            (r#"{"inner": []}"#, "inner: is a list, and has to be an object"),
            (r#"{"inner": {}}"#, "inner.deep: is missing; it has to be given"),
            (r#"{"inner": {"depe": 1}}"#, "inner.depe: is no field of this; there are deep"),
            (r#"{}"#, "name: is missing; it has to be given"),
            (
                r#"{"": 1}"#,
                "body: is no field of this; there are name, count, small, share, yes, all, inner, level",
            ),
            (r#"{"name": "a", "name": "b"}"#, "name: is given more than once; give it once"),
            (r#"{"level": "LOUD"}"#, "level: `LOUD` is not one of DEBUG, INFO, WARNING, ERROR"),
            (r#"{"level": "LO`UD"}"#, "level: `LO`UD` is not one of DEBUG, INFO, WARNING, ERROR"),
            (
                r#"{"level": "X`, expected `Y"}"#,
                "level: `X`, expected `Y` is not one of DEBUG, INFO, WARNING, ERROR",
            ),
            (r#"{"inner": {"de`pe": 1}}"#, "inner.de`pe: is no field of this; there are deep"),
        ] {
            assert_eq!(refusal(text), says, "{text}");
        }
        let unknown = refusal(r#"{"nmae": "a"}"#);
        assert!(unknown.starts_with("nmae: is no field of this; there are name, count, small"), "{unknown}");
    }

    #[test]
    fn what_was_sent_is_not_repeated_at_length_and_a_text_not_at_all() {
        let long = "x".repeat(100_000);
        assert!(refusal(&format!(r#"{{"{long}": 1}}"#)).len() < 1000);
        assert!(refusal(&format!(r#"{{"level": "{long}"}}"#)).len() < 1000);
        assert!(!refusal(r#"{"count": "hunter2, expected x"}"#).contains("hunter2"));
    }

    #[test]
    fn what_is_no_json_says_where() {
        let broken = refusal(r#"{"name": "#);
        assert!(broken.contains("line 1"), "{broken}");
    }
}

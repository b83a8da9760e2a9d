//! Arguments of server functions that could not be read, told to who sent them: the field, and what to do.

use crate::error::AppError;

/// The field, where what is said names none.
const WHOLE: &str = "form";
/// Characters that a refusal repeats of a field's name at most.
const LONGEST_NAME: usize = 200;

/// The refusal for what `serde_qs` says of a form or a query. Values are not repeated: they may be secrets.
pub fn told(said: &str) -> AppError {
    if let Some(name) = between(said, "missing field `", '`') {
        return AppError::invalid(name, "is missing; it has to be given");
    }
    let twice = between(said, "duplicate field `", '`');
    if let Some(name) = twice.or_else(|| between(said, "Multiple values for one key: \"", '"')) {
        return AppError::invalid(name, "is given more than once; give it once");
    }
    let problem = match said.rsplit_once(", expected ") {
        Some((_, "a sequence")) => "has one text where a list has to be; send each of its texts as `NAME[]`",
        Some((_, "a string")) => "has a list where one text has to be; send it once, by its name alone",
        _ => said,
    };
    AppError::invalid(WHOLE, problem)
}

/// The name in what is said. Also a text without a letter is one in a form.
fn between(said: &str, begin: &str, end: char) -> Option<String> {
    let (name, _) = said.strip_prefix(begin)?.rsplit_once(end)?;
    let name = if name.is_empty() { WHOLE } else { name };
    Some(name.chars().take(LONGEST_NAME).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_field_where_it_is_known() {
        for (said, says) in [
            ("missing field `name`", "name: is missing; it has to be given"),
            ("duplicate field `name`", "name: is given more than once; give it once"),
            ("Multiple values for one key: \"name\"", "name: is given more than once; give it once"),
            ("Multiple values for one key: \"\"", "form: is given more than once; give it once"),
            ("unexpected end of input", "form: unexpected end of input"),
        ] {
            assert_eq!(told(said).to_string(), says);
        }
    }

    #[test]
    fn values_are_not_repeated_and_names_not_at_length() {
        let list = told("invalid type: string \"hunter2, expected x\", expected a sequence").to_string();
        assert!(list.starts_with("form: has one text where a list has to be"), "{list}");
        let text = told("invalid type: map, expected a string").to_string();
        assert!(text.starts_with("form: has a list where one text has to be"), "{text}");
        let long = format!("Multiple values for one key: \"{}\"", "é".repeat(100_000));
        assert!(told(&long).to_string().len() < 1000);
    }
}

//! Arguments of the wrong kind, told as other refusals are: the argument, and what it has to be.

use async_graphql::ServerError;
use domain::{Invalid, WholeNumber};

use super::refused;

/// Gives what validation says of arguments the words and the code of a refused value.
pub fn tell(errors: &mut [ServerError]) {
    for error in errors {
        if let Some(invalid) = of_argument(&error.message) {
            let told = refused(&control::Error::Invalid(invalid));
            error.message = told.message;
            error.extensions = told.extensions;
        }
    }
}

/// The argument that is of the wrong kind, and what it has to be. What was sent is not repeated: it may be a secret.
fn of_argument(said: &str) -> Option<Invalid> {
    let said = said.strip_prefix("Invalid value for argument \"")?;
    let (name, kind) = said.split_once("\", expected type \"")?;
    let wanted = match (kind.strip_suffix('"')?, WholeNumber::setting(name)) {
        ("Int", Some(number)) => number.to_string(),
        ("Int", None) => "a whole number".into(),
        ("Boolean", _) => "true or false".into(),
        ("String" | "ID", _) => "a text".into(),
        ("JSONString", _) => "a text that holds JSON".into(),
        _ => return None,
    };
    Some(Invalid::new(name, format!("has to be {wanted}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graphql::{client, schema};

    /// By the words of validation itself, which an upgrade may change.
    #[tokio::test]
    async fn an_argument_of_the_wrong_kind_is_told_what_it_has_to_be() {
        let range = "deploy_timeout_minutes: has to be a whole number from 10 to 1440";
        for (argument, says) in [
            ("deploy_timeout_minutes: \"abc\"", range),
            ("deploy_timeout_minutes: 45.5", range),
            ("deploy_timeout_minutes: 99999999999999999999", range),
            ("version_name: 5", "version_name: has to be a text"),
        ] {
            let asked = client::create_model("m", "k", "e30=", argument);
            let mut response = schema().finish().execute(asked["query"].as_str().unwrap()).await;
            tell(&mut response.errors);
            let told = response.errors.iter().find(|error| error.message == says);
            let has_code = told.is_some_and(|error| error.extensions.is_some());
            assert!(has_code, "{argument}: {:?}", response.errors);
        }
    }

    #[test]
    fn what_is_no_argument_of_the_wrong_kind_stays_as_it_is() {
        for said in ["Unknown field \"x\".", "Invalid value for argument \"a\", is too long", ""] {
            assert_eq!(of_argument(said), None, "{said}");
        }
        let flag = of_argument("Invalid value for argument \"preserve\", expected type \"Boolean\"").unwrap();
        assert_eq!(flag.to_string(), "preserve: has to be true or false");
    }
}

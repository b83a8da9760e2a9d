//! Validated names (semantics: Names).

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::Invalid;

/// The environment every model has.
pub const PRODUCTION: &str = "production";

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::stored(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// A model's name: 1 to 255 characters, no control characters, no quotes; unique in the workspace.
    ModelName;
    /// A deployment's name: 1 to 255 characters of `[A-Za-z0-9._-]`; unique among the model's deployments.
    DeploymentName;
    /// An environment's name: a DNS label of at most 40 characters; `development` is reserved.
    EnvironmentName;
    /// A secret's name: 1 to 253 characters of `[A-Za-z0-9._-]`, as a configuration may declare it.
    SecretName;
}

impl ModelName {
    fn stored(text: String) -> Result<Self, Invalid> {
        Self::new(text)
    }

    pub fn new(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        let refuse = |problem| Err(Invalid::new("name", problem));
        if text.trim().is_empty() {
            return refuse("a model needs a name");
        }
        if text.chars().count() > 255 {
            return refuse("a model's name has at most 255 characters");
        }
        if text.chars().any(|c| c.is_control() || c == '"' || c == '\\') || text.trim() != text {
            return refuse(
                "a model's name has no control characters, quotes, backslashes, or spaces at its ends",
            );
        }
        Ok(Self(text))
    }
}

impl DeploymentName {
    /// A name from a record, where the development deployment's own stands too.
    fn stored(text: String) -> Result<Self, Invalid> {
        if text == "development" { Ok(Self::development()) } else { Self::new(text) }
    }

    pub fn new(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if text.is_empty() || text.len() > 255 || !text.chars().all(allowed) {
            return Err(Invalid::new(
                "name",
                "a deployment's name has 1 to 255 letters, digits, dots, hyphens or underscores",
            ));
        }
        if text == "development" || text == PRODUCTION {
            return Err(Invalid::new(
                "name",
                "`development` and `production` are reserved; choose another name",
            ));
        }
        Ok(Self(text))
    }

    /// The name of the one development slot, which nobody may choose.
    pub fn development() -> Self {
        Self("development".into())
    }

    /// The default name: `deployment-1`, `deployment-2`, …
    pub fn numbered(number: u64) -> Self {
        Self(format!("deployment-{number}"))
    }

    /// The name of a copy made by a promotion: the source's name and the time in seconds.
    pub fn copy_of(source: &Self, unix_seconds: i64) -> Self {
        let suffix = format!(".{unix_seconds}");
        let keep = source.0.len().min(255 - suffix.len());
        Self(format!("{}{suffix}", &source.0[..keep]))
    }
}

impl EnvironmentName {
    fn stored(text: String) -> Result<Self, Invalid> {
        Self::new(text)
    }

    pub fn new(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let edge = |c: Option<char>| c.is_some_and(|c| c != '-');
        if text.is_empty()
            || text.len() > 40
            || !text.chars().all(allowed)
            || !edge(text.chars().next())
            || !edge(text.chars().last())
        {
            return Err(Invalid::new(
                "name",
                "an environment's name has 1 to 40 lower-case letters, digits or hyphens, with no hyphen at its ends",
            ));
        }
        if text == "development" {
            return Err(Invalid::new(
                "name",
                "`development` is the development deployment's; choose another name",
            ));
        }
        Ok(Self(text))
    }

    pub fn production() -> Self {
        Self(PRODUCTION.into())
    }

    pub fn is_production(&self) -> bool {
        self.0 == PRODUCTION
    }
}

impl SecretName {
    fn stored(text: String) -> Result<Self, Invalid> {
        Self::new(text)
    }

    pub fn new(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let dots = text == "." || text == "..";
        if text.is_empty() || text.len() > 253 || !text.chars().all(allowed) || dots {
            return Err(Invalid::new(
                "name",
                "a secret's name has 1 to 253 letters, digits, hyphens, underscores or dots",
            ));
        }
        Ok(Self(text))
    }
}

/// Whether somebody may choose this name for an API key: 1 to 100 characters of `[a-z0-9-]`.
///
/// # Errors
/// If it has others, none or too many.
pub fn check_key_name(text: &str) -> Result<(), Invalid> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > 100 || !text.chars().all(allowed) {
        return Err(Invalid::new(
            "name",
            "an API key's name has 1 to 100 lower-case letters, digits or hyphens",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environment_names_are_dns_labels() {
        for good in ["staging", "eu-1", "a"] {
            assert!(EnvironmentName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "Staging", "a_b", "development", &"a".repeat(41)] {
            assert!(EnvironmentName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn deployment_names_refuse_what_the_cli_refuses() {
        for good in ["better-iris", "v1.2_3", "A"] {
            assert!(DeploymentName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "ä", "development", "production", &"a".repeat(256)] {
            assert!(DeploymentName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secret_names_are_those_a_configuration_can_declare() {
        for good in ["hf_token", "AWS.key-1", "a"] {
            assert!(SecretName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "a=b", "ä", &"a".repeat(254)] {
            assert_eq!(SecretName::new(bad).unwrap_err().field, "name", "{bad}");
        }
    }

    #[test]
    fn names_of_keys_are_plain() {
        for good in ["ci", "truss-team-default-exec-api-key", "7", "-", &"a".repeat(100)] {
            assert!(check_key_name(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "My key", "CI", "a_b", "a.b", "ci ", "ä", "a\n", &"a".repeat(101)] {
            let refused = check_key_name(bad).unwrap_err();
            assert_eq!(refused.field, "name", "{bad}");
            assert!(refused.to_string().contains("lower-case letters, digits or hyphens"), "{refused}");
        }
    }

    #[test]
    fn copies_stay_within_the_limit() {
        let long = DeploymentName::new("x".repeat(255)).unwrap();
        let copy = DeploymentName::copy_of(&long, 1_775_156_532);
        assert_eq!(copy.as_str().len(), 255);
        assert!(copy.as_str().ends_with(".1775156532"));
    }

    #[test]
    fn the_development_deployments_name_survives_its_record() {
        let name = DeploymentName::development();
        let text = String::from(name.clone());
        assert_eq!(DeploymentName::try_from(text.clone()).unwrap(), name);
        assert!(DeploymentName::new(text).is_err(), "but nobody may choose it");
    }
}

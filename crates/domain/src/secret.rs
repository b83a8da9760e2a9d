//! What models may read and nobody may see (semantics: Secrets).

use std::collections::BTreeMap;
use std::fmt;

use crate::Invalid;

/// The text of a secret: 1 to 65,536 bytes, no NUL character. Never printed, logged or serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(String);

impl SecretValue {
    /// The most a value may have, in bytes: it has to fit into a process's environment.
    pub const LIMIT: usize = 65_536;

    /// # Errors
    /// If it is empty, too long or can't stand in an environment; the text itself is not repeated.
    pub fn new(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        let refuse = |problem: String| Err(Invalid::new("value", problem));
        if text.is_empty() {
            return refuse("a secret needs a value; delete the secret if models should not have it".into());
        }
        if text.len() > Self::LIMIT {
            return refuse(format!("a secret's value has at most {} bytes", Self::LIMIT));
        }
        if text.contains('\0') {
            return refuse(
                "a secret's value has no NUL characters; encode binary data, as base64 for one".into(),
            );
        }
        Ok(Self(text))
    }

    /// The text, for whoever hands it to a process or seals it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// The names of the secrets that a full configuration declares; `true` where it brings a text of its own, which the
/// model gets if the secret is not set.
pub fn declared_secrets(config: &serde_json::Value) -> BTreeMap<&str, bool> {
    let own = |value: &serde_json::Value| value.as_str().is_some_and(|text| !text.is_empty());
    let entries = config.get("secrets").and_then(serde_json::Value::as_object).into_iter().flatten();
    entries.map(|(name, value)| (name.as_str(), own(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_value_is_not_repeated() {
        for bad in [String::new(), "hush\0".into(), "hush".repeat(SecretValue::LIMIT)] {
            let refusal = SecretValue::new(bad).unwrap_err();
            assert_eq!(refusal.field, "value");
            assert!(!refusal.to_string().contains("hush"), "{refusal}");
        }
        assert_eq!(format!("{:?}", SecretValue::new("hush").unwrap()), "(secret)");
    }

    #[test]
    fn a_configuration_declares_names() {
        let config = serde_json::json!({ "secrets": { "hf_token": null, "level": "low", "empty": "" } });
        let declared = declared_secrets(&config);
        assert_eq!(declared, [("hf_token", false), ("level", true), ("empty", false)].into());
        assert!(declared_secrets(&serde_json::json!({})).is_empty());
    }
}

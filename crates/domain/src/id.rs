//! Short opaque identifiers. The random bytes come in as arguments.

use serde::{Deserialize, Serialize};
use std::fmt;

use crate::Invalid;

/// Letters and digits that can't be confused when read aloud; 32 of them, so five bits each.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Spells random bytes as lower-case letters and digits, one character a byte.
pub fn token(random: &[u8]) -> String {
    random.iter().map(|byte| ALPHABET[(byte & 31) as usize] as char).collect()
}

/// Checks an identifier that came from outside: 1 to 64 characters of `[A-Za-z0-9_-]`.
pub fn parse_id(field: &str, text: &str) -> Result<String, Invalid> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
        return Err(Invalid::new(field, "an id has 1 to 64 letters, digits, hyphens or underscores"));
    }
    Ok(text.to_owned())
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $length:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// How many random bytes [`Self::from_random`] uses.
            pub const LENGTH: usize = $length;

            /// A new identifier from random bytes; only the first [`Self::LENGTH`] are used.
            pub fn from_random(random: [u8; 16]) -> Self {
                Self(token(&random[..$length]))
            }

            /// Wraps text that is already known to be an identifier.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
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

ids! {
    /// Identifies a model for good; renaming never changes it.
    ModelId, 8;
    /// Identifies a deployment for good.
    DeploymentId, 7;
    /// Identifies one promotion.
    PromotionId, 12;
    /// Identifies one running copy; short, because people read it in logs.
    ReplicaId, 5;
    /// Identifies one row of the activity.
    EventId, 14;
    /// Names an uploaded archive.
    ArtifactId, 16;
    /// Identifies a secret for as long as it exists, through every new value.
    SecretId, 10;
    /// Identifies a person, whatever their e-mail address becomes.
    PersonId, 9;
    /// Identifies an invitation without opening it.
    InvitationId, 9;
}

impl EventId {
    /// An identifier that sorts by time, then by the order within one moment.
    pub fn ordered(at: crate::Timestamp, sequence: u16, random: [u8; 16]) -> Self {
        let millis = at.millis().max(0) as u64;
        let digit = |value: u64, place: u32| ALPHABET[((value >> (5 * place)) & 31) as usize] as char;
        let mut text: String = (0..9).rev().map(|place| digit(millis, place)).collect();
        text.extend((0..2).rev().map(|place| digit(u64::from(sequence), place)));
        text.push_str(&token(&random[..3]));
        Self(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_lower_case_and_of_their_length() {
        let id = ModelId::from_random([255; 16]);
        assert_eq!(id.as_str(), "zzzzzzzz");
    }

    #[test]
    fn event_ids_sort_by_time_and_then_by_order() {
        let id = |millis, sequence, random| {
            EventId::ordered(crate::Timestamp::from_millis(millis), sequence, [random; 16])
        };
        let sorted = [id(999, 40, 9), id(1000, 0, 9), id(1000, 1, 0), id(1_767_225_600_000, 0, 0)];
        assert!(sorted.is_sorted(), "{sorted:?}");
    }

    #[test]
    fn foreign_text_is_refused_with_the_field() {
        assert_eq!(parse_id("deployment_id", "a/b").unwrap_err().field, "deployment_id");
        assert!(parse_id("deployment_id", "").is_err());
        assert!(parse_id("deployment_id", "x1-y_2").is_ok());
    }
}

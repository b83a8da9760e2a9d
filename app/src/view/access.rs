//! Who may change environments of a name, and who could be chosen.

use serde::{Deserialize, Serialize};

use super::Permit;

/// Who may change an environment, for its page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessView {
    pub is_restricted: bool,
    /// Who may, in one sentence.
    pub sentence: String,
    /// Whom who looks may choose; nobody if they may not.
    pub people: Vec<AccessPerson>,
    /// Whether who looks may say who may.
    pub permit: Permit,
}

/// Somebody who is no admin, and so passes only by being chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessPerson {
    pub id: String,
    pub name: String,
    pub chosen: bool,
}

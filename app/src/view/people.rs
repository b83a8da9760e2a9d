//! Who is here, which keys there are, and what models may know: the pages of the settings.

use domain::{Role, Timestamp};
use serde::{Deserialize, Serialize};

use crate::fresh::AsOf;

/// What a one-time link is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum LinkPurpose {
    /// Making the first admin.
    FirstAdmin,
    /// Signing in this person, who may choose another password.
    SignIn { email: String },
    /// Becoming one of the people here.
    Invitation { email: String, role: Role, invited_by: String },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonRow {
    pub id: String,
    pub email: String,
    pub name: String,
    pub role: Role,
    pub created_at: Timestamp,
    pub last_seen_at: Option<Timestamp>,
    /// Whether it is who looks.
    pub is_you: bool,
    /// Why they can't get another role or be removed.
    pub refused: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationRow {
    pub id: String,
    pub email: String,
    pub role: Role,
    pub invited_by: String,
    pub expires_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeoplePage {
    pub as_of: Timestamp,
    pub headline: String,
    pub people: Vec<PersonRow>,
    pub invitations: Vec<InvitationRow>,
    /// Why who looks may not change people.
    pub refused: Option<String>,
}

impl AsOf for PeoplePage {
    fn as_of(&self) -> Timestamp {
        self.as_of
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    pub prefix: String,
    pub name: String,
    /// What it may do, in words.
    pub may: String,
    /// Whose it is; the workspace's if it is nobody's.
    pub owner: Option<String>,
    /// The names of the models it is limited to.
    pub models: Option<Vec<String>>,
    /// The environments it is limited to.
    pub environments: Option<Vec<String>>,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

/// A type of key to choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChoice {
    /// As [`crate::server_fns::create_key`] takes it.
    pub value: String,
    pub title: String,
    /// Whether it can be limited to models and environments.
    pub limited: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelChoice {
    pub id: String,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysPage {
    pub as_of: Timestamp,
    pub headline: String,
    pub keys: Vec<KeyRow>,
    /// The types that who looks may make; empty if none.
    pub choices: Vec<KeyChoice>,
    pub models: Vec<ModelChoice>,
    /// The names that environments have.
    pub environments: Vec<String>,
}

impl AsOf for KeysPage {
    fn as_of(&self) -> Timestamp {
        self.as_of
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRow {
    pub name: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretsPage {
    pub as_of: Timestamp,
    pub headline: String,
    pub secrets: Vec<SecretRow>,
    /// Why who looks may not change them.
    pub refused: Option<String>,
}

impl AsOf for SecretsPage {
    fn as_of(&self) -> Timestamp {
        self.as_of
    }
}

/// Something that is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownOnce {
    pub sentence: String,
    /// The text to keep: a key, or the address of an invitation.
    pub text: String,
}

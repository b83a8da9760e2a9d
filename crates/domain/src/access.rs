//! Who asks, by which door, and what a role permits.

use serde::{Deserialize, Serialize};

/// What somebody may do (semantics: Roles). Ordered: each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May call models and nothing else.
    Invoker,
    Viewer,
    Deployer,
    Admin,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Invoke,
    View,
    /// Push, promote, cancel, rename, activate, deactivate, delete, settings.
    Deploy,
    /// Keys and people.
    Administer,
}

impl Role {
    pub fn permits(self, action: Action) -> bool {
        let needed = match action {
            Action::Invoke => Self::Invoker,
            Action::View => Self::Viewer,
            Action::Deploy => Self::Deployer,
            Action::Administer => Self::Admin,
        };
        self >= needed
    }
}

/// The way a request came in; recorded with each event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Door {
    /// The dashboard and its server functions.
    Ui,
    /// REST and the push client's GraphQL.
    Api,
    /// Slipway itself.
    System,
    /// The command line of the machine that Slipway runs on.
    Other,
}

impl Door {
    pub const ALL: [Self; 4] = [Self::Ui, Self::Api, Self::System, Self::Other];

    /// Its name in queries and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ui => "UI",
            Self::Api => "API",
            Self::System => "SYSTEM",
            Self::Other => "OTHER",
        }
    }
}

/// Somebody who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// What people read: the key's name, or `Slipway`.
    pub name: String,
    /// The public prefix of the API key used, if one was.
    pub key_prefix: Option<String>,
    pub role: Role,
    pub door: Door,
}

impl Actor {
    /// Slipway acting by itself.
    pub fn system() -> Self {
        Self { name: "Slipway".into(), key_prefix: None, role: Role::Admin, door: Door::System }
    }

    /// What tells one from another: the key's prefix, or the name of who has no key.
    pub fn id(&self) -> &str {
        self.key_prefix.as_deref().unwrap_or(&self.name)
    }
}

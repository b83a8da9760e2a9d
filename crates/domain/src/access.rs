//! Who asks, by which door, and what a role permits.

use serde::{Deserialize, Serialize};

use crate::{Email, PersonId};

/// What somebody may do (semantics: Roles). People are viewers, deployers or admins; keys may be less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May call models and nothing else.
    Invoker,
    /// May read what is measured and nothing else.
    Exporter,
    /// May make and revoke keys and nothing else.
    Keykeeper,
    /// May call models and look at everything.
    Viewer,
    /// May change models as well.
    Deployer,
    /// May do everything.
    Admin,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    Invoke,
    View,
    /// Read what is measured.
    ReadMetrics,
    /// Push, promote, cancel, rename, activate, deactivate, delete, settings, secrets.
    Deploy,
    /// See, make and revoke keys of the workspace.
    ManageKeys,
    /// People, and the activity of the workspace.
    Administer,
}

impl Role {
    pub const ALL: [Self; 6] =
        [Self::Invoker, Self::Exporter, Self::Keykeeper, Self::Viewer, Self::Deployer, Self::Admin];

    pub fn permits(self, action: Action) -> bool {
        use Action as A;
        match self {
            Self::Invoker => action == A::Invoke,
            Self::Exporter => action == A::ReadMetrics,
            Self::Keykeeper => action == A::ManageKeys,
            Self::Viewer => matches!(action, A::Invoke | A::View | A::ReadMetrics),
            Self::Deployer => matches!(action, A::Invoke | A::View | A::ReadMetrics | A::Deploy),
            Self::Admin => true,
        }
    }

    /// Whether somebody of this role makes and revokes keys of the other: an admin all, a keeper of keys those that only
    /// call or measure.
    pub fn may_hand_out(self, other: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::Keykeeper => matches!(other, Self::Invoker | Self::Exporter),
            _ => false,
        }
    }

    /// Whether a key of this role may be limited to some models: only what those are called and measured by.
    pub fn may_be_limited(self) -> bool {
        matches!(self, Self::Invoker | Self::Exporter)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invoker => "invoker",
            Self::Exporter => "exporter",
            Self::Keykeeper => "keykeeper",
            Self::Viewer => "viewer",
            Self::Deployer => "deployer",
            Self::Admin => "admin",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
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
    /// What people read: the person's or the key's name, or `Slipway`.
    pub name: String,
    /// The public prefix of the API key used, if one was.
    pub key_prefix: Option<String>,
    /// Who signed in, or whose key it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonId>,
    /// The person's e-mail address then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    pub role: Role,
    pub door: Door,
}

impl Actor {
    /// Slipway acting by itself.
    pub fn system() -> Self {
        Self {
            name: "Slipway".into(),
            key_prefix: None,
            person: None,
            email: None,
            role: Role::Admin,
            door: Door::System,
        }
    }

    /// What tells one from another: the person, the key's prefix, or the name of who has neither.
    pub fn id(&self) -> &str {
        let person = self.person.as_ref().map(PersonId::as_str);
        person.or(self.key_prefix.as_deref()).unwrap_or(&self.name)
    }

    /// What its calls are counted by (semantics: Rate limits): the key, whosever it is; who has none, by [`Actor::id`].
    pub fn counted_by(&self) -> &str {
        self.key_prefix.as_deref().unwrap_or_else(|| self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_role_may() {
        use Action as A;
        let all = [A::Invoke, A::View, A::ReadMetrics, A::Deploy, A::ManageKeys, A::Administer];
        let may = |role: Role| all.into_iter().filter(|action| role.permits(*action)).count();
        assert_eq!(Role::ALL.map(may), [1, 1, 1, 3, 4, 6]);
    }

    #[test]
    fn a_keeper_of_keys_makes_no_key_that_may_more_than_call_and_measure() {
        let made =
            |role: Role| Role::ALL.into_iter().filter(|other| role.may_hand_out(*other)).collect::<Vec<_>>();
        assert_eq!(made(Role::Keykeeper), [Role::Invoker, Role::Exporter]);
        assert_eq!(made(Role::Deployer), []);
        assert_eq!(made(Role::Admin), Role::ALL);
    }

    #[test]
    fn keys_of_one_person_are_counted_apart() {
        let person = Actor { person: Some(PersonId::new("ada")), ..Actor::system() };
        let laptop = Actor { key_prefix: Some("aaaaaaaa".into()), ..person.clone() };
        let ci = Actor { key_prefix: Some("bbbbbbbb".into()), ..person.clone() };
        assert_eq!([&laptop, &ci, &person].map(Actor::counted_by), ["aaaaaaaa", "bbbbbbbb", "ada"]);
        assert_eq!([&laptop, &ci, &person].map(Actor::id), ["ada"; 3], "and are the same person's");
    }

    #[test]
    fn a_role_is_written_in_one_way() {
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        assert_eq!(Role::parse("root"), None);
    }
}

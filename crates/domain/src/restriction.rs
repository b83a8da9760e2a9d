//! Who may change the environments of a name, over all models (semantics: Restricted environments).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Action, Actor, EnvironmentName, Invalid, Person, PersonId};

/// Says that all environments of a name are changed only by admins and by these people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restriction {
    pub environment: EnvironmentName,
    /// Who may beside the admins, as far as their role reaches; perhaps nobody.
    pub users: BTreeSet<PersonId>,
}

/// What an admin asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub is_restricted: bool,
    /// Who may beside the admins; `None` leaves the list as it is.
    pub users: Option<Vec<PersonId>>,
}

impl Access {
    /// What access becomes; `None` if everybody whose role reaches may.
    ///
    /// # Errors
    /// If people are chosen for what is not restricted, or somebody is not among `people`; the field is `user_ids`.
    pub fn applied(
        self,
        environment: &EnvironmentName,
        before: Option<&Restriction>,
        people: &[Person],
    ) -> Result<Option<Restriction>, Invalid> {
        let chosen = self.users.as_deref().unwrap_or_default();
        if !self.is_restricted && !chosen.is_empty() {
            let problem =
                "people are chosen for a restricted environment only: set `is_restricted`, or choose nobody";
            return Err(Invalid::new("user_ids", problem));
        }
        if let Some(unknown) = chosen.iter().find(|id| !people.iter().any(|person| &&person.id == id)) {
            let problem = format!("there is no person `{}`; they may have been removed", unknown.as_str());
            return Err(Invalid::new("user_ids", problem));
        }
        if !self.is_restricted {
            return Ok(None);
        }
        let users = match self.users {
            Some(users) => users.into_iter().collect(),
            None => before.map(|before| before.users.clone()).unwrap_or_default(),
        };
        Ok(Some(Restriction { environment: environment.clone(), users }))
    }
}

impl Restriction {
    /// Whether it lets somebody pass. What their role permits is another question.
    ///
    /// A personal key passes as its person does; a key that is nobody's passes if it may do everything.
    pub fn admits(&self, actor: &Actor) -> bool {
        actor.role.permits(Action::Administer)
            || actor.person.as_ref().is_some_and(|person| self.users.contains(person))
    }

    /// Who may change such environments, as one sentence without a stop. `named` is what the people on the list are called.
    pub fn sentence(&self, named: &[String]) -> String {
        const SHOWN: usize = 3;
        let shown = named.iter().take(SHOWN).cloned();
        let more = named.len().saturating_sub(SHOWN);
        let more = (more > 0).then(|| format!("{more} more"));
        let listed: Vec<String> = ["admins".to_owned()].into_iter().chain(shown).chain(more).collect();
        let who = match listed.as_slice() {
            [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
            all => all.join(", "),
        };
        format!("{} is restricted: only {who} may change it; ask an admin for access", self.environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Door, Email, Role, Timestamp};

    fn production() -> EnvironmentName {
        EnvironmentName::production()
    }

    fn id(text: &str) -> PersonId {
        PersonId::new(text)
    }

    fn people() -> Vec<Person> {
        let person = |text: &str| Person {
            id: id(text),
            email: Email::new(&format!("{text}@example.org")).unwrap(),
            name: String::new(),
            role: Role::Deployer,
            created_at: Timestamp::from_millis(0),
            last_seen_at: None,
        };
        ["ada", "ben"].map(person).into()
    }

    fn asked(is_restricted: bool, users: Option<&[&str]>) -> Access {
        Access { is_restricted, users: users.map(|users| users.iter().map(|text| id(text)).collect()) }
    }

    fn actor(person: Option<&str>, role: Role) -> Actor {
        let (name, key_prefix) = ("somebody".to_owned(), person.is_none().then(|| "abcdefgh".to_owned()));
        Actor { name, key_prefix, person: person.map(id), email: None, role, door: Door::Api }
    }

    #[test]
    fn admins_and_the_people_on_the_list_pass() {
        let restriction = Restriction { environment: production(), users: [id("ada")].into() };
        assert!(restriction.admits(&actor(Some("ada"), Role::Deployer)));
        assert!(!restriction.admits(&actor(Some("ben"), Role::Deployer)));
        assert!(restriction.admits(&actor(Some("ben"), Role::Admin)));
        assert!(
            !restriction.admits(&actor(None, Role::Deployer)),
            "a key of the workspace is nobody on a list"
        );
        assert!(restriction.admits(&actor(None, Role::Admin)));
        assert!(restriction.admits(&Actor::system()));
    }

    #[test]
    fn the_list_stays_until_another_one_is_said() {
        let first = asked(true, None).applied(&production(), None, &people()).unwrap().unwrap();
        assert!(first.users.is_empty(), "nobody was chosen, so only admins may");
        let twice = asked(true, Some(&["ada", "ada"])).applied(&production(), Some(&first), &people());
        let second = twice.unwrap().unwrap();
        assert_eq!(second.users, [id("ada")].into());
        let same = asked(true, None).applied(&production(), Some(&second), &people()).unwrap();
        assert_eq!(same.as_ref(), Some(&second));
        let emptied = asked(true, Some(&[])).applied(&production(), Some(&second), &people()).unwrap();
        assert!(emptied.unwrap().users.is_empty());
        for none in [None, Some(&[][..])] {
            assert_eq!(asked(false, none).applied(&production(), Some(&second), &people()), Ok(None));
        }
    }

    #[test]
    fn people_who_are_not_here_and_lists_for_nothing_are_refused() {
        for (access, part) in
            [(asked(true, Some(&["eve"])), "`eve`"), (asked(false, Some(&["ada"])), "is_restricted")]
        {
            let refusal = access.applied(&production(), None, &people()).unwrap_err();
            assert_eq!(refusal.field, "user_ids");
            assert!(refusal.problem.contains(part), "{refusal}");
        }
    }

    #[test]
    fn a_refusal_says_who_may() {
        let restriction = Restriction { environment: production(), users: BTreeSet::new() };
        let said = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            restriction.sentence(&names)
        };
        assert_eq!(said(&[]), "production is restricted: only admins may change it; ask an admin for access");
        assert!(said(&["Ada"]).contains("only admins and Ada may"));
        assert!(
            said(&["Ada", "Ben", "Cleo", "Dora", "Eve"]).contains("admins, Ada, Ben, Cleo and 2 more may")
        );
    }
}

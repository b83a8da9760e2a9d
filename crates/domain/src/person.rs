//! People who sign in, and what keeps somebody in charge (semantics: People).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Invalid, PersonId, Role, Timestamp};

/// Somebody who signs in with a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub id: PersonId,
    pub email: Email,
    /// What others read; the e-mail address if it is empty.
    #[serde(default)]
    pub name: String,
    /// Viewer, deployer or admin.
    pub role: Role,
    pub created_at: Timestamp,
    #[serde(default)]
    pub last_seen_at: Option<Timestamp>,
}

impl Person {
    /// What others read.
    pub fn shown(&self) -> &str {
        if self.name.is_empty() { self.email.as_str() } else { &self.name }
    }
}

/// An address of the form `name@place`, in lower case; people are known by it. Nothing is ever sent there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    /// The most characters an address may have.
    pub const LIMIT: usize = 254;

    /// # Errors
    /// If it is empty, too long, or not of the form `name@place`.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let text = text.trim().to_lowercase();
        let refuse = |problem: String| Err(Invalid::new("email", problem));
        if text.chars().count() > Self::LIMIT {
            return refuse(format!("an e-mail address has at most {} characters", Self::LIMIT));
        }
        let sides = text.split_once('@').filter(|(name, place)| !name.is_empty() && !place.is_empty());
        let plain = |c: char| {
            !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>' | ',' | ';' | '"' | '\u{1f}')
        };
        let good = sides.is_some_and(|(_, place)| !place.contains('@')) && text.chars().all(plain);
        if !good {
            return refuse(format!(
                "`{}` is not an e-mail address like name@example.org",
                text.escape_debug()
            ));
        }
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The fewest characters of a password.
pub const PASSWORD_LEAST: usize = 10;
/// The most bytes of a password: more would only make hashing slow.
pub const PASSWORD_MOST: usize = 1024;

/// Checks a new password; the text itself is never repeated.
///
/// # Errors
/// If it is too short, too long, or the e-mail address.
pub fn check_password(text: &str, email: &Email) -> Result<(), Invalid> {
    let refuse = |problem: String| Err(Invalid::new("password", problem));
    if text.chars().count() < PASSWORD_LEAST {
        return refuse(format!(
            "a password has at least {PASSWORD_LEAST} characters; several words are easy to remember"
        ));
    }
    if text.len() > PASSWORD_MOST {
        return refuse(format!("a password has at most {PASSWORD_MOST} bytes"));
    }
    if text.to_lowercase() == email.as_str() {
        return refuse("the password must not be the e-mail address".into());
    }
    Ok(())
}

/// A person's name as typed: trimmed, at most 100 characters; empty for none.
///
/// # Errors
/// If it is too long or has control characters.
pub fn person_name(text: &str) -> Result<String, Invalid> {
    let text = text.trim();
    if text.chars().count() > 100 || text.chars().any(char::is_control) {
        return Err(Invalid::new("name", "a name has at most 100 characters, on one line"));
    }
    Ok(text.to_owned())
}

/// The role a person may have; keys have more.
///
/// # Errors
/// If it is not viewer, deployer or admin.
pub fn person_role(text: &str) -> Result<Role, Invalid> {
    match text {
        "viewer" => Ok(Role::Viewer),
        "deployer" => Ok(Role::Deployer),
        "admin" => Ok(Role::Admin),
        other => Err(Invalid::new(
            "role",
            format!("`{}` is not one of viewer, deployer, admin", other.escape_debug()),
        )),
    }
}

/// Whether a person may get another role, or be removed (`None`): somebody has to stay admin.
///
/// # Errors
/// The sentence that says why not, and what to do first.
pub fn may_change(people: &[Person], id: &PersonId, role: Option<Role>) -> Result<(), String> {
    let others = people.iter().any(|person| person.role == Role::Admin && &person.id != id);
    let is_admin = people.iter().any(|person| &person.id == id && person.role == Role::Admin);
    if !is_admin || others || role == Some(Role::Admin) {
        return Ok(());
    }
    let what = if role.is_some() { "get another role" } else { "be removed" };
    Err(format!("the only admin can't {what}; make somebody else an admin first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(id: &str, role: Role) -> Person {
        Person {
            id: PersonId::new(id),
            email: Email::new(&format!("{id}@example.org")).unwrap(),
            name: String::new(),
            role,
            created_at: Timestamp::from_millis(0),
            last_seen_at: None,
        }
    }

    #[test]
    fn an_address_is_one_whatever_its_case() {
        assert_eq!(Email::new(" Ada@Example.ORG ").unwrap().as_str(), "ada@example.org");
        for bad in ["", "ada", "@example.org", "ada@", "a@b@c", "a b@c", "a\n@b", "<a@b>", "a,b@c"] {
            assert_eq!(Email::new(bad).map_err(|refusal| refusal.field), Err("email".into()), "{bad:?}");
        }
        assert!(Email::new(&format!("a@{}", "b".repeat(300))).is_err());
    }

    #[test]
    fn a_refused_password_is_not_repeated() {
        let email = Email::new("ada.lovelace@example.org").unwrap();
        for bad in ["hush", "Ada.Lovelace@example.org", &"hush".repeat(300)] {
            let refusal = check_password(bad, &email).unwrap_err();
            assert_eq!(refusal.field, "password");
            assert!(!refusal.to_string().contains(bad), "{refusal}");
        }
        assert!(check_password("correct horse battery", &email).is_ok());
    }

    #[test]
    fn somebody_stays_admin() {
        let people = [person("ada", Role::Admin), person("ben", Role::Deployer)];
        let may = |id: &str, role| may_change(&people, &PersonId::new(id), role);
        assert!(may("ada", None).is_err() && may("ada", Some(Role::Viewer)).is_err());
        assert!(may("ada", Some(Role::Admin)).is_ok());
        assert!(may("ben", None).is_ok() && may("ben", Some(Role::Admin)).is_ok());
        let two = [person("ada", Role::Admin), person("eve", Role::Admin)];
        assert!(may_change(&two, &PersonId::new("ada"), None).is_ok());
    }
}

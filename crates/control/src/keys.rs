//! API keys: shown once, stored as a hash, looked up in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use domain::{
    Action, Actor, Door, EnvironmentName, EventKind, Invalid, Person, PersonId, Restriction, Role, Timestamp,
    check_key_name,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use store::KeyRow;
use tokio::sync::watch;

use crate::key_limits::{KeyLimits, Limits};
use crate::parts::About;
use crate::{ControlPlane, Error};

/// Characters of keys; 62 of them.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX_LENGTH: usize = 8;
/// 43 characters of 62 are 256 bits.
const SECRET_LENGTH: usize = 43;

/// A key that was just made: the only moment its text is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    pub key: String,
    pub prefix: String,
}

/// What a key is to be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// The person's own: it may what they may, and goes with them.
    Personal,
    /// The workspace's: it has a role of its own, and stays when people go.
    Workspace(Role),
}

/// The keys that are good now, by the SHA-256 of their text, the people who are here, and what is restricted to whom.
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: RwLock<Arc<HashMap<[u8; 32], KeyRow>>>,
    people: RwLock<Arc<HashMap<PersonId, Person>>>,
    restrictions: RwLock<Arc<BTreeMap<EnvironmentName, Restriction>>>,
    used: Mutex<HashMap<String, Timestamp>>,
    seen: Mutex<HashMap<PersonId, Timestamp>>,
    reading: tokio::sync::Mutex<()>,
    changed: watch::Sender<u64>,
}

impl KeyRing {
    pub fn snapshot(&self) -> Arc<HashMap<[u8; 32], KeyRow>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes whenever a key is added or revoked.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The key with this prefix.
    pub(crate) fn key(&self, prefix: &str) -> Option<KeyRow> {
        self.snapshot().values().find(|row| row.prefix == prefix).cloned()
    }

    /// Somebody who is here.
    pub fn person(&self, id: &PersonId) -> Option<Person> {
        self.people.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// What is restricted, by the environments' name.
    pub fn restrictions(&self) -> Arc<BTreeMap<EnvironmentName, Restriction>> {
        self.restrictions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The restriction of a name, if there is one.
    pub fn restriction(&self, name: &EnvironmentName) -> Option<Restriction> {
        self.restrictions().get(name).cloned()
    }

    /// Notes that a person is here now, unless that was noted within `every` milliseconds.
    pub(crate) fn see(&self, id: &PersonId, now: Timestamp, every: i64) {
        let known = self.person(id).and_then(|person| person.last_seen_at);
        if known.is_none_or(|last| now.since(last) >= every) {
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), now);
        }
    }

    /// A person's key may what the person may; without the person it is no key.
    fn replace(&self, rows: Vec<KeyRow>, people: Vec<Person>, restrictions: Vec<Restriction>) {
        let people: HashMap<PersonId, Person> =
            people.into_iter().map(|person| (person.id.clone(), person)).collect();
        let now = |mut row: KeyRow| {
            if let Some(owner) = &row.person {
                row.role = people.get(owner)?.role;
            }
            Some((unhex(&row.hash)?, row))
        };
        let keys = rows.into_iter().filter_map(now).collect();
        let restrictions = restrictions.into_iter().map(|found| (found.environment.clone(), found)).collect();
        *self.restrictions.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(restrictions);
        *self.people.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(people);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        self.changed.send_modify(|count| *count += 1);
    }
}

/// The SHA-256 of a key's text. Looking it up reveals nothing by its timing: the text itself is never compared.
pub fn hash_of(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The actor that a key makes.
pub(crate) fn actor_of(row: &KeyRow, owner: Option<&Person>, door: Door) -> Actor {
    Actor {
        name: owner.map_or(&row.name[..], Person::shown).to_owned(),
        key_prefix: Some(row.prefix.clone()),
        person: row.person.clone(),
        email: owner.map(|person| person.email.clone()),
        role: row.role,
        door,
    }
}

impl ControlPlane {
    /// Who holds a key.
    pub async fn authenticate(&self, key: &str, door: Door) -> Result<Actor, Error> {
        let keys = self.ring.snapshot();
        let row = keys.get(&hash_of(key)).ok_or(Error::Unauthorized)?;
        self.ring.used.lock().unwrap_or_else(PoisonError::into_inner).insert(row.prefix.clone(), self.now());
        let owner = row.person.as_ref().and_then(|id| self.ring.person(id));
        Ok(actor_of(row, owner.as_ref(), door))
    }

    /// The keys in memory, for the gateway.
    pub fn key_ring(&self) -> Arc<KeyRing> {
        self.ring.clone()
    }

    /// Reads keys, people and restrictions anew. One reading at a time: of two, the older must not be what stays in memory, or a key that
    /// was revoked in between would go on working.
    /// Takes in what another server has written beside this one: its keys, and what it asked of models.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn look_again(&self) -> Result<(), Error> {
        self.reload_keys().await?;
        for model in self.parts.store.all_model_ids().await? {
            self.parts.wake.wake(&model);
        }
        Ok(())
    }

    pub(crate) async fn reload_keys(&self) -> Result<(), Error> {
        let _turn = self.ring.reading.lock().await;
        let mut tx = self.parts.store.read().await?;
        let (rows, people, restrictions) = (tx.keys().await?, tx.people().await?, tx.restrictions().await?);
        self.ring.replace(rows, people, restrictions);
        Ok(())
    }

    /// Text that nobody can guess, of letters and digits.
    pub(crate) fn secret_text(&self, length: usize) -> String {
        let mut text = String::with_capacity(length);
        let mut bytes = [0u8; 64];
        while text.len() < length {
            (self.parts.random)(&mut bytes);
            // 248 is the largest multiple of 62 below 256: beyond it some characters would be likelier.
            let fair = bytes.iter().filter(|byte| **byte < 248);
            text.extend(fair.map(|byte| ALPHABET[usize::from(*byte % 62)] as char));
        }
        text.truncate(length);
        text
    }

    /// Makes a key; `limits` say what it calls or measures.
    ///
    /// Everybody who may look makes keys of their own; who manages keys makes those of the workspace.
    pub async fn create_key(
        &self,
        actor: &Actor,
        name: &str,
        kind: KeyKind,
        limits: KeyLimits,
    ) -> Result<NewKey, Error> {
        let (role, person) = match kind {
            KeyKind::Personal => {
                self.may(actor, Action::View)?;
                let problem = "a personal key belongs to a person: sign in as one, or choose another type";
                let person = actor.person.clone().ok_or_else(|| Invalid::new("type", problem))?;
                (actor.role, Some(person))
            }
            KeyKind::Workspace(role) => {
                self.may(actor, Action::ManageKeys)?;
                if !actor.role.may_hand_out(role) {
                    return Err(Error::Forbidden(format!(
                        "as {} you make keys that call models or read metrics; ask an admin for one that is {}",
                        actor.role.as_str(),
                        role.as_str()
                    )));
                }
                (role, None)
            }
        };
        let limits = self.known(limits, role.may_be_limited() && person.is_none()).await?;
        let key = format!("{}.{}", self.secret_text(PREFIX_LENGTH), self.secret_text(SECRET_LENGTH));
        self.add_key(actor, &key, name, role, person, limits).await
    }

    async fn add_key(
        &self,
        actor: &Actor,
        key: &str,
        name: &str,
        role: Role,
        person: Option<PersonId>,
        limits: Limits,
    ) -> Result<NewKey, Error> {
        check_key_name(name)?;
        let prefix =
            key.split('.').next().filter(|prefix| prefix.len() == PREFIX_LENGTH && key.contains('.'));
        let prefix = prefix.map_or_else(|| hex(&hash_of(key)[..4]), str::to_owned);
        let now = self.now();
        let row = KeyRow {
            prefix: prefix.clone(),
            hash: hex(&hash_of(key)),
            name: name.to_owned(),
            role,
            person,
            models: limits.models,
            environments: limits.environments,
            created_at: now,
            last_used_at: None,
        };
        let mut tx = self.parts.store.begin().await?;
        tx.insert_key(&row).await?;
        let about = About {
            kind: EventKind::ApiKeyCreated,
            model: None,
            deployment: None,
            environment: None,
            sentence: format!("API key {prefix} ({name}) was created"),
            data: told(&row),
        };
        tx.append(&self.event(actor, now, 0, about)).await?;
        tx.commit().await?;
        self.reload_keys().await?;
        self.tell_workspace();
        Ok(NewKey { key: key.to_owned(), prefix })
    }

    /// Sees to it that there is an admin key.
    ///
    /// `preset` becomes one if it is not yet. Without it, the first start makes one and returns it: it is never shown
    /// again.
    pub async fn ensure_admin_key(&self, preset: Option<&str>) -> Result<Option<NewKey>, Error> {
        let system = Actor::system();
        if let Some(key) = preset {
            if key.len() < 16 || key.chars().any(|c| c.is_whitespace() || c.is_control()) {
                let problem = "a preset admin key has at least 16 characters and no spaces";
                return Err(Invalid::new("SLIPWAY_ADMIN_KEY", problem).into());
            }
            let known = self.ring.snapshot().get(&hash_of(key)).is_some_and(|row| row.role == Role::Admin);
            if known {
                return Ok(None);
            }
            return self
                .add_key(&system, key, "admin", Role::Admin, None, Limits::default())
                .await
                .map(|_| None);
        }
        if self.ring.snapshot().values().any(|row| row.role == Role::Admin) {
            return Ok(None);
        }
        self.create_key(&system, "admin", KeyKind::Workspace(Role::Admin), KeyLimits::default())
            .await
            .map(Some)
    }

    /// The keys somebody may see, without their text: all for who manages keys, one's own for others.
    pub async fn keys(&self, actor: &Actor) -> Result<Vec<KeyRow>, Error> {
        let mut keys = self.parts.store.keys().await?;
        if !actor.role.permits(Action::ManageKeys) {
            // A key that is nobody's has no keys of its own.
            self.may(actor, if actor.person.is_some() { Action::View } else { Action::ManageKeys })?;
            keys.retain(|key| is_own(actor, key));
        }
        for key in &mut keys {
            let owner = key.person.as_ref().and_then(|id| self.ring.person(id));
            key.role = owner.map_or(key.role, |person| person.role);
        }
        Ok(keys)
    }

    /// Ends a key and its sessions, at once and everywhere.
    pub async fn revoke_key(&self, actor: &Actor, prefix: &str) -> Result<(), Error> {
        let now = self.now();
        let known = self.parts.store.keys().await?.into_iter().find(|row| row.prefix == prefix);
        if !known.as_ref().is_some_and(|key| is_own(actor, key)) {
            self.may(actor, Action::ManageKeys)?;
        }
        // Else a key that only makes small keys could shut the admins out.
        if let Some(key) = &known
            && !is_own(actor, key)
            && !actor.role.may_hand_out(key.role)
        {
            return Err(Error::Forbidden(format!(
                "as {} you can't revoke a key that is {}; ask an admin",
                actor.role.as_str(),
                key.role.as_str()
            )));
        }
        let mut tx = self.parts.store.begin().await?;
        let (Some(known), true) = (known, tx.revoke_key(prefix, now).await?) else {
            return Err(Error::NotFound(format!("there is no API key with the prefix `{prefix}`")));
        };
        let about = About {
            kind: EventKind::ApiKeyDeleted,
            model: None,
            deployment: None,
            environment: None,
            sentence: format!("API key {prefix} ({}) was revoked", known.name),
            data: told(&known),
        };
        tx.append(&self.event(actor, now, 0, about)).await?;
        tx.commit().await?;
        self.tell_workspace();
        self.reload_keys().await
    }

    /// Writes when keys were last used and people last seen; called now and then, never by a request.
    pub async fn flush_key_use(&self) -> Result<(), Error> {
        let used = std::mem::take(&mut *self.ring.used.lock().unwrap_or_else(PoisonError::into_inner));
        let seen = std::mem::take(&mut *self.ring.seen.lock().unwrap_or_else(PoisonError::into_inner));
        if used.is_empty() && seen.is_empty() {
            return Ok(());
        }
        // Nobody changes a person between reading and writing: what is written is all of them, their role too.
        let mut tx = self.hold_people(self.now()).await?;
        for (prefix, at) in used {
            tx.touch_key(&prefix, at).await?;
        }
        let people = if seen.is_empty() { Vec::new() } else { tx.people().await? };
        for mut person in people {
            if let Some(at) = seen.get(&person.id) {
                person.last_seen_at = Some(*at);
                tx.save_person(&person).await?;
            }
        }
        tx.commit().await?;
        if !seen.is_empty() {
            self.reload_keys().await?;
        }
        Ok(())
    }
}

/// What the activity tells of a key.
fn told(key: &KeyRow) -> serde_json::Value {
    json!({
        "prefix": key.prefix,
        "name": key.name,
        "role": key.role,
        "models": key.models,
        "environments": key.environments,
        "user_id": key.person,
    })
}

fn is_own(actor: &Actor, key: &KeyRow) -> bool {
    key.person.is_some() && key.person == actor.person
}

//! API keys: shown once, stored as a hash, looked up in memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use domain::{Action, Actor, Door, EventKind, Role, Timestamp};
use serde_json::json;
use sha2::{Digest, Sha256};
use store::KeyRow;
use tokio::sync::watch;

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

/// The keys that are good now, by the SHA-256 of their text.
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: RwLock<Arc<HashMap<[u8; 32], KeyRow>>>,
    used: Mutex<HashMap<String, Timestamp>>,
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

    fn replace(&self, rows: Vec<KeyRow>) {
        let keys = rows.into_iter().filter_map(|row| Some((unhex(&row.hash)?, row))).collect();
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
pub(crate) fn actor_of(row: &KeyRow, door: Door) -> Actor {
    Actor { name: row.name.clone(), key_prefix: Some(row.prefix.clone()), role: row.role, door }
}

impl ControlPlane {
    /// Who holds a key.
    pub async fn authenticate(&self, key: &str, door: Door) -> Result<Actor, Error> {
        let keys = self.ring.snapshot();
        let row = keys.get(&hash_of(key)).ok_or(Error::Unauthorized)?;
        self.ring.used.lock().unwrap_or_else(PoisonError::into_inner).insert(row.prefix.clone(), self.now());
        Ok(actor_of(row, door))
    }

    /// The keys in memory, for the gateway.
    pub fn key_ring(&self) -> Arc<KeyRing> {
        self.ring.clone()
    }

    pub(crate) async fn reload_keys(&self) -> Result<(), Error> {
        let rows = self.parts.store.keys().await?;
        self.ring.replace(rows);
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

    /// Makes a key. `models` limits what it may call; `None` for all.
    pub async fn create_key(
        &self,
        actor: &Actor,
        name: &str,
        role: Role,
        models: Option<Vec<String>>,
    ) -> Result<NewKey, Error> {
        self.may(actor, Action::Administer)?;
        let key = format!("{}.{}", self.secret_text(PREFIX_LENGTH), self.secret_text(SECRET_LENGTH));
        self.add_key(actor, &key, name, role, models).await
    }

    async fn add_key(
        &self,
        actor: &Actor,
        key: &str,
        name: &str,
        role: Role,
        models: Option<Vec<String>>,
    ) -> Result<NewKey, Error> {
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            return Err(domain::Invalid::new("name", "a key's name has 1 to 100 characters").into());
        }
        let prefix =
            key.split('.').next().filter(|prefix| prefix.len() == PREFIX_LENGTH && key.contains('.'));
        let prefix = prefix.map_or_else(|| hex(&hash_of(key)[..4]), str::to_owned);
        let now = self.now();
        let row = KeyRow {
            prefix: prefix.clone(),
            hash: hex(&hash_of(key)),
            name: name.to_owned(),
            role,
            models,
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
            data: json!({ "prefix": prefix, "name": name, "role": role, "models": row.models }),
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
                return Err(domain::Invalid::new("SLIPWAY_ADMIN_KEY", problem).into());
            }
            let known = self.ring.snapshot().get(&hash_of(key)).is_some_and(|row| row.role == Role::Admin);
            if known {
                return Ok(None);
            }
            return self.add_key(&system, key, "admin", Role::Admin, None).await.map(|_| None);
        }
        if self.ring.snapshot().values().any(|row| row.role == Role::Admin) {
            return Ok(None);
        }
        self.create_key(&system, "admin", Role::Admin, None).await.map(Some)
    }

    /// Every key, without its text.
    pub async fn keys(&self, actor: &Actor) -> Result<Vec<KeyRow>, Error> {
        self.may(actor, Action::Administer)?;
        Ok(self.parts.store.keys().await?)
    }

    /// Ends a key and its sessions, at once and everywhere.
    pub async fn revoke_key(&self, actor: &Actor, prefix: &str) -> Result<(), Error> {
        self.may(actor, Action::Administer)?;
        let now = self.now();
        let known = self.parts.store.keys().await?.into_iter().find(|row| row.prefix == prefix);
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
            data: json!({ "prefix": prefix, "name": known.name, "role": known.role, "models": known.models }),
        };
        tx.append(&self.event(actor, now, 0, about)).await?;
        tx.commit().await?;
        self.tell_workspace();
        self.reload_keys().await
    }

    /// Writes when keys were last used; called now and then, never by a request.
    pub async fn flush_key_use(&self) -> Result<(), Error> {
        let used = std::mem::take(&mut *self.ring.used.lock().unwrap_or_else(PoisonError::into_inner));
        if used.is_empty() {
            return Ok(());
        }
        let mut tx = self.parts.store.begin().await?;
        for (prefix, at) in used {
            tx.touch_key(&prefix, at).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

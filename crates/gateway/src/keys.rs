//! Who may call which model.

use domain::{Action, ModelId, Role};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// All API keys in force; replaced whole.
#[derive(Debug, Default)]
pub struct KeySnapshot {
    /// By the SHA-256 of the whole key: looking one up tells nothing about another.
    pub keys: HashMap<[u8; 32], KeyGrant>,
}

/// What a key may do.
#[derive(Debug, Clone)]
pub struct KeyGrant {
    pub role: Role,
    /// The models it may call; `None` means all.
    pub models: Option<Vec<ModelId>>,
}

/// Why a request may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// No key, or one that is unknown.
    Unknown,
    /// The key is known and not for this model.
    Forbidden,
}

impl KeySnapshot {
    /// Checks the `Authorization` header, `Bearer <key>` or `Api-Key <key>`. Cookies never authorise a call.
    pub(crate) fn check(&self, headers: &HeaderMap, model: &ModelId) -> Result<(), Denied> {
        let key = presented(headers).ok_or(Denied::Unknown)?;
        let digest: [u8; 32] = Sha256::digest(key).into();
        let grant = self.keys.get(&digest).ok_or(Denied::Unknown)?;
        let allowed = grant.models.as_ref().is_none_or(|models| models.contains(model));
        if allowed && grant.role.permits(Action::Invoke) { Ok(()) } else { Err(Denied::Forbidden) }
    }
}

fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, key) = value.split_at(space);
    let known = scheme.eq_ignore_ascii_case(b"bearer") || scheme.eq_ignore_ascii_case(b"api-key");
    known.then(|| key.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(models: Option<Vec<ModelId>>) -> KeySnapshot {
        let digest = Sha256::digest(b"secret").into();
        KeySnapshot { keys: HashMap::from([(digest, KeyGrant { role: Role::Invoker, models })]) }
    }

    fn check(snapshot: &KeySnapshot, header: Option<&str>) -> Result<(), Denied> {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(AUTHORIZATION, header.parse().unwrap());
        }
        snapshot.check(&headers, &ModelId::new("m"))
    }

    #[test]
    fn both_schemes_are_read() {
        let keys = snapshot(None);
        assert_eq!(check(&keys, Some("Bearer secret")), Ok(()));
        assert_eq!(check(&keys, Some("Api-Key secret")), Ok(()));
        for bad in [None, Some("secret"), Some("Basic secret"), Some("Bearer other"), Some("Bearer ")] {
            assert_eq!(check(&keys, bad), Err(Denied::Unknown), "{bad:?}");
        }
    }

    #[test]
    fn a_key_for_other_models_is_refused() {
        let keys = snapshot(Some(vec![ModelId::new("other")]));
        assert_eq!(check(&keys, Some("Bearer secret")), Err(Denied::Forbidden));
        assert_eq!(check(&snapshot(Some(vec![ModelId::new("m")])), Some("Bearer secret")), Ok(()));
    }
}

//! Who may call which model.

use domain::{Action, EnvironmentName, ModelId, Role};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

use crate::address::Target;

/// The SHA-256 of a whole key.
pub(crate) type Digest = [u8; 32];

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
    /// The environments by whose addresses it may call; `None` means all addresses, those of deployments too.
    pub environments: Option<Vec<EnvironmentName>>,
}

/// Why a request may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// No key, or one that is unknown.
    Unknown,
    /// The key is known and not for this model.
    Forbidden,
    /// The key is for some environments, and the address is of none of them.
    Elsewhere,
}

impl KeySnapshot {
    /// Whether a key may call. Cookies never authorise a call.
    pub(crate) fn check(&self, key: Option<Digest>, model: &ModelId, target: &Target) -> Result<(), Denied> {
        let grant = key.and_then(|digest| self.keys.get(&digest)).ok_or(Denied::Unknown)?;
        let allowed = grant.models.as_ref().is_none_or(|models| models.contains(model));
        if !allowed || !grant.role.permits(Action::Invoke) {
            return Err(Denied::Forbidden);
        }
        let reaches = |names: &Vec<EnvironmentName>| match target {
            Target::Environment(called) => names.iter().any(|name| name.as_str() == called),
            Target::Development | Target::Deployment(_) => false,
        };
        if grant.environments.as_ref().is_none_or(reaches) { Ok(()) } else { Err(Denied::Elsewhere) }
    }
}

/// The key in the value of an `Authorization` header, `Bearer <key>` or `Api-Key <key>`.
pub(crate) fn presented(value: &[u8]) -> Option<Digest> {
    let space = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, key) = value.split_at(space);
    let known = scheme.eq_ignore_ascii_case(b"bearer") || scheme.eq_ignore_ascii_case(b"api-key");
    known.then(|| Sha256::digest(key.trim_ascii()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(models: Option<Vec<ModelId>>) -> KeySnapshot {
        limited(models, None)
    }

    fn limited(models: Option<Vec<ModelId>>, environments: Option<Vec<EnvironmentName>>) -> KeySnapshot {
        let digest = Sha256::digest(b"secret").into();
        KeySnapshot {
            keys: HashMap::from([(digest, KeyGrant { role: Role::Invoker, models, environments })]),
        }
    }

    fn check(snapshot: &KeySnapshot, header: Option<&str>) -> Result<(), Denied> {
        call(snapshot, header, &Target::Environment("production".into()))
    }

    fn call(snapshot: &KeySnapshot, header: Option<&str>, target: &Target) -> Result<(), Denied> {
        snapshot.check(header.map(str::as_bytes).and_then(presented), &ModelId::new("m"), target)
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

    #[test]
    fn a_key_for_some_environments_calls_by_their_addresses_only() {
        let headers = Some("Bearer secret");
        let staging = || Some(vec![EnvironmentName::new("staging").unwrap()]);
        let keys = limited(None, staging());
        let environment = |name: &str| Target::Environment(name.into());
        assert_eq!(call(&keys, headers, &environment("staging")), Ok(()));
        let direct = Target::Deployment(domain::DeploymentId::new("d"));
        for elsewhere in [environment("production"), environment("stag"), direct, Target::Development] {
            assert_eq!(call(&keys, headers, &elsewhere), Err(Denied::Elsewhere), "{elsewhere:?}");
        }
        let keys = limited(Some(vec![ModelId::new("other")]), staging());
        assert_eq!(
            call(&keys, headers, &environment("staging")),
            Err(Denied::Forbidden),
            "both limits count"
        );
    }
}

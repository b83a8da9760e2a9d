//! Passwords: hashed with argon2, checked a few at a time, and not as often as a guesser would like.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use domain::{Failures, Timestamp};
use tokio::sync::Semaphore;

use crate::Error;

/// Hashes worked on at once: each takes 19 MiB and tens of milliseconds of a core.
const AT_ONCE: usize = 2;
/// Names whose failures are remembered.
const REMEMBERED: usize = 10_000;
/// Bytes of salt.
pub(crate) const SALT: usize = 16;
/// What a password is compared with where there is none, so that an unknown name takes as long as a known one.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2xpcHdheS1uby1vbmU$3ZxAYM8FfBuWAKcIMBqTu6Kw4XiHwyAqWvOA4gyZ7SQ";

/// What guards sign-ins.
#[derive(Debug)]
pub(crate) struct Passwords {
    hashing: Arc<Semaphore>,
    failures: Mutex<HashMap<String, Failures>>,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { hashing: Arc::new(Semaphore::new(AT_ONCE)), failures: Mutex::default() }
    }
}

impl Passwords {
    /// The hash of a password, with the salt in it.
    pub async fn hash(&self, password: &str, salt: [u8; SALT]) -> Result<String, Error> {
        let password = password.to_owned();
        self.work(move || {
            let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
            hash.map(|hash| hash.to_string()).map_err(|error| Error::Internal(error.to_string()))
        })
        .await?
    }

    /// Whether a password belongs to a hash; without a hash it takes as long, and does not.
    pub async fn verify(&self, password: &str, hash: Option<String>) -> Result<bool, Error> {
        let password = password.to_owned();
        self.work(move || {
            let known = hash.is_some();
            let text = hash.unwrap_or_else(|| NOBODY.to_owned());
            let Ok(hash) = PasswordHash::new(&text) else { return false };
            Argon2::default().verify_password(password.as_bytes(), &hash).is_ok() && known
        })
        .await
    }

    async fn work<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let ended = |error: String| Error::Internal(format!("a password could not be worked on: {error}"));
        let permit = self.hashing.clone().acquire_owned().await.map_err(|error| ended(error.to_string()))?;
        let worked = tokio::task::spawn_blocking(move || {
            let result = job();
            drop(permit);
            result
        });
        worked.await.map_err(|error| ended(error.to_string()))
    }

    /// Begins an attempt of somebody, which counts as failed until [`Self::succeeded`]: guesses that run side by side
    /// count, too.
    ///
    /// # Errors
    /// After how many seconds the next attempt is looked at.
    pub fn attempt(&self, name: &str, now: Timestamp) -> Result<(), Error> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let known = failures.get(name).copied();
        if let Some(wait) = known.and_then(|known| known.wait(now)) {
            return Err(too_many_attempts(wait));
        }
        if failures.len() >= REMEMBERED {
            failures.retain(|_, known| !known.is_old(now));
            let oldest = failures.iter().min_by_key(|(_, known)| known.last).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest.filter(|_| failures.len() >= REMEMBERED) {
                failures.remove(&oldest);
            }
        }
        failures.insert(name.to_owned(), Failures::after(known, now));
        Ok(())
    }

    /// Forgets the failures of somebody who proved who they are.
    pub fn succeeded(&self, name: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

fn too_many_attempts(wait: i64) -> Error {
    let seconds = wait.div_euclid(1000) + i64::from(wait.rem_euclid(1000) > 0);
    Error::TooMany {
        sentence: format!("too many attempts have failed; try again in {seconds} s"),
        retry_after: seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_fits_its_hash() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse battery", [7; SALT]).await.unwrap();
        assert!(hash.starts_with("$argon2id$") && !hash.contains("horse"), "{hash}");
        assert!(passwords.verify("correct horse battery", Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct horse", Some(hash)).await.unwrap());
        assert!(!passwords.verify("correct horse", Some(String::new())).await.unwrap());
        assert!(!passwords.verify("anything", None).await.unwrap());
        assert!(PasswordHash::new(NOBODY).is_ok(), "an unknown name takes as long as a known one");
    }

    #[test]
    fn guesses_side_by_side_count() {
        let passwords = Passwords::default();
        let now = Timestamp::from_millis(0);
        let passed = (0..50).filter(|_| passwords.attempt("ada@example.org", now).is_ok()).count();
        assert_eq!(passed, 5);
        passwords.succeeded("ada@example.org");
        assert!(passwords.attempt("ada@example.org", now).is_ok());
        assert!(passwords.attempt("ben@example.org", now).is_ok(), "others are not held up");
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let passwords = Passwords::default();
        for n in 0..REMEMBERED + 100 {
            assert!(passwords.attempt(&format!("{n}"), Timestamp::from_millis(n as i64)).is_ok());
        }
        assert!(passwords.failures.lock().unwrap().len() <= REMEMBERED);
    }
}

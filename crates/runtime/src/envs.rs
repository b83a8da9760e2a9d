//! Python environments that are shared by content: which exist, who uses them, and when one goes.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use domain::Timestamp;
use rustix::fs::{FlockOperation, flock};

use crate::build::{COMPLETE, WORK};
use crate::files::Files;
use crate::interpreter::NOTE;

/// Where an environment waits to be deleted; nobody finds it there.
const GONE: &str = "gone";

fn lock_file(env: &Path) -> io::Result<File> {
    File::create(env.with_extension("lock"))
}

fn used_file(env: &Path) -> PathBuf {
    env.with_extension("used")
}

/// Whether an environment is whole; if so its use is noted, and it stays as long as the note is fresh.
pub(crate) fn claim(env: &Path, now: Timestamp) -> io::Result<bool> {
    let lock = lock_file(env)?;
    // Whoever makes or removes one holds the lock alone meanwhile: then it is not whole now.
    if flock(&lock, FlockOperation::NonBlockingLockShared).is_err() || !env.join(COMPLETE).is_file() {
        return Ok(false);
    }
    note_use(env, now)?;
    Ok(true)
}

pub(crate) fn note_use(env: &Path, now: Timestamp) -> io::Result<()> {
    fs::write(used_file(env), now.millis().to_string())
}

fn last_use(env: &Path) -> Option<Timestamp> {
    fs::read_to_string(used_file(env)).ok()?.trim().parse().ok().map(Timestamp::from_millis)
}

/// The keys of the environments in the data folder, half made ones included.
pub(crate) fn keys(files: &Files) -> Vec<String> {
    let Ok(entries) = fs::read_dir(files.envs()) else { return Vec::new() };
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders
        .filter_map(|entry| entry.file_name().into_string().ok())
        // Those with a dot are on their way to it, or what a build works with.
        .filter(|name| !name.contains('.'))
        .collect()
}

/// The environment that what is built for `key` runs in: the one of that name, or, where only that is whole, the shared one
/// with the same requirements. What was pushed without a cache was built into that before `build.no_cache` was obeyed.
pub(crate) fn in_use<'a>(files: &Files, key: &'a str) -> &'a str {
    let whole = |key: &str| files.env(key).join(COMPLETE).is_file();
    match key.split_once('-') {
        Some((shared, _)) if !whole(key) && whole(shared) => shared,
        _ => key,
    }
}

/// Removes an environment that was used last before `before`. False if it stays: it was used since, or is being made.
pub(crate) fn remove_unused(env: &Path, before: Timestamp, now: Timestamp) -> io::Result<bool> {
    let lock = lock_file(env)?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(false);
    }
    match last_use(env) {
        // Made before uses were noted: its time begins now.
        None => {
            note_use(env, now)?;
            return Ok(false);
        }
        Some(last) if last >= before => return Ok(false),
        Some(_) => {}
    }
    // Left by a build that was ended, or whose server was.
    match fs::rename(env.with_extension(WORK), env.with_extension(format!("{WORK}.{GONE}"))) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(env, env.with_extension(GONE))?;
    let _ = fs::remove_file(used_file(env));
    let _ = fs::remove_file(env.with_extension(NOTE));
    Ok(true)
}

/// Deletes what was removed, also before a crash.
pub(crate) fn empty_bin(files: &Files) {
    let Ok(entries) = fs::read_dir(files.envs()) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == GONE)
            && let Err(error) = fs::remove_dir_all(&path)
        {
            tracing::warn!(path = %path.display(), %error, "could not delete an unused environment; trying again later");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_millis(hours * HOUR)
    }

    #[test]
    fn an_environment_goes_when_it_was_unused_for_long_enough() {
        let temp = tempfile::tempdir().unwrap();
        let files = Files::new(temp.path()).unwrap();
        let env = files.env("k1");
        assert!(!claim(&env, at(0)).unwrap(), "it is not made yet");
        fs::create_dir(&env).unwrap();
        fs::write(env.join(COMPLETE), "k1").unwrap();
        fs::create_dir_all(env.with_extension(WORK).join("tmp")).unwrap();
        assert!(claim(&env, at(10)).unwrap());
        assert!(!remove_unused(&env, at(10), at(34)).unwrap());
        assert_eq!(keys(&files), ["k1"]);
        assert!(remove_unused(&env, at(11), at(35)).unwrap());
        assert!(keys(&files).is_empty() && !env.exists());
        empty_bin(&files);
        let left: Vec<_> =
            fs::read_dir(files.envs()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert_eq!(left, ["k1.lock"]);
    }

    #[test]
    fn what_was_built_into_a_shared_environment_runs_there_until_it_has_its_own() {
        let temp = tempfile::tempdir().unwrap();
        let files = Files::new(temp.path()).unwrap();
        let make = |key: &str| {
            fs::create_dir(files.env(key)).unwrap();
            fs::write(files.env(key).join(COMPLETE), key).unwrap();
        };
        assert_eq!(in_use(&files, "k1-push"), "k1-push", "there is neither");
        make("k1");
        assert_eq!(in_use(&files, "k1-push"), "k1");
        make("k1-push");
        assert_eq!(in_use(&files, "k1-push"), "k1-push");
        assert_eq!(in_use(&files, "k1"), "k1");
    }

    #[test]
    fn one_that_is_being_made_stays() {
        let temp = tempfile::tempdir().unwrap();
        let files = Files::new(temp.path()).unwrap();
        let env = files.env("k1");
        fs::create_dir(&env).unwrap();
        note_use(&env, at(0)).unwrap();
        let building = lock_file(&env).unwrap();
        flock(&building, FlockOperation::LockExclusive).unwrap();
        assert!(!remove_unused(&env, at(100), at(200)).unwrap());
        drop(building);
        assert!(remove_unused(&env, at(100), at(200)).unwrap());
    }

    #[test]
    fn one_from_before_uses_were_noted_gets_its_time() {
        let temp = tempfile::tempdir().unwrap();
        let files = Files::new(temp.path()).unwrap();
        let env = files.env("k1");
        fs::create_dir(&env).unwrap();
        assert!(!remove_unused(&env, at(100), at(124)).unwrap());
        assert!(remove_unused(&env, at(125), at(149)).unwrap());
    }
}

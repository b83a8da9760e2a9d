//! Where the Python lies that an environment is made of.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The end of the note's name.
pub(crate) const NOTE: &str = "python";

/// What belongs to an installation of Python, below its own folder. That folder itself may be somebody's home.
const PARTS: [&str; 4] = ["bin", "lib", "lib64", "include"];

/// Writes down what the environment's Python needs, beside the environment.
pub(crate) fn note(env: &Path) -> io::Result<()> {
    fs::write(env.with_extension(NOTE), serde_json::to_string(&folders(env)).map_err(io::Error::other)?)
}

/// What was written down when the environment was made. What it has come to be since is not believed, as far as that goes.
pub(crate) fn noted(env: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(env.with_extension(NOTE)).ok();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_else(|| folders(env))
}

/// The folders that a program needs to run `env/bin/python`, outside `env`; each under every name that leads to it.
fn folders(env: &Path) -> Vec<PathBuf> {
    let mut programs = BTreeSet::new();
    let mut program = env.join("bin/python");
    // As many links as the kernel would follow.
    for _ in 0..40 {
        let Ok(target) = fs::read_link(&program) else { break };
        program = program.parent().map(|folder| folder.join(&target)).unwrap_or(target);
        programs.insert(program.clone());
        programs.extend(in_real_folder(&program));
    }
    programs.extend(program.canonicalize());
    let outside = programs.iter().filter(|program| !program.starts_with(env));
    let installations: BTreeSet<&Path> = outside.filter_map(|program| program.parent()?.parent()).collect();
    let system = |folder: &Path| folder == Path::new("/") || folder.starts_with("/usr");
    installations
        .into_iter()
        .filter(|folder| !system(folder))
        .flat_map(|folder| PARTS.map(|part| folder.join(part)))
        .filter(|path| path.is_dir())
        .collect()
}

/// The same file without links among the folders that lead to it.
fn in_real_folder(program: &Path) -> Option<PathBuf> {
    Some(program.parent()?.canonicalize().ok()?.join(program.file_name()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_name_on_the_way_to_the_program_is_there() {
        let temp = tempfile::tempdir().unwrap();
        let at = |name: &str| temp.path().join(name);
        for folder in ["python-3.11.7/bin", "python-3.11.7/lib", "python-3.11.7/other", "env/bin"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        fs::write(at("python-3.11.7/bin/python3.11"), "").unwrap();
        symlink("python-3.11.7", at("python-3.11")).unwrap();
        symlink(at("python-3.11/bin/python3.11"), at("env/bin/python")).unwrap();
        symlink("python", at("env/bin/python3")).unwrap();
        let names = ["python-3.11/bin", "python-3.11/lib", "python-3.11.7/bin", "python-3.11.7/lib"];
        assert_eq!(folders(&at("env")), names.map(at));
    }

    #[test]
    fn what_a_build_makes_of_the_link_is_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let (env, other) = (temp.path().join("k1"), temp.path().join("other"));
        fs::create_dir_all(env.join("bin")).unwrap();
        fs::create_dir_all(other.join("lib")).unwrap();
        symlink("/usr/bin/env", env.join("bin/python")).unwrap();
        note(&env).unwrap();
        fs::remove_file(env.join("bin/python")).unwrap();
        symlink(other.join("bin/python"), env.join("bin/python")).unwrap();
        assert_eq!(folders(&env), [other.join("lib")]);
        assert!(noted(&env).is_empty());
    }

    #[test]
    fn the_systems_own_is_there_anyway() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("bin")).unwrap();
        symlink("/usr/bin/env", temp.path().join("bin/python")).unwrap();
        assert!(folders(temp.path()).is_empty());
    }
}

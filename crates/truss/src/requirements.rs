//! What to install for a Truss, in which order, and the key under which the result can be shared.

mod commands;
mod line;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

pub use commands::UvCommand;
pub use line::{is_parsable, package_name};

use crate::config::{Config, Serves};
use crate::{IgnoreRules, hash};

/// Why the list of what to install could not be made.
#[derive(Debug, Error)]
pub enum RequirementsError {
    #[error("`python_version: {found}` names no Python that a Truss can have; use one of py39 to py314")]
    Python { found: String },
    #[error("`requirements_file: {file}` must be a path inside the Truss, without `..`")]
    Outside { file: String },
    #[error(
        "`requirements_file: {file}` can't be read: {source}; add the file to the Truss or correct the name"
    )]
    Read {
        file: String,
        #[source]
        source: io::Error,
    },
    #[error("`requirements_file: {file}` can't be read as TOML: {message}")]
    Toml { file: String, message: String },
    #[error("the Truss's files can't be read: {0}")]
    Truss(String),
}

/// What the Truss server needs, from the `truss` package ([`crate::Wheel`]).
#[derive(Clone, Copy, Debug)]
pub struct ServerNeeds<'a> {
    /// The version of the `truss` package: `0.18.35`.
    pub version: &'a str,
    /// The text of its server's requirements file.
    pub requirements: &'a str,
    /// The text of its constraints file.
    pub constraints: &'a str,
}

/// What goes into a virtual environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallPlan {
    /// `3.11`.
    pub python: String,
    /// In the order of installation; empty when nothing is needed.
    pub steps: Vec<Step>,
    /// The text of a constraints file for the steps that are constrained.
    pub constraints: String,
    /// Whether something is installed that lies in the Truss itself.
    pub local: bool,
    /// Equal keys mean equal environments: hex blake3 of the versions and of everything that is installed.
    pub key: String,
    /// Pushed with `--no-cache`: everything is fetched and built anew, and no environment made for others is used.
    pub no_cache: bool,
}

/// One installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Lines of a pip requirements file, within the constraints.
    Lines(Vec<String>),
    /// A pip requirements file of the Truss (a relative path), within the constraints.
    PipFile(PathBuf),
    /// The dependencies of a `pyproject.toml` of the Truss (a relative path).
    Pyproject(PathBuf),
    /// A `uv.lock` of the Truss (a relative path), with the `pyproject.toml` beside it.
    Lock(PathBuf),
}

impl InstallPlan {
    /// The plan for an unpacked Truss. A package the user names replaces the server's own requirement of it; a custom
    /// server needs only what the user names.
    pub fn of_truss(
        config: &Config,
        truss: &Path,
        server: ServerNeeds<'_>,
    ) -> Result<Self, RequirementsError> {
        let found = || RequirementsError::Python { found: config.python_version.clone() };
        let python = config.python().ok_or_else(found)?;
        let mut key = blake3::Hasher::new();
        let mut note = |text: &str| {
            key.update(&(text.len() as u64).to_le_bytes());
            key.update(text.as_bytes());
        };
        note("environment 1");
        note(&python);

        let mut steps = Vec::new();
        let mut local = false;
        if let Some(step) = file_step(config)? {
            for (path, text) in step.files(truss)? {
                note(&path.to_string_lossy());
                note(&text);
                // What the file points at in the Truss is part of what gets installed.
                if text.lines().any(line::is_local) {
                    local = true;
                    let tree = hash::tree(truss, &IgnoreRules::default());
                    note(&tree.map_err(|error| RequirementsError::Truss(error.to_string()))?);
                }
            }
            steps.push(step);
        }
        let user = cleaned(config.requirements.iter().map(String::as_str));
        let mut lines = match config.serves() {
            Serves::Custom(_) => Vec::new(),
            Serves::TrussServer => {
                note(server.version);
                let named = user.iter().cloned().chain(file_lines(config, truss)?);
                server_lines(server.requirements, named)
            }
        };
        lines.extend(user);
        if lines.iter().any(|line| line::is_local(line)) {
            local = true;
            let tree = hash::tree(truss, &IgnoreRules::default());
            note(&tree.map_err(|error| RequirementsError::Truss(error.to_string()))?);
        }
        lines.iter().for_each(|line| note(line));
        note(server.constraints);
        if !lines.is_empty() {
            steps.push(Step::Lines(lines));
        }
        let key = key.finalize().to_hex().to_string();
        let constraints = server.constraints.to_owned();
        Ok(Self { python, steps, constraints, local, key, no_cache: config.build.no_cache })
    }
}

/// The lines of the `requirements_file`: all of a pip file, the dependencies of a `pyproject.toml` (beside a `uv.lock` too).
pub(crate) fn file_lines(config: &Config, truss: &Path) -> Result<Vec<String>, RequirementsError> {
    let Some(step) = file_step(config)? else { return Ok(Vec::new()) };
    let (path, text) = step.files(truss)?.swap_remove(0);
    Ok(match step {
        Step::PipFile(_) => text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
            .map(str::to_owned)
            .collect(),
        _ => {
            let document: toml::Table = text.parse().map_err(|error: toml::de::Error| {
                RequirementsError::Toml { file: path.display().to_string(), message: error.to_string() }
            })?;
            let dependencies = document.get("project").and_then(|project| project.get("dependencies"));
            let items = dependencies.and_then(toml::Value::as_array).map_or(&[][..], Vec::as_slice);
            let texts = items.iter().filter_map(toml::Value::as_str);
            texts.filter(|line| package_name(line).is_some()).map(str::to_owned).collect()
        }
    })
}

fn file_step(config: &Config) -> Result<Option<Step>, RequirementsError> {
    let Some(file) = &config.requirements_file else { return Ok(None) };
    let path = PathBuf::from(file);
    if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(RequirementsError::Outside { file: file.clone() });
    }
    Ok(Some(match path.file_name().and_then(|name| name.to_str()) {
        Some("uv.lock") => Step::Lock(path),
        Some("pyproject.toml") => Step::Pyproject(path),
        _ => Step::PipFile(path),
    }))
}

impl Step {
    /// The files that decide what is installed, with their text; the one that lists names comes first.
    fn files(&self, truss: &Path) -> Result<Vec<(PathBuf, String)>, RequirementsError> {
        let paths = match self {
            Self::Lines(_) => Vec::new(),
            Self::PipFile(path) | Self::Pyproject(path) => vec![path.clone()],
            Self::Lock(path) => vec![path.with_file_name("pyproject.toml"), path.clone()],
        };
        let read = |path: PathBuf| match fs::read_to_string(truss.join(&path)) {
            Ok(text) => Ok((path, text)),
            Err(source) => Err(RequirementsError::Read { file: path.display().to_string(), source }),
        };
        paths.into_iter().map(read).collect()
    }
}

/// The server's lines without those the user names, and without options: which index to use is this machine's choice.
fn server_lines(text: &str, user: impl Iterator<Item = String>) -> Vec<String> {
    let named: HashSet<String> = user.filter_map(|line| package_name(&line)).collect();
    let keep = |line: &String| package_name(line).is_some_and(|name| !named.contains(&name));
    cleaned(text.lines()).into_iter().filter(keep).collect()
}

/// Lines without comments and surrounding space.
fn cleaned<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    lines
        .flat_map(str::lines)
        .map(line::without_comment)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests;

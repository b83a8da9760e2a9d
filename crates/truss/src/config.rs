//! The configuration of a Truss, read tolerantly: unknown keys are kept, missing ones get the defaults of the format.

mod defaults;
mod quantity;
mod read;
mod settings;

use std::ops::Deref;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::bounded;

pub use quantity::{memory_bytes, milli_cpu};
pub use settings::{
    Accelerator, BaseImage, Build, DockerServer, ExternalData, HealthChecks, Resources, Runtime, Settings,
    Transport,
};

/// Why a configuration could not be read at all. What it says may still be wrong: see [`crate::validate()`].
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("`{field}` is nested more than {DEEPEST} levels deep; make it flatter")]
    TooDeep { field: String },
    #[error(
        "the Truss configuration must be a mapping of keys to values, and this is {found}; write `key: value` lines"
    )]
    NotAMapping { found: &'static str },
    #[error("config.yaml can't be read as YAML: {0}; correct that line")]
    Yaml(#[from] serde_norway::Error),
    #[error("`{field}` in the Truss configuration must be {expected}, and this is {found}")]
    Field { field: String, expected: &'static str, found: String },
}

/// A Truss configuration with every default filled in.
///
/// The typed settings are read through `Deref` (`config.model_name`, `config.resources.cpu`); they can't be changed
/// apart from the text they came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    full: Map<String, Value>,
    settings: Settings,
}

/// Which server answers for the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Serves<'a> {
    /// The server of the `truss` package, around the user's model class.
    TrussServer,
    /// The user's own server, started by a command.
    Custom(&'a DockerServer),
}

impl Config {
    /// Reads the configuration that the command line pushes (all keys) or a short one (any keys).
    pub fn from_json(value: &Value) -> Result<Self, ConfigError> {
        let given = match value {
            Value::Object(map) => map.clone(),
            Value::Null => Map::new(),
            other => return Err(ConfigError::NotAMapping { found: read::kind(other) }),
        };
        if let Some((field, _)) = given.iter().find(|(_, value)| depth(value) > DEEPEST) {
            return Err(ConfigError::TooDeep { field: field.clone() });
        }
        let full = defaults::fill(given);
        let settings = Settings::read(&full)?;
        Ok(Self { full, settings })
    }

    /// Reads a `config.yaml`. An empty text is a configuration of defaults.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        let value: Value = if text.trim().is_empty() { Value::Null } else { bounded::from_yaml(text)? };
        Self::from_json(&value)
    }

    /// The whole configuration: what was given, unknown keys included, and every default.
    pub fn full(&self) -> Value {
        Value::Object(self.full.clone())
    }

    /// The whole configuration as the Truss server reads it in the laid-out folder, where the model module is always
    /// `model/` and the data is always `data/`.
    pub fn for_server(&self) -> Value {
        let mut full = self.full.clone();
        full.insert("model_module_dir".into(), Value::from(crate::layout::MODEL));
        full.insert("data_dir".into(), Value::from(crate::layout::DATA));
        Value::Object(full)
    }

    /// Who answers requests: the Truss server or the user's own.
    pub fn serves(&self) -> Serves<'_> {
        match &self.settings.docker_server {
            Some(custom) => Serves::Custom(custom),
            None => Serves::TrussServer,
        }
    }

    /// `3.11` for `py311`; `None` when `python_version` names no version of the format (see [`PYTHON_VERSIONS`]).
    pub fn python(&self) -> Option<String> {
        dotted(&self.settings.python_version)
    }
}

impl Deref for Config {
    type Target = Settings;
    fn deref(&self) -> &Settings {
        &self.settings
    }
}

/// How deep a setting may be nested: readers of YAML and JSON have a limit, and what is read here must be read again.
const DEEPEST: usize = 64;

fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(fields) => fields.values().map(depth).max(),
        _ => return 0,
    };
    1 + inner.unwrap_or(0)
}

/// The values `python_version` may have.
pub const PYTHON_VERSIONS: [&str; 6] = ["py39", "py310", "py311", "py312", "py313", "py314"];

fn dotted(python_version: &str) -> Option<String> {
    PYTHON_VERSIONS
        .contains(&python_version)
        .then(|| python_version.strip_prefix("py3").map(|minor| format!("3.{minor}")))
        .flatten()
}

#[cfg(test)]
mod tests;

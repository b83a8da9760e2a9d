//! `slipway.toml`: the same settings under the same names, with underscores.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Error;
use super::machine::{KeepTable, MachineTable, TypeTable};

/// What the file may say. Keys are the only thing left out: secrets don't belong in files that are shared.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub data_dir: Option<PathBuf>,
    pub listen: Option<Vec<String>>,
    pub public_url: Option<String>,
    pub domain: Option<String>,
    pub trusted_proxies: Option<Vec<String>>,
    pub database_url: Option<String>,
    pub keep_replicas: Option<bool>,
    pub insecure_http: Option<bool>,
    pub tls_listen: Option<Vec<String>>,
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub gateway_threads: Option<usize>,
    pub gateway_connections: Option<usize>,
    pub log: Option<String>,
    pub machine: Option<MachineTable>,
    pub instance_types: Option<Vec<TypeTable>>,
    pub keep: Option<KeepTable>,
}

impl File {
    /// Reads the named file, or `slipway.toml` in the working folder if there is one.
    pub fn find(chosen: Option<&Path>) -> Result<Self, Error> {
        let path = chosen.unwrap_or(Path::new("slipway.toml"));
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && chosen.is_none() => {
                Ok(Self::default())
            }
            Err(error) => Err(Error::File { path: path.to_owned(), problem: error.to_string() }),
        }
    }

    pub fn parse(text: &str, path: impl AsRef<Path>) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| Error::File {
            path: path.as_ref().to_owned(),
            problem: error.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
        })
    }
}

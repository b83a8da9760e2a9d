//! The variables that a replica's process has.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use domain::ReplicaSpec;
use truss::Config;

use crate::told;

/// Tells the processes of a replica from all others.
pub(crate) const TOKEN: &str = "SLIPWAY_REPLICA";

/// All of it. The server's own never reaches a replica.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    /// What is set for every replica, and its secrets.
    pub ours: BTreeMap<OsString, OsString>,
    /// What the model's configuration says, as far as it is not set here.
    pub theirs: BTreeMap<OsString, OsString>,
}

impl Environment {
    pub fn of(
        config: &Config,
        spec: &ReplicaSpec,
        folder: &Path,
        env: &Path,
        port: u16,
        token: &str,
    ) -> Self {
        let mut path = env.join("bin").into_os_string();
        path.push(":/usr/local/bin:/usr/bin:/bin");
        let below = |name: &str| -> OsString { folder.join(name).into_os_string() };
        let mut ours: BTreeMap<OsString, OsString> = BTreeMap::new();
        let mut set = |key: &str, value: OsString| {
            ours.insert(key.into(), value);
        };
        for (name, value) in spec.secrets.iter().filter(|(name, _)| config.secrets.contains(name)) {
            set(&format!("TRUSS_SECRET_{name}"), value.expose().into());
        }
        set("PATH", path);
        set("VIRTUAL_ENV", env.into());
        set("LANG", "C.UTF-8".into());
        set("HOME", below("home"));
        set("TMPDIR", below("tmp"));
        set("PYTHONPATH", below(truss::layout::PACKAGES));
        set("PYTHONUNBUFFERED", "1".into());
        set("HOSTNAME", spec.id.as_str().into());
        set("PORT", port.to_string().into());
        set("INFERENCE_SERVER_PORT", port.to_string().into());
        set("SLIPWAY_DYNAMIC_CONFIG", below(told::FOLDER));
        set(TOKEN, token.into());
        // Programs that change their title keep their environment readable, by which the next server knows them.
        set("SPT_NOENV", "1".into());
        // Who fails to load says so at once: starting again is decided by the engine, and a developer waits for the answer.
        let retries = "NUM_LOAD_RETRIES_TRUSS";
        if !config.environment_variables.contains_key(retries) {
            set(retries, "0".into());
        }
        let theirs = config.environment_variables.iter().map(|(key, value)| (key.into(), value.into()));
        let theirs = theirs.filter(|(key, _)| !ours.contains_key(key)).collect();
        Self { ours, theirs }
    }
}

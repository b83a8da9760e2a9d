//! From a specification to a running process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use domain::{Endpoints, ReplicaSpec, RuntimeError};
use tokio::process::{Child, Command};
use truss::{Config, LayoutError, Serves, Transport, Wheel, lay_out};

use crate::bell;
use crate::build::{COMPLETE, plan};
use crate::cgroup::{Group, enter};
use crate::external;
use crate::files::{Files, is_full, make_private};
use crate::follow::OUTPUTS;
use crate::slots::visible;
use crate::told;

/// A process that was just started.
pub(crate) struct Spawned {
    pub child: Child,
    pub endpoints: Endpoints,
    /// The key of the environment it runs in.
    pub env: String,
}

/// What a process is given of the machine.
pub(crate) struct Share<'a> {
    /// The numbers of its graphics cards; `None` on a machine without any.
    pub cards: Option<&'a [u32]>,
    /// What holds it to its memory.
    pub group: Option<&'a Group>,
}

/// Lays out the replica's folder and starts its process there.
pub(crate) fn spawn(
    files: &Files,
    spec: &ReplicaSpec,
    port: u16,
    token: &str,
    share: &Share<'_>,
) -> Result<Spawned, RuntimeError> {
    let config = Config::from_json(&spec.config)
        .map_err(|error| RuntimeError::Refused(format!("the configuration can't be read: {error}")))?;
    let wheel = Wheel::open(files.wheel())
        .map_err(|error| RuntimeError::Retryable(format!("the Truss server code is not whole: {error}")))?;
    let truss = files.artifact(&spec.artifact);
    // By its content and not by its deployment: a copy of a deployment has no build of its own.
    let key = plan(&config, &truss, &wheel).map_err(RuntimeError::Refused)?.key;
    let env = files.env(&key);
    if !env.join(COMPLETE).is_file() {
        let text = "its environment is gone; retry the deployment to build it again";
        return Err(RuntimeError::Refused(text.into()));
    }
    let folder = files.replica(&spec.id);
    let busy =
        |error: io::Error| RuntimeError::Retryable(format!("its folder could not be laid out: {error}"));
    for name in ["home", "tmp", told::FOLDER] {
        make_private(&folder.join(name)).map_err(busy)?;
    }
    lay_out(&config, &truss, &wheel.templates(), &folder).map_err(|error| match error {
        LayoutError::File { source, .. } if is_full(&source) => busy(source),
        error => RuntimeError::Refused(format!("the model's folder could not be laid out: {error}")),
    })?;
    external::place(&config, files, &folder).map_err(|error| match is_full(&error) {
        true => busy(error),
        false => RuntimeError::Refused(format!(
            "its external data is gone; retry the deployment to fetch it again: {error}"
        )),
    })?;
    told::write(&folder, spec.environment.as_ref()).map_err(busy)?;
    let (mut command, endpoints) = match config.serves() {
        Serves::TrussServer => {
            let launcher = folder.join("launch.py");
            std::fs::write(&launcher, include_str!("launch.py")).map_err(busy)?;
            bell::hang(&folder).map_err(busy)?;
            let mut command = Command::new(env.join("bin/python"));
            command.arg(launcher);
            let readiness = "/v1/models/model".to_owned();
            (command, Endpoints { readiness, liveness: "/".into(), grpc: false })
        }
        Serves::Custom(custom) => {
            let line = custom.start_command.clone().unwrap_or_default();
            let mut command = Command::new("/bin/sh");
            // One plain command takes the shell's place, so that signals and its exit are its own.
            let plain = !line.contains([';', '&', '|', '(', '{', '\n'])
                && line.split_whitespace().next().is_some_and(|word| !word.contains('='));
            command.args(["-c", &if plain { format!("exec {line}") } else { line }]);
            let path = |endpoint: &Option<String>| endpoint.clone().unwrap_or_else(|| "/".into());
            let (readiness, liveness) = (path(&custom.readiness_endpoint), path(&custom.liveness_endpoint));
            let grpc = config.runtime.transport == Transport::Grpc;
            (command, Endpoints { readiness, liveness, grpc })
        }
    };
    let (out, err) = (open(&folder, OUTPUTS[0]).map_err(busy)?, open(&folder, OUTPUTS[1]).map_err(busy)?);
    let cards = share.cards.map(|cards| ("CUDA_VISIBLE_DEVICES", visible(cards)));
    if let Some(group) = share.group {
        enter_group(&mut command, group).map_err(busy)?;
    }
    let child = command
        .current_dir(folder.join(truss::layout::APP))
        .env_clear()
        .envs(environment(&config, spec, &folder, &env, port, token))
        .envs(cards)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        // Its own group: what a terminal sends to the server does not reach it, and all it starts ends with it.
        .process_group(0)
        .spawn()
        .map_err(|error| RuntimeError::Retryable(format!("its process could not be started: {error}")))?;
    Ok(Spawned { child, endpoints, env: key })
}

/// Lets the process enter its group before it becomes its program, so that nothing it uses goes uncounted.
fn enter_group(command: &mut Command, group: &Group) -> io::Result<()> {
    let door = group.door()?;
    // SAFETY: between fork and exec it makes one write to an open file, which is safe there, and allocates nothing.
    unsafe {
        // One that may not enter runs without a limit, which its starter notices.
        command.pre_exec(move || {
            let _ = enter(&door);
            Ok(())
        });
    }
    Ok(())
}

/// Opened for appending, so that whoever reads it may empty it meanwhile.
fn open(folder: &Path, name: &str) -> io::Result<std::fs::File> {
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join(name))
}

/// Everything its environment holds. The server's own never reaches it.
fn environment(
    config: &Config,
    spec: &ReplicaSpec,
    folder: &Path,
    env: &Path,
    port: u16,
    token: &str,
) -> BTreeMap<OsString, OsString> {
    let mut path = env.join("bin").into_os_string();
    path.push(":/usr/local/bin:/usr/bin:/bin");
    let below = |name: &str| -> OsString { PathBuf::from(folder).join(name).into_os_string() };
    let mut all: BTreeMap<OsString, OsString> = BTreeMap::new();
    let mut set = |key: &str, value: OsString| {
        all.insert(key.into(), value);
    };
    // Who fails to load says so at once: starting again is decided by the engine, and a developer waits for the answer.
    set("NUM_LOAD_RETRIES_TRUSS", "0".into());
    for (key, value) in &config.environment_variables {
        set(key, value.into());
    }
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
    set("SLIPWAY_REPLICA", token.into());
    // Programs that change their title keep their environment readable, by which the next server knows them.
    set("SPT_NOENV", "1".into());
    all
}

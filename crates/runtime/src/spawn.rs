//! From a specification to a running process.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use domain::{Endpoints, ReplicaSpec, RuntimeError};
use tokio::process::{Child, Command};
use truss::{Config, LayoutError, Serves, Transport, Wheel, lay_out};

use crate::bell;
use crate::build::{COMPLETE, plan};
use crate::cgroup::{Group, enter};
use crate::environment::Environment;
use crate::files::{Files, is_full, make_private};
use crate::follow::OUTPUTS;
use crate::owner::give;
use crate::sandbox::{self, Mount, Sandbox, View};
use crate::slots::visible;
use crate::{envs, external, interpreter, told};

/// A Python module, `slipway_output`: once it is installed, what a program prints where the disk is full is lost and does not fail it.
pub const OUTPUT_MODULE: &str = include_str!("slipway_output.py");

/// A process that was just started.
pub(crate) struct Spawned {
    pub child: Child,
    /// The process group of what runs in its sandbox, if it has one.
    pub inner: Option<u32>,
    pub endpoints: Endpoints,
    /// The key of the environment it runs in.
    pub env: String,
}

/// What a process is given of the machine.
pub(crate) struct Share<'a> {
    /// The numbers of its graphics cards; `None` on a machine without any.
    pub cards: Option<&'a [u32]>,
    /// What holds it to that.
    pub group: Option<&'a Group>,
    /// What keeps it from the rest.
    pub sandbox: Option<&'a Sandbox>,
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
    let built = plan(&config, &truss, &wheel).map_err(RuntimeError::Refused)?.key;
    let key = envs::in_use(files, &built);
    let env = files.env(key);
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
    let (program, endpoints) = match config.serves() {
        Serves::TrussServer => {
            let launcher = folder.join("launch.py");
            std::fs::write(&launcher, include_str!("launch.py")).map_err(busy)?;
            std::fs::write(folder.join("slipway_output.py"), OUTPUT_MODULE).map_err(busy)?;
            bell::hang(&folder).map_err(busy)?;
            let readiness = "/v1/models/model".to_owned();
            let program = vec![env.join("bin/python").into_os_string(), launcher.into_os_string()];
            (program, Endpoints { readiness, liveness: "/".into(), grpc: false })
        }
        Serves::Custom(custom) => {
            let line = custom.start_command.clone().unwrap_or_default();
            // One plain command takes the shell's place, so that signals and its exit are its own.
            let plain = !line.contains([';', '&', '|', '(', '{', '\n'])
                && line.split_whitespace().next().is_some_and(|word| !word.contains('='));
            let line = if plain { format!("exec {line}") } else { line };
            let path = |endpoint: &Option<String>| endpoint.clone().unwrap_or_else(|| "/".into());
            let (readiness, liveness) = (path(&custom.readiness_endpoint), path(&custom.liveness_endpoint));
            let grpc = config.runtime.transport == Transport::Grpc;
            (["/bin/sh".into(), "-c".into(), line.into()].into(), Endpoints { readiness, liveness, grpc })
        }
    };
    let (out, err) = (open(&folder, OUTPUTS[0]).map_err(busy)?, open(&folder, OUTPUTS[1]).map_err(busy)?);
    let mut environment = Environment::of(&config, spec, &folder, &env, port, token);
    if let Some(cards) = share.cards {
        environment.ours.insert("CUDA_VISIBLE_DEVICES".into(), visible(cards).into());
    }
    let (mut command, told) = match share.sandbox {
        Some(sandbox) => {
            let mut mounts = mounts(&folder, &env);
            if sandbox.user(port).is_none() {
                // It owns what it shares with other replicas, and could permit itself to write there.
                mounts.extend(external::seen(&config, &folder).map(Mount::read));
            }
            let view = View {
                port,
                tmp: Some(folder.join("tmp")),
                mounts,
                // A machine whose cards nobody counts lets all use them.
                cards: share.cards.is_none_or(|cards| !cards.is_empty()),
                folder: folder.join(truss::layout::APP),
                environment,
            };
            let made = prepare(sandbox, port, &folder).and_then(|()| sandbox.command(view, &program));
            made.map(|(command, told)| (command, Some(told))).map_err(busy)?
        }
        None => (plain(&program, &folder, &environment), None),
    };
    if let Some(group) = share.group {
        enter_group(&mut command, group).map_err(busy)?;
    }
    // Its own group: what a terminal sends to the server does not reach it, and all it starts ends with it.
    let mut command = Command::from({
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        command
    });
    let child = command
        .spawn()
        .map_err(|error| RuntimeError::Retryable(format!("its process could not be started: {error}")))?;
    drop(command);
    let inner = told.map(sandbox::group).transpose().map_err(|_| {
        let said = std::fs::read_to_string(folder.join(OUTPUTS[1])).unwrap_or_default();
        RuntimeError::Retryable(format!("its sandbox could not be made: {}", said.trim()))
    })?;
    Ok(Spawned { child, inner, endpoints, env: key.to_owned() })
}

/// What a replica sees of the data folder. It writes only where nobody else reads by name: what the server reads and writes
/// itself can't be put in place of something else.
fn mounts(folder: &Path, env: &Path) -> Vec<Mount> {
    let mut mounts = vec![Mount::read(env), Mount::read(folder)];
    mounts.extend(interpreter::noted(env).into_iter().map(Mount::read));
    mounts.extend(["passwd", "group"].map(|name| Mount::read(folder.join(name)).at(format!("/etc/{name}"))));
    mounts.extend([truss::layout::APP, "home", "tmp"].map(|name| Mount::write(folder.join(name))));
    mounts
}

/// Names its user for it, and gives the folder to that user.
fn prepare(sandbox: &Sandbox, port: u16, folder: &Path) -> io::Result<()> {
    let id = sandbox.user(port).unwrap_or_else(|| rustix::process::geteuid().as_raw());
    let home = folder.join("home");
    let user = match id {
        0 => format!("root:x:0:0::{}:/bin/sh\n", home.display()),
        _ => format!("root:x:0:0::/:/bin/false\nmodel:x:{id}:{id}::{}:/bin/sh\n", home.display()),
    };
    std::fs::write(folder.join("passwd"), user + "nobody:x:65534:65534::/:/bin/false\n")?;
    std::fs::write(folder.join("group"), format!("root:x:0:\nmodel:x:{id}:\nnogroup:x:65534:\n"))?;
    sandbox.user(port).map_or(Ok(()), |user| give(folder, user))
}

/// A command that runs as the server's user, and sees what that one sees.
fn plain(program: &[OsString], folder: &Path, environment: &Environment) -> std::process::Command {
    let mut command = std::process::Command::new(&program[0]);
    command.args(&program[1..]).current_dir(folder.join(truss::layout::APP));
    command.env_clear().envs(&environment.theirs).envs(&environment.ours);
    command
}

/// Lets the process enter its group before it becomes its program, so that nothing it uses goes uncounted.
pub(crate) fn enter_group(command: &mut std::process::Command, group: &Group) -> io::Result<()> {
    let doors = group.doors()?;
    // SAFETY: between fork and exec it makes a write to each open file, which is safe there, and allocates nothing.
    unsafe {
        // One that may not enter runs without a limit, which its starter notices.
        command.pre_exec(move || {
            for door in &doors {
                let _ = enter(door);
            }
            Ok(())
        });
    }
    Ok(())
}

/// Opened for appending, so that whoever reads it may empty it meanwhile.
fn open(folder: &Path, name: &str) -> io::Result<std::fs::File> {
    std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(folder.join(name))
}

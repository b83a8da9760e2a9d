//! Prepares a deployment: server code, and a virtual environment shared by all with the same requirements.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::{BuildFailure, BuildSpec, Clock, LogLevel, LogSource};
use truss::requirements::ServerNeeds;
use truss::{Config, InstallPlan, Wheel};

use crate::bounds::Bounds;
use crate::build_time::BuildTime;
use crate::envs::{claim, note_use};
use crate::files::{DISK_FULL, Files, OF_PUSH, is_full, make_private};
use crate::hold;
use crate::logs::Logs;
use crate::parse::Parsed;
use crate::sandbox::Sandbox;
use crate::tools::{Builds, Lines, TRUSS_VERSION, Told, Tools, run, run_in};
use crate::workshop::{self, Workshop, is_program};
use crate::{external, interpreter};

/// Marks an environment that is whole.
pub(crate) const COMPLETE: &str = ".complete";
/// The end of the name of what a build works with, beside the environment.
pub(crate) const WORK: &str = "work";

pub(crate) struct Builder<'a> {
    pub files: &'a Files,
    pub logs: &'a Logs,
    pub tools: &'a Tools,
    pub clock: &'a dyn Clock,
    /// Whether replicas see environments without being able to change them.
    pub isolated: bool,
    /// Where packages' own code runs, if the machine permits.
    pub sandbox: Option<&'a Sandbox>,
    /// Nothing may run outside one.
    pub required: bool,
    /// How long a build may take.
    pub limit: Duration,
    /// What it is held to while it installs.
    pub bounds: Bounds,
}

impl Builder<'_> {
    pub async fn build(
        &self,
        spec: &BuildSpec,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), BuildFailure> {
        let say = |level, text: &str| {
            self.logs.append(&spec.deployment, [Parsed::plain(LogSource::Build, level, text)]);
        };
        let time = BuildTime::new(self.limit, "preparing the build");
        let step = |text: &str| {
            say(Some(LogLevel::Info), text);
            time.does(text);
            progress(text.to_owned());
        };
        match self.prepare(spec, &time, &step, &|line| say(None, line)).await {
            Ok(()) => {
                say(Some(LogLevel::Info), "the build is done");
                Ok(())
            }
            Err(reason) => {
                say(Some(LogLevel::Error), &format!("the build failed: {reason}"));
                Err(BuildFailure { reason })
            }
        }
    }

    async fn prepare(
        &self,
        spec: &BuildSpec,
        time: &BuildTime,
        step: &(dyn Fn(&str) + Send + Sync),
        lines: Lines<'_>,
    ) -> Told<()> {
        let config = Config::from_json(&spec.config).map_err(|error| error.to_string())?;
        let truss = self.files.artifact(&spec.artifact);
        if !truss.is_dir() {
            return Err("the pushed archive is no longer on this machine; push again".into());
        }
        step("finding uv");
        let uv = time.keep(self.tools.uv(lines)).await?;
        step("fetching the Truss server code");
        let wheel = time.keep(self.tools.wheel(lines)).await?;
        let plan = plan(&config, &truss, &wheel)?;
        let env = self.files.env(&plan.key);
        let whole = self.claim(&env).await?;
        if !whole {
            if plan.no_cache {
                step("making an environment of its own without any cache, as `build.no_cache` says");
            }
            step(&format!("looking for Python {}", plan.python));
            let python = time.keep(self.tools.python(&uv, &plan.python)).await?;
            self.make_env(&plan, &truss, &env, &uv, &python, time, step, lines).await?;
        } else {
            step("reusing an environment with the same requirements");
        }
        if config.external_data.is_empty() {
            return Ok(());
        }
        // Not the environment's, which a build may have put something else in the place of.
        let python = time.keep(self.tools.python(&uv, &plan.python)).await?;
        time.keep(external::fetch(&config, self.files, &python, step, lines)).await
    }

    /// Notes that an environment is used, so that it stays; says whether it is whole.
    async fn claim(&self, env: &Path) -> Told<bool> {
        let (path, now) = (env.to_owned(), self.clock.now());
        let claimed =
            tokio::task::spawn_blocking(move || claim(&path, now).map_err(|error| disk(&path, &error)));
        claimed.await.map_err(|error| error.to_string())?
    }

    /// Holds an environment alone, to make it; `None` if another build has made it meanwhile.
    async fn hold(&self, env: &Path, step: &(dyn Fn(&str) + Send + Sync)) -> Told<Option<File>> {
        let path = env.with_extension("lock");
        let mut waits = false;
        loop {
            if let Some(held) = hold::try_alone(&path).map_err(|error| disk(&path, &error))?
                && !env.join(COMPLETE).is_file()
            {
                return Ok(Some(held));
            }
            if self.claim(env).await? {
                return Ok(None);
            }
            if !std::mem::replace(&mut waits, true) {
                step("waiting for a build of the same requirements");
            }
            tokio::time::sleep(hold::AGAIN).await;
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one build")]
    async fn make_env(
        &self,
        plan: &InstallPlan,
        truss: &Path,
        env: &Path,
        uv: &Path,
        python: &Path,
        time: &BuildTime,
        step: &(dyn Fn(&str) + Send + Sync),
        lines: Lines<'_>,
    ) -> Told<()> {
        let Some(lock) = time.keep(self.hold(env, step)).await? else { return Ok(()) };
        let (work, builds) = (env.with_extension(WORK), self.files.builds());
        for left in [env, &work] {
            // Of a build that was ended, or whose server was.
            remove(left).await.map_err(|error| disk(left, &error))?;
        }
        step("creating the Python environment");
        let made = async {
            let cache = self.files.own_cache();
            let arguments = [
                "venv".as_ref(),
                "--cache-dir".as_ref(),
                cache.as_os_str(),
                "--quiet".as_ref(),
                "--no-project".as_ref(),
                "--python".as_ref(),
                python.as_os_str(),
                env.as_os_str(),
            ];
            run(uv, arguments, None, builds, lines).await?;
            // Before anything of others runs, which could change it: what replicas will be shown follows from it.
            interpreter::note(env).map_err(|error| disk(env, &error))?;
            for name in workshop::FOLDERS {
                make_private(&work.join(name)).map_err(|error| disk(&work, &error))?;
            }
            let copy = env.join(".truss");
            let truss = match plan.local {
                // What builds a package writes beside it, and what was pushed must stay as it was: the environment is found by
                // it. Replicas see this, and not that, if the package is installed as a link to where it lies.
                true => {
                    let (from, to) = (truss.to_owned(), copy.clone());
                    let held = lock.try_clone().map_err(|error| disk(env, &error))?;
                    let copied = tokio::task::spawn_blocking(move || {
                        // It goes on if the build is ended, and until then nobody else may make the environment.
                        let _held = held;
                        truss::layout::copy(&from, &to)
                    });
                    let copied = copied.await;
                    copied.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
                    copy.as_path()
                }
                false => truss,
            };
            let workshop = self.sandbox.filter(|_| is_program(uv)).map(|sandbox| Workshop {
                sandbox: sandbox.clone(),
                env: env.to_owned(),
                work: work.clone(),
                truss: truss.to_owned(),
                uv: uv.to_owned(),
            });
            if workshop.is_none() && self.required {
                return Err(format!(
                    "{} is a script, which can't be brought into a sandbox, and `machine.isolation` is `require`; put `uv` itself on \
                     the server's PATH",
                    uv.display()
                ));
            }
            if self.sandbox.is_some() && workshop.is_none() {
                lines(&format!(
                    "{} is a script, so what it installs is built without isolation",
                    uv.display()
                ));
            }
            let commands = plan
                .uv_commands(truss, &work.join(workshop::FILES), &env.join("bin/python"))
                .map_err(|error| format!("the requirements could not be written down: {error}"))?;
            let count = commands.len();
            let bounded = Builds { bounds: Some(&self.bounds), ..builds };
            for (index, command) in commands.into_iter().enumerate() {
                step(&format!("installing requirements ({} of {count})", index + 1));
                match &workshop {
                    Some(workshop) => {
                        run_in(workshop, uv, &command.args, &command.dir, bounded, lines).await?
                    }
                    None => run(uv, &command.args, Some(&command.dir), bounded, lines).await?,
                }
            }
            let held = match self.isolated && count > 0 {
                true => Some(lock.try_clone().map_err(|error| disk(env, &error))?),
                false => {
                    drop(tokio::fs::remove_dir_all(&work).await);
                    None
                }
            };
            note_use(env, self.clock.now()).map_err(|error| disk(env, &error))?;
            // Put in place and not written there, where a build may have left a link to something else.
            let fresh = env.with_extension("complete");
            std::fs::write(&fresh, &plan.key).map_err(|error| disk(&fresh, &error))?;
            std::fs::rename(&fresh, env.join(COMPLETE)).map_err(|error| disk(env, &error))?;
            // It is whole: from here on nothing is waited for and nothing fails, or what others use already would be removed.
            if let Some(held) = held {
                if let Err(error) = hold::share(&held) {
                    tracing::debug!(environment = %env.display(), %error, "what is compiled is not held");
                }
                let (env, python) = (env.to_owned(), python.to_owned());
                let (work, limit, bounds) = (work.clone(), self.limit, self.bounds.clone());
                drop(tokio::spawn(compile(env, python, work, workshop, limit, bounds, held)));
            }
            Ok(())
        };
        let result = time.keep(made).await;
        if result.is_err() {
            // Nothing half done is left for the next build to trip over.
            for left in [env, &work] {
                if let Err(error) = remove(left).await {
                    tracing::warn!(path = %left.display(), %error, "what a build left is removed by the next one");
                }
            }
            let _ = tokio::fs::remove_file(env.with_extension(interpreter::NOTE)).await;
        }
        drop(lock);
        result
    }
}

/// Compiles what an environment has installed, while it is used already. What that misses costs each start a little; so it may
/// come to its end also without its server. As long as it is `held`, nobody removes or makes the environment.
async fn compile(
    env: PathBuf,
    python: PathBuf,
    work: PathBuf,
    workshop: Option<Workshop>,
    limit: Duration,
    bounds: Bounds,
    held: File,
) {
    let time = BuildTime::new(limit, "compiling what is installed");
    let compiled = async {
        // Without what packages want to be run at each start of Python.
        let mut words: Vec<OsString> =
            ["-I", "-S", "-c", include_str!("compile.py")].map(OsString::from).into();
        let library = run(&python, &words, None, Builds::default(), &|_| {}).await;
        words.push(env.join("lib").into());
        let bounded = Builds { bounds: Some(&bounds), ..Builds::default() };
        let installed = match &workshop {
            Some(workshop) => run_in(workshop, &python, &words, &env, bounded, &|_| {}).await,
            None => run(&python, &words, None, bounded, &|_| {}).await,
        };
        library.and(installed)
    };
    if let Err(reason) = time.keep(compiled).await {
        tracing::warn!(environment = %env.display(), %reason, "an environment is not compiled");
    }
    let _ = tokio::fs::remove_dir_all(&work).await;
    drop(held);
}

/// Removes what is half made. What was ended while it wrote there may take a moment to be gone.
async fn remove(left: &Path) -> io::Result<()> {
    for _ in 0..20 {
        match tokio::fs::remove_dir_all(left).await {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => return removed,
        }
    }
    Err(io::ErrorKind::DirectoryNotEmpty.into())
}

/// What to install for a Truss; its key names the environment that has it. One that is made without any cache is shared
/// only with copies of the same push, which run from the same archive, and with changes of it in place.
pub(crate) fn plan(config: &Config, truss: &Path, wheel: &Wheel) -> Told<InstallPlan> {
    let read = |result: std::io::Result<String>| {
        result.map_err(|error| format!("the Truss server code is not whole: {error}"))
    };
    let (requirements, constraints) = (read(wheel.requirements())?, read(wheel.constraints())?);
    let needs =
        ServerNeeds { version: TRUSS_VERSION, requirements: &requirements, constraints: &constraints };
    let mut plan = InstallPlan::of_truss(config, truss, needs).map_err(|error| error.to_string())?;
    if plan.no_cache {
        plan.key = format!("{}-{}", plan.key, push_of(truss));
    }
    Ok(plan)
}

/// The push that code without a cache came with: itself, or what is noted beside a change in place of it.
fn push_of(truss: &Path) -> String {
    let own = || truss.file_name().unwrap_or_default().to_string_lossy().into_owned();
    std::fs::read_to_string(truss.with_extension(OF_PUSH)).unwrap_or_else(|_| own())
}

fn disk(path: &Path, error: &std::io::Error) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match is_full(error) {
        true => format!("{DISK_FULL} (`{name}` could not be written to the data folder)"),
        false => format!("`{name}` could not be written to the data folder: {error}"),
    }
}

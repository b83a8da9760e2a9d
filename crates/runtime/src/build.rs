//! Prepares a deployment: server code, and a virtual environment shared by all with the same requirements.

use std::path::{Path, PathBuf};

use domain::{BuildFailure, BuildSpec, Clock, LogLevel, LogSource};
use rustix::fs::{FlockOperation, flock};
use truss::requirements::ServerNeeds;
use truss::{Config, InstallPlan, Wheel};

use crate::envs::claim;
use crate::external;
use crate::files::{DISK_FULL, Files, is_full, make_private};
use crate::logs::Logs;
use crate::parse::Parsed;
use crate::tools::{Lines, TRUSS_VERSION, Told, Tools, run};

/// Marks an environment that is whole.
pub(crate) const COMPLETE: &str = ".complete";

pub(crate) struct Builder<'a> {
    pub files: &'a Files,
    pub logs: &'a Logs,
    pub tools: &'a Tools,
    pub clock: &'a dyn Clock,
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
        let step = |text: &str| {
            say(Some(LogLevel::Info), text);
            progress(text.to_owned());
        };
        match self.prepare(spec, &step, &|line| say(None, line)).await {
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
        step: &(dyn Fn(&str) + Send + Sync),
        lines: Lines<'_>,
    ) -> Told<()> {
        let config = Config::from_json(&spec.config).map_err(|error| error.to_string())?;
        let truss = self.files.artifact(&spec.artifact);
        if !truss.is_dir() {
            return Err("the pushed archive is no longer on this machine; push again".into());
        }
        step("finding uv");
        let uv = self.tools.uv(lines).await?;
        step("fetching the Truss server code");
        let wheel = self.tools.wheel(lines).await?;
        let plan = plan(&config, &truss, &wheel)?;
        let env = self.files.env(&plan.key);
        let whole = self.claim(&env).await?;
        if !whole {
            step(&format!("looking for Python {}", plan.python));
            let python = self.tools.python(&uv, &plan.python).await?;
            self.make_env(&plan, &truss, &env, &uv, &python, step, lines).await?;
            self.claim(&env).await?;
        } else {
            step("reusing an environment with the same requirements");
        }
        external::fetch(&config, self.files, &env.join("bin/python"), step, lines).await
    }

    /// Notes that an environment is used, so that it stays; says whether it is whole.
    async fn claim(&self, env: &Path) -> Told<bool> {
        let (path, now) = (env.to_owned(), self.clock.now());
        let claimed =
            tokio::task::spawn_blocking(move || claim(&path, now).map_err(|error| disk(&path, &error)));
        claimed.await.map_err(|error| error.to_string())?
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one build")]
    async fn make_env(
        &self,
        plan: &InstallPlan,
        truss: &Path,
        env: &Path,
        uv: &Path,
        python: &Path,
        step: &(dyn Fn(&str) + Send + Sync),
        lines: Lines<'_>,
    ) -> Told<()> {
        let lock_path = env.with_extension("lock");
        step("waiting for a build of the same requirements");
        let lock = lock(lock_path.clone()).await?;
        if env.join(COMPLETE).is_file() {
            return Ok(());
        }
        let _ = tokio::fs::remove_dir_all(env).await;
        step("creating the Python environment");
        let made = async {
            let arguments = [
                "venv".as_ref(),
                "--quiet".as_ref(),
                "--no-project".as_ref(),
                "--python".as_ref(),
                python.as_os_str(),
                env.as_os_str(),
            ];
            run(uv, arguments, None, lines).await?;
            let work = env.join(".work");
            make_private(&work).map_err(|error| disk(&work, &error))?;
            let commands = plan
                .uv_commands(truss, &work, &env.join("bin/python"))
                .map_err(|error| format!("the requirements could not be written down: {error}"))?;
            let count = commands.len();
            for (index, command) in commands.into_iter().enumerate() {
                step(&format!("installing requirements ({} of {count})", index + 1));
                run(uv, &command.args, Some(&command.dir), lines).await?;
            }
            std::fs::write(env.join(COMPLETE), &plan.key).map_err(|error| disk(env, &error))
        };
        let result = made.await;
        if result.is_err() {
            // Nothing half done is left for the next build to trip over.
            let _ = tokio::fs::remove_dir_all(env).await;
        }
        drop(lock);
        result
    }
}

/// What to install for a Truss; its key names the environment that has it.
pub(crate) fn plan(config: &Config, truss: &Path, wheel: &Wheel) -> Told<InstallPlan> {
    let read = |result: std::io::Result<String>| {
        result.map_err(|error| format!("the Truss server code is not whole: {error}"))
    };
    let (requirements, constraints) = (read(wheel.requirements())?, read(wheel.constraints())?);
    let needs =
        ServerNeeds { version: TRUSS_VERSION, requirements: &requirements, constraints: &constraints };
    InstallPlan::of_truss(config, truss, needs).map_err(|error| error.to_string())
}

/// Holds a lock file until dropped; waits for whoever holds it.
async fn lock(path: PathBuf) -> Told<std::fs::File> {
    let work = move || {
        let file = std::fs::File::create(&path).map_err(|error| disk(&path, &error))?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| disk(&path, &error.into()))?;
        Ok(file)
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}

fn disk(path: &Path, error: &std::io::Error) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match is_full(error) {
        true => format!("{DISK_FULL} (`{name}` could not be written to the data folder)"),
        false => format!("`{name}` could not be written to the data folder: {error}"),
    }
}

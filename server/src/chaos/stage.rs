//! The server that is broken: a process of this very program, on a folder of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::door::Door;
use super::processes;
use crate::clock::WRONG_BY;

/// Within this time a server has to answer after its start, before it counts as not starting at all.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Within this time one that is asked to end has to be gone.
const END_LIMIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(2);

pub struct Stage {
    folder: PathBuf,
    pub data: PathBuf,
    pub address: SocketAddr,
    pub key: String,
    database_url: Option<String>,
    child: Option<Child>,
}

impl Stage {
    /// `folder` is empty; the server's data goes to `data`.
    pub fn new(folder: &Path, data: &Path, database_url: Option<String>) -> anyhow::Result<Self> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").context("no port is free on 127.0.0.1")?;
        Ok(Self {
            folder: folder.to_owned(),
            data: data.to_owned(),
            address: free.local_addr()?,
            key: crate::random::word::<32>(),
            database_url,
            child: None,
        })
    }

    pub fn door(&self) -> Door {
        Door { address: self.address, key: self.key.clone() }
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    fn clock(&self) -> PathBuf {
        self.folder.join("clock")
    }

    /// Sets the server's wall clock wrong by so many milliseconds.
    pub fn set_clock_wrong_by(&self, millis: i64) -> anyhow::Result<()> {
        let next = self.folder.join("clock.next");
        std::fs::write(&next, millis.to_string())?;
        std::fs::rename(next, self.clock())?;
        Ok(())
    }

    /// Starts the server and waits until it answers; says how long that took.
    pub async fn start(&mut self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        self.child = Some(self.spawn(&[])?);
        self.wait_until_it_answers(begun).await?;
        Ok(begun.elapsed())
    }

    /// Lets a new process take over from the one that runs, and waits until that one has ended, as it should. `keeps` says that
    /// the new one leaves its replicas running when it ends.
    pub async fn take_over(&mut self, keeps: bool) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let next = self.spawn(if keeps { &["--take-over", "--keep-replicas"] } else { &["--take-over"] })?;
        let former = self.child.replace(next);
        if let Some(mut former) = former {
            let ended = tokio::time::timeout(END_LIMIT, former.wait()).await;
            let status = ended.context("the former server did not end after it was taken over from")??;
            check(status, "the former server")?;
        }
        self.wait_until_it_answers(begun).await?;
        Ok(begun.elapsed())
    }

    /// Kills the server (SIGKILL).
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.context("the server could not be killed")?;
        }
        Ok(())
    }

    /// Asks the server to end, as a service manager does, and sees to it that it does so as it should.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        if let Some(pid) = child.id() {
            processes::signal(pid, Signal::TERM);
        }
        let ended = tokio::time::timeout(END_LIMIT, child.wait()).await;
        check(ended.context("the server did not end within a minute of TERM")??, "the server")
    }

    /// The server's own process, which is not one of its models'.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }

    fn spawn(&self, flags: &[&str]) -> anyhow::Result<Child> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").args(flags);
        command.arg("--data-dir").arg(&self.data).arg("--listen").arg(self.address.to_string());
        // What is set for the server that people use is not for this one.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SLIPWAY_") || name == "DATABASE_URL" {
                command.env_remove(name);
            }
        }
        let config = self.folder.join("slipway.toml");
        std::fs::write(&config, "")?;
        command.arg("--config").arg(config);
        command.env("SLIPWAY_ADMIN_KEY", &self.key).env(WRONG_BY, self.clock());
        command.env(processes::MARK, &self.data);
        if let Some(url) = &self.database_url {
            command.env("DATABASE_URL", url);
        }
        let own = getpid();
        // SAFETY: between fork and exec it makes two system calls, which is safe there, and allocates nothing.
        unsafe {
            // What ends this program without a chance to clean up ends the server in order. It is told of the end of the thread that
            // started it, which is the main one.
            command.pre_exec(move || {
                set_parent_process_death_signal(Some(Signal::TERM))?;
                match getppid() == Some(own) {
                    true => Ok(()),
                    false => Err(std::io::ErrorKind::BrokenPipe.into()),
                }
            });
        }
        let child = command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // What a terminal sends is for this program, which ends the server itself.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("the server could not be started")?;
        Ok(child)
    }

    async fn wait_until_it_answers(&mut self, begun: Instant) -> anyhow::Result<()> {
        let door = self.door();
        while door.get("/healthz").await.is_err() {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                bail!("the server ended at its start ({status}); see {}", self.log().display());
            }
            if begun.elapsed() > START_LIMIT {
                bail!("the server did not answer within two minutes; see {}", self.log().display());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}

/// A server that was asked to end, and did what it had to, says so.
fn check(status: ExitStatus, who: &str) -> anyhow::Result<()> {
    ensure!(status.success(), "{who} was asked to end, and ended with {status}");
    Ok(())
}

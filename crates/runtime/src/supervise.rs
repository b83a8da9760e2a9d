//! Watches one replica from its start, or its adoption, to its end.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::{Clock, LogLevel, LogSource, ReplicaState, Wake};
use rustix::process::Signal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::follow::Follower;
use crate::logs::Logs;
use crate::manifest::Manifest;
use crate::parse::{Parsed, cause};
use crate::ports::is_exposed;
use crate::probe::{Health, probe};
use crate::registry::{Order, Registry};

/// How often a starting process is asked whether it is ready.
const STARTING: Duration = Duration::from_millis(50);
/// How often a ready one is.
const READY: Duration = Duration::from_secs(5);
/// How often its output is looked at.
const OUTPUT: Duration = Duration::from_millis(100);
/// Answers that may fail in a row before it counts as unready.
const FAILURES: u32 = 3;
const PROBE_LIMIT: Duration = Duration::from_secs(2);

pub(crate) struct Supervisor {
    pub manifest: Manifest,
    pub folder: PathBuf,
    pub registry: Registry,
    pub logs: Arc<Logs>,
    pub clock: Arc<dyn Clock>,
    pub wake: Arc<dyn Wake>,
    pub orders: watch::Receiver<Order>,
    /// `None` for one that a former server started.
    pub child: Option<Child>,
}

/// How a process ended, as far as can be known.
struct Exit {
    code: Option<i32>,
    signal: Option<i32>,
}

impl Supervisor {
    pub async fn run(mut self) {
        let id = self.manifest.id.clone();
        let mut follower = Follower::open(&self.folder, id.clone());
        let mut child = self.child.take();
        let handle = self.manifest.identity.handle().ok().and_then(watch_handle);
        let mut output = tokio::time::interval(OUTPUT);
        output.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next_probe = Instant::now();
        let mut failures = 0;
        let mut kill_at: Option<Instant> = None;
        let mut checked_address = false;
        let mut why = None;
        loop {
            let stopping = kill_at.is_some();
            tokio::select! {
                () = ended(&handle, &self.manifest) => break,
                _ = output.tick() => self.log(follower.read(false)),
                Ok(()) = self.orders.changed() => {
                    let order = *self.orders.borrow();
                    match order {
                        Order::Run => {}
                        Order::Leave => {
                            self.log(follower.read(false));
                            // Dropping the handle of a child neither stops nor waits for it.
                            return;
                        }
                        Order::Stop { grace_ms } => {
                            self.state(ReplicaState::Stopping);
                            self.manifest.identity.signal(Signal::TERM);
                            kill_at = Some(Instant::now() + Duration::from_millis(grace_ms));
                        }
                    }
                }
                () = tokio::time::sleep_until(kill_at.unwrap_or_else(Instant::now)), if stopping => {
                    self.manifest.identity.signal(Signal::KILL);
                    kill_at = Some(Instant::now() + Duration::from_secs(1));
                }
                () = tokio::time::sleep_until(next_probe), if !stopping => {
                    let health = self.ask().await;
                    if health != Health::Silent && !checked_address {
                        checked_address = true;
                        if is_exposed(self.manifest.port) {
                            let port = self.manifest.port;
                            why = Some(format!(
                                "it listened on every interface of this machine; make it listen on 127.0.0.1:{port} (the port is in $PORT)"
                            ));
                            self.manifest.identity.signal(Signal::KILL);
                        }
                    }
                    if why.is_none() {
                        self.note_health(health, &mut failures);
                    }
                    let ready = self.manifest.ready_at.is_some();
                    next_probe = Instant::now() + if ready { READY } else { STARTING };
                }
            }
        }
        let exit = self.reap(child.as_mut()).await;
        // Whatever it had started ends with it.
        self.manifest.identity.signal(Signal::KILL);
        self.log(follower.read(true));
        let last: Vec<String> = follower.last.into_iter().collect();
        let asked = matches!(*self.orders.borrow(), Order::Stop { .. });
        let reason = why.unwrap_or_else(|| self.reason(&exit, &last, asked));
        let level = if asked { LogLevel::Info } else { LogLevel::Error };
        let line = Parsed::plain(LogSource::Platform, Some(level), &format!("replica {id} ended: {reason}"));
        self.logs.append(&self.manifest.deployment, [line]);
        self.registry.change(&id, |entry| {
            entry.seen.state = ReplicaState::Exited { code: exit.code, signal: exit.signal, reason };
            entry.seen.pid = None;
        });
        self.wake.wake(&self.manifest.model);
    }

    async fn ask(&self) -> Health {
        probe(self.manifest.port, &self.manifest.endpoints.readiness, PROBE_LIMIT).await
    }

    fn log(&self, lines: Vec<Parsed>) {
        if !lines.is_empty() {
            self.logs.append(&self.manifest.deployment, lines);
        }
    }

    fn note_health(&mut self, health: Health, failures: &mut u32) {
        let was_ready = self.manifest.ready_at.is_some();
        match health {
            Health::Ready => {
                *failures = 0;
                if !was_ready {
                    self.manifest.ready_at = Some(self.clock.now());
                    if let Err(error) = self.manifest.write(&self.folder) {
                        tracing::warn!(replica = %self.manifest.id, %error, "could not write down that it is ready");
                    }
                }
                self.state(ReplicaState::Ready);
            }
            _ if was_ready => {
                *failures += 1;
                if *failures >= FAILURES {
                    self.state(ReplicaState::Unready);
                }
            }
            Health::NotReady => self.state(ReplicaState::Loading),
            Health::Silent => {}
        }
    }

    /// Records a state and wakes the model if it is news.
    fn state(&self, state: ReplicaState) {
        let now = self.clock.now();
        let mut news = false;
        self.registry.change(&self.manifest.id, |entry| {
            news = entry.seen.state != state;
            entry.seen.unready_since =
                (state == ReplicaState::Unready).then(|| entry.seen.unready_since.unwrap_or(now));
            entry.seen.ready_at = self.manifest.ready_at;
            entry.seen.state = state;
        });
        if news {
            self.wake.wake(&self.manifest.model);
        }
    }

    async fn reap(&self, child: Option<&mut Child>) -> Exit {
        use std::os::unix::process::ExitStatusExt;
        let unknown = Exit { code: None, signal: None };
        let Some(child) = child else { return unknown };
        match child.wait().await {
            Ok(status) => Exit { code: status.code(), signal: status.signal() },
            Err(error) => {
                tracing::warn!(replica = %self.manifest.id, %error, "could not learn how a replica ended");
                unknown
            }
        }
    }

    /// Why it ended, as a sentence without a subject's name.
    fn reason(&self, exit: &Exit, last: &[String], asked: bool) -> String {
        if asked {
            return "it stopped as it was told".into();
        }
        let cause = cause(last);
        let served = self.manifest.ready_at.is_some();
        let how = match (exit.code, exit.signal) {
            (Some(code), _) => format!("its process exited with code {code}"),
            (None, Some(9)) if !served && cause.is_some() => "its model failed to load".to_owned(),
            (None, Some(signal)) => format!("its process was killed by signal {signal}"),
            (None, None) => {
                "its process ended; how is not known, because another server had started it".to_owned()
            }
        };
        match (cause, last.last()) {
            (Some(cause), _) => format!("{how}: {cause}"),
            (None, Some(line)) if !served => {
                let line: String = line.lines().last().unwrap_or_default().chars().take(200).collect();
                format!("{how}; its last line: {line}")
            }
            _ => how,
        }
    }
}

/// Lets tokio watch a process's handle.
fn watch_handle(handle: OwnedFd) -> Option<AsyncFd<OwnedFd>> {
    // SAFETY: the handle owns its descriptor and gives the same one as long as it lives; it is dropped with the watcher.
    unsafe { AsyncFd::register_with_interest(handle, Interest::READABLE) }.ok()
}

/// Returns when the process has ended.
async fn ended(handle: &Option<AsyncFd<OwnedFd>>, manifest: &Manifest) {
    match handle {
        Some(handle) => {
            // An error of the handle itself is no news of the process; then its identity is asked.
            if handle.readable().await.is_ok() {
                return;
            }
            poll_until_gone(manifest).await;
        }
        None => poll_until_gone(manifest).await,
    }
}

async fn poll_until_gone(manifest: &Manifest) {
    while manifest.identity.is_alive() {
        tokio::time::sleep(OUTPUT).await;
    }
}

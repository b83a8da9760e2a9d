//! Watches one replica from its start, or its adoption, to its end.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use domain::{Clock, LogLevel, LogSource, ReplicaState, Timestamp, Wake};
use rustix::process::Signal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::bell::{Bell, Told};
use crate::exposed::{Exposure, Looked};
use crate::exposure::{self, Listening};
use crate::follow::Follower;
use crate::logs::Logs;
use crate::manifest::Manifest;
use crate::pace;
use crate::parse::{Parsed, cause};
use crate::probe::{self, Health};
use crate::registry::{Order, Registry};

/// How soon one that told it can answer, and did not yet, is asked again; and for how long.
const EAGER: Duration = Duration::from_millis(2);
const EAGER_FOR: Duration = Duration::from_secs(1);
/// How often a ready one is asked.
const READY: Duration = Duration::from_secs(5);
/// How often its output is looked at, and how soon again while it says nothing.
const OUTPUT: Duration = Duration::from_millis(100);
const QUIET: Duration = Duration::from_millis(200);
/// Answers that may fail in a row before it counts as unready.
const FAILURES: u32 = 3;
/// How long a starting process may take to answer, and a ready one, which may be busy.
const LIMIT: Duration = Duration::from_secs(2);
const READY_LIMIT: Duration = Duration::from_secs(10);

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

/// What a question found: its health and, if that was looked at along with it, where it listens.
type Answer = (Health, Option<Looked>);

/// A question that waits for its answer.
type Asking = Pin<Box<dyn Future<Output = Answer> + Send>>;

async fn answer(asking: &mut Option<Asking>) -> Answer {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

async fn told(bell: &Option<Bell>) -> Vec<Told> {
    match bell {
        Some(bell) => bell.told().await,
        None => std::future::pending().await,
    }
}

/// What a replica told of itself.
#[derive(Default)]
struct Steps {
    loaded: Option<Timestamp>,
    listens: Option<Timestamp>,
    /// Until when it is asked eagerly.
    eager: Option<Instant>,
}

/// What its answers came to.
#[derive(Default)]
struct Answered {
    /// Those that failed in a row.
    failures: u32,
    /// It is ready, and that is not written down.
    unwritten: bool,
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
        let mut answered = Answered::default();
        let mut kill_at: Option<Instant> = None;
        let mut exposure = Exposure::new(Instant::now() + Duration::from_secs(1));
        let mut asking: Option<Asking> = None;
        let bell = Bell::open(&self.folder);
        let mut steps = Steps::default();
        let born = Instant::now();
        let mut killed = false;
        let mut why = None;
        loop {
            let stopping = kill_at.is_some();
            tokio::select! {
                () = ended(&handle, &self.manifest) => break,
                _ = output.tick() => {
                    let said = follower.read(false);
                    if said.is_empty() {
                        output.reset_after(QUIET);
                    }
                    self.log(said);
                }
                Ok(()) = self.orders.changed() => {
                    let order = *self.orders.borrow();
                    match order {
                        Order::Run => {}
                        Order::Leave => {
                            self.log(follower.read(false));
                            if answered.unwritten {
                                self.write_down(false);
                            }
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
                    killed = true;
                    self.manifest.identity.signal(Signal::KILL);
                    kill_at = Some(Instant::now() + Duration::from_secs(1));
                }
                () = tokio::time::sleep_until(next_probe), if !stopping && asking.is_none() => {
                    asking = Some(self.ask(exposure.own));
                }
                told = told(&bell), if !stopping && self.manifest.ready_at.is_none() => {
                    if self.note_steps(&mut steps, &told) {
                        // What it answers from now on counts, not what it was asked before.
                        asking = Some(self.ask(exposure.own));
                    }
                }
                (health, looked) = answer(&mut asking), if !stopping && asking.is_some() => {
                    asking = None;
                    let listening = self.exposed(&mut exposure, health, looked).await;
                    match listening {
                        Listening::Private => self.note_health(health, &mut answered),
                        // Whoever answers there is not this replica, so the answer says nothing of it.
                        Listening::Elsewhere => {}
                        Listening::Exposed => {
                            let port = self.manifest.port;
                            why = Some(format!(
                                "other machines could reach it; make it listen on 127.0.0.1:{port} only (the port is in $PORT)"
                            ));
                            self.manifest.identity.signal(Signal::KILL);
                        }
                    }
                    let now = Instant::now();
                    next_probe = now
                        + if self.manifest.ready_at.is_some() {
                            READY
                        } else if steps.eager.is_some_and(|until| now < until) {
                            EAGER
                        } else {
                            // Each look at a stranger goes through all processes.
                            let unhurried = bell.is_some() || listening == Listening::Elsewhere;
                            pace::pause(born.elapsed(), health, unhurried)
                        };
                }
            }
        }
        if let Some(bell) = bell.as_ref().filter(|_| self.manifest.ready_at.is_none()) {
            // How far it came.
            self.note_steps(&mut steps, &bell.rest());
        }
        let exit = self.reap(child.as_mut()).await;
        // Whatever it had started ends with it; what finishes requests has as long as it would have had.
        while kill_at.is_some_and(|at| Instant::now() < at) && self.manifest.identity.group_lives() {
            self.log(follower.read(false));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        killed |= kill_at.is_some() && self.manifest.identity.group_lives();
        self.end_rest().await;
        self.log(follower.read(true));
        let last: Vec<String> = follower.last.into_iter().collect();
        let asked = matches!(*self.orders.borrow(), Order::Stop { .. });
        let starved = self.leave_group(asked).await;
        let reason = why.or(starved).unwrap_or_else(|| self.reason(&exit, &last, asked, killed));
        let level = if asked { LogLevel::Info } else { LogLevel::Error };
        let line = Parsed::plain(LogSource::Platform, Some(level), &format!("replica {id} ended: {reason}"));
        self.logs.append(&self.manifest.deployment, [line]);
        self.registry.change(&id, |entry| {
            entry.seen.state = ReplicaState::Exited { code: exit.code, signal: exit.signal, reason };
            entry.seen.pid = None;
        });
        self.wake.wake(&self.manifest.model);
    }

    /// Ends what its program left.
    async fn end_rest(&self) {
        let identity = &self.manifest.identity;
        if identity.group_lives() || identity.sandbox_lives() {
            identity.signal(Signal::KILL);
        }
        // What left its group ends with the sandbox, which the kernel needs a moment for.
        let mut looked = 0;
        while identity.sandbox_lives() && looked < 500 {
            tokio::time::sleep(Duration::from_millis(2)).await;
            looked += 1;
        }
    }

    /// Removes its control group; says so if the kernel killed anything in it for want of memory. That it was refused processes is
    /// a line of its log.
    async fn leave_group(&self, asked: bool) -> Option<String> {
        let group = self.manifest.group.clone()?;
        if group.lacked_processes() {
            let text = format!(
                "replica {} wanted more processes or threads than `machine.processes_per_replica`, or a limit of the whole service, lets it have",
                self.manifest.id
            );
            self.log(vec![Parsed::plain(LogSource::Platform, Some(LogLevel::Warning), &text)]);
        }
        let starved = group.killed_for_memory().filter(|_| !asked);
        let removed = tokio::task::spawn_blocking(move || group.end()).await;
        if let Err(error) = removed {
            tracing::warn!(replica = %self.manifest.id, %error, "could not remove a control group");
        }
        starved
    }

    /// Asks how it is; while it is not `known` to be itself that answers, looks at the same time at who listens there.
    fn ask(&self, known: bool) -> Asking {
        let limit = if self.manifest.ready_at.is_some() { READY_LIMIT } else { LIMIT };
        let (port, endpoints) = (self.manifest.port, self.manifest.endpoints.clone());
        let identity = self.manifest.identity.clone();
        Box::pin(async move {
            let Some(stream) = probe::connect(port, limit).await else { return (Health::Silent, None) };
            let look = (!known).then(|| {
                tokio::task::spawn_blocking(move || {
                    if exposure::is_plainly_private(identity.program(), port) {
                        return Looked::Plainly;
                    }
                    let (here, others) = exposure::look(identity.group(), port, true);
                    Looked::Wholly(here, others)
                })
            });
            let health = probe::ask(stream, port, &endpoints, limit).await;
            let looked = match look {
                Some(look) => look.await.ok(),
                None => None,
            };
            (health, looked)
        })
    }

    /// Takes note of what it told; whether that makes it worth asking at once.
    fn note_steps(&mut self, steps: &mut Steps, told: &[Told]) -> bool {
        let mut news = false;
        for step in told {
            match *step {
                Told::Loads(at) => self.manifest.spawned_at = Some(at),
                Told::Loaded(at) => steps.loaded = Some(at),
                Told::Listens(at) => {
                    steps.listens = Some(at);
                    news = true;
                }
            }
        }
        let spawned = self.manifest.spawned_at;
        self.registry.change(&self.manifest.id, |entry| entry.seen.spawned_at = spawned);
        if let (Some(loaded), Some(listens)) = (steps.loaded, steps.listens) {
            self.manifest.loaded_at = Some(loaded.max(listens));
            steps.eager = Some(Instant::now() + EAGER_FOR);
            news = true;
        }
        news
    }

    pub(crate) fn log(&self, lines: Vec<Parsed>) {
        if !lines.is_empty() {
            self.logs.append(&self.manifest.deployment, lines);
        }
    }

    fn note_health(&mut self, health: Health, answered: &mut Answered) {
        let was_ready = self.manifest.ready_at.is_some();
        if health != Health::Silent && self.manifest.spawned_at.is_none() {
            self.manifest.spawned_at = Some(self.clock.now());
        }
        match health {
            Health::Ready => {
                answered.failures = 0;
                if !was_ready {
                    answered.unwritten = true;
                    let now = self.clock.now();
                    self.manifest.loaded_at.get_or_insert(now);
                    self.manifest.ready_at = Some(now);
                    // At its start there was only its sandbox.
                    let program = self.manifest.identity.program();
                    self.registry.change(&self.manifest.id, |entry| entry.seen.pid = Some(program));
                }
                self.state(ReplicaState::Ready);
                if answered.unwritten {
                    // Afterwards: requests wait for it.
                    answered.unwritten = !self.write_down(!was_ready);
                }
            }
            _ if was_ready => {
                answered.failures += 1;
                if answered.failures >= FAILURES {
                    self.state(ReplicaState::Unready);
                }
            }
            Health::NotReady => self.state(ReplicaState::Loading),
            Health::Silent => {}
        }
    }

    /// Writes down that it is ready: else the next server would take it for one that never was. False if that can't be done now,
    /// which is said the `first` time.
    fn write_down(&mut self, first: bool) -> bool {
        // Its code may have been swapped since.
        self.registry.change(&self.manifest.id, |entry| {
            self.manifest.artifact.clone_from(&entry.seen.artifact);
        });
        let written = self.manifest.write(&self.folder);
        if first && let Err(error) = &written {
            tracing::warn!(replica = %self.manifest.id, %error, "could not write down that it is ready; trying again");
        }
        written.is_ok()
    }

    /// Records a state and wakes the model if it is news.
    fn state(&self, state: ReplicaState) {
        let now = self.clock.now();
        let mut news = false;
        self.registry.change(&self.manifest.id, |entry| {
            // An answer that was on its way when it was told to stop brings nothing back.
            if entry.seen.state == ReplicaState::Stopping {
                return;
            }
            news = entry.seen.state != state;
            entry.seen.unready_since =
                (state == ReplicaState::Unready).then(|| entry.seen.unready_since.unwrap_or(now));
            entry.seen.spawned_at = self.manifest.spawned_at;
            entry.seen.loaded_at = self.manifest.loaded_at;
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
            // Bubblewrap tells of a signal as a shell does.
            Ok(status) if self.manifest.identity.inner.is_some() => match status.code() {
                Some(code @ 129..=192) => Exit { code: None, signal: Some(code - 128) },
                code => Exit { code, signal: status.signal() },
            },
            Ok(status) => Exit { code: status.code(), signal: status.signal() },
            Err(error) => {
                tracing::warn!(replica = %self.manifest.id, %error, "could not learn how a replica ended");
                unknown
            }
        }
    }

    /// Why it ended, as a sentence without a subject's name.
    fn reason(&self, exit: &Exit, last: &[String], asked: bool, killed: bool) -> String {
        if asked && killed {
            return "it did not stop in the time it had and was killed".into();
        }
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

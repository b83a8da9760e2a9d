//! The server under traffic, and what is asked of it while things are done to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::door::Door;
use super::excuses::{Excuses, Span, good};
use super::processes::{self, Process};
use super::report::{Act, Requests, Verdict};
use super::stage::Stage;
use super::voice::say;
use crate::load::Running;

/// Requests that one replica may have at a time.
pub const CONCURRENCY: usize = 32;
/// From the start of a server that was killed to the first answer of a model.
const BACK_WITHIN: Duration = Duration::from_secs(2);
/// After this it does not answer at all.
const GONE_AFTER: Duration = Duration::from_secs(30);
/// For how long a server that was killed stays away.
const AWAY: Duration = Duration::from_millis(300);
/// Replicas are ready again after a server took them over.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// A replica that crashed has its successor, or a push its end, within this.
pub const SOON: Duration = Duration::from_secs(60);
/// What is still under way this long after the traffic ended has no answer.
const LAST_ANSWER: Duration = Duration::from_secs(30);
/// Windows of the autoscaler that are set in turn, in seconds: with as many replicas at most as at least, it changes nothing.
const WINDOWS: std::ops::RangeInclusive<u64> = 10..=60;
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// The processes of each replica, by its id.
pub type Replicas = BTreeMap<String, Vec<Process>>;

/// What was seen of a server that was killed, and started again.
pub struct Restart {
    took: Duration,
    replicas: usize,
    /// The canary's share in percent just before, and just after; nothing if none runs.
    pub before: Option<u64>,
    pub after: Option<u64>,
}

impl Restart {
    pub fn figures(&self) -> Vec<String> {
        let (took, replicas) = (self.took.as_millis(), self.replicas);
        vec![
            format!("first answer {took} ms after the start"),
            format!("{replicas} of {replicas} replicas taken over"),
            "a setting that was changed just before it was killed is kept".into(),
        ]
    }
}

/// What could not be tried on this machine, and why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotTried(pub String);

pub struct Show {
    pub stage: Stage,
    pub traffic: Running,
    pub model: String,
    /// How long a canary takes.
    pub ramp: Duration,
    /// Requests a second.
    rate: u32,
    begun: Instant,
    acts: Vec<Act>,
    /// Times without a server, which was killed.
    dead: Vec<Span>,
    /// Times from the moment in which a server was asked to end.
    away: Vec<Span>,
    /// Ends of replicas.
    killed: Vec<Span>,
}

impl Show {
    pub fn new(stage: Stage, traffic: Running, model: String, ramp: Duration, rate: u32) -> Self {
        let (acts, dead, away, killed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { stage, traffic, model, ramp, rate, begun: Instant::now(), acts, dead, away, killed }
    }

    pub fn passed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Keeps what came of an act, and says it.
    pub fn note(&mut self, name: &'static str, at: Duration, outcome: anyhow::Result<Vec<String>>) {
        let (verdict, figures) = match outcome {
            Ok(figures) => (Verdict::Held, figures),
            Err(error) => match error.downcast::<NotTried>() {
                Ok(NotTried(why)) => (Verdict::NotTried(why), Vec::new()),
                Err(error) => (Verdict::Missed(vec![format!("{error:#}")]), Vec::new()),
            },
        };
        self.add(Act { name, at, verdict, figures });
    }

    /// Keeps that there is nothing to try.
    pub fn leave_out(&mut self, name: &'static str, why: &str) {
        let (at, verdict) = (self.passed(), Verdict::Void(why.to_owned()));
        self.add(Act { name, at, verdict, figures: Vec::new() });
    }

    fn add(&mut self, act: Act) {
        let said = match &act.verdict {
            Verdict::Held => format!("held: {}", act.figures.join("; ")),
            Verdict::Missed(why) => format!("DID NOT HOLD: {}", why.join("; ")),
            Verdict::NotTried(why) => format!("not tried: {why}"),
            Verdict::Void(why) => format!("does not apply: {why}"),
        };
        say(&format!("{:4} s  {}: {said}", act.at.as_secs(), act.name));
        self.acts.push(act);
    }

    pub fn door(&self) -> Door {
        self.stage.door()
    }

    /// A path below the model's.
    pub fn path(&self, rest: &str) -> String {
        format!("/v1/models/{}{rest}", self.model)
    }

    pub async fn environment(&self) -> anyhow::Result<Value> {
        self.door().get(&self.path("/environments/production")).await
    }

    /// The running promotion's share of traffic in percent; nothing if none runs.
    pub async fn percent(&self) -> anyhow::Result<Option<u64>> {
        let environment = self.environment().await?;
        Ok(environment["in_progress_promotion"]["percent_traffic_to_new_version"].as_u64())
    }

    /// Waits until the running promotion has at least this share.
    pub async fn wait_for_percent(&self, percent: u64) -> anyhow::Result<u64> {
        let limit = self.ramp * 2 + SOON;
        until(&format!("the canary did not reach {percent} %"), limit, async || match self.percent().await {
            Ok(Some(reached)) if reached >= percent => Ok(Some(reached)),
            Ok(Some(_)) => Ok(None),
            Ok(None) => bail!("the promotion is not there any more"),
            Err(error) => Err(error),
        })
        .await
    }

    /// Waits until the current deployment, and the candidate if there is one, have so many ready replicas at least.
    pub async fn wait_for_replicas(&self, at_least: u64, limit: Duration) -> anyhow::Result<()> {
        until(&format!("there were not {at_least} ready replicas"), limit, async || {
            let environment = self.environment().await?;
            let sides = [&environment["current_deployment"], &environment["candidate_deployment"]];
            let short = sides
                .iter()
                .any(|side| side.is_object() && side["active_replica_count"].as_u64() < Some(at_least));
            Ok((!short).then_some(()))
        })
        .await
    }

    /// Waits until a deployment has one of these statuses.
    pub async fn wait_for(
        &self,
        deployment: &str,
        statuses: &[&str],
        limit: Duration,
    ) -> anyhow::Result<Value> {
        let path = self.path(&format!("/deployments/{deployment}"));
        until(&format!("deployment {deployment} did not become {statuses:?}"), limit, async || {
            let found = self.door().get(&path).await?;
            let status = found["status"].as_str().unwrap_or_default();
            let over = ["BUILD_FAILED", "DEPLOY_FAILED"].contains(&status) && !statuses.contains(&status);
            if over {
                bail!("deployment {deployment} is {status}: {}", found["status_reason"]);
            }
            Ok(statuses.contains(&status).then_some(found))
        })
        .await
    }

    pub async fn deployments(&self) -> anyhow::Result<BTreeSet<String>> {
        let listed = self.door().get(&self.path("/deployments")).await?;
        let ids = listed["deployments"].as_array().into_iter().flatten();
        Ok(ids.filter_map(|one| one["id"].as_str().map(str::to_owned)).collect())
    }

    pub fn processes(&self) -> Vec<Process> {
        processes::below(&self.stage.data, self.stage.pid())
    }

    pub fn replicas(&self) -> Replicas {
        let mut all = Replicas::new();
        for process in self.processes() {
            if let Some(replica) = process.replica.clone() {
                all.entry(replica).or_default().push(process);
            }
        }
        all
    }

    /// Replicas that are ready, of all deployments.
    async fn ready(&self) -> anyhow::Result<u64> {
        let listed = self.door().get(&self.path("/deployments")).await?;
        let all = listed["deployments"].as_array().into_iter().flatten();
        Ok(all.filter_map(|one| one["active_replica_count"].as_u64()).sum())
    }

    /// Waits until none starts or stops, and answers with those that are ready: at least one.
    pub async fn settled(&self) -> anyhow::Result<Replicas> {
        until("replicas were still starting or stopping", SOON, async || {
            let ready = self.ready().await?;
            let replicas = self.replicas();
            Ok((ready > 0 && replicas.len() as u64 == ready).then_some(replicas))
        })
        .await
    }

    /// Sees to it that all of these replicas go on, as the processes they were, and are ready for the server that runs now.
    pub async fn check_adopted(&self, before: &Replicas) -> anyhow::Result<()> {
        let wanted = before.len() as u64;
        until("the replicas were not all ready again", TAKEN_WITHIN, async || {
            Ok((self.ready().await? >= wanted).then_some(()))
        })
        .await?;
        let now = self.replicas();
        let kept = before.iter().filter(|(id, processes)| now.get(*id) == Some(*processes)).count();
        ensure!(kept > 0 && kept == before.len(), "{kept} of {} replicas were taken over", before.len());
        Ok(())
    }

    /// Kills the server just after it answered a change, and starts it again a moment later. Fails if the change or a deployment is
    /// lost, a replica is not taken over, or no model answers soon.
    pub async fn kill_and_start(&mut self) -> anyhow::Result<Restart> {
        let replicas = self.settled().await?;
        let deployments = self.deployments().await?;
        let before = self.percent().await?;
        let window = self.set(2).await?;
        let took = self.come_back().await?;
        let after = self.percent().await?;
        ensure!(took <= BACK_WITHIN, "the first answer came {} ms after the start", took.as_millis());
        let kept = self.window().await?;
        ensure!(
            kept == window,
            "a setting that had been changed to {window} before the kill is {kept} after it"
        );
        ensure!(self.deployments().await? == deployments, "the list of deployments is another one");
        self.check_adopted(&replicas).await?;
        Ok(Restart { took, replicas: replicas.len(), before, after })
    }

    /// Kills the server and starts it where nothing can be written down. Fails if no model answers soon, or a replica is not taken
    /// over.
    pub async fn kill_and_start_on_full_disk(&mut self) -> anyhow::Result<Duration> {
        let replicas = self.settled().await?;
        let took = self.come_back().await?;
        ensure!(took <= BACK_WITHIN, "the first answer came {} ms after the start", took.as_millis());
        self.check_adopted(&replicas).await?;
        Ok(took)
    }

    /// Kills the server and starts it; says how long after its start a request was answered by a model.
    async fn come_back(&mut self) -> anyhow::Result<Duration> {
        self.dead.push(Span::begin());
        let back = self.be_away().await;
        if let Some(span) = self.dead.last_mut() {
            span.until = Some(Instant::now());
        }
        back
    }

    async fn be_away(&mut self) -> anyhow::Result<Duration> {
        self.stage.kill().await?;
        tokio::time::sleep(AWAY).await;
        self.start_again().await
    }

    /// Asks the server to end, which is to leave its replicas to the next one, and starts that. Fails if a replica is not taken over.
    pub async fn stop_and_start(&mut self) -> anyhow::Result<Vec<String>> {
        let replicas = self.settled().await?;
        self.away.push(Span::begin());
        let begun = Instant::now();
        let ended = self.stage.end().await.map(|()| begun.elapsed());
        let back = self.start_again().await;
        if let Some(span) = self.away.last_mut() {
            span.until = Some(Instant::now());
        }
        let (ended, back) = (ended?, back?);
        self.check_adopted(&replicas).await?;
        let count = replicas.len();
        Ok(vec![
            format!("ended {} ms after it was asked to", ended.as_millis()),
            format!("first answer {} ms after the start", back.as_millis()),
            format!("{count} of {count} replicas taken over"),
        ])
    }

    /// Starts the server; says how long after that a request was answered by a model.
    async fn start_again(&mut self) -> anyhow::Result<Duration> {
        let before = self.good();
        let started = Instant::now();
        self.stage.start().await?;
        while self.good() == before {
            let seconds = GONE_AFTER.as_secs();
            ensure!(started.elapsed() < GONE_AFTER, "no model answered within {seconds} s of the start");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(started.elapsed())
    }

    /// Kills all processes of a replica, and waits until they have ended.
    pub async fn kill_replica(&mut self, id: &str) -> anyhow::Result<()> {
        let all = self.replicas().remove(id).unwrap_or_default();
        ensure!(!all.is_empty(), "replica {id} has no process any more");
        let handles = all.iter().map(|process| processes::handle(process.pid));
        let handles = handles.collect::<std::io::Result<Vec<_>>>().context("a replica can't be watched")?;
        self.killed.push(Span::begin());
        processes::kill(&all);
        let ended = async {
            for handle in &handles {
                let _ = handle.readable().await?;
            }
            std::io::Result::Ok(())
        };
        let ended = tokio::time::timeout(Duration::from_secs(10), ended).await;
        if let Some(span) = self.killed.last_mut() {
            span.until = Some(Instant::now());
        }
        ended.with_context(|| format!("replica {id} was killed, and is not gone"))??;
        Ok(())
    }

    pub fn good(&self) -> u64 {
        self.traffic.read(good)
    }

    /// Sees to it that models went on answering: `before` were good at `since`, and at least half of what was sent since then is.
    pub fn check_serving(&self, before: u64, since: Instant) -> anyhow::Result<()> {
        let (answers, passed) = (self.good() - before, since.elapsed());
        let sent = f64::from(self.rate) * passed.as_secs_f64();
        ensure!(
            answers as f64 >= sent / 2.0,
            "models answered {answers} requests within {} ms, of about {sent:.0}",
            passed.as_millis()
        );
        Ok(())
    }

    /// Ends the traffic, and tells what became of it.
    pub async fn end(self) -> anyhow::Result<(Stage, Vec<Act>, Requests)> {
        let totals = self.traffic.stop(LAST_ANSWER).await?;
        let excuses = Excuses {
            begun: self.begun,
            over: Instant::now(),
            rate: self.rate,
            dead: &self.dead,
            away: &self.away,
            killed: &self.killed,
        };
        let requests = excuses.sort(&totals);
        Ok((self.stage, self.acts, requests))
    }
}

/// Asks until there is an answer. Errors of single questions count only when the time is over.
pub async fn until<T>(
    failed: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        let answer = ask().await;
        if let Ok(Some(value)) = answer {
            return Ok(value);
        }
        if begun.elapsed() > limit {
            let why = answer.err().map(|error| format!(": {error:#}")).unwrap_or_default();
            bail!("{failed} within {} s{why}", limit.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The settings of the environment under which everything happens.
fn settings(ramp: Duration, replicas: u32, window: u64) -> Value {
    json!({
        "autoscaling_settings": {
            "min_replica": replicas,
            "max_replica": replicas,
            "concurrency_target": CONCURRENCY,
            "autoscaling_window": window,
            "scale_down_delay": 0,
        },
        "promotion_settings": {
            "ramp_up_while_promoting": true,
            "ramp_up_duration_seconds": ramp.as_secs(),
        },
    })
}

impl Show {
    /// Changes the settings: so many replicas, and a window that was another one, so that there is something to write. Answers with
    /// the window.
    pub async fn set(&self, replicas: u32) -> anyhow::Result<u64> {
        let next = Some(self.window().await? + 1).filter(|next| WINDOWS.contains(next));
        let next = next.unwrap_or(*WINDOWS.start());
        self.write(replicas, next).await.context("the settings could not be changed")?;
        Ok(next)
    }

    /// Writes settings without a look at what they are.
    pub async fn write(&self, replicas: u32, window: u64) -> anyhow::Result<()> {
        let path = self.path("/environments/production");
        self.door().patch(&path, settings(self.ramp, replicas, window)).await?;
        Ok(())
    }

    /// The window that is stored, in seconds.
    pub async fn window(&self) -> anyhow::Result<u64> {
        let environment = self.environment().await?;
        let window = environment["autoscaling_settings"]["autoscaling_window"].as_u64();
        window.context("an environment tells no window of its autoscaler")
    }
}

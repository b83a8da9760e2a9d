//! The server under traffic, and what is asked of it while things are done to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::door::Door;
use super::processes::{self, Process};
use super::report::{Act, Requests, Verdict};
use super::stage::Stage;
use crate::load::{Failure, Running, Totals};

/// Requests that one replica may have at a time.
pub const CONCURRENCY: usize = 32;
/// How soon what a killed replica had in hand has failed, once its process is gone.
const LOST_WITHIN: Duration = Duration::from_millis(500);
/// A process has lost its memory, and is gone for whoever looks, before its connections are closed.
const CLOSED_WITHIN: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_millis(30);

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
    begun: Instant,
    acts: Vec<Act>,
    /// From when to when no server was there.
    dead: Vec<(Instant, Instant)>,
    /// From when to when replicas died.
    killed: Vec<(Instant, Instant)>,
}

impl Show {
    pub fn new(stage: Stage, traffic: Running, model: String, ramp: Duration) -> Self {
        let (acts, dead, killed) = (Vec::new(), Vec::new(), Vec::new());
        Self { stage, traffic, model, ramp, begun: Instant::now(), acts, dead, killed }
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
        let said = match &verdict {
            Verdict::Held => format!("held: {}", figures.join("; ")),
            Verdict::Missed(why) => format!("DID NOT HOLD: {}", why.join("; ")),
            Verdict::NotTried(why) => format!("not tried: {why}"),
        };
        eprintln!("{:4} s  {name}: {said}", at.as_secs());
        self.acts.push(Act { name, at, verdict, figures });
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
        let limit = self.ramp * 2 + Duration::from_secs(60);
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

    /// The processes of each replica.
    pub fn replicas(&self) -> BTreeMap<String, Vec<Process>> {
        let mut all: BTreeMap<String, Vec<Process>> = BTreeMap::new();
        for process in self.processes() {
            if let Some(replica) = process.replica.clone() {
                all.entry(replica).or_default().push(process);
            }
        }
        all
    }

    /// Kills the server, and starts it again a moment later; says how long after its start a request was answered by a model.
    pub async fn kill_and_start(&mut self) -> anyhow::Result<Duration> {
        let from = Instant::now();
        self.stage.kill().await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = self.good();
        let started = Instant::now();
        self.stage.start().await?;
        while self.good() == before && started.elapsed() < Duration::from_secs(30) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let until = Instant::now();
        self.dead.push((from, until));
        Ok(until - started)
    }

    /// Kills all processes of a replica, and waits until they are gone.
    pub async fn kill_replica(&mut self, id: &str) -> anyhow::Result<()> {
        let from = Instant::now();
        processes::kill(self.replicas().get(id).map(Vec::as_slice).unwrap_or_default());
        let limit = Duration::from_secs(10);
        let gone = async || Ok((!self.replicas().contains_key(id)).then_some(()));
        until(&format!("replica {id} was killed, and is not gone"), limit, gone).await?;
        self.killed.push((from, Instant::now()));
        Ok(())
    }

    pub fn good(&self) -> u64 {
        self.traffic.read(good)
    }

    /// Answers of one deployment so far.
    pub fn answered_by(&self, deployment: &str) -> u64 {
        self.traffic.read(|totals| totals.deployments.get(deployment).copied().unwrap_or(0))
    }

    /// Ends the traffic, and tells what became of it.
    pub async fn end(self) -> anyhow::Result<(Stage, Vec<Act>, Requests)> {
        let totals = self.traffic.stop().await?;
        let requests = sorted(&totals, self.begun, &self.dead, &self.killed);
        Ok((self.stage, self.acts, requests))
    }
}

fn good(totals: &Totals) -> u64 {
    totals.answers.iter().filter(|(status, _)| (200..300).contains(*status)).map(|(_, count)| count).sum()
}

/// Finds the reason of each failure.
fn sorted(
    totals: &Totals,
    begun: Instant,
    dead: &[(Instant, Instant)],
    killed: &[(Instant, Instant)],
) -> Requests {
    let mut requests = Requests { sent: totals.sent, good: good(totals), ..Requests::default() };
    let mut lost = vec![0_usize; killed.len()];
    for failure in &totals.failures {
        let while_dead =
            |(from, until): &(Instant, Instant)| failure.ended >= *from && failure.sent <= *until;
        let with_replica = |(from, gone): &(Instant, Instant)| {
            failure.sent <= *gone + CLOSED_WITHIN
                && failure.ended >= *from
                && failure.ended <= *gone + LOST_WITHIN
        };
        if dead.iter().any(while_dead) {
            requests.while_dead += 1;
        } else if let Some(which) = killed.iter().position(with_replica)
            && lost[which] < CONCURRENCY
        {
            lost[which] += 1;
            requests.on_killed_replicas += 1;
        } else {
            requests.unexplained.push((failure.ended.duration_since(begun), said(failure)));
        }
    }
    let listed = totals.failures.len() as u64;
    if totals.failed() > listed {
        let more = format!("{} more, which are not listed", totals.failed() - listed);
        requests.unexplained.push((begun.elapsed(), more));
    }
    requests
}

fn said(failure: &Failure) -> String {
    format!("{}, after {} ms", failure.what, (failure.ended - failure.sent).as_millis())
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
pub fn settings(ramp: Duration, replicas: u32) -> Value {
    json!({
        "autoscaling_settings": {
            "min_replica": replicas,
            "max_replica": replicas,
            "concurrency_target": CONCURRENCY,
            "autoscaling_window": 10,
            "scale_down_delay": 0,
        },
        "promotion_settings": {
            "ramp_up_while_promoting": true,
            "ramp_up_duration_seconds": ramp.as_secs(),
        },
    })
}

impl Show {
    pub async fn set(&self, replicas: u32) -> anyhow::Result<()> {
        let path = self.path("/environments/production");
        self.door()
            .patch(&path, settings(self.ramp, replicas))
            .await
            .context("the settings could not be changed")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn every_failure_has_its_reason_or_none() {
        let begun = Instant::now();
        let at = |millis: u64| begun + Duration::from_millis(millis);
        let failure = |sent, ended| Failure { sent: at(sent), ended: at(ended), what: "502".into() };
        let mut totals = Totals::default();
        totals.sent = 100;
        totals.answers.extend([(200, 96), (502, 4)]);
        // Under way when the server died; sent while it was dead; at a replica that was killed; after that.
        totals.failures =
            vec![failure(999, 1_000), failure(1_500, 1_500), failure(3_999, 4_001), failure(4_201, 4_202)];
        let requests = sorted(&totals, begun, &[(at(1_000), at(2_000))], &[(at(3_990), at(4_000))]);
        assert_eq!((requests.while_dead, requests.on_killed_replicas), (2, 1));
        assert_eq!(requests.unexplained, [(Duration::from_millis(4_202), "502, after 1 ms".to_owned())]);
    }
}

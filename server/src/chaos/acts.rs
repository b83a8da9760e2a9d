//! What is done to the server, each with what has to hold.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use rustix::process::Signal;
use serde_json::json;
use tokio::time::Instant;

use super::disk::Ballast;
use super::door::Refused;
use super::processes::{self, Process};
use super::show::{NotTried, SOON, Show, until};
use super::toy::Toy;

/// What was measured while something held.
pub type Figures = anyhow::Result<Vec<String>>;

const BUILT_WITHIN: Duration = Duration::from_secs(180);
const HOUR: i64 = 3_600_000;

/// Statuses of a deployment that is built and may take traffic.
const WELL: [&str; 2] = ["ACTIVE", "SCALED_TO_ZERO"];

impl Show {
    async fn push(&self, toy: &Toy) -> anyhow::Result<String> {
        let door = self.door();
        let (_, deployment) = door.push("toy", Some(&self.model), &toy.config, toy.archive.clone()).await?;
        Ok(deployment)
    }

    async fn promote(&self, deployment: &str) -> anyhow::Result<()> {
        let path = self.path("/environments/production/promote");
        self.door().post(&path, json!({ "deployment_id": deployment })).await?;
        Ok(())
    }

    /// A second version gets its first share.
    pub async fn begin_canary(&self, deployment: &mut String) -> Figures {
        *deployment = self.push(&Toy::new(2)?).await?;
        self.wait_for(deployment, &WELL, BUILT_WITHIN).await?;
        self.promote(deployment).await?;
        let percent = self.wait_for_percent(10).await?;
        Ok(vec![format!("{percent} % of the traffic goes to the second version")])
    }

    pub async fn kill_server_in_canary(&mut self) -> Figures {
        self.wait_for_percent(30).await?;
        let seen = self.kill_and_start().await?;
        let before = seen.before.context("the promotion ended before the server was killed")?;
        let after = seen.after.context("the promotion is gone after the restart")?;
        ensure!(after >= before, "the canary fell from {before} to {after} %");
        // The time without a server does not count, and what is left is less than a stage.
        ensure!(after <= before + 10, "the canary jumped from {before} to {after} %");
        let mut figures = seen.figures();
        figures.push(format!("canary at {before} % before, {after} % after"));
        Ok(figures)
    }

    pub async fn kill_replicas(&mut self, times: usize) -> Figures {
        let mut slowest = Duration::ZERO;
        for _ in 0..times {
            self.wait_for_replicas(2, SOON).await?;
            let id = self.replicas().into_keys().next().context("there is no replica")?;
            let begun = Instant::now();
            self.kill_replica(&id).await?;
            self.wait_for_replicas(2, SOON).await?;
            slowest = slowest.max(begun.elapsed());
        }
        Ok(vec![format!(
            "{times} killed; again 2 ready on each side after {} ms at most",
            slowest.as_millis()
        )])
    }

    /// The wall clock leaps an hour, and back. A canary counts time that passes.
    pub async fn skew_clock(&self) -> Figures {
        let Some(before) = self.percent().await? else { bail!("no canary runs") };
        let begun = self.passed();
        let mut seen = vec![before];
        for wrong_by in [HOUR, 0] {
            self.stage.set_clock_wrong_by(wrong_by)?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            seen.push(self.percent().await?.unwrap_or(100));
        }
        let passed = self.passed() - begun;
        let stages = passed.as_secs_f64() / (self.ramp.as_secs_f64() / 10.0);
        let most = before + 10 * (stages.ceil() as u64 + 1);
        let last = seen[seen.len() - 1];
        ensure!(seen.is_sorted(), "the canary went back: {seen:?} %");
        ensure!(last <= most, "the canary jumped: {seen:?} % within {} s", passed.as_secs());
        Ok(vec![format!("canary at {seen:?} %")])
    }

    /// A new server takes over; `keeps` says that it is to leave its replicas running when it ends.
    pub async fn take_over(&mut self, keeps: bool) -> Figures {
        let before = self.settled().await?;
        let took = self.stage.take_over(keeps).await?;
        self.check_adopted(&before).await?;
        let count = before.len();
        Ok(vec![format!("{} ms, {count} of {count} replicas taken over", took.as_millis())])
    }

    pub async fn finish_canary(&self, deployment: &str) -> Figures {
        let limit = self.ramp * 2 + SOON;
        until("the canary did not come to its end", limit, async || {
            let environment = self.environment().await?;
            let is_over = environment["in_progress_promotion"].is_null()
                && environment["current_deployment"]["id"].as_str() == Some(deployment);
            Ok(is_over.then_some(()))
        })
        .await?;
        Ok(vec!["the second version serves production".into()])
    }

    /// A build is killed, and retried; then the server is killed in the middle of it.
    pub async fn kill_build(&mut self, deployment: &mut String) -> Figures {
        *deployment = self.push(&Toy::held(3)?).await?;
        let slow = self.slow_parts(&[]).await?;
        let server = self.stage.pid().context("no server runs")?;
        // What the server started itself. Those below it may work on, and must do no harm to the next build.
        let top = slow.iter().find_map(|process| processes::started_by(server, process.pid));
        processes::signal(top.context("a build does not descend from the server")?, Signal::KILL);
        let failed = self.wait_for(deployment, &["BUILD_FAILED"], SOON).await?;
        let reason = failed["status_reason"].as_str().unwrap_or_default().to_owned();
        ensure!(!reason.is_empty(), "a build that was killed says no reason");
        self.door().post(&self.path(&format!("/deployments/{deployment}/retry")), json!({})).await?;
        self.slow_parts(&slow).await?;
        let seen = self.kill_and_start().await?;
        self.wait_for(deployment, &WELL, BUILT_WITHIN).await?;
        let mut figures = vec![
            format!("killed: \"{}…\"", reason.chars().take(80).collect::<String>()),
            "retried; server killed meanwhile".to_owned(),
        ];
        figures.extend(seen.figures());
        figures.push("then built".into());
        Ok(figures)
    }

    /// Waits until a build is at its slow part, and answers with the processes of that: none of those that are `known`.
    async fn slow_parts(&self, known: &[Process]) -> anyhow::Result<Vec<Process>> {
        until("no build began", SOON, async || {
            let mut found = self.processes();
            found.retain(|process| process.held && !known.contains(process));
            Ok((!found.is_empty()).then_some(found))
        })
        .await
    }

    pub async fn cancel_canary(&self, deployment: &str) -> Figures {
        self.promote(deployment).await?;
        let percent = self.wait_for_percent(20).await?;
        self.door().post(&self.path("/environments/production/cancel_promotion"), json!({})).await?;
        let answered = Instant::now();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (served, latest) = self.traffic.read(|totals| {
            (totals.deployments.get(deployment).copied().unwrap_or(0), totals.latest.get(deployment).copied())
        });
        let latest = latest.with_context(|| format!("the canary had {percent} % and answered nothing"))?;
        let late = latest.saturating_duration_since(answered).as_millis();
        ensure!(latest <= answered, "a request went to the canary that was sent {late} ms after the answer");
        Ok(vec![format!("at {percent} %; {served} requests, none of them sent after the answer")])
    }

    pub async fn scale(&self) -> Figures {
        for wanted in [4, 2] {
            self.set(wanted).await?;
            until(&format!("there were not {wanted} replicas"), Duration::from_secs(120), async || {
                let environment = self.environment().await?;
                let ready = environment["current_deployment"]["active_replica_count"].as_u64();
                Ok((ready == Some(u64::from(wanted))).then_some(()))
            })
            .await?;
        }
        Ok(vec!["to 4 replicas, and back to 2".into()])
    }

    /// The disk is full, and the server is killed and started meanwhile. The models print for each request.
    pub async fn fill_disk(&mut self, own_disk: Result<(), &str>) -> Figures {
        own_disk.map_err(|why| NotTried(why.to_owned()))?;
        let ballast = Ballast::fill(&self.stage.data).context("the disk could not be filled")?;
        // What models had printed is given back once it is read.
        tokio::time::sleep(Duration::from_secs(1)).await;
        ballast.grow().context("the disk could not be filled again")?;
        let left = Ballast::left(&self.stage.data)?;
        ensure!(left < 64 << 10, "{left} bytes are left on a disk that should be full");
        let (before, since) = (self.good(), Instant::now());
        let toy = Toy::new(4)?;
        let refused = match self.push(&toy).await {
            Ok(deployment) => bail!("{deployment} was pushed onto a full disk"),
            Err(error) => error.downcast::<Refused>().context("a push onto a full disk broke off")?,
        };
        ensure!(refused.status.as_u16() == 507, "a push onto a full disk: {refused}");
        tokio::time::sleep(Duration::from_secs(2)).await;
        self.check_serving(before, since).context("while the disk was full")?;
        let took = self.kill_and_start_on_full_disk().await.context("started on a full disk")?;
        drop(ballast);
        let again = until("nothing could be pushed once there was room", SOON, async || {
            Ok(Some(self.push(&toy).await?))
        });
        let deployment = again.await?;
        self.wait_for(&deployment, &WELL, BUILT_WITHIN).await?;
        Ok(vec![
            format!("a push: \"{}\"; models answered", refused.message),
            format!(
                "server killed: first answer {} ms after its start, still without room",
                took.as_millis()
            ),
            "with room again it was pushed and built".into(),
        ])
    }
}

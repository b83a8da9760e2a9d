//! From a plan to effects, in the one safe order.
//!
//! *Save the transitions* (only over the versions that were read; if somebody got there first, the plan is dropped and
//! made again) → *start replicas* → *publish routes* → *stop what drained*. Routes follow from what is stored and what
//! is ready, so a crash between any two steps is repaired by the next look: there is no resume code.

use std::time::Duration;

use domain::{
    Actor, Change, ChangeKind, Deployment, Event, EventId, EventKind, ModelId, Moment, Plan, ReplicaId,
    ReplicaSpec, RuntimeError, Seen, Snapshot, Start, plan, routes_as_stored,
};

use crate::observe::observe;
use crate::schedule::at_the_latest;
use crate::usage::{Metered, metered};
use crate::{Engine, Error};

/// What a replica gets to finish its requests after TERM before it is killed.
const GRACE: Duration = Duration::from_secs(30);
/// How soon a start is tried again that the machine could not do, in milliseconds.
const AFTER_FAILURE: i64 = 1_000;
/// The same where a secret could not be opened, which takes a person to change.
const AFTER_SEALED: i64 = 15_000;
/// Plans that may be dropped in a row because somebody else wrote first.
const TRIES: usize = 5;

impl Engine {
    /// One look at one model.
    pub(crate) async fn look(&mut self, model: &ModelId) -> Result<(), Error> {
        for _ in 0..TRIES {
            let at = self.moment();
            let published = self.models.get(model).and_then(|known| known.published.clone());
            let Some(snapshot) = observe(&self.parts, model, published).await? else {
                self.forget_model(model);
                return Ok(());
            };
            let memory = self.models.get(model).map(|known| known.memory.clone()).unwrap_or_default();
            let mut plan = plan(&snapshot, &memory, at);
            let look_again = self.admit(&snapshot, &mut plan, at);
            let saved = match self.save(&snapshot, &plan, at).await {
                Ok(saved) => saved,
                Err(error) => {
                    self.serve_as_stored(&snapshot, at);
                    return Err(error);
                }
            };
            if let Some(saved) = saved {
                if look_again {
                    self.again(model);
                }
                self.carry_out(&snapshot, plan, at, saved).await?;
                return Ok(());
            }
        }
        self.again(model);
        Ok(())
    }

    /// While nothing can be written down, as on a full disk, models go on answering.
    fn serve_as_stored(&mut self, snapshot: &Snapshot, at: Moment) {
        let known = self.models.entry(snapshot.model.id.clone()).or_default();
        let Some(routes) = routes_as_stored(snapshot, &known.memory, at) else { return };
        if known.published.as_ref() != Some(&routes) {
            self.parts.publisher.publish(routes.clone());
            known.published = Some(routes);
        }
    }

    fn forget_model(&mut self, model: &ModelId) {
        self.leave_room(model);
        self.builds.keep(model, &[]);
        self.schedule.remove(model);
        self.samples.remove(model);
        if let Some(known) = self.models.remove(model) {
            self.meter.forget(model, &known.metered);
            self.start_times.forget(model);
            self.parts.publisher.forget(model);
            self.tell(model, 0);
        }
    }

    /// Writes what changed; `None` if another writer came first, else whether there was anything to write.
    async fn save(&self, snapshot: &Snapshot, plan: &Plan, at: Moment) -> Result<Option<bool>, Error> {
        let nothing = plan.deployments.is_empty()
            && plan.environments.is_empty()
            && plan.promotions.is_empty()
            && plan.events.is_empty();
        if nothing {
            return Ok(Some(false));
        }
        let mut tx = self.parts.store.begin().await?;
        let mut first = true;
        for deployment in &plan.deployments {
            first &= tx.save_deployment(&mut deployment.clone()).await?;
        }
        for environment in &plan.environments {
            first &= tx.save_environment(&mut environment.clone()).await?;
        }
        for promotion in &plan.promotions {
            first &= tx.save_promotion(&mut promotion.clone()).await?;
        }
        if !first {
            tx.rollback().await?;
            return Ok(None);
        }
        let name = |id: &domain::DeploymentId| {
            let known = snapshot.deployments.iter().find(|deployment| &deployment.id == id)?;
            Some(known.name.to_string())
        };
        for (order, planned) in plan.events.iter().enumerate() {
            tx.append(&Event {
                id: EventId::ordered(at.now, order as u16, self.random_bytes()),
                at: at.now,
                kind: planned.kind,
                model: Some(snapshot.model.id.clone()),
                deployment: planned.deployment.clone(),
                environment: planned.environment.clone(),
                model_name: Some(snapshot.model.name.to_string()),
                deployment_name: planned.deployment.as_ref().and_then(name),
                actor: Actor::system(),
                sentence: planned.sentence.clone(),
                data: planned.data.clone(),
            })
            .await?;
        }
        tx.commit().await?;
        for planned in plan.events.iter().filter(|event| event.kind != EventKind::ScalingDecision) {
            if let Some(deployment) = &planned.deployment {
                self.parts.runtime.note(deployment, &planned.sentence).await;
            }
        }
        Ok(Some(true))
    }

    async fn carry_out(
        &mut self,
        snapshot: &Snapshot,
        plan: Plan,
        at: Moment,
        saved: bool,
    ) -> Result<(), Error> {
        let model = snapshot.model.id.clone();
        let mut look_at = plan.look_at;
        self.builds.keep(&model, &snapshot.deployments);
        for id in &plan.builds {
            if let Some(deployment) = snapshot.deployments.iter().find(|deployment| &deployment.id == id) {
                self.builds.start(deployment);
            }
        }
        for start in &plan.start {
            let changed = plan.deployments.iter().find(|deployment| deployment.id == start.deployment);
            let stored = snapshot.deployments.iter().find(|deployment| deployment.id == start.deployment);
            if let Some(deployment) = changed.or(stored)
                && let Some(wait) = self.start(deployment, start).await?
            {
                let soon = at.monotonic + wait;
                look_at = Some(look_at.map_or(soon, |at: i64| at.min(soon)));
            }
        }
        for reload in &plan.reload {
            self.parts.runtime.reload(&reload.replica, &reload.artifact).await;
        }
        for told in &plan.tell {
            if let Err(error) = self.parts.runtime.tell(&told.replica, told.environment.as_ref()).await {
                tracing::warn!(replica = %told.replica, %error, "could not tell a replica which environment it serves; trying again");
                let soon = at.monotonic + AFTER_FAILURE;
                look_at = Some(look_at.map_or(soon, |at: i64| at.min(soon)));
            }
        }
        self.hear_first_answers(&model);
        // An unanswered question publishes nothing new.
        if matches!(snapshot.replicas, Seen::Known(_)) && snapshot.published.as_ref() != Some(&plan.routes) {
            self.parts.publisher.publish(plan.routes.clone());
        }
        let noted = self.note_scaling(snapshot, &plan, at).await;
        self.meter_before_leaving(snapshot, &plan, at).await;
        for stop in &plan.stop {
            self.parts.runtime.stop(&stop.replica, GRACE, stop.reason).await;
        }
        for replica in &plan.forget {
            self.parts.runtime.forget(replica).await;
        }
        if !plan.forget.is_empty() {
            // What they held is free.
            self.wake_waiting(&model);
        }
        for deployment in &plan.purge {
            self.purge(snapshot, deployment).await?;
        }
        let restless = !plan.start.is_empty() || !plan.stop.is_empty() || !plan.forget.is_empty();
        let routes = (snapshot.published.as_ref() != Some(&plan.routes)).then_some(plan.routes);
        let moved = saved || restless || routes.is_some();
        let known = self.models.entry(model.clone()).or_default();
        known.memory = plan.memory;
        known.metered = metered(&snapshot.deployments);
        let latest = at_the_latest(&model, at.monotonic);
        let next = look_at.into_iter().chain(noted).fold(latest, i64::min);
        self.schedule.set(&model, next);
        match plan.sample_at.filter(|at| *at < next) {
            Some(at) => self.samples.set(&model, at),
            None => self.samples.remove(&model),
        }
        if let Some(routes) = routes.filter(|_| matches!(snapshot.replicas, Seen::Known(_))) {
            known.published = Some(routes);
        }
        if snapshot.published.is_none() && known.published.is_some() {
            // Nothing could be measured before the first table; the next look sees what it lets in.
            self.parts.wakes.again(&model);
        }
        let print = fingerprint(&snapshot.replicas);
        let news = moved || known.shown != print;
        known.shown = print;
        if news {
            self.tell(&model, snapshot.model.generation);
        }
        Ok(())
    }

    /// Starts processes; if that could not be done now, in how many milliseconds another look should try again.
    async fn start(&self, deployment: &Deployment, start: &Start) -> Result<Option<i64>, Error> {
        let secrets = match self.secrets(deployment).await? {
            Ok(secrets) => secrets,
            // A deployment that serves goes on serving: the key may come back, or the secret be set again.
            Err(reason) => {
                self.could_not(deployment, &reason).await;
                return Ok(Some(AFTER_SEALED));
            }
        };
        let milli_cpu = self.parts.host.weight_of(&deployment.compute);
        for _ in 0..start.count {
            let spec = ReplicaSpec {
                id: ReplicaId::from_random(self.random_bytes()),
                model: deployment.model.clone(),
                deployment: deployment.id.clone(),
                artifact: deployment.artifact.clone(),
                config: deployment.config.clone(),
                environment: start.environment.clone(),
                reserved: deployment.compute.reserved,
                milli_cpu,
                secrets: secrets.clone(),
            };
            match self.parts.runtime.start(&spec).await {
                Ok(()) => {}
                Err(RuntimeError::Retryable(reason)) => {
                    self.could_not(deployment, &reason).await;
                    return Ok(Some(AFTER_FAILURE));
                }
                Err(RuntimeError::Refused(reason)) => {
                    self.give_up(deployment, &reason).await?;
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    async fn could_not(&self, deployment: &Deployment, reason: &str) {
        tracing::warn!(deployment = %deployment.id, %reason, "could not start a replica; trying again");
        let line = format!("could not start a replica: {reason}; trying again");
        self.parts.runtime.note(&deployment.id, &line).await;
    }

    /// Trying again would not help: the deployment has failed until a person changes something, or what ran before its
    /// change goes on.
    async fn give_up(&self, deployment: &Deployment, reason: &str) -> Result<(), Error> {
        let Some(state) = self.parts.store.load_model(&deployment.model).await? else { return Ok(()) };
        let found = state.deployments.into_iter().find(|found| found.id == deployment.id);
        let Some(mut failed) = found else { return Ok(()) };
        // Other code is to run by now: what became of the former, which may be removed, says nothing of it.
        if failed.artifact != deployment.artifact {
            self.again(&deployment.model);
            return Ok(());
        }
        let now = self.parts.clock.now();
        let why = format!("it can't be started: {reason}");
        let (kind, sentence);
        if failed.starts_change() {
            kind = EventKind::ModelDeploymentPatchFailed;
            sentence = format!("the change of {} did not come up: {why}", failed.name);
            failed.staged_failed(why, None, now);
        } else {
            kind = EventKind::ModelDeploymentFailed;
            sentence = format!("{} failed: {reason}", failed.name);
            failed.failure = Some(why);
            failed.deadline = None;
        }
        let mut tx = self.parts.store.begin().await?;
        if tx.save_deployment(&mut failed).await? {
            tx.append(&Event {
                id: EventId::ordered(now, 0, self.random_bytes()),
                at: now,
                kind,
                model: Some(failed.model.clone()),
                deployment: Some(failed.id.clone()),
                environment: failed.environment.clone(),
                model_name: Some(state.model.name.to_string()),
                deployment_name: Some(failed.name.to_string()),
                actor: Actor::system(),
                sentence,
                data: serde_json::json!({ "reason": reason }),
            })
            .await?;
            tx.commit().await?;
        } else {
            // Somebody else wrote first; the next look finds out whether it still can't be started.
            tx.rollback().await?;
        }
        self.again(&deployment.model);
        Ok(())
    }

    /// Counts what is about to leave, which a later count would miss.
    async fn meter_before_leaving(&mut self, snapshot: &Snapshot, plan: &Plan, at: Moment) {
        let Seen::Known(replicas) = &snapshot.replicas else { return };
        if plan.stop.is_empty() && plan.forget.is_empty() && plan.purge.is_empty() {
            return;
        }
        let metered = Metered {
            model: &snapshot.model.id,
            name: &snapshot.model.name,
            deployments: &snapshot.deployments,
            replicas,
        };
        self.meter(metered, at).await;
        self.write_usage().await;
    }

    async fn purge(&self, snapshot: &Snapshot, id: &domain::DeploymentId) -> Result<(), Error> {
        let Some(deployment) = snapshot.deployments.iter().find(|deployment| &deployment.id == id) else {
            return Ok(());
        };
        if let Err(error) = self.parts.runtime.purge(id).await {
            tracing::warn!(deployment = %id, %error, "could not remove a deleted deployment's files; trying again later");
            return Ok(());
        }
        let mut tx = self.parts.store.begin().await?;
        tx.mark_purged(&deployment.id).await?;
        let mut unused = deployment.idle_changes(&snapshot.deployments);
        for (artifact, _) in deployment.sources() {
            // Copies run from the same archive; who deletes the last of them has it removed.
            if tx.users_of_artifact(&deployment.model, artifact.as_str()).await? == 0 {
                unused.push(artifact);
            }
        }
        tx.commit().await?;
        for artifact in unused {
            if let Err(error) = self.parts.runtime.discard(artifact).await {
                tracing::warn!(deployment = %id, %error, "could not remove what was pushed; upkeep tries again");
            }
        }
        Ok(())
    }

    /// Tells browsers that a model is worth reading again.
    pub(crate) fn tell(&self, model: &ModelId, generation: u64) {
        (self.parts.changes)(Change { kind: ChangeKind::Model, id: model.to_string(), generation });
    }
}

/// A number that differs when what people see of the replicas differs.
fn fingerprint(replicas: &Seen<Vec<domain::ObservedReplica>>) -> u64 {
    use std::hash::{Hash, Hasher};
    let mut hasher = std::hash::DefaultHasher::new();
    if let Seen::Known(list) = replicas {
        for replica in list {
            replica.id.hash(&mut hasher);
            format!("{:?}", replica.state).hash(&mut hasher);
        }
    }
    hasher.finish()
}

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::{
    Actor, ArtifactId, Asked, AutoscalingPatch, AutoscalingSettings, Begun, Build, Clock, Compute, Decided,
    Deployment, DeploymentId, DeploymentKind, DeploymentName, Environment, EnvironmentName, Event, EventId,
    EventKind, GIB, Host, Lifecycle, LiveReload, ManualClock, Model, ModelId, ModelName, ModelRoutes,
    ObservedReplica, PatchPoint, Promotion, PromotionId, PromotionRequest, Revision, Runtime, ScaleCause,
    ScaleChange, ScalingHistory, Seen, Signal, Source, Staged, Strategy, Timestamp, Traffic, Wake, ask,
    begin, check_decision, check_invariant, standing,
};

use store::{ModelState, Store};

use super::{Load, Machine, Script, Table};
use crate::{Engine, Parts, Wakes};

/// One model, its machine and its callers, on a clock that only moves when told to.
pub struct World {
    pub clock: Arc<ManualClock>,
    pub machine: Arc<Machine>,
    pub load: Arc<Load>,
    pub table: Arc<Table>,
    pub model: ModelId,
    /// Minutes a deployment may take to become ready, and a promotion to pass its gate.
    pub timeout_minutes: u32,
    /// Broken promises, each with the moment.
    pub violations: Vec<String>,
    /// The code of each change of the development deployment, in the order in which they came.
    pub changes: Vec<ArtifactId>,
    /// What was checked last, so that nothing is checked twice.
    checked: Option<(ModelRoutes, Vec<ObservedReplica>, BTreeMap<EnvironmentName, u32>)>,
    /// Requests that waited at the last look.
    holding: u32,
    store: Store,
    wakes: Arc<Wakes>,
    pub(crate) engine: Engine,
    started: Timestamp,
    random: Arc<dyn Fn(&mut [u8]) + Send + Sync>,
    _folder: tempfile::TempDir,
}

/// The moment every simulation begins at.
const BEGIN: i64 = 1_767_225_600_000;

impl World {
    /// A model without deployments, and its production environment.
    pub async fn new(seed: u64) -> Result<Self, store::Error> {
        let shared_memory = std::path::Path::new("/dev/shm");
        let folder =
            if shared_memory.is_dir() { tempfile::tempdir_in(shared_memory) } else { tempfile::tempdir() }
                .map_err(|error| store::Error::Io(error.to_string()))?;
        let store = Store::open_scratch(&folder.path().join("world.db")).await?;
        let clock = Arc::new(ManualClock::starting_at(Timestamp::from_millis(BEGIN)));
        let random = counter(seed);
        let wakes = Arc::new(Wakes::default());
        let runtime = Arc::new(Machine::new(clock.clone(), wakes.clone()));
        let table = Arc::new(Table::default());
        let model = ModelId::from_random(bytes(&random));
        let load = Arc::new(Load::new(table.clone(), model.clone()));
        let now = clock.now();
        let row = Model {
            id: model.clone(),
            name: ModelName::new("iris").map_err(|error| store::Error::Io(error.to_string()))?,
            created_at: now,
            next_number: 1,
            generation: 1,
            allow_download: true,
        };
        let mut tx = store.begin().await?;
        tx.insert_model(&row).await?;
        tx.insert_environment(&Environment::new(model.clone(), EnvironmentName::production(), now)).await?;
        tx.commit().await?;
        let parts = parts(&store, &runtime, &load, &table, &clock, &wakes, &random);
        Ok(Self {
            engine: Engine::new(parts),
            clock,
            machine: runtime,
            load,
            table,
            model,
            timeout_minutes: 30,
            violations: Vec::new(),
            changes: Vec::new(),
            checked: None,
            holding: 0,
            store,
            wakes,
            started: now,
            random,
            _folder: folder,
        })
    }

    /// Milliseconds since the world began.
    pub fn elapsed(&self) -> i64 {
        self.clock.now().since(self.started)
    }

    pub async fn state(&self) -> Result<ModelState, store::Error> {
        let state = self.store.load_model(&self.model).await?;
        state.ok_or_else(|| store::Error::Io("the model is gone".into()))
    }

    pub async fn by_name(&self, name: &str) -> Result<Option<Deployment>, store::Error> {
        let state = self.state().await?;
        Ok(state.deployments.into_iter().find(|deployment| deployment.name.as_str() == name))
    }

    /// A push arrives.
    pub async fn deploy(&mut self, name: &str, script: Script) -> Result<DeploymentId, store::Error> {
        let id = DeploymentId::from_random(bytes(&self.random));
        let compute = Compute { reserved: script.needs, ..Compute::default() };
        let development = script.development;
        let pushed = PatchPoint { hash: "pushed".into(), signature: "{}".into() };
        self.load.fail(&id, script.fails_every);
        self.machine.script(&id, script);
        let deployment = Deployment {
            id: id.clone(),
            model: self.model.clone(),
            name: DeploymentName::new(name).map_err(|error| store::Error::Io(error.to_string()))?,
            kind: if development { DeploymentKind::Development } else { DeploymentKind::Published },
            created_at: self.clock.now(),
            created_by: "someone".into(),
            artifact: ArtifactId::from_random(bytes(&self.random)),
            config: serde_json::json!({}),
            raw_config: None,
            labels: None,
            build: Build::Queued,
            lifecycle: Lifecycle::Active,
            environment: None,
            autoscaling: AutoscalingSettings::default(),
            target: 0,
            active_since: None,
            deadline: None,
            deploy_timeout_minutes: self.timeout_minutes,
            failed_starts: 0,
            retry_at: None,
            last_exit: None,
            terminating: Vec::new(),
            failure: None,
            compute,
            waiting: None,
            backpressure: None,
            truss_hash: None,
            truss_signature: None,
            live: development.then(|| LiveReload::as_pushed(pushed)),
            copied_from: None,
            deleted_at: None,
            version: 0,
        };
        let mut tx = self.store.begin().await?;
        tx.insert_deployment(&deployment).await?;
        tx.raise_generation(&self.model, self.clock.now()).await?;
        tx.commit().await?;
        self.wakes.wake(&self.model);
        Ok(id)
    }

    /// An artifact that nothing runs yet.
    pub fn fresh_artifact(&self) -> ArtifactId {
        ArtifactId::from_random(bytes(&self.random))
    }

    /// Changes a deployment's row as a use case would.
    pub async fn change(&mut self, name: &str, change: impl Fn(&mut Deployment)) -> Result<(), store::Error> {
        let Some(mut deployment) = self.by_name(name).await? else { return Ok(()) };
        let before = deployment.target;
        change(&mut deployment);
        let cause = match deployment.lifecycle {
            Lifecycle::Active if !deployment.is_built() => ScaleCause::Pushed,
            Lifecycle::Active => ScaleCause::Activated,
            Lifecycle::Inactive => ScaleCause::Deactivated,
        };
        let mut tx = self.store.begin().await?;
        tx.save_deployment(&mut deployment).await?;
        if let Some(event) = self.explained(&deployment, before, cause) {
            tx.append(&event).await?;
        }
        tx.raise_generation(&self.model, self.clock.now()).await?;
        tx.commit().await?;
        self.wakes.wake(&self.model);
        Ok(())
    }

    /// What is recorded of a deployment that should have another number of replicas than before.
    fn explained(&self, deployment: &Deployment, before: u32, cause: ScaleCause) -> Option<Event> {
        let change = ScaleChange::between(before, deployment.target, cause)?;
        let now = self.clock.now();
        Some(Event {
            id: EventId::ordered(now, 0, bytes(&self.random)),
            at: now,
            kind: EventKind::ScalingDecision,
            model: Some(self.model.clone()),
            deployment: Some(deployment.id.clone()),
            environment: None,
            model_name: None,
            deployment_name: Some(deployment.name.to_string()),
            actor: Actor::system(),
            sentence: change.sentence(&deployment.name),
            data: change.data(),
        })
    }

    /// The development deployment is pushed again.
    pub async fn push_again(&mut self, name: &str) -> Result<(), store::Error> {
        let artifact = self.fresh_artifact();
        self.change(name, |deployment| {
            let pushed = PatchPoint { hash: "pushed".into(), signature: "{}".into() };
            deployment.artifact = artifact.clone();
            deployment.build = Build::Queued;
            deployment.target = 0;
            deployment.active_since = None;
            deployment.deadline = None;
            deployment.failure = None;
            deployment.waiting = None;
            deployment.live = Some(LiveReload::as_pushed(pushed));
        })
        .await
    }

    /// A change of the development deployment's code arrives; answers its code. Its state is called `change 1`, `change 2`.
    pub async fn receive_code(&mut self, name: &str, hot: bool) -> Result<ArtifactId, store::Error> {
        let artifact = ArtifactId::from_random(bytes(&self.random));
        self.changes.push(artifact.clone());
        let now = self.clock.now();
        let hash = format!("change {}", self.changes.len());
        self.change(name, |deployment| {
            let Some(live) = &mut deployment.live else { return };
            let point = PatchPoint { hash: hash.clone(), signature: "{}".into() };
            let config = deployment.config.clone();
            let revision = Revision { point, artifact: artifact.clone(), config, raw_config: None };
            live.stage(Staged { revision, hot, at: now, by: "someone".into() });
        })
        .await?;
        Ok(artifact)
    }

    /// The newest change is to be put into service.
    pub async fn sync_code(&mut self, name: &str) -> Result<(), store::Error> {
        self.change(name, |deployment| deployment.prepare_staged("preparing".into())).await
    }

    /// Changes an environment's scaling; a refusal is returned as its sentence.
    pub async fn rescale(
        &mut self,
        name: &str,
        patch: AutoscalingPatch,
    ) -> Result<Result<(), String>, store::Error> {
        let state = self.state().await?;
        let Some(mut environment) = state.environments.into_iter().find(|e| e.name.as_str() == name) else {
            return Ok(Err(format!("no environment {name}")));
        };
        match environment.autoscaling.patched(&patch) {
            Err(refusal) => return Ok(Err(refusal.to_string())),
            Ok(settings) => environment.autoscaling = settings,
        }
        let mut tx = self.store.begin().await?;
        tx.save_environment(&mut environment).await?;
        tx.raise_generation(&self.model, self.clock.now()).await?;
        tx.commit().await?;
        self.wakes.wake(&self.model);
        Ok(Ok(()))
    }

    /// Turns production's watch over errors on or off, for promotions that begin from now on.
    pub async fn stop_on_errors(&mut self, on: bool) -> Result<(), store::Error> {
        let state = self.state().await?;
        let Some(mut environment) = state.environments.into_iter().find(|e| e.name.is_production()) else {
            return Ok(());
        };
        environment.promotion.stop_on_errors = on;
        let mut tx = self.store.begin().await?;
        tx.save_environment(&mut environment).await?;
        tx.raise_generation(&self.model, self.clock.now()).await?;
        tx.commit().await?;
        self.wakes.wake(&self.model);
        Ok(())
    }

    /// From now on so many requests are under way at production's address; the gateway wakes a model that holds one.
    pub fn traffic(&mut self, concurrent: u32) {
        self.load.set(EnvironmentName::production(), concurrent);
        self.wakes.wake(&self.model);
    }

    /// From now on a request comes to production's address each so many milliseconds, which is over at once; or none any more.
    pub fn short_requests(&mut self, every: Option<i64>) {
        self.load.send_short(every);
    }

    /// Begins a promotion to production, or says why not.
    pub async fn promote(
        &mut self,
        name: &str,
        strategy: Strategy,
    ) -> Result<Result<(), String>, store::Error> {
        let state = self.state().await?;
        let Some(mut candidate) = state.deployments.iter().find(|d| d.name.as_str() == name).cloned() else {
            return Ok(Err(format!("no deployment {name}")));
        };
        let Some(environment) = state.environments.iter().find(|e| e.name.is_production()) else {
            return Ok(Err("no production".into()));
        };
        let running = state.promotions.iter().find(|promotion| promotion.environment == environment.name);
        let request = PromotionRequest { strategy: Some(strategy), ..PromotionRequest::default() };
        let now = self.clock.now();
        let (source, cleanup, previous) = match begin(environment, &candidate, false, running, &request, now)
        {
            Err(refusal) => return Ok(Err(refusal)),
            Ok(Begun::AlreadyCurrent) => return Ok(Err(format!("{name} serves production already"))),
            Ok(Begun::Promote { source, cleanup, previous, .. }) => (source, cleanup, previous),
        };
        if source != Source::Itself {
            return Ok(Err("scenarios promote deployments themselves".into()));
        }
        let before = candidate.target;
        if candidate.lifecycle == Lifecycle::Inactive {
            candidate.begin_deploying(environment.autoscaling.min_replica, now);
        }
        candidate.environment = Some(environment.name.clone());
        candidate.target = candidate.target.max(strategy.first_replicas(&environment.autoscaling));
        let timeout = i64::from(self.timeout_minutes) * 60_000;
        let promotion = Promotion {
            previous,
            cleanup,
            ..Promotion::new(
                PromotionId::from_random(bytes(&self.random)),
                environment,
                candidate.id.clone(),
                strategy,
                "someone",
                now,
                now.plus(timeout),
            )
        };
        let mut tx = self.store.begin().await?;
        if !tx.save_deployment(&mut candidate).await? {
            tx.rollback().await?;
            return Ok(Err("somebody else changed it meanwhile".into()));
        }
        tx.insert_promotion(&promotion).await?;
        if let Some(event) = self.explained(&candidate, before, ScaleCause::Promotion) {
            tx.append(&event).await?;
        }
        tx.append(&Event {
            id: EventId::ordered(now, 0, bytes(&self.random)),
            at: now,
            kind: EventKind::ModelDeploymentPromoted,
            model: Some(self.model.clone()),
            deployment: Some(candidate.id.clone()),
            environment: Some(environment.name.clone()),
            model_name: None,
            deployment_name: Some(name.to_string()),
            actor: Actor::system(),
            sentence: format!("promotion of {name} to production began"),
            data: serde_json::json!({}),
        })
        .await?;
        tx.raise_generation(&self.model, now).await?;
        tx.commit().await?;
        self.wakes.wake(&self.model);
        Ok(Ok(()))
    }

    /// Asks something of the running promotion, or says why it can't be asked.
    pub async fn signal(&mut self, signal: Signal) -> Result<Result<(), String>, store::Error> {
        let state = self.state().await?;
        let Some(mut promotion) = state.promotions.into_iter().next() else {
            return Ok(Err("no promotion in progress".into()));
        };
        match ask(&promotion, signal) {
            Err(refusal) => return Ok(Err(refusal)),
            Ok(Asked::Already) => return Ok(Ok(())),
            Ok(Asked::Store) => promotion.send(signal, "someone", self.clock.now()),
        }
        let mut tx = self.store.begin().await?;
        tx.save_promotion(&mut promotion).await?;
        tx.raise_generation(&self.model, self.clock.now()).await?;
        tx.commit().await?;
        self.wakes.wake(&self.model);
        Ok(Ok(()))
    }

    /// The server dies and another starts: what was in memory is gone, the machine's processes are not.
    pub fn restart(&mut self) {
        self.table.clear();
        self.load.forget();
        self.holding = 0;
        let parts = parts(
            &self.store,
            &self.machine,
            &self.load,
            &self.table,
            &self.clock,
            &self.wakes,
            &self.random,
        );
        self.engine = Engine::new(parts);
    }

    /// The server stops its replicas and ends, the machine with it; and both start.
    pub fn reboot(&mut self) {
        self.machine.reboot();
        self.restart();
    }

    /// Adds models without deployments: they are known, and need nothing.
    pub async fn add_idle_models(&mut self, count: u32) -> Result<(), store::Error> {
        let mut tx = self.store.begin().await?;
        for number in 0..count {
            let name = ModelName::new(format!("idle-{number}"));
            let row = Model {
                id: ModelId::from_random(bytes(&self.random)),
                name: name.map_err(|error| store::Error::Io(error.to_string()))?,
                created_at: self.clock.now(),
                next_number: 1,
                generation: 1,
                allow_download: true,
            };
            tx.insert_model(&row).await?;
        }
        tx.commit().await
    }

    /// One tick, while time stands still.
    pub async fn tick(&mut self) -> i64 {
        self.engine.tick().await
    }

    /// Asks for a look at the model.
    pub fn wake(&self) {
        self.wakes.wake(&self.model);
    }

    /// Lets time pass, looking whenever something is due, and checks every table on the way.
    pub async fn run(&mut self, millis: i64) -> Result<(), store::Error> {
        let end = self.clock.now().plus(millis);
        loop {
            let look = self.settle().await?;
            let now = self.clock.now();
            if now >= end {
                return Ok(());
            }
            let comes = self.load.due_in().map(|wait| now.millis() + wait);
            let next = [Some(look), self.machine.due(), comes].into_iter().flatten().min();
            let next = next.unwrap_or(i64::MAX).clamp(now.millis() + 1, end.millis());
            self.load.advance(next - now.millis());
            self.clock.set(Timestamp::from_millis(next));
            self.machine.advance();
        }
    }

    /// Ticks until nobody asks for another look at this moment; says when the engine wants to look next.
    async fn settle(&mut self) -> Result<i64, store::Error> {
        for _ in 0..50 {
            // What the look can have measured; callers see a new table only after it.
            let demand = self.demand();
            let look = self.engine.tick().await;
            self.engine.finish_builds().await;
            let held = self.held();
            if held > std::mem::replace(&mut self.holding, held) {
                // The gateway wakes a model whose requests begin to wait.
                self.wakes.wake(&self.model);
            }
            if !self.wakes.any() {
                self.check(demand).await?;
                return Ok(look);
            }
        }
        self.violations.push(format!("{} ms: looks without end", self.elapsed()));
        Ok(self.clock.now().millis() + 1)
    }

    /// Requests of each environment, as far as the table lets any arrive.
    fn demand(&self) -> BTreeMap<EnvironmentName, u32> {
        let routes = self.table.of(&self.model).map(|routes| routes.environments).unwrap_or_default();
        let of = |id: &DeploymentId| self.load.deployment(id).demand.total();
        routes
            .into_iter()
            .map(|route| (route.name, route.shares.iter().map(|share| of(&share.deployment)).sum()))
            .collect()
    }

    /// Requests that wait for a replica.
    fn held(&self) -> u32 {
        let routes = self.table.of(&self.model).map(|routes| routes.deployments).unwrap_or_default();
        routes.iter().map(|route| self.load.deployment(&route.id).demand.held).sum()
    }

    async fn check(&mut self, demand: BTreeMap<EnvironmentName, u32>) -> Result<(), store::Error> {
        let (Some(routes), Seen::Known(replicas)) =
            (self.table.of(&self.model), self.machine.observe(&self.model))
        else {
            return Ok(());
        };
        self.check_room();
        let seen = (routes, replicas, demand);
        if self.checked.as_ref() == Some(&seen) {
            return Ok(());
        }
        let state = self.state().await?;
        let broken = check_invariant(
            &seen.0,
            &state.deployments,
            &state.environments,
            &state.promotions,
            &seen.1,
            &seen.2,
        );
        self.checked = Some(seen);
        let at = self.elapsed();
        self.violations.extend(broken.into_iter().map(|violation| format!("{at} ms: {}", violation.0)));
        Ok(())
    }

    /// Nothing of the machine is held twice.
    fn check_room(&mut self) {
        let (Seen::Known(held), host) = (self.machine.held(), host()) else { return };
        let memory: u64 = held.iter().map(|holding| holding.reserved.memory).sum();
        let gpus: u32 = held.iter().map(|holding| holding.reserved.gpus).sum();
        if memory > host.memory || gpus > host.gpus {
            let at = self.elapsed();
            self.violations
                .push(format!("{at} ms: replicas hold {memory} bytes and {gpus} cards of {host:?}"));
        }
    }

    /// Each deployment with its status and sentence.
    pub async fn standings(&self) -> Result<Vec<String>, store::Error> {
        let state = self.state().await?;
        let seen = self.machine.observe(&self.model);
        let now = self.clock.now();
        Ok(state
            .deployments
            .iter()
            .filter(|deployment| deployment.deleted_at.is_none())
            .map(|deployment| {
                let standing = standing(deployment, &seen, now);
                format!("{} {}: {}", deployment.name, standing.status.as_str(), standing.sentence)
            })
            .collect())
    }

    /// Everything recorded, oldest first.
    pub async fn events(&self) -> Result<Vec<Event>, store::Error> {
        self.store.events_of_model(&self.model, 10_000).await
    }

    /// Every recorded change of how many replicas a deployment should have, oldest first.
    pub async fn decisions(&self) -> Result<Vec<Event>, store::Error> {
        let events = self.events().await?;
        Ok(events.into_iter().filter(|event| event.kind == EventKind::ScalingDecision).collect())
    }

    /// Recomputes every recorded decision from its inputs, and looks whether each deployment came by recorded changes to the
    /// number it should have; what does not follow is a broken promise.
    pub async fn check_decisions(&mut self) -> Result<(), store::Error> {
        // How often each number was come to, less how often it was left.
        let mut visits: BTreeMap<DeploymentId, BTreeMap<u32, i64>> = BTreeMap::new();
        for event in self.events().await?.into_iter().filter(decides) {
            let at = event.at.since(self.started);
            let broken = |error: serde_json::Error| store::Error::Io(error.to_string());
            let decided = serde_json::from_value::<Decided>(event.data).map_err(broken)?;
            // That of both sides of a rolling promotion is no deployment's.
            let of_one = event.kind == EventKind::ScalingDecision;
            if let Some(deployment) = event.deployment.filter(|_| of_one) {
                let (from, to) = decided.numbers();
                let visits = visits.entry(deployment).or_default();
                *visits.entry(from).or_default() -= 1;
                *visits.entry(to).or_default() += 1;
            }
            if let Decided::Computed { decision, floor, settings } = decided {
                let wrong = check_decision(&decision, floor, &settings).into_iter();
                self.violations.extend(wrong.map(|sentence| format!("{at} ms: {sentence}")));
            }
        }
        for deployment in self.state().await?.deployments {
            let mut visits = visits.remove(&deployment.id).unwrap_or_default();
            *visits.entry(0).or_default() += 1;
            *visits.entry(deployment.target).or_default() -= 1;
            if visits.values().any(|count| *count != 0) {
                let name = &deployment.name;
                self.violations.push(format!("changes of {name}'s replicas are not recorded: {visits:?}"));
            }
        }
        Ok(())
    }

    /// The record of a deployment's scaling since the beginning.
    pub async fn scaling(&self, id: &DeploymentId) -> Result<ScalingHistory, store::Error> {
        Ok(ScalingHistory {
            counts: self.store.replica_counts(id, self.started, 10_000).await?,
            decisions: Vec::new(),
            cold_starts: self.store.cold_starts(id, self.started, 10_000).await?,
        })
    }

    /// The last promotion, running or not.
    pub async fn last_promotion(&self) -> Result<Option<Promotion>, store::Error> {
        self.store.last_promotion(&self.model, &EnvironmentName::production()).await
    }
}

/// Whether an event says how many replicas there should be: of a deployment, or of both sides of a rolling promotion.
fn decides(event: &Event) -> bool {
    match event.kind {
        EventKind::ScalingDecision => true,
        EventKind::ModelPromotionStep => event.data.get("decision").is_some(),
        _ => false,
    }
}

/// The machine of every simulation.
fn host() -> Host {
    Host { milli_cpu: 8000, memory: 16 * GIB, gpus: 2, gpu_type: None, types: Vec::new(), whole: true }
}

fn parts(
    store: &Store,
    runtime: &Arc<Machine>,
    load: &Arc<Load>,
    table: &Arc<Table>,
    clock: &Arc<ManualClock>,
    wakes: &Arc<Wakes>,
    random: &Arc<dyn Fn(&mut [u8]) + Send + Sync>,
) -> Parts {
    Parts {
        store: store.clone(),
        runtime: runtime.clone(),
        host: Arc::new(host()),
        builds_at_once: 2,
        traffic: load.clone(),
        publisher: table.clone(),
        clock: clock.clone(),
        wakes: wakes.clone(),
        changes: Arc::new(|_| {}),
        random: random.clone(),
        vault: store::Vault::new(&[0; 32]),
    }
}

/// Bytes that look random, differ every time and are the same for the same seed.
fn counter(seed: u64) -> Arc<dyn Fn(&mut [u8]) + Send + Sync> {
    let next = AtomicU64::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    Arc::new(move |buffer: &mut [u8]| {
        for byte in buffer {
            let mut z = next.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            *byte = (z >> 56) as u8;
        }
    })
}

fn bytes(random: &Arc<dyn Fn(&mut [u8]) + Send + Sync>) -> [u8; 16] {
    let mut bytes = [0; 16];
    random(&mut bytes);
    bytes
}

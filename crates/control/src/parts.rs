use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::{
    Action, Actor, AppliedRoutes, Change, ChangeKind, Clock, DeploymentId, EnvironmentName, Event, EventId,
    EventKind, Host, ModelId, Runtime, ScaleChange, Timestamp, Traffic, Wake,
};
use serde_json::Value;
use store::{ModelState, Store, Tx, Vault};
use tokio::sync::broadcast;

use crate::Error;
use crate::keys::KeyRing;
use crate::looks::Looks;
use crate::password::Passwords;
use crate::pushes::Pushes;
use crate::storage::Disk;

/// What the use cases work with.
#[derive(Clone)]
pub struct Parts {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub wake: Arc<dyn Wake>,
    /// For logs and storage; use cases start and stop nothing themselves.
    pub runtime: Arc<dyn Runtime>,
    /// What models may use of the machine.
    pub host: Arc<Host>,
    pub traffic: Arc<dyn Traffic>,
    pub applied: Arc<dyn AppliedRoutes>,
    pub changes: broadcast::Sender<Change>,
    /// Fills a buffer with random bytes.
    pub random: Arc<dyn Fn(&mut [u8]) + Send + Sync>,
    /// Seals secrets.
    pub vault: Vault,
    /// Where uploads and unpacked archives are.
    pub data_dir: PathBuf,
}

/// The use cases, in files by subject. Cheap to clone.
#[derive(Clone)]
pub struct ControlPlane {
    pub(crate) parts: Parts,
    pub(crate) ring: Arc<KeyRing>,
    pub(crate) looks: Arc<Looks>,
    pub(crate) disk: Arc<Disk>,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) pushes: Arc<Pushes>,
}

/// How long an answer waits for traffic to have moved.
pub(crate) const MOVED_WITHIN: Duration = Duration::from_secs(2);
/// How often a use case is tried again when somebody wrote first.
pub(crate) const TRIES: usize = 8;

impl ControlPlane {
    /// Reads the keys and is ready.
    pub async fn open(parts: Parts) -> Result<Self, Error> {
        let ring = Arc::new(KeyRing::default());
        let plane = Self {
            parts,
            ring,
            looks: Arc::default(),
            disk: Arc::default(),
            passwords: Arc::default(),
            pushes: Arc::default(),
        };
        plane.reload_keys().await?;
        Ok(plane)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    pub(crate) fn random_bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        (self.parts.random)(&mut bytes);
        bytes
    }

    /// Refuses whoever's role does not reach.
    pub(crate) fn may(&self, actor: &Actor, action: Action) -> Result<(), Error> {
        if actor.role.permits(action) {
            return Ok(());
        }
        let needed = match action {
            Action::Invoke => "call models",
            Action::View => "look at the workspace",
            Action::ReadMetrics => "read metrics",
            Action::Deploy => "change models",
            Action::ManageKeys => "manage API keys",
            Action::Administer => {
                "manage people, say who may change an environment, or see everybody's activity"
            }
        };
        let who = match (&actor.person, &actor.key_prefix) {
            (Some(_), _) => format!("{}, a {},", actor.name, actor.role.as_str()),
            (None, Some(_)) => format!("the key `{}`", actor.name),
            (None, None) => actor.name.clone(),
        };
        Err(Error::Forbidden(format!("{who} may not {needed}; ask an admin for the right to")))
    }

    /// Begins to write to a model: takes its next generation, which makes other writers of it wait, and reads it.
    pub(crate) async fn hold(&self, id: &ModelId) -> Result<Held, Error> {
        let now = self.now();
        let mut tx = self.parts.store.begin().await?;
        let generation = tx.raise_generation(id, now).await?;
        let state = tx.load_model(id).await?;
        match (generation, state) {
            (Some(generation), Some(state)) => Ok(Held::new(tx, state, generation, now)),
            _ => Err(no_model(id)),
        }
    }

    /// Commits, then tells everybody whom it concerns.
    pub(crate) async fn finish(&self, held: Held) -> Result<Done, Error> {
        let Held { tx, state, generation, .. } = held;
        tx.commit().await?;
        self.tell(&state.model.id, generation);
        Ok(Done { model: state.model.id, generation })
    }

    pub(crate) fn tell(&self, model: &ModelId, generation: u64) {
        self.parts.wake.wake(model);
        let change = Change { kind: ChangeKind::Model, id: model.to_string(), generation };
        // Nobody watching is fine.
        let _ = self.parts.changes.send(change);
    }

    /// Tells everybody that something of the workspace has changed that belongs to no model.
    pub(crate) fn tell_workspace(&self) {
        let _ =
            self.parts.changes.send(Change { kind: ChangeKind::Models, id: String::new(), generation: 0 });
    }

    /// Waits, within bounds, until requests meet what was recorded.
    pub(crate) async fn moved(&self, done: &Done) -> bool {
        self.parts.applied.wait_applied(&done.model, done.generation, MOVED_WITHIN).await
    }

    pub(crate) fn event(&self, actor: &Actor, now: Timestamp, order: u16, about: About<'_>) -> Event {
        Event {
            id: EventId::ordered(now, order, self.random_bytes()),
            at: now,
            kind: about.kind,
            model: about.model.cloned(),
            deployment: about.deployment.cloned(),
            environment: about.environment.cloned(),
            model_name: None,
            deployment_name: None,
            actor: actor.clone(),
            sentence: about.sentence,
            data: about.data,
        }
    }
}

pub(crate) fn no_model(id: &ModelId) -> Error {
    Error::NotFound(format!("there is no model `{id}`"))
}

/// A model that this use case writes to, and nobody else until it ends.
pub(crate) struct Held {
    pub tx: Tx,
    pub state: ModelState,
    pub generation: u64,
    pub now: Timestamp,
    events: u16,
}

/// What a use case recorded, for waiting until it is in force.
pub(crate) struct Done {
    pub model: ModelId,
    pub generation: u64,
}

/// What an event tells.
pub(crate) struct About<'a> {
    pub kind: EventKind,
    pub model: Option<&'a ModelId>,
    pub deployment: Option<&'a DeploymentId>,
    pub environment: Option<&'a EnvironmentName>,
    pub sentence: String,
    pub data: Value,
}

impl Held {
    pub fn new(tx: Tx, state: ModelState, generation: u64, now: Timestamp) -> Self {
        Self { tx, state, generation, now, events: 0 }
    }

    pub fn deployment(&self, id: &DeploymentId) -> Result<&domain::Deployment, Error> {
        let live = self.state.deployments.iter().filter(|deployment| deployment.deleted_at.is_none());
        live.into_iter()
            .find(|deployment| &deployment.id == id)
            .ok_or_else(|| Error::NotFound(format!("{} has no deployment `{id}`", self.state.model.name)))
    }

    pub fn environment(&self, name: &EnvironmentName) -> Result<&domain::Environment, Error> {
        self.state.environments.iter().find(|environment| &environment.name == name).ok_or_else(|| {
            Error::NotFound(format!(
                "{} has no environment `{name}`; create it first, from the model's page or with POST /v1/models/{}/environments",
                self.state.model.name, self.state.model.id
            ))
        })
    }

    pub fn running(&self, name: &EnvironmentName) -> Option<&domain::Promotion> {
        self.state.promotions.iter().find(|promotion| &promotion.environment == name)
    }

    /// Adds a deployment.
    pub async fn insert_deployment(&mut self, deployment: domain::Deployment) -> Result<(), Error> {
        self.tx.insert_deployment(&deployment).await?;
        self.state.deployments.push(deployment);
        Ok(())
    }

    /// Writes a deployment over what was read.
    pub async fn save_deployment(&mut self, mut deployment: domain::Deployment) -> Result<(), Error> {
        written(self.tx.save_deployment(&mut deployment).await?)?;
        if let Some(known) = self.state.deployments.iter_mut().find(|known| known.id == deployment.id) {
            *known = deployment;
        }
        Ok(())
    }

    pub async fn save_environment(&mut self, mut environment: domain::Environment) -> Result<(), Error> {
        written(self.tx.save_environment(&mut environment).await?)?;
        if let Some(known) = self.state.environments.iter_mut().find(|known| known.name == environment.name) {
            *known = environment;
        }
        Ok(())
    }

    pub async fn save_promotion(&mut self, mut promotion: domain::Promotion) -> Result<(), Error> {
        written(self.tx.save_promotion(&mut promotion).await?)
    }

    /// Records what was done, under the names that are in force afterwards.
    pub async fn record(
        &mut self,
        plane: &ControlPlane,
        actor: &Actor,
        kind: EventKind,
        deployment: Option<&DeploymentId>,
        environment: Option<&EnvironmentName>,
        sentence: String,
        data: Value,
    ) -> Result<(), Error> {
        let model = self.state.model.id.clone();
        let about = About { kind, model: Some(&model), deployment, environment, sentence, data };
        let mut event = plane.event(actor, self.now, self.events, about);
        event.model_name = Some(self.state.model.name.to_string());
        let named = self.state.deployments.iter().find(|known| Some(&known.id) == deployment);
        event.deployment_name = named.map(|known| known.name.to_string());
        self.events += 1;
        self.tx.append(&event).await?;
        Ok(())
    }

    /// Records, among the decisions about its scaling, why a deployment should have another number of replicas now. What was done
    /// is recorded beside it, and by whom; this follows from it.
    pub(crate) async fn explain(
        &mut self,
        plane: &ControlPlane,
        id: &DeploymentId,
        change: Option<ScaleChange>,
    ) -> Result<(), Error> {
        let Some(change) = change else { return Ok(()) };
        let sentence = change.sentence(&self.deployment(id)?.name);
        let kind = EventKind::ScalingDecision;
        self.record(plane, &Actor::system(), kind, Some(id), None, sentence, change.data()).await
    }
}

fn written(first: bool) -> Result<(), Error> {
    if first { Ok(()) } else { Err(Error::Busy) }
}

/// Does something again, from reading on, while others write the same rows in between; the future must not borrow.
macro_rules! persist {
    ($body:expr) => {{
        let mut left = $crate::parts::TRIES;
        loop {
            match $body {
                Err($crate::Error::Busy) if left > 0 => left -= 1,
                other => break other,
            }
        }
    }};
}
pub(crate) use persist;

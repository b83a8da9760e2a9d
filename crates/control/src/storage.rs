//! What deployments hold of the disk (semantics: Disk).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use domain::{Action, Actor, Deployment, DeploymentId, EnvironmentUse, StorageUse, Timestamp};
use tokio::sync::OwnedMutexGuard;

use crate::{ControlPlane, Error};

/// How long an answer waits for a look at the disk; beyond it the look before has to do.
const WITHIN: Duration = Duration::from_secs(2);

/// What one deployment holds of the disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    pub deployment: Deployment,
    pub held: StorageUse,
    /// Other live deployments that run in the same environment.
    pub environment_shared_by: usize,
}

/// What one deployment holds of the disk, as far as that is known in time.
#[derive(Debug, Clone, PartialEq)]
pub enum OnDisk {
    Now(Stored),
    /// As of the last look at all of them.
    Before(Stored),
    /// No look at it has come to its end yet.
    Unknown,
}

/// What all deployments hold of the disk together, in bytes; what is shared counts once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoredTotal {
    pub artifacts: u64,
    pub logs: u64,
    pub environments: u64,
    pub external: u64,
}

/// One look at the disk.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StorageLook {
    /// Every deployment that was live, oldest first.
    pub deployments: Vec<Stored>,
    pub total: StoredTotal,
    /// When it began; `None` if no look has come to its end yet, and then there is nothing in it.
    pub as_of: Option<Timestamp>,
}

/// Live deployments by the key of the environment they run in.
type Users = HashMap<String, HashSet<DeploymentId>>;
type Turn = tokio::sync::Mutex<()>;

/// The looks at the disk: one at a time at all of it and one at each deployment, however many ask.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// As of the last look, and what was seen of single deployments since.
    users: Mutex<Users>,
    last: Mutex<Last>,
    turn: Arc<Turn>,
    /// Those of deployments that are looked at by themselves.
    turns: Mutex<HashMap<DeploymentId, Weak<Turn>>>,
}

#[derive(Debug, Default)]
struct Last {
    look: Arc<StorageLook>,
    /// When it began, in monotonic milliseconds.
    began: Option<i64>,
}

impl Disk {
    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is held while a deployment is looked at by itself.
    fn turn_of(&self, id: &DeploymentId) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(id).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::new(Turn::default());
        turns.insert(id.clone(), Arc::downgrade(&turn));
        turn
    }
}

/// Looks to the end, also when nobody waits for it any more, so that whoever asks next has its numbers. The turn is over then.
async fn to_its_end<T: Send + 'static>(
    turn: OwnedMutexGuard<()>,
    look: impl Future<Output = T> + Send + 'static,
) -> Result<T, Error> {
    let looked = tokio::spawn(async move {
        let seen = look.await;
        drop(turn);
        seen
    });
    looked.await.map_err(|error| Error::Internal(format!("the look at the disk was interrupted: {error}")))
}

impl ControlPlane {
    /// What every live deployment holds of the disk, and all of them together: as it is now, or as of the last look where
    /// a new one takes longer than two seconds.
    pub async fn storage(&self, actor: &Actor) -> Result<Arc<StorageLook>, Error> {
        self.may(actor, Action::View)?;
        match tokio::time::timeout(WITHIN, self.look_at_storage()).await {
            Ok(look) => look,
            Err(_) => Ok(self.disk.last().look.clone()),
        }
    }

    /// The same for upkeep, so that one deployment's page knows with whom it shares: as it is now, however long it takes.
    pub async fn look_at_storage(&self) -> Result<Arc<StorageLook>, Error> {
        let asked = self.parts.clock.monotonic();
        let turn = self.disk.turn.clone().lock_owned().await;
        // Somebody else who waited may have looked for all of us.
        let shared = {
            let last = self.disk.last();
            last.began.filter(|began| *began > asked).map(|_| last.look.clone())
        };
        if let Some(look) = shared {
            return Ok(look);
        }
        let plane = self.clone();
        to_its_end(turn, async move { plane.measure_all().await }).await?
    }

    async fn measure_all(&self) -> Result<Arc<StorageLook>, Error> {
        let (as_of, began) = (self.now(), self.parts.clock.monotonic());
        let mut deployments = Vec::new();
        let mut total = StoredTotal::default();
        let (mut artifacts, mut external) = (BTreeSet::new(), BTreeSet::new());
        let mut users: Users = HashMap::new();
        for deployment in self.parts.store.live_deployments().await? {
            let held = self.parts.runtime.storage(&deployment).await;
            total.logs += held.logs;
            if artifacts.insert(deployment.artifact.clone()) {
                total.artifacts += held.artifact;
            }
            for file in &held.external {
                if external.insert(file.key.clone()) {
                    total.external += file.bytes;
                }
            }
            if let Some(EnvironmentUse { key, bytes }) = &held.environment {
                let of_key = users.entry(key.clone()).or_default();
                if of_key.is_empty() {
                    total.environments += bytes;
                }
                of_key.insert(deployment.id.clone());
            }
            deployments.push(Stored { deployment, held, environment_shared_by: 0 });
        }
        for stored in &mut deployments {
            stored.environment_shared_by = others(&users, stored);
        }
        *self.disk.users() = users;
        let look = Arc::new(StorageLook { deployments, total, as_of: Some(as_of) });
        *self.disk.last() = Last { look: look.clone(), began: Some(began) };
        Ok(look)
    }

    /// What one deployment holds of the disk: as it is now, or as of the last look at all of them where measuring it takes
    /// longer than two seconds. With how many others it shares its environment is as of that look in any case.
    ///
    /// # Errors
    /// The actor may not look at it.
    pub async fn storage_of(&self, actor: &Actor, deployment: &Deployment) -> Result<OnDisk, Error> {
        self.may(actor, Action::View)?;
        if let Ok(stored) = tokio::time::timeout(WITHIN, self.measure(deployment)).await {
            return stored.map(OnDisk::Now);
        }
        let look = self.disk.last().look.clone();
        let before = look.deployments.iter().find(|stored| stored.deployment.id == deployment.id);
        Ok(before.cloned().map_or(OnDisk::Unknown, OnDisk::Before))
    }

    async fn measure(&self, deployment: &Deployment) -> Result<Stored, Error> {
        let turn = self.disk.turn_of(&deployment.id).lock_owned().await;
        let (plane, row) = (self.clone(), deployment.clone());
        let held = to_its_end(turn, async move { plane.parts.runtime.storage(&row).await }).await?;
        let mut stored = Stored { deployment: deployment.clone(), held, environment_shared_by: 0 };
        let mut users = self.disk.users();
        if let Some(environment) = &stored.held.environment {
            users.entry(environment.key.clone()).or_default().insert(deployment.id.clone());
        }
        stored.environment_shared_by = others(&users, &stored);
        drop(users);
        Ok(stored)
    }
}

/// How many others run in the same environment.
fn others(users: &Users, stored: &Stored) -> usize {
    let same = stored.held.environment.as_ref().and_then(|environment| users.get(&environment.key));
    same.map_or(0, |same| same.len() - usize::from(same.contains(&stored.deployment.id)))
}

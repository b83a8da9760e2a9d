//! Keeps the gateway's keys those that the use cases know.

use std::sync::Arc;

use control::{KeyRing, hash_of};
use domain::{ModelId, Role};
use gateway::{Gateway, KeyGrant, KeySnapshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Sets the gateway's keys now, and whenever one is made or revoked. `own` is the server's for trial requests.
pub fn follow(
    ring: Arc<KeyRing>,
    gateway: Arc<Gateway>,
    own: Arc<str>,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    let mut changes = ring.changes();
    gateway.set_keys(Arc::new(snapshot(&ring, &own)));
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                changed = changes.changed() => if changed.is_err() { return },
            }
            gateway.set_keys(Arc::new(snapshot(&ring, &own)));
        }
    })
}

fn snapshot(ring: &KeyRing, own: &str) -> KeySnapshot {
    let known = ring.snapshot();
    let keys = known.iter().map(|(hash, row)| {
        let models = row.models.as_ref().map(|models| models.iter().map(ModelId::new).collect());
        (*hash, KeyGrant { role: row.role, models, environments: row.environments.clone() })
    });
    let own = (hash_of(own), KeyGrant { role: Role::Invoker, models: None, environments: None });
    KeySnapshot { keys: keys.chain([own]).collect() }
}

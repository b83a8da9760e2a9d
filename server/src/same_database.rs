//! That a server goes on with the database of those before it: one that does not know the models that run would stop them all.

use anyhow::{Context, bail};
use domain::ObservedReplica;
use store::Store;

use crate::client::Local;
use crate::config::Config;
use crate::{data_folder, wire};

/// Before a server is taken over from: whether this one can go on with its data folder and its database. Changes nothing.
///
/// # Errors
/// With what is wrong, and what to do.
pub async fn check_successor(config: &Config) -> anyhow::Result<()> {
    let folder = &config.data_dir;
    let folder = folder
        .canonicalize()
        .with_context(|| format!("the data folder {} can't be looked at", folder.display()))?;
    data_folder::layout(&folder)?;
    let ours = wire::database_name(config, &folder);
    if let Some(theirs) = other(config, &ours) {
        bail!(
            "the server that runs here uses the database {theirs}, and this one was to take over with {ours}; start it with \
             DATABASE_URL as the other one has it, or stop the other one first to change databases"
        );
    }
    Store::check_used(&config.database_url(&folder))
        .await
        .with_context(|| format!("the database of the server that runs here ({ours}) can't be opened"))
}

/// The database of the server that runs here, or was the last to leave models running, if it is another one than `ours`.
pub fn other(config: &Config, ours: &str) -> Option<String> {
    let local = Local::find(config).ok()?;
    local.uses_another(ours).then_some(local.database)
}

/// Whether a server may stop the replicas that its database does not know.
///
/// # Errors
/// If they were started with the database `other`, with what to do.
pub fn may_stop(unknown: &[ObservedReplica], other: Option<&str>, ours: &str) -> anyhow::Result<()> {
    match other {
        Some(other) if !unknown.is_empty() => bail!(
            "the database {ours} does not know {} of the replicas that run here, which a server with the database {other} has \
             started; start with DATABASE_URL as that one had it. To change databases, start that one once more and stop it: \
             then its replicas stop, too",
            unknown.len()
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{DeploymentId, ModelId, ReplicaId, ReplicaState, Timestamp};

    fn replica() -> ObservedReplica {
        ObservedReplica {
            id: ReplicaId::new("r1"),
            model: ModelId::new("m1"),
            deployment: DeploymentId::new("d1"),
            state: ReplicaState::Ready,
            port: 1,
            pid: None,
            started_at: Timestamp::from_millis(1),
            spawned_at: None,
            loaded_at: None,
            ready_at: None,
            unready_since: None,
            artifact: None,
            refused: None,
            environment: None,
        }
    }

    #[test]
    fn replicas_of_another_database_are_not_stopped() {
        let (unknown, ours) = ([replica(), replica()], "sqlite:/data/slipway.db");
        let refusal = may_stop(&unknown, Some("postgres://ada@db/slipway"), ours).unwrap_err().to_string();
        assert!(refusal.contains("does not know 2 of the replicas"), "{refusal}");
        assert!(refusal.contains("postgres://ada@db/slipway") && refusal.contains(ours), "{refusal}");
        // Those of a deployment that was deleted are, and so is nothing.
        assert!(may_stop(&unknown, None, ours).is_ok());
        assert!(may_stop(&[], Some("postgres://ada@db/slipway"), ours).is_ok());
    }
}

//! What has to be done now and then.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use control::ControlPlane;
use domain::Clock;
use gateway::Tls;
use runtime::{LocalRuntime, Retention};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{room_left, uploads};

const EVERY: Duration = Duration::from_secs(60);
/// The disk is swept, and old records are trimmed, once in this many rounds.
const SWEEP_ROUNDS: u64 = 60;

/// What upkeep works on.
pub struct Chores {
    pub control: ControlPlane,
    pub clock: Arc<dyn Clock>,
    /// The folder of uploads.
    pub uploads: PathBuf,
    /// What runs models here, if it is this machine.
    pub local: Option<Arc<LocalRuntime>>,
    pub keep: Retention,
    /// The certificate, if connections are encrypted here.
    pub tls: Option<Tls>,
}

/// Writes when keys were used, looks for a renewed certificate and at the room on the disk, each minute;
/// gives the disk back and trims the record of scaling, each hour.
pub fn start(chores: Chores, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut room = room_left::Watch::default();
        for round in 0u64.. {
            room.look(&chores.uploads);
            if round.is_multiple_of(SWEEP_ROUNDS) {
                chores.sweep().await;
            }
            chores.renew_certificate();
            if let Err(error) = chores.control.flush_key_use().await {
                tracing::warn!(%error, "when keys were last used could not be written");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    })
}

impl Chores {
    /// Takes over a certificate that was renewed.
    fn renew_certificate(&self) {
        match self.tls.as_ref().map(Tls::renew) {
            Some(Ok(true)) => tracing::info!("connections get the certificate that was renewed"),
            Some(Err(error)) => {
                tracing::warn!(%error, "the renewed certificate can't be used; the former one stays")
            }
            Some(Ok(false)) | None => {}
        }
    }

    /// Removes uploads that nobody pushed, and what no deployment uses any more.
    async fn sweep(&self) {
        uploads::sweep(&self.uploads, self.clock.now()).await;
        if let Err(error) = self.control.sweep_uploads().await {
            tracing::warn!(%error, "uploads that nobody pushed could not be removed");
        }
        if let Err(error) = self.control.trim_scaling_history().await {
            tracing::warn!(%error, "old rows of the record of scaling could not be removed");
        }
        if let Err(error) = self.control.trim_metrics().await {
            tracing::warn!(%error, "old metrics could not be removed");
        }
        if let Err(error) = self.control.look_at_storage().await {
            tracing::warn!(%error, "what deployments hold of the disk could not be read");
        }
        let Some(local) = &self.local else { return };
        match self.control.live_deployments().await {
            Ok(live) => {
                let tidied = local.tidy(live, self.keep).await;
                if tidied.bytes > 0 {
                    tracing::info!(
                        archives = tidied.artifacts,
                        environments = tidied.environments,
                        "gave {} of the disk back",
                        domain::memory_text(tidied.bytes)
                    );
                }
            }
            // What is in use is not known, so nothing goes.
            Err(error) => tracing::warn!(%error, "could not read the deployments; nothing was removed"),
        }
    }
}

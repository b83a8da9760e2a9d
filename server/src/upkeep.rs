//! What has to be done now and then.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use control::ControlPlane;
use domain::Clock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::uploads;

const EVERY: Duration = Duration::from_secs(60);
/// Uploads are swept, and old records trimmed, once in this many rounds.
const SWEEP_ROUNDS: u64 = 60;

/// Writes when keys were used, each minute; removes uploads that nobody pushed and trims the record of scaling, each hour.
pub fn start(
    control: ControlPlane,
    clock: Arc<dyn Clock>,
    uploads: PathBuf,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        for round in 0u64.. {
            if round.is_multiple_of(SWEEP_ROUNDS) {
                uploads::sweep(&uploads, clock.now()).await;
                if let Err(error) = control.sweep_uploads().await {
                    tracing::warn!(%error, "uploads that nobody pushed could not be removed");
                }
                if let Err(error) = control.trim_scaling_history().await {
                    tracing::warn!(%error, "old rows of the record of scaling could not be removed");
                }
            }
            if let Err(error) = control.flush_key_use().await {
                tracing::warn!(%error, "when keys were last used could not be written");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    })
}

//! Looks at the gateway's counters at round times, for the graphs.

use std::time::Duration;

use control::ControlPlane;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Once at the start, and until the server stops; then once more, so that the last minute is not lost.
pub fn start(control: ControlPlane, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut wait = Duration::ZERO;
        loop {
            let stops = tokio::select! {
                () = shutdown.cancelled() => true,
                () = tokio::time::sleep(wait) => false,
            };
            let looked = if stops { control.flush_metrics().await } else { control.look_at_metrics().await };
            if let Err(error) = looked {
                tracing::warn!(%error, "what was measured could not be written; trying again at the next look");
            }
            if stops {
                return;
            }
            wait = control.until_look();
        }
    })
}

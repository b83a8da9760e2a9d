//! Looks at the gateway's counters at a steady pace, for the graphs.

use std::time::Duration;

use control::{ControlPlane, LOOK_EVERY};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// Until the server stops; then once more, so that the last minute is not lost.
pub fn start(control: ControlPlane, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_millis(LOOK_EVERY as u64));
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let stops = tokio::select! {
                () = shutdown.cancelled() => true,
                _ = pace.tick() => false,
            };
            let looked = if stops { control.flush_metrics().await } else { control.look_at_metrics().await };
            if let Err(error) = looked {
                tracing::warn!(%error, "what was measured could not be written; trying again at the next look");
            }
            if stops {
                return;
            }
        }
    })
}

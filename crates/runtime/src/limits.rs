//! What builds and replicas may use at most.

use std::time::Duration;

/// The limits of one machine, as they are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Builds that may run at once, which whoever calls for them sees to; the others wait for their turn.
    pub builds_at_once: usize,
    /// How long a build may take before it is ended.
    pub build: Duration,
    /// Processes and threads that one replica may have at once, where the host permits control groups.
    pub processes: u32,
}

impl Default for Limits {
    /// A build for each core, but 2 at least and 8 at most.
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { builds_at_once: cores.clamp(2, 8), build: Duration::from_secs(60 * 60), processes: 4096 }
    }
}

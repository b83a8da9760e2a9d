//! What builds and replicas may use at most.

use std::time::Duration;

use domain::GIB;

/// The limits of one machine, as they are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Builds that may run at once, which whoever calls for them sees to; the others wait for their turn.
    pub builds_at_once: usize,
    /// How long a build may take before it is ended.
    pub build: Duration,
    /// Bytes that what one build installs may use at once, where the host permits control groups.
    pub build_memory: u64,
    /// Processes and threads that it may have at once, under the same condition.
    pub build_processes: u32,
    /// Processes and threads that one replica may have at once, under the same condition.
    pub processes: u32,
}

impl Limits {
    /// The usual ones on a machine with so many bytes of memory, 0 if that is not known: a build for each core, but 2 at least and
    /// 8 at most.
    pub fn on(memory: u64) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            builds_at_once: cores.clamp(2, 8),
            build: Duration::from_secs(60 * 60),
            build_memory: build_memory(memory),
            build_processes: 4096,
            processes: 4096,
        }
    }
}

impl Default for Limits {
    /// On a machine of unknown memory.
    fn default() -> Self {
        Self::on(0)
    }
}

/// What installing wheels never needs and compiling most packages does not either.
const ENOUGH: u64 = 4 * GIB;

/// Half of the machine, because compilers take what there is and a limit that fails an honest build is worse than a wide one; what is
/// [`ENOUGH`] also where that is more than half, but never what everything else needs to go on.
fn build_memory(machine: u64) -> u64 {
    match machine {
        0 => ENOUGH,
        _ => (machine / 2).max(ENOUGH).min(machine / 10 * 9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_has_half_of_a_large_machine_and_most_of_a_small_one() {
        let table = [(0, 4 * GIB), (2 * GIB, 2 * GIB / 10 * 9), (6 * GIB, 4 * GIB), (64 * GIB, 32 * GIB)];
        for (machine, memory) in table {
            assert_eq!(Limits::on(machine).build_memory, memory, "{machine}");
        }
    }
}

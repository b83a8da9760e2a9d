//! What a replica's processes use, read from `/proc` when somebody asks.

use std::collections::{BTreeSet, HashMap};

use domain::{ReplicaId, ReplicaSample, ReplicaUse};

use crate::process::{all, group_of, members, stat};
use crate::registry::Registry;

/// The kernel tells processor time in hundredths of a second on every architecture that Rust's std runs on.
const TICK_MS: u64 = 10;
/// Where utime and stime are among the fields after the name: the 14th and 15th of the file.
const TIMES: [usize; 2] = [11, 12];

/// What all processes of a group use together; nothing when none is left.
pub(crate) fn used_by(leader: u32) -> Option<ReplicaUse> {
    let members = members(leader);
    if members.is_empty() {
        return None;
    }
    let mut total = ReplicaUse::default();
    for pid in members {
        // One that ended in between uses nothing.
        total.memory += memory(pid).unwrap_or(0);
        total.cpu_ms += stat(pid).ok().and_then(|fields| processor(&fields)).unwrap_or(0);
    }
    Some(total)
}

/// What all living replicas have used, by one pass over the machine's processes.
pub(crate) fn used_by_all(registry: &Registry, without_memory: &BTreeSet<ReplicaId>) -> Vec<ReplicaSample> {
    let mut samples: HashMap<u32, ReplicaSample> = HashMap::new();
    for entry in registry.lock().replicas.values().filter(|entry| entry.seen.is_alive()) {
        let seen = &entry.seen;
        let sample = ReplicaSample {
            model: seen.model.clone(),
            deployment: seen.deployment.clone(),
            replica: seen.id.clone(),
            cpu_ms: 0,
            memory: None,
        };
        samples.insert(entry.group, sample);
    }
    if samples.is_empty() {
        return Vec::new();
    }
    let mut found = BTreeSet::new();
    for pid in all() {
        let Ok(fields) = stat(pid) else { continue };
        let Some(leader) = group_of(&fields) else { continue };
        let Some(sample) = samples.get_mut(&leader) else { continue };
        found.insert(leader);
        sample.cpu_ms += processor(&fields).unwrap_or(0);
        if !without_memory.contains(&sample.replica) {
            *sample.memory.get_or_insert(0) += memory(pid).unwrap_or(0);
        }
    }
    samples.into_iter().filter(|(leader, _)| found.contains(leader)).map(|(_, sample)| sample).collect()
}

fn processor(fields: &[String]) -> Option<u64> {
    let ticks: u64 = TIMES.iter().filter_map(|index| fields.get(*index)?.parse::<u64>().ok()).sum();
    Some(ticks * TICK_MS)
}

/// The share-weighted size where the kernel tells it, the resident size elsewhere; in bytes.
fn memory(pid: u32) -> Option<u64> {
    let read =
        |file: &str, key: &str| kibibytes(&std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?, key);
    read("smaps_rollup", "Pss:").or_else(|| read("status", "VmRSS:"))
}

/// The number of a line such as `Pss:    1234 kB`, in bytes.
fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|number| number * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;

    #[test]
    fn a_line_is_read_whole() {
        let text = "Rss:  9 kB\nPss:    1234 kB\nPss_Anon: 5 kB\n";
        assert_eq!(kibibytes(text, "Pss:"), Some(1234 * 1024));
        assert_eq!(kibibytes(text, "VmRSS:"), None);
    }

    #[test]
    fn a_group_uses_memory_until_it_is_gone() {
        let mut child = std::process::Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let used = used_by(child.id()).unwrap();
        assert!(used.memory > 0, "{used:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(used_by(child.id()), None);
    }
}

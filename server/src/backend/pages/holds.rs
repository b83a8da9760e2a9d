//! What a deployment holds of the machine, in words.

use control::OnDisk;
use domain::{Deployment, memory_text};

/// `each replica holds 4 GiB of memory; 1.2 MiB of code, 12 KiB of logs; its environment, 160 MiB, is shared by 3`.
pub fn holds(deployment: &Deployment, disk: &OnDisk) -> String {
    let reserved = deployment.compute.reserved;
    let gpus = match reserved.gpus {
        0 => None,
        1 => Some("1 GPU".to_owned()),
        n => Some(format!("{n} GPUs")),
    };
    let memory = (reserved.memory > 0).then(|| format!("{} of memory", memory_text(reserved.memory)));
    let machine: Vec<String> = memory.into_iter().chain(gpus).collect();
    let mut parts = Vec::new();
    if !machine.is_empty() {
        parts.push(format!("each replica holds {}", machine.join(" and ")));
    }
    let (stored, when) = match disk {
        OnDisk::Now(stored) => (stored, ""),
        OnDisk::Before(stored) => (stored, ", as of the last look"),
        OnDisk::Unknown => {
            parts.push("what it has on disk is still being measured".into());
            return parts.join("; ");
        }
    };
    let (code, logs) = (memory_text(stored.held.artifact), memory_text(stored.held.logs));
    let external = match stored.held.external_bytes() {
        0 => String::new(),
        bytes => format!(", {} of external data", memory_text(bytes)),
    };
    parts.push(format!("on disk{when}: {code} of code, {logs} of logs{external}"));
    if let Some(environment) = &stored.held.environment {
        let bytes = memory_text(environment.bytes);
        parts.push(match stored.environment_shared_by {
            0 => format!("its environment has {bytes}"),
            others => format!("its environment, {bytes}, is shared by {}", others + 1),
        });
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use control::Stored;
    use domain::{EnvironmentUse, ExternalUse, MIB, Reserved, StorageUse};
    use serde_json::json;

    use super::*;

    fn deployment(reserved: Reserved) -> Deployment {
        let text = json!({
            "id": "d", "model": "m", "name": "deployment-1", "kind": "published", "created_at": 0,
            "created_by": "ada", "artifact": "a", "config": {}, "build": { "state": "queued" },
            "lifecycle": "active", "autoscaling": domain::AutoscalingSettings::default(), "target": 0,
            "deploy_timeout_minutes": 30, "failed_starts": 0, "version": 0,
        });
        let mut deployment: Deployment = serde_json::from_value(text).unwrap();
        deployment.compute.reserved = reserved;
        deployment
    }

    fn now(stored: &Stored) -> String {
        holds(&stored.deployment, &OnDisk::Now(stored.clone()))
    }

    #[test]
    fn what_is_shared_is_said() {
        let environment = Some(EnvironmentUse { key: "k".into(), bytes: 160 * MIB });
        let held = StorageUse { artifact: 1_300_000, logs: 12_288, environment, external: Vec::new() };
        let shared = Stored {
            deployment: deployment(Reserved { memory: 4096 * MIB, gpus: 1 }),
            held: held.clone(),
            environment_shared_by: 2,
        };
        assert_eq!(
            now(&shared),
            "each replica holds 4 GiB of memory and 1 GPU; on disk: 1.2 MiB of code, 12 KiB of logs; \
             its environment, 160 MiB, is shared by 3"
        );
        let alone = Stored { deployment: deployment(Reserved::default()), held, environment_shared_by: 0 };
        assert_eq!(now(&alone), "on disk: 1.2 MiB of code, 12 KiB of logs; its environment has 160 MiB");
        let files = ["a", "b"].map(|key| ExternalUse { key: key.into(), bytes: 512 * MIB });
        let held = StorageUse { external: files.into(), logs: 12_288, ..StorageUse::default() };
        let fetched = Stored { held, ..alone };
        assert_eq!(now(&fetched), "on disk: 0 bytes of code, 12 KiB of logs, 1 GiB of external data");
    }

    #[test]
    fn what_was_not_measured_in_time_says_so() {
        let deployment = deployment(Reserved { memory: 4096 * MIB, gpus: 0 });
        assert_eq!(
            holds(&deployment, &OnDisk::Unknown),
            "each replica holds 4 GiB of memory; what it has on disk is still being measured"
        );
        let held = StorageUse { logs: 12_288, ..StorageUse::default() };
        let before = Stored { deployment: deployment.clone(), held, environment_shared_by: 0 };
        assert_eq!(
            holds(&deployment, &OnDisk::Before(before)),
            "each replica holds 4 GiB of memory; \
             on disk, as of the last look: 0 bytes of code, 12 KiB of logs"
        );
    }
}

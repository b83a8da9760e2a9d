//! What a deployment holds of the machine, in words.

use control::Stored;
use domain::memory_text;

/// `each replica holds 4 GiB of memory; 1.2 MiB of code, 12 KiB of logs; its environment, 160 MiB, is shared by 3`.
pub fn holds(stored: &Stored) -> String {
    let reserved = stored.deployment.compute.reserved;
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
    let (code, logs) = (memory_text(stored.held.artifact), memory_text(stored.held.logs));
    let external = match stored.held.external_bytes() {
        0 => String::new(),
        bytes => format!(", {} of external data", memory_text(bytes)),
    };
    parts.push(format!("on disk: {code} of code, {logs} of logs{external}"));
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
    use domain::{Deployment, EnvironmentUse, ExternalUse, MIB, Reserved, StorageUse};
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
            holds(&shared),
            "each replica holds 4 GiB of memory and 1 GPU; on disk: 1.2 MiB of code, 12 KiB of logs; \
             its environment, 160 MiB, is shared by 3"
        );
        let alone = Stored { deployment: deployment(Reserved::default()), held, environment_shared_by: 0 };
        assert_eq!(holds(&alone), "on disk: 1.2 MiB of code, 12 KiB of logs; its environment has 160 MiB");
        let files = ["a", "b"].map(|key| ExternalUse { key: key.into(), bytes: 512 * MIB });
        let held = StorageUse { external: files.into(), logs: 12_288, ..StorageUse::default() };
        let fetched = Stored { held, ..alone };
        assert_eq!(holds(&fetched), "on disk: 0 bytes of code, 12 KiB of logs, 1 GiB of external data");
    }
}

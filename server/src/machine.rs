//! What this machine has, and what of it models may use: found, or as it is configured.

use std::fs;
use std::path::Path;

use domain::{Host, InstanceType, LOCAL, MIB};

/// What the configuration says of the machine; what it leaves out is found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MachineSettings {
    /// Bytes that models may reserve together.
    pub memory: Option<u64>,
    pub gpus: Option<u32>,
    pub gpu_type: Option<String>,
    /// Sizes to give it out in; without any there is one, which is the whole machine.
    pub types: Vec<InstanceType>,
}

/// The machine's size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// `2x24`: cores by gibibytes, rounded.
    pub name: String,
    pub cores: u32,
    pub memory_mib: u32,
    pub gpus: u32,
    pub gpu_type: Option<String>,
}

impl Machine {
    /// Reads it off `/proc`; what can't be read counts as one core, no memory, no GPU.
    pub fn read() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        let memory_mib =
            fs::read_to_string("/proc/meminfo").ok().as_deref().and_then(memory_mib).unwrap_or(0);
        let memory_mib = container_limits().fold(memory_mib, u32::min);
        let gpus = gpu_models(Path::new("/proc/driver/nvidia/gpus"));
        let gpu_type = gpus.first().cloned();
        let name = match &gpu_type {
            Some(model) => format!("{model}:{}x{cores}x{}", gpus.len(), (memory_mib + 512) / 1024),
            None => format!("{cores}x{}", (memory_mib + 512) / 1024),
        };
        Self { name, cores, memory_mib, gpus: gpus.len() as u32, gpu_type }
    }

    /// Bytes of its memory; 0 if they are not known.
    pub fn memory(&self) -> u64 {
        u64::from(self.memory_mib) * MIB
    }

    /// What models may use of it. A tenth of the memory is left to everything else, unless another amount is configured.
    pub fn host(self, settings: &MachineSettings) -> Host {
        let all = self.memory();
        let gpu_type = settings.gpu_type.clone().or(self.gpu_type);
        let gpus = settings.gpus.unwrap_or(self.gpus);
        let milli_cpu = u64::from(self.cores) * 1000;
        let whole = settings.types.is_empty();
        let types = match whole {
            false => settings.types.clone(),
            // The id is the same on every machine: configurations that name it can be carried over.
            true => vec![InstanceType {
                id: LOCAL.into(),
                name: self.name,
                milli_cpu,
                memory: all,
                gpus,
                gpu_type: gpu_type.clone(),
                price: None,
            }],
        };
        let memory = settings.memory.unwrap_or(all / 10 * 9);
        Host { milli_cpu, memory, gpus, gpu_type, types, whole }
    }
}

fn memory_mib(meminfo: &str) -> Option<u32> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    u32::try_from(kib / 1024).ok()
}

/// What a container leaves of the machine's memory, in mebibytes; `max` and the like limit nothing.
fn container_limits() -> impl Iterator<Item = u32> {
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    files.into_iter().filter_map(|file| {
        let bytes: u64 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
        u32::try_from(bytes / MIB).ok()
    })
}

/// The models of the graphics cards that the kernel's driver lists.
fn gpu_models(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("information")).ok())
        .map(|text| {
            let model = text.lines().find_map(|line| line.strip_prefix("Model:"));
            model.map_or_else(|| "GPU".to_owned(), |model| model.trim().to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_mebibytes() {
        assert_eq!(memory_mib("MemTotal:       24603856 kB\nMemFree: 1 kB\n"), Some(24027));
        assert_eq!(memory_mib("nothing"), None);
    }

    #[test]
    fn graphics_cards_are_counted_by_their_model() {
        let temp = tempfile::tempdir().unwrap();
        for slot in ["0000:00:04.0", "0000:00:05.0"] {
            fs::create_dir_all(temp.path().join(slot)).unwrap();
            fs::write(temp.path().join(slot).join("information"), "Model: \t\t Tesla T4\nIRQ: 10\n").unwrap();
        }
        assert_eq!(gpu_models(temp.path()), ["Tesla T4", "Tesla T4"]);
        assert!(gpu_models(&temp.path().join("none")).is_empty());
    }

    #[test]
    fn what_is_configured_wins_over_what_is_found() {
        let machine =
            || Machine { name: "8x10".into(), cores: 8, memory_mib: 10_240, gpus: 0, gpu_type: None };
        let found = machine().host(&MachineSettings::default());
        assert_eq!((found.milli_cpu, found.memory, found.gpus), (8000, 9 << 30, 0));
        assert_eq!(
            (found.types[0].id.as_str(), found.types[0].memory, found.whole),
            ("local", 10 << 30, true)
        );
        let settings = MachineSettings { memory: Some(1 << 30), gpus: Some(2), ..MachineSettings::default() };
        let set = machine().host(&settings);
        assert_eq!((set.memory, set.gpus), (1 << 30, 2));
    }
}

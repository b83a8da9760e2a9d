//! What this machine has: the one instance type that models run on.

use std::fs;
use std::path::Path;

/// The machine's size, as clients of the management API read it.
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
        let gpus = gpu_models(Path::new("/proc/driver/nvidia/gpus"));
        let gpu_type = gpus.first().cloned();
        let name = match &gpu_type {
            Some(model) => format!("{model}:{}x{cores}x{}", gpus.len(), (memory_mib + 512) / 1024),
            None => format!("{cores}x{}", (memory_mib + 512) / 1024),
        };
        Self { name, cores, memory_mib, gpus: gpus.len() as u32, gpu_type }
    }

    /// The id is the same on every machine: settings that name it can be carried over.
    pub fn id(&self) -> &'static str {
        "local"
    }
}

fn memory_mib(meminfo: &str) -> Option<u32> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    u32::try_from(kib / 1024).ok()
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
}

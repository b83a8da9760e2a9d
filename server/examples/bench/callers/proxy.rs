//! What the processes of a proxy use of the machine, as the kernel accounts for it.

use std::fs::{read_dir, read_to_string};

pub struct Proxy {
    pub pids: Vec<u32>,
}

impl Proxy {
    /// Nanoseconds of processor time that the processes' living threads have had.
    pub fn processor(&self) -> u64 {
        let threads = self.pids.iter().flat_map(|pid| read_dir(format!("/proc/{pid}/task")).unwrap());
        // A thread may end between listing and reading.
        let told = threads.filter_map(|thread| read_to_string(thread.unwrap().path().join("schedstat")).ok());
        told.map(|text| text.split(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> u64 {
        let told = self.pids.iter().map(|pid| read_to_string(format!("/proc/{pid}/status")).unwrap());
        let line = |text: String| {
            let rest = text.split("VmRSS:").nth(1).unwrap();
            rest.split_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        told.map(line).sum()
    }
}

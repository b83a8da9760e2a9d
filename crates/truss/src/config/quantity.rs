//! Amounts of cores and memory, as configurations write them.

use super::Resources;

const UNITS: [(&str, f64); 13] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("", 1.0),
];

impl Resources {
    /// Cores in thousandths: 500 for `500m`, 2000 for `2`. `None` when `cpu` is no amount above 0.
    pub fn milli_cpu(&self) -> Option<u64> {
        milli_cpu(&self.cpu)
    }

    /// Bytes: 536870912 for `512Mi`. `None` when `memory` is no amount above 0.
    pub fn memory_bytes(&self) -> Option<u64> {
        memory_bytes(&self.memory)
    }
}

/// Cores in thousandths: 500 for `500m`, 2000 for `2`. `None` for what is no amount above 0.
pub fn milli_cpu(text: &str) -> Option<u64> {
    match text.strip_suffix('m') {
        Some(thousandths) => amount(thousandths, 1.0),
        None => amount(text, 1000.0),
    }
}

/// Bytes: 536870912 for `512Mi`. `None` for what is no amount above 0.
pub fn memory_bytes(text: &str) -> Option<u64> {
    let found = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    found.and_then(|(digits, bytes)| amount(digits, bytes))
}

fn amount(digits: &str, scale: f64) -> Option<u64> {
    let plain = digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    let value = digits.parse::<f64>().ok().filter(|_| plain)? * scale;
    // Rounded up: a fraction of a byte or of a thousandth still has to be there.
    (value > 0.0 && value <= u64::MAX as f64).then(|| value.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use crate::Config;

    #[test]
    fn amounts_are_read_with_their_units() {
        let read = |cpu: &str, memory: &str| {
            let yaml = format!("resources: {{cpu: '{cpu}', memory: '{memory}'}}");
            let resources = Config::from_yaml(&yaml).unwrap().resources.clone();
            (resources.milli_cpu(), resources.memory_bytes())
        };
        assert_eq!(read("2", "512Mi"), (Some(2000), Some(536_870_912)));
        assert_eq!(read("500m", "2Gi"), (Some(500), Some(2_147_483_648)));
        assert_eq!(read("0.25", "1.5G"), (Some(250), Some(1_500_000_000)));
        assert_eq!(read("1", "1000"), (Some(1000), Some(1000)));
        for (cpu, memory) in
            [("two", "2Q"), ("0", "0Gi"), ("-1", "-1Gi"), ("inf", "NaN"), ("", ""), ("m", "Mi")]
        {
            assert_eq!(read(cpu, memory), (None, None), "{cpu} {memory}");
        }
    }
}

//! Amounts of memory, read from and written for people.

/// Bytes of a mebibyte and a gibibyte.
pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;

/// `4 GiB`, `21.6 GiB`, `512 MiB`, `12 KiB`: one decimal at most, and none where it says nothing.
pub fn memory_text(bytes: u64) -> String {
    let (unit, name) = match bytes {
        GIB.. => (GIB, "GiB"),
        MIB.. => (MIB, "MiB"),
        1024.. => (1024, "KiB"),
        _ => return format!("{bytes} bytes"),
    };
    let tenths = (u128::from(bytes) * 10 + u128::from(unit) / 2) / u128::from(unit);
    match tenths % 10 {
        0 => format!("{} {name}", tenths / 10),
        tenth => format!("{}.{tenth} {name}", tenths / 10),
    }
}

/// `4 cores`, `0.5 cores`, `1 core`.
pub fn cores_text(milli_cpu: u64) -> String {
    match (milli_cpu, milli_cpu % 1000) {
        (1000, _) => "1 core".into(),
        (_, 0) => format!("{} cores", milli_cpu / 1000),
        (_, part) => format!("{} cores", format!("{}.{part:03}", milli_cpu / 1000).trim_end_matches('0')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_short() {
        let table = [
            (4 * GIB, "4 GiB"),
            (GIB * 3 / 2, "1.5 GiB"),
            (512 * MIB, "512 MiB"),
            (12 * 1024, "12 KiB"),
            (7, "7 bytes"),
            (23_165_000_000, "21.6 GiB"),
            (u64::MAX, "17179869184 GiB"),
        ];
        for (bytes, text) in table {
            assert_eq!(memory_text(bytes), text);
        }
        assert_eq!([500, 1000, 2000, 2250].map(cores_text), ["0.5 cores", "1 core", "2 cores", "2.25 cores"]);
    }
}

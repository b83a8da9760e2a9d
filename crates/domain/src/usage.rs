//! How use is counted (semantics: Usage).

/// Replica minutes of a time in milliseconds: a started minute counts whole.
pub fn started_minutes(millis: i64) -> u64 {
    u64::try_from((millis.max(0).saturating_add(59_999)) / 60_000).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_started_minute_counts_whole() {
        assert_eq!([0, 1, 60_000, 60_001].map(started_minutes), [0, 1, 1, 2]);
        assert_eq!(started_minutes(-5), 0);
    }
}

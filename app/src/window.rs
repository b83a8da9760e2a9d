//! The window of a canary: how it is written, and the ladder it makes.

use domain::Invalid;

/// The shortest window that gives each of ten stages a whole second.
const SHORTEST: u64 = 10;
/// A week.
const LONGEST: u64 = 604_800;

/// Reads a window such as `10m`, `90s`, `1h`, `1h 30m`, or a plain number of seconds.
///
/// Answers seconds, 10 to 604,800.
pub fn parse_window(text: &str) -> Result<u32, Invalid> {
    let wrong = |problem: String| Invalid::new("window", problem);
    let seconds = parse_length(text).map_err(wrong)?;
    if !(SHORTEST..=LONGEST).contains(&seconds) {
        return Err(wrong(format!("{} is not within 10 seconds and 7 days", text.trim())));
    }
    Ok(seconds as u32)
}

/// Reads a length of time as it is written for a window, in seconds; of any size. If it can't be read, says why.
pub fn parse_length(text: &str) -> Result<u64, String> {
    let compact: String =
        text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    if compact.is_empty() {
        return Err("say how long the ten stages take together, for example 10m".into());
    }
    let unreadable = || format!("`{}` is not a length of time; write 10m, 90s, 1h or 600", text.trim());
    let mut seconds = 0u64;
    let mut number = String::new();
    for c in compact.chars() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(unreadable()),
        };
        let count: u64 = number.parse().map_err(|_| unreadable())?;
        seconds = seconds.saturating_add(count.saturating_mul(unit));
        number.clear();
    }
    if !number.is_empty() {
        if seconds > 0 {
            return Err(unreadable());
        }
        seconds = number.parse().map_err(|_| unreadable())?;
    }
    Ok(seconds)
}

/// A window as a person writes it: the inverse of [`parse_window`] and of [`parse_length`].
pub fn write_window(seconds: u32) -> String {
    match seconds {
        s if s >= 3600 && s % 3600 == 0 => format!("{}h", s / 3600),
        s if s >= 60 && s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

/// When each of the ten stages begins, in milliseconds after the candidate became ready.
pub fn ladder(window_seconds: u32) -> [(u8, u64); 10] {
    std::array::from_fn(|index| {
        let stage = index as u64;
        ((stage as u8 + 1) * 10, stage * u64::from(window_seconds) * 100)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_as_people_write_them() {
        for (text, seconds) in
            [("10m", 600), ("90s", 90), ("600", 600), (" 1h 30m ", 5400), ("1H", 3600), ("7d", 604_800)]
        {
            assert_eq!(parse_window(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_length_is_refused_with_an_example() {
        for text in ["", "soon", "10x", "m", "1h30", "-5m", "1.5h"] {
            let error = parse_window(text).unwrap_err();
            assert_eq!(error.field, "window");
            assert!(error.problem.contains("10m"), "{text}: {}", error.problem);
        }
    }

    #[test]
    fn windows_out_of_range_are_refused() {
        assert!(parse_window("9s").is_err());
        assert!(parse_window("8d").is_err());
        assert!(parse_window("99999999999999999999d").is_err());
        assert!(parse_window("9999999999999999999d").is_err());
    }

    #[test]
    fn writing_and_reading_agree() {
        for seconds in [10, 59, 60, 90, 600, 3600, 5400, 86_400, 604_800] {
            assert_eq!(parse_window(&write_window(seconds)), Ok(seconds));
        }
        for seconds in [0, 9, 604_801] {
            assert_eq!(parse_length(&write_window(seconds)), Ok(u64::from(seconds)));
        }
    }

    #[test]
    fn the_ladder_starts_at_once_and_has_even_steps() {
        let ladder = ladder(600);
        assert_eq!(ladder[0], (10, 0));
        assert_eq!(ladder[1], (20, 60_000));
        assert_eq!(ladder[9], (100, 540_000));
    }
}

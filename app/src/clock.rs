//! What time it is for the reader. The server's time, carried on by the browser's clock, so that a
//! wrong clock on the reader's desk never shows.

use domain::Timestamp;
use gloo_timers::callback::Interval;
use leptos::prelude::*;

/// The moving moment. Nothing until the page lives in the browser: the server and the first paint
/// in the browser show the moment the data was true.
#[derive(Clone, Copy)]
pub struct Now {
    now: RwSignal<Option<Timestamp>>,
    /// Milliseconds that the server's clock is ahead of the browser's.
    ahead: StoredValue<i64>,
}

/// Starts the clock; ticks each second in the browser.
pub fn provide_clock() {
    let clock = Now { now: RwSignal::new(None), ahead: StoredValue::new(0) };
    provide_context(clock);
    Effect::new(move || {
        clock.tick();
        // The dashboard is the whole document, so its clock lives as long as the tab.
        Interval::new(1000, move || clock.tick()).forget();
    });
}

impl Now {
    fn tick(self) {
        let here = js_sys::Date::now() as i64;
        self.now.set(Some(Timestamp::from_millis(here + self.ahead.get_value())));
    }

    /// Learns the server's time from data that has just arrived. Does nothing on the server.
    pub fn learn(self, as_of: Timestamp) {
        if cfg!(feature = "hydrate") {
            let ahead = as_of.millis() - js_sys::Date::now() as i64;
            // Data is always a little old when it arrives; take a correction only when it matters.
            if (ahead - self.ahead.get_value()).abs() > 1500 {
                self.ahead.set_value(ahead);
            }
        }
    }

    /// Now, or `as_of` before the page lives.
    pub fn get(self, as_of: Timestamp) -> Timestamp {
        self.now.get().unwrap_or(as_of)
    }
}

/// The clock of this page.
pub fn use_now() -> Now {
    expect_context()
}

/// How long ago, or until when, in one unit: `12 s`, `5 min`, `3 h`, `2 d`.
pub fn span(millis: i64) -> String {
    let seconds = millis.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A length that people compare, in two units: `1 min 30 s`, `9 min`, `2 h 5 min`.
pub fn length(millis: i64) -> String {
    let seconds = millis.max(0) / 1000;
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{big} {unit}"),
        _ => format!("{big} {unit} {small} {small_unit}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// A countdown that keeps its width: `0:38`, `12:05`, `1:02:00`. Rounds up: it shows 0:00 only when due.
pub fn countdown(millis: i64) -> String {
    let seconds = (millis.max(0) + 999) / 1000;
    match seconds {
        0..3600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds % 3600 / 60, seconds % 60),
    }
}

/// The whole date in UTC, for hovering and `<time>`: `2026-11-23 18:02:11 UTC`.
pub fn absolute(at: Timestamp) -> String {
    let (year, month, day) = civil(at.seconds().div_euclid(86_400));
    format!("{year:04}-{month:02}-{day:02} {} UTC", time_of_day(at))
}

/// The time of day in UTC: `18:02:11`.
pub fn time_of_day(at: Timestamp) -> String {
    let second = at.seconds().rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// The time of day where the reader is: `20:02`. In the browser only; elsewhere it is UTC.
pub fn local_time(at: Timestamp) -> String {
    if cfg!(feature = "hydrate") {
        let date = js_sys::Date::new(&wasm_bindgen::JsValue::from_f64(at.millis() as f64));
        format!("{:02}:{:02}", date.get_hours(), date.get_minutes())
    } else {
        time_of_day(at)
    }
}

/// The date alone: `2026-11-23`.
pub fn date(at: Timestamp) -> String {
    let (year, month, day) = civil(at.seconds().div_euclid(86_400));
    format!("{year:04}-{month:02}-{day:02}")
}

/// For `<time datetime>`.
pub fn machine(at: Timestamp) -> String {
    format!("{}T{}Z", date(at), time_of_day(at))
}

/// The Gregorian date of a day counted from 1970-01-01, by counting in eras of 400 years that begin
/// in March, where every era has the same days.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_agree_with_the_calendar() {
        assert_eq!(absolute(Timestamp::from_millis(0)), "1970-01-01 00:00:00 UTC");
        assert_eq!(absolute(Timestamp::from_millis(951_827_696_000)), "2000-02-29 12:34:56 UTC");
        assert_eq!(absolute(Timestamp::from_millis(1_798_761_599_999)), "2026-12-31 23:59:59 UTC");
        assert_eq!(machine(Timestamp::from_millis(-1000)), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn dates_agree_with_the_domain() {
        for millis in (0..4_000_000_000_000i64).step_by(86_400_000 * 13 + 12_345_000) {
            let at = Timestamp::from_millis(millis - millis % 1000);
            assert_eq!(at.rfc3339().trim_end_matches('Z'), machine(at).trim_end_matches('Z'));
        }
    }

    #[test]
    fn a_countdown_is_zero_only_when_due() {
        assert_eq!(countdown(38_000), "0:38");
        assert_eq!(countdown(1), "0:01");
        assert_eq!(countdown(0), "0:00");
        assert_eq!(countdown(-5000), "0:00");
        assert_eq!(countdown(3_720_000), "1:02:00");
    }

    #[test]
    fn lengths_have_units() {
        assert_eq!(span(59_999), "59 s");
        assert_eq!(span(3_600_000), "1 h");
        assert_eq!(length(90_000), "1 min 30 s");
        assert_eq!(length(540_000), "9 min");
        assert_eq!(length(7_500_000), "2 h 5 min");
    }
}

//! A measure by day, as bars, with the same numbers as a table for those who don't see them.

use domain::Timestamp;
use leptos::prelude::*;

use super::group;
use crate::clock::date;

/// The drawing's own units; the page scales it.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 120.0;
/// Room between two bars, as a share of one.
const GAP: f64 = 0.25;

/// Bars for the days, the first one first.
#[component]
pub fn DayChart(
    /// What is measured: `Minutes`.
    title: &'static str,
    #[prop(into)] days: Signal<Vec<(Timestamp, u64)>>,
) -> impl IntoView {
    let most = Memo::new(move |_| days.with(|days| days.iter().map(|(_, value)| *value).max().unwrap_or(0)));
    let bars = move || {
        days.with(|days| {
            let step = WIDTH / days.len().max(1) as f64;
            days.iter()
                .enumerate()
                .map(|(index, (day, value))| {
                    // A little that is not nothing stays visible.
                    let tall = match (*value, most.get()) {
                        (0, _) | (_, 0) => 0.0,
                        (value, most) => (value as f64 / most as f64 * HEIGHT).max(1.5),
                    };
                    let says = format!("{}: {}", date(*day), group(*value));
                    view! {
                        <g>
                            // The whole column tells its number, also above a low bar.
                            <rect
                                class="column"
                                x=format!("{:.2}", index as f64 * step)
                                y="0"
                                width=format!("{step:.2}")
                                height=HEIGHT.to_string()
                            >
                                <title>{says}</title>
                            </rect>
                            <rect
                                class="bar"
                                x=format!("{:.2}", index as f64 * step + step * GAP / 2.0)
                                y=format!("{:.2}", HEIGHT - tall)
                                width=format!("{:.2}", step * (1.0 - GAP))
                                height=format!("{tall:.2}")
                            ></rect>
                        </g>
                    }
                })
                .collect_view()
        })
    };
    let ends = move || {
        days.with(|days| {
            let first = days.first().map(|(day, _)| date(*day)).unwrap_or_default();
            let last = days.last().map(|(day, _)| date(*day)).unwrap_or_default();
            if first == last { (first, String::new()) } else { (first, last) }
        })
    };
    let summary = move || {
        let sum: u64 = days.with(|days| days.iter().map(|(_, value)| value).sum());
        format!("{title} by day: {} in all, {} on the busiest day", group(sum), group(most.get()))
    };
    view! {
        <figure class="day-chart">
            <figcaption>
                <span class="kind">{title}</span>
                <span class="hint">{move || format!("at most {} a day", group(most.get()))}</span>
            </figcaption>
            <svg
                viewBox=format!("0 0 {WIDTH} {HEIGHT}")
                preserveAspectRatio="none"
                role="img"
                aria-label=summary
            >
                {bars}
            </svg>
            <p class="ends hint" aria-hidden="true">
                <span>{move || ends().0}</span>
                <span>{move || ends().1}</span>
            </p>
        </figure>
    }
}

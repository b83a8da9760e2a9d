//! Replicas over time as steps: ready, starting on top of them, and the line of what is wanted, with a mark for each
//! decision.

use std::fmt::Write;

use domain::Timestamp;
use leptos::prelude::*;

use crate::clock::time_of_day;
use crate::view::{CountsAt, ScalingPage};

/// The drawing's own units; the page stretches it, and strokes keep their width.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;
/// Marks beyond these, the oldest, are only in the list below.
const MOST_MARKS: usize = 40;

/// Where moments and counts are in the drawing.
#[derive(Clone, Copy)]
struct Scale {
    since: Timestamp,
    until: Timestamp,
    most: u32,
}

impl Scale {
    fn of(page: &ScalingPage) -> Self {
        let counts = page.counts.iter().map(|count| count.wanted.max(count.ready + count.starting));
        let applied = page.decisions.iter().map(|decision| decision.applied);
        Self { since: page.since, until: page.as_of, most: counts.chain(applied).max().unwrap_or(0).max(1) }
    }

    fn x(self, at: Timestamp) -> f64 {
        let whole = self.until.since(self.since).max(1) as f64;
        (at.since(self.since) as f64 / whole * WIDTH).clamp(0.0, WIDTH)
    }

    /// A tenth is left free above the most, so that its line is seen.
    fn y(self, count: u32) -> f64 {
        HEIGHT - f64::from(count) / (f64::from(self.most) * 1.1) * HEIGHT
    }

    /// The steps of one count, from the first change to now.
    fn steps(self, counts: &[CountsAt], pick: impl Fn(&CountsAt) -> u32) -> String {
        let mut path = String::new();
        let mut level = None;
        for count in counts {
            let (x, y) = (self.x(count.at), self.y(pick(count)));
            let _ = match level {
                None => write!(path, "M{x:.1} {y:.1}"),
                Some(_) => write!(path, "H{x:.1}V{y:.1}"),
            };
            level = Some(y);
        }
        if level.is_some() {
            let _ = write!(path, "H{WIDTH}");
        }
        path
    }

    /// The same, filled down to nothing.
    fn area(self, counts: &[CountsAt], pick: impl Fn(&CountsAt) -> u32) -> String {
        match counts.first() {
            None => String::new(),
            Some(first) => {
                format!("{}V{HEIGHT}H{:.1}Z", self.steps(counts, pick), self.x(first.at))
            }
        }
    }
}

#[component]
pub fn ScalingChart(#[prop(into)] page: Signal<ScalingPage>) -> impl IntoView {
    let told = RwSignal::new(None::<String>);
    let scale = Memo::new(move |_| {
        let scale = page.with(Scale::of);
        (scale.since, scale.until, scale.most)
    });
    let scale = move || {
        let (since, until, most) = scale.get();
        Scale { since, until, most }
    };
    let path = move |area: bool, pick: fn(&CountsAt) -> u32| {
        move || {
            page.with(|page| match area {
                true => scale().area(&page.counts, pick),
                false => scale().steps(&page.counts, pick),
            })
        }
    };
    let marks = move || {
        let scale = scale();
        page.with(|page| {
            let skipped = page.decisions.len().saturating_sub(MOST_MARKS);
            page.decisions[skipped..]
                .iter()
                .map(|decision| {
                    let says = format!("{} UTC: {}", time_of_day(decision.at), decision.sentence);
                    let (shown, focused) = (says.clone(), says.clone());
                    // A dot that keeps its size: a line without length, with a round end.
                    let dot = format!("M{:.1} {:.1}h0.01", scale.x(decision.at), scale.y(decision.applied));
                    view! {
                        <g
                            class="decision"
                            tabindex="0"
                            role="img"
                            aria-label=says
                            on:mouseenter=move |_| told.set(Some(shown.clone()))
                            on:focus=move |_| told.set(Some(focused.clone()))
                        >
                            <path class="reach" d=dot.clone()></path>
                            <path class="dot" d=dot></path>
                        </g>
                    }
                })
                .collect_view()
        })
    };
    let summary = move || {
        page.with(|page| {
            let last = page.counts.last().copied();
            let now = last.map_or("nothing was counted yet".to_owned(), |last| {
                format!("now {} wanted, {} starting, {} ready", last.wanted, last.starting, last.ready)
            });
            format!("Replicas over time: {now}; {} decisions", page.decisions.len())
        })
    };
    let ends = move || page.with(|page| (time_of_day(page.since), time_of_day(page.as_of)));
    view! {
        <figure class="scaling-chart">
            <figcaption>
                <span class="key wanted">"wanted"</span>
                <span class="key starting">"starting"</span>
                <span class="key ready">"ready"</span>
                <span class="key decided">"decision"</span>
                <span class="hint">{move || format!("at most {}", scale().most)}</span>
            </figcaption>
            <svg
                viewBox=format!("0 0 {WIDTH} {HEIGHT}")
                preserveAspectRatio="none"
                role="group"
                aria-label=summary
            >
                <path class="starting" d=path(true, |count| count.ready + count.starting)></path>
                <path class="ready" d=path(true, |count| count.ready)></path>
                <path class="wanted" d=path(false, |count| count.wanted)></path>
                {marks}
            </svg>
            <p class="ends hint" aria-hidden="true">
                <span>{move || ends().0}</span>
                <span>{move || ends().1} " UTC"</span>
            </p>
            <p class="told" aria-live="polite">
                {move || told.get().unwrap_or_else(|| "Point at a mark, or go to it with Tab, to read why.".into())}
            </p>
        </figure>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64, wanted: u32, ready: u32) -> CountsAt {
        CountsAt { at: Timestamp::from_millis(seconds * 1000), wanted, starting: 0, ready }
    }

    #[test]
    fn counts_are_steps_that_hold_until_now() {
        let scale =
            Scale { since: Timestamp::from_millis(0), until: Timestamp::from_millis(100_000), most: 10 };
        let counts = [at(0, 1, 0), at(50, 2, 1)];
        let path = scale.steps(&counts, |count| count.wanted);
        assert_eq!(path, "M0.0 90.9H500.0V81.8H1000");
        assert!(scale.area(&counts, |count| count.wanted).ends_with("V100H0.0Z"));
        assert_eq!(scale.steps(&[], |count| count.wanted), "");
    }

    #[test]
    fn what_came_before_stays_within() {
        let scale =
            Scale { since: Timestamp::from_millis(100_000), until: Timestamp::from_millis(200_000), most: 1 };
        assert_eq!(scale.x(Timestamp::from_millis(5)), 0.0);
        assert_eq!(scale.x(Timestamp::from_millis(900_000)), WIDTH);
    }
}

//! A few numbers over time as lines, with marks on the time axis.

use std::fmt::Write;

use domain::Timestamp;
use leptos::prelude::*;

use crate::clock::time_of_day;
use crate::view::MetricMark;

/// The drawing's own units; the page stretches it, and strokes keep their width.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;

/// What a chart shows: for each step, a number for each line, or nothing. A line that has no number there has `NAN`.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    pub start: Timestamp,
    pub end: Timestamp,
    /// Milliseconds from one point to the next.
    pub step: i64,
    pub points: Vec<(Timestamp, Option<Vec<f64>>)>,
    pub marks: Vec<MetricMark>,
}

impl Lines {
    fn most(&self) -> f64 {
        let all = self.points.iter().filter_map(|(_, values)| values.as_ref());
        all.flatten().copied().fold(0.0, f64::max)
    }

    fn x(&self, at: Timestamp) -> f64 {
        let whole = self.end.since(self.start).max(1) as f64;
        (at.since(self.start) as f64 / whole * WIDTH).clamp(0.0, WIDTH)
    }

    /// The line of one number. Steps without a number leave a gap; a number alone between gaps is a dot.
    fn path(&self, line: usize) -> String {
        // A tenth is left free above the most, so that its line is seen.
        let most = self.most() * 1.1;
        let scale = if most > 0.0 { HEIGHT / most } else { 0.0 };
        let mut path = String::new();
        let mut open = false;
        for (at, values) in &self.points {
            let value = values.as_ref().and_then(|values| values.get(line));
            let Some(value) = value.filter(|value| !value.is_nan()) else {
                open = false;
                continue;
            };
            let (x, y) = (self.x(at.plus(self.step / 2)), HEIGHT - value * scale);
            let _ = if open { write!(path, "L{x:.1} {y:.1}") } else { write!(path, "M{x:.1} {y:.1}h0.01") };
            open = true;
        }
        path
    }
}

/// A number as short as it can be read: `0.25`, `3.1`, `1 204`.
pub fn short(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        value if value < 10.0 => {
            let text = format!("{value:.2}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        value if value < 100.0 => format!("{value:.1}"),
        value => super::group(value.round() as u64),
    }
}

/// Up to ten lines with their names, a hint of the highest value, and every number in reach of pointer and keyboard.
#[component]
pub fn LineChart(
    title: &'static str,
    /// Follows a number: ` ms`.
    unit: &'static str,
    /// What each line is called.
    names: &'static [&'static str],
    /// What lines after those are called; they may become others.
    more: Signal<Vec<String>>,
    #[prop(into)] lines: Signal<Lines>,
) -> impl IntoView {
    let has_errors = names.contains(&"5xx");
    let names = Memo::new(move |_| {
        names.iter().map(|name| (*name).to_owned()).chain(more.get()).collect::<Vec<String>>()
    });
    let most = Memo::new(move |_| lines.with(Lines::most));
    let measured =
        Memo::new(move |_| lines.with(|lines| lines.points.iter().any(|(_, values)| values.is_some())));
    let says = move |at: Timestamp, values: &[f64]| {
        let numbers: Vec<String> = names.with(|names| {
            let known = names.iter().zip(values).filter(|(_, value)| !value.is_nan());
            known.map(|(name, value)| format!("{name} {}{unit}", short(*value))).collect()
        });
        format!("{} UTC: {}", time_of_day(at), numbers.join(", "))
    };
    let columns = move || {
        lines.with(|lines| {
            let width = lines.x(lines.start.plus(lines.step));
            let known = lines.points.iter().filter_map(|(at, values)| Some((*at, values.as_ref()?)));
            known
                .map(|(at, values)| {
                    view! {
                        <rect
                            class="column"
                            x=format!("{:.1}", lines.x(at))
                            y="0"
                            width=format!("{width:.1}")
                            height=HEIGHT.to_string()
                        >
                            <title>{says(at, values)}</title>
                        </rect>
                    }
                })
                .collect_view()
        })
    };
    let paths = move || {
        (0..names.with(Vec::len))
            .map(|line| view! { <path class=format!("line l{line}") d=move || lines.with(|lines| lines.path(line))></path> })
            .collect_view()
    };
    let marks = move || {
        lines.with(|lines| {
            lines
                .marks
                .iter()
                .map(|mark| {
                    let x = format!("{:.1}", lines.x(mark.at));
                    let says = format!("{} UTC: {}", time_of_day(mark.at), mark.sentence);
                    view! {
                        <line class="mark" class:promotion=mark.is_promotion x1=x.clone() x2=x y1="0" y2=HEIGHT.to_string()>
                            <title>{says}</title>
                        </line>
                    }
                })
                .collect_view()
        })
    };
    let summary = move || {
        lines.with(|lines| {
            let last = lines.points.iter().rev().find_map(|(at, values)| Some(says(*at, values.as_ref()?)));
            let last = last.unwrap_or_else(|| "nothing was measured".into());
            format!("{title}: {last}; at most {}{unit}", short(lines.most()))
        })
    };
    let keys = move || {
        let names = names.get().into_iter().enumerate();
        names.map(|(line, name)| view! { <span class=format!("key l{line}")>{name}</span> }).collect_view()
    };
    view! {
        <figure class="line-chart" class:errors=has_errors>
            <figcaption>
                <span class="kind">{title}</span>
                {keys}
                <span class="hint">
                    {move || if measured.get() { format!("at most {}{unit}", short(most.get())) } else { "nothing measured".into() }}
                </span>
            </figcaption>
            <svg viewBox=format!("0 0 {WIDTH} {HEIGHT}") preserveAspectRatio="none" role="img" aria-label=summary>
                {columns}
                {paths}
                {marks}
            </svg>
            <p class="ends hint" aria-hidden="true">
                <span>{move || lines.with(|lines| time_of_day(lines.start))}</span>
                <span>{move || lines.with(|lines| time_of_day(lines.end))} " UTC"</span>
            </p>
        </figure>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(values: &[Option<f64>]) -> Lines {
        let at = |index: usize| Timestamp::from_millis(index as i64 * 1000);
        let points =
            values.iter().enumerate().map(|(index, value)| (at(index), value.map(|value| vec![value])));
        Lines { start: at(0), end: at(values.len()), step: 1000, points: points.collect(), marks: Vec::new() }
    }

    #[test]
    fn what_was_not_measured_is_a_gap_and_not_zero() {
        let path = lines(&[Some(1.0), Some(2.0), None, Some(2.0)]).path(0);
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert_eq!(path.matches('L').count(), 1, "{path}");
        assert_eq!(lines(&[None]).path(0), "");
    }

    #[test]
    fn a_line_may_have_a_gap_where_others_have_none() {
        let mut lines = lines(&[Some(1.0), Some(2.0), Some(4.0)]);
        lines.points[1].1 = Some(vec![2.0, f64::NAN]);
        lines.points[0].1 = Some(vec![1.0, 3.0]);
        assert_eq!(lines.most(), 4.0);
        assert_eq!(lines.path(0).matches('L').count(), 2);
        assert_eq!(lines.path(1).matches(['M', 'L']).count(), 1, "a dot");
    }

    #[test]
    fn nothing_but_zeros_lies_on_the_ground() {
        assert_eq!(lines(&[Some(0.0)]).path(0), "M500.0 100.0h0.01");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, 0.254, 3.0, 42.26, 1204.4].map(short), ["0", "0.25", "3", "42.3", "1\u{202f}204"]);
    }
}

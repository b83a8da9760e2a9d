//! The last cold starts, with those that failed, each as one bar by phase with its numbers beside it.

use leptos::prelude::*;

use super::TimeAgo;
use crate::view::{ColdStartRow, ScalingPage};

pub(super) const WIDTH: f64 = 200.0;
/// The phases and what each is; the order of the columns and of the parts of a bar.
pub(super) const PHASES: [(&str, &str); 5] = [
    ("Queue", "until its process was started"),
    ("Spawn", "until the process answered"),
    ("Load", "the model's own load()"),
    ("Ready", "until requests were sent to it"),
    ("First byte", "until the first waiting request had its first byte"),
];

#[component]
pub fn ColdStarts(#[prop(into)] page: Signal<ScalingPage>) -> impl IntoView {
    let starts = Memo::new(move |_| page.with(|page| page.cold_starts.clone()));
    let as_of = Signal::derive(move || page.with(|page| page.as_of));
    move || {
        let starts = starts.get();
        if starts.is_empty() {
            return None;
        }
        let longest = starts.iter().map(ColdStartRow::total_ms).max().unwrap_or(0).max(1);
        let heads = PHASES
            .iter()
            .enumerate()
            .map(|(index, (name, what))| {
                view! {
                    <th scope="col" class="number" title=*what>
                        <span class="swatch" data-phase=index aria-hidden="true"></span>
                        {*name}
                    </th>
                }
            })
            .collect_view();
        let rows = starts
            .into_iter()
            .map(|start| {
                let total = start.total_ms();
                let cells = [
                    Some(start.queue_ms),
                    Some(start.spawn_ms),
                    Some(start.load_ms),
                    Some(start.ready_ms),
                    start.first_byte_ms,
                ]
                .map(|millis| view! { <td class="number">{millis.map_or("–".into(), took)}</td> })
                .collect_view();
                view! {
                    <tr>
                        <th scope="row">
                            <code>{start.replica.clone()}</code>
                            {start.failed.clone().map(|why| view! { <p class="bad">{why}</p> })}
                        </th>
                        <td>
                            <TimeAgo at=start.at as_of=as_of />
                        </td>
                        <td>
                            <Bar start=start longest=longest />
                        </td>
                        <td class="number">{took(total)}</td>
                        {cells}
                    </tr>
                }
            })
            .collect_view();
        Some(view! {
            <h3>"Last starts"</h3>
            <div class="scroll" tabindex="0" role="region" aria-label="Last starts">
                <table class="cold-starts">
                    <caption class="hidden">"Last starts by phase"</caption>
                    <thead>
                        <tr>
                            <th scope="col">"Replica"</th>
                            <th scope="col">"When"</th>
                            <th scope="col">
                                <span class="hidden">"Phases"</span>
                            </th>
                            <th scope="col" class="number">"All"</th>
                            {heads}
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        })
    }
}

/// The phases one after the other; as long as it took, next to the longest one.
#[component]
fn Bar(start: ColdStartRow, longest: i64) -> impl IntoView {
    let mut x = 0.0;
    let parts = PHASES
        .iter()
        .enumerate()
        .filter_map(|(index, (name, _))| {
            let millis = start.phases().into_iter().find(|(phase, _)| phase == name)?.1;
            let width = millis as f64 / longest as f64 * WIDTH;
            let from = x;
            x += width;
            Some(view! {
                <rect data-phase=index x=format!("{from:.2}") y="0" width=format!("{width:.2}") height="10">
                    <title>{format!("{name}: {}", took(millis))}</title>
                </rect>
            })
        })
        .collect_view();
    view! {
        <svg class="phases" viewBox=format!("0 0 {WIDTH} 10") preserveAspectRatio="none" aria-hidden="true">
            {parts}
        </svg>
    }
}

/// A length that may be short: `3 ms`, `480 ms`, `2.31 s`.
pub(super) fn took(millis: i64) -> String {
    if millis < 1000 { format!("{millis} ms") } else { format!("{:.2} s", millis as f64 / 1000.0) }
}

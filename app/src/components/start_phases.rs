//! How long starts took by phase: a bar for each, up to the median and, paler, to what ninety of a hundred did not exceed.

use leptos::prelude::*;

use super::cold_starts::{PHASES, WIDTH, took};
use crate::view::ScalingPage;

#[component]
pub fn StartPhases(#[prop(into)] page: Signal<ScalingPage>) -> impl IntoView {
    let phases = Memo::new(move |_| page.with(|page| page.start_phases.clone()));
    move || {
        let phases = phases.get();
        if phases.is_empty() {
            return None;
        }
        let longest = phases.iter().map(|phase| phase.p90_ms).max().unwrap_or(0).max(1);
        let wide = move |millis: i64| format!("{:.2}", millis as f64 / longest as f64 * WIDTH);
        let rows = phases
            .into_iter()
            .zip(PHASES)
            .enumerate()
            .map(|(index, (phase, (name, what)))| {
                view! {
                    <tr>
                        <th scope="row" title=what>
                            <span class="swatch" data-phase=index aria-hidden="true"></span>
                            {name}
                        </th>
                        <td>
                            <svg
                                class="phases"
                                viewBox=format!("0 0 {WIDTH} 10")
                                preserveAspectRatio="none"
                                aria-hidden="true"
                            >
                                <rect class="most" data-phase=index width=wide(phase.p90_ms) height="10"></rect>
                                <rect data-phase=index width=wide(phase.median_ms) height="10"></rect>
                            </svg>
                        </td>
                        <td class="number">{took(phase.median_ms)}</td>
                        <td class="number">{took(phase.p90_ms)}</td>
                        <td class="number">{phase.starts}</td>
                    </tr>
                }
            })
            .collect_view();
        Some(view! {
            <h3>"Phases of starts"</h3>
            <div class="scroll" tabindex="0" role="region" aria-label="Phases of starts">
                <table>
                    <caption class="hidden">"Median and 90th percentile by phase"</caption>
                    <thead>
                        <tr>
                            <th scope="col">"Phase"</th>
                            <th scope="col">
                                <span class="hidden">"Bar"</span>
                            </th>
                            <th scope="col" class="number">"Median"</th>
                            <th scope="col" class="number" title="Ninety of a hundred took no longer">
                                "90th percentile"
                            </th>
                            <th scope="col" class="number" title="Those that got ready in the time shown">
                                "Starts"
                            </th>
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
        })
    }
}

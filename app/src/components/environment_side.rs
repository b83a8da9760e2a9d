//! Both sides of a rollout, as they were set and as the gateway counted them.

use crate::erase::Erase;
use leptos::prelude::*;
use leptos_router::components::A;

use super::{ReplicaDots, StatusBadge, TrafficBar, deployment_path};
use crate::view::{Counted, Rollout, Side};

/// The candidate's share of the counted requests, in percent; nothing without requests.
fn counted_percent(rollout: &Rollout) -> Option<f64> {
    let candidate = rollout.candidate.counted?.requests;
    let previous =
        rollout.previous.as_ref().and_then(|side| side.counted).map_or(0, |counted| counted.requests);
    let all = candidate + previous;
    (all > 0).then(|| candidate as f64 * 100.0 / all as f64)
}

#[component]
pub fn SidesTable(#[prop(into)] rollout: Signal<Rollout>, model_id: String) -> impl IntoView {
    let as_set = Memo::new(move |_| rollout.with(|rollout| f64::from(rollout.percent)));
    let as_counted = Memo::new(move |_| rollout.with(counted_percent));
    let previous = Memo::new(move |_| rollout.with(|rollout| rollout.previous.clone()));
    let candidate = Memo::new(move |_| rollout.with(|rollout| rollout.candidate.clone()));
    let names = move || {
        rollout.with(|rollout| {
            let previous = rollout
                .previous
                .as_ref()
                .map_or("nothing".to_owned(), |side| side.served.deployment.name.clone());
            (previous, rollout.candidate.served.deployment.name.clone())
        })
    };
    let label = move |percent: f64| {
        let (previous, candidate) = names();
        format!("{:.0} % {previous}, {percent:.0} % {candidate}", 100.0 - percent)
    };
    let id = StoredValue::new(model_id);
    view! {
        <div class="split">
            <span class="kind">"As set"</span>
            <TrafficBar percent=as_set label=Signal::derive(move || label(as_set.get())) />
            <span class="number">{move || format!("{:.0} %", as_set.get())}</span>
            <span class="kind">"As counted"</span>
            {move || match as_counted.get() {
                Some(percent) => {
                    view! {
                        <TrafficBar percent=percent label=label(percent) />
                        <span class="number">{format!("{percent:.1} %")}</span>
                    }
                        .erased()
                }
                None => view! { <span class="none">"not counted: no request since the first stage"</span> }.erased(),
            }}
        </div>
        <div class="scroll" tabindex="0" role="region" aria-label="Both sides">
            <table class="sides">
                <caption class="hidden">"Both sides of the rollout"</caption>
                <thead>
                    <tr>
                        <th scope="col">"Side"</th>
                        <th scope="col">"Deployment"</th>
                        <th scope="col">"Status"</th>
                        <th scope="col">"Replicas"</th>
                        <th scope="col" class="number">"Traffic"</th>
                        <th scope="col" class="number">"Requests"</th>
                        <th scope="col" class="number">"Errors"</th>
                        <th scope="col" class="number">"p50"</th>
                        <th scope="col" class="number">"p95"</th>
                    </tr>
                </thead>
                <tbody>
                    {move || {
                        previous
                            .get()
                            .map(|side| view! { <SideRow side=side model_id=id.get_value() candidate=false /> })
                    }}
                    {move || view! { <SideRow side=candidate.get() model_id=id.get_value() candidate=true /> }}
                </tbody>
            </table>
        </div>
    }
}

#[component]
fn SideRow(side: Side, model_id: String, candidate: bool) -> impl IntoView {
    let Side { served, percent, counted } = side;
    let path = deployment_path(&model_id, &served.deployment.id);
    view! {
        <tr class=if candidate { "candidate" } else { "current" }>
            <th scope="row">
                <span class="side">{if candidate { "Candidate" } else { "Current" }}</span>
            </th>
            <td>
                <A href=path>{served.deployment.name}</A>
            </td>
            <td>
                <StatusBadge status=served.status />
            </td>
            <td>
                <ReplicaDots replicas=served.replicas candidate=candidate />
            </td>
            <td class="number">{percent} " %"</td>
            <Numbers counted=counted />
        </tr>
    }
}

#[component]
fn Numbers(counted: Option<Counted>) -> impl IntoView {
    let cell = |text: String| view! { <td class="number">{text}</td> };
    match counted.filter(|counted| counted.requests > 0) {
        // No request is not the same as no error.
        None => view! { <td class="none number" colspan="4">"as set, not counted"</td> }.erased(),
        Some(counted) => {
            let share = counted.errors as f64 * 100.0 / counted.requests as f64;
            let errors = match counted.errors {
                0 => "0".to_owned(),
                errors if share < 0.1 => format!("{} (< 0.1 %)", group(errors)),
                errors => format!("{} ({share:.1} %)", group(errors)),
            };
            let millis = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.0} ms"));
            view! {
                <td class="number">{group(counted.requests)}</td>
                <td class="number" class:bad=counted.errors != 0>
                    {errors}
                </td>
                {cell(millis(counted.p50_ms))}
                {cell(millis(counted.p95_ms))}
            }
            .erased()
        }
    }
}

/// Digits in groups of three, set apart by a thin space: `12 345`.
pub fn group(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 * 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn the_counted_share_is_that_of_all_requests() {
        let mut rollout = sample::rollout();
        let counted = |requests| Some(Counted { requests, errors: 0, p50_ms: None, p95_ms: None });
        rollout.candidate.counted = counted(25);
        rollout.previous.as_mut().unwrap().counted = counted(75);
        assert_eq!(counted_percent(&rollout), Some(25.0));
    }

    #[test]
    fn without_requests_there_is_no_share() {
        let mut rollout = sample::rollout();
        rollout.candidate.counted = Some(Counted { requests: 0, errors: 0, p50_ms: None, p95_ms: None });
        rollout.previous = None;
        assert_eq!(counted_percent(&rollout), None);
    }

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!(group(7), "7");
        assert_eq!(group(1000), "1\u{202f}000");
        assert_eq!(group(1_234_567), "1\u{202f}234\u{202f}567");
    }
}

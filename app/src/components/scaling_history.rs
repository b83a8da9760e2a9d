//! Scaling explained: the chart, the decisions as sentences with what they were computed from, the starts.

use leptos::prelude::*;

use super::{ColdStarts, ScalingChart, StartPhases};
use crate::clock::{absolute, machine, time_of_day};
use crate::erase::Erase;
use crate::fresh::keep_fresh;
use crate::live::Topic;
use crate::read::{self, Loaded, decode};
use crate::view::{ScalingDecision, ScalingPage};

/// The times to choose from, in hours.
const PERIODS: [u32; 3] = [1, 6, 24];
/// Decisions in the list; older ones are in the activity.
const LISTED: usize = 50;

#[component]
pub fn ScalingHistory(model_id: String, deployment_id: String) -> impl IntoView {
    let hours = RwSignal::new(1u32);
    let choices = PERIODS
        .map(|period| {
            let label = if period == 1 { "Last hour".to_owned() } else { format!("Last {period} hours") };
            view! {
                <button
                    type="button"
                    class="plain small"
                    aria-pressed=move || (hours.get() == period).to_string()
                    on:click=move |_| hours.set(period)
                >
                    {label}
                </button>
            }
        })
        .collect_view();
    view! {
        <section class="charts" aria-labelledby="scaling">
            <div class="tool-line">
                <h2 id="scaling">"Scaling"</h2>
                <div class="choices" role="group" aria-label="Time shown">
                    {choices}
                </div>
            </div>
            <Loaded
                which=Signal::derive(move || {
                    vec![model_id.clone(), deployment_id.clone(), hours.get().to_string()]
                })
                read=|which| {
                    let [model, deployment, hours] = which.try_into().unwrap_or_default();
                    read::scaling(model, deployment, hours.parse().unwrap_or(1))
                }
                body=|text| {
                    let initial = decode::<ScalingPage>(text)?;
                    Ok(view! { <Body initial=initial /> }.erased())
                }
            />
        </section>
    }
}

#[component]
fn Body(initial: ScalingPage) -> impl IntoView {
    let (model, deployment) = (initial.model_id.clone(), initial.deployment_id.clone());
    let hours = initial.hours;
    let fresh = keep_fresh(
        initial,
        Topic::Model(model.clone()),
        |_| false,
        move || read::scaling(model.clone(), deployment.clone(), hours),
    );
    let page = fresh.value;
    view! {
        <ScalingChart page=page />
        <Decisions page=page />
        <StartPhases page=page />
        <ColdStarts page=page />
    }
}

#[component]
fn Decisions(#[prop(into)] page: Signal<ScalingPage>) -> impl IntoView {
    let decisions = Memo::new(move |_| {
        page.with(|page| page.decisions.iter().rev().take(LISTED).cloned().collect::<Vec<_>>())
    });
    view! {
        <h3>"Decisions"</h3>
        {move || {
            decisions
                .with(Vec::is_empty)
                .then(|| view! { <p class="none">"Nothing changed in this time."</p> })
        }}
        <ol class="decisions" aria-label="Scaling decisions, newest first">
            <For each=move || decisions.get() key=|decision| (decision.at, decision.applied) let(decision)>
                {line(decision)}
            </For>
        </ol>
    }
}

fn line(decision: ScalingDecision) -> impl IntoView {
    let computed = !decision.inputs.is_empty();
    let inputs = decision
        .inputs
        .into_iter()
        .map(|(name, value)| {
            view! {
                <dt>{name}</dt>
                <dd>{value}</dd>
            }
        })
        .collect_view();
    let details = computed.then(|| {
        view! {
            <details>
                <summary>"Computed from"</summary>
                <dl class="inputs">{inputs}</dl>
            </details>
        }
    });
    view! {
        <li>
            <time datetime=machine(decision.at) title=absolute(decision.at)>
                {time_of_day(decision.at)}
            </time>
            <div>
                <span>{decision.sentence}</span>
                {details}
            </div>
        </li>
    }
}

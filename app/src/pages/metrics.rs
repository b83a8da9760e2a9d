//! What was measured of a deployment's requests, or of an environment's.

mod arrange;
mod graphs;
mod layout;

use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use self::arrange::{Arrange, Arrangement};
use self::graphs::Graphs;
use super::use_param;
use crate::clock::{machine, time_of_day};
use crate::components::{Crumb, Gone, PageHeader, deployment_path, environment_path, model_path, short};
use crate::erase::Erase;
use crate::fresh::{keep_fresh, refresh_every};
use crate::live::Topic;
use crate::read::{self, Loaded, decode};
use crate::view::{self, MetricPoint, PERIODS};

/// How often the page is read again, in milliseconds: as often as the gateway's counters are looked at.
const EVERY: u32 = 10_000;

#[component]
pub fn MetricsPage() -> impl IntoView {
    let (model, deployment, environment) =
        (use_param("model"), use_param("deployment"), use_param("environment"));
    let query = use_query_map();
    let period = Memo::new(move |_| query.with(|query| period_of(query.get("period"))));
    view! {
        <Loaded
            which=Signal::derive(move || {
                let (deployment, environment) = (deployment.get(), environment.get());
                let (scope, id) = match (deployment.is_empty(), environment.is_empty()) {
                    (false, _) => ("deployments", deployment),
                    (true, false) => ("environments", environment),
                    (true, true) => ("models", model.get()),
                };
                vec![model.get(), scope.to_owned(), id, period.get()]
            })
            read=|which| {
                let [model, scope, id, period] = which.try_into().unwrap_or_default();
                read::metrics(model, scope, id, period)
            }
            body=|text| {
                let initial = decode::<view::MetricsPage>(text)?;
                Ok(view! { <Body initial=initial /> }.erased())
            }
        />
    }
}

/// The period in an address; an hour unless it names one of those there are.
fn period_of(text: Option<String>) -> String {
    text.filter(|text| PERIODS.iter().any(|(period, _)| period == text)).unwrap_or_else(|| "1h".into())
}

#[component]
fn Body(initial: view::MetricsPage) -> impl IntoView {
    let which = [&initial.model_id, &initial.scope, &initial.id, &initial.period].map(String::clone);
    let (model_id, model_name, period) =
        (initial.model_id.clone(), initial.model_name.clone(), initial.period.clone());
    let (name, back) = match initial.scope.as_str() {
        "environments" => (initial.name.clone(), environment_path(&model_id, &initial.id)),
        "models" => (initial.name.clone(), model_path(&model_id)),
        _ => (initial.name.clone(), deployment_path(&model_id, &initial.id)),
    };
    let title = format!("Metrics of {name}");
    let arrangement = Arrangement::of(&model_id);
    let fresh = keep_fresh(
        initial,
        Topic::Model(model_id.clone()),
        |_| false,
        move || {
            let [model, scope, id, period] = which.clone();
            read::metrics(model, scope, id, period)
        },
    );
    refresh_every(fresh, EVERY);
    let page = fresh.value;
    let path = format!("{back}/metrics");
    let mut crumbs =
        vec![Crumb::new("Models".to_owned(), "/models"), Crumb::new(model_name, model_path(&model_id))];
    if back != model_path(&model_id) {
        crumbs.push(Crumb::new(name, back));
    }
    let periods = PERIODS
        .map(|(known, label)| {
            view! {
                <a href=format!("{path}?period={known}") aria-current=(known == period).then_some("page")>
                    {label}
                </a>
            }
        })
        .collect_view();
    let complete = move || match page.with(|page| page.complete_through) {
        Some(at) => format!("Complete up to {} UTC.", time_of_day(at)),
        None => "Nothing was counted yet.".into(),
    };
    view! {
        <Gone error=fresh.gone />
        <PageHeader
            crumbs=crumbs
            title=title
            headline=Signal::derive(move || page.with(|page| page.headline.clone()))
        />
        <div class="tool-line">
            <nav class="tabs" aria-label="Period">
                {periods}
            </nav>
        </div>
        <p class="hint">{complete} " Gaps are times in which nothing was measured. Inference is the time at the replica, without the wait for it."</p>
        <Arrange arrangement=arrangement />
        <Graphs page=page arrangement=arrangement />
        <Marks page=page />
        <details>
            <summary>"The numbers as a table"</summary>
            <Numbers page=page />
        </details>
    }
}

/// What the marks on the time axis stand for.
#[component]
fn Marks(page: RwSignal<view::MetricsPage>) -> impl IntoView {
    let rows = move || {
        page.with(|page| {
            let newest = page.marks.iter().rev();
            newest
                .map(|mark| {
                    view! {
                        <li>
                            <time datetime=machine(mark.at)>{time_of_day(mark.at)}</time>
                            " "
                            {mark.sentence.clone()}
                        </li>
                    }
                })
                .collect_view()
        })
    };
    view! {
        <section class="charts" aria-labelledby="marks">
            <h2 id="marks">"What happened"</h2>
            {move || {
                page.with(|page| page.marks.is_empty())
                    .then(|| view! { <p class="none">"No promotion and no change of scale in this time."</p> })
            }}
            <ol class="marks">{rows}</ol>
        </section>
    }
}

/// The first columns of the table; those of processor and memory follow, for all replicas and for each that has a line.
const COLUMNS: [&str; 12] = [
    "2xx /s",
    "4xx /s",
    "5xx /s",
    "p50 ms",
    "p99 ms",
    "First byte p50 ms",
    "Inference p50 ms",
    "Request p50 KiB",
    "Response p50 KiB",
    "In flight",
    "Waiting",
    "Ready",
];

#[component]
fn Numbers(page: RwSignal<view::MetricsPage>) -> impl IntoView {
    let cell = |value: Option<f64>| value.map_or("–".to_owned(), short);
    let used = |values: &Option<Vec<Option<f64>>>, of: &[String]| {
        let of_line = |line: usize| values.as_ref()?.get(line).copied().flatten();
        (0..=of.len()).map(of_line).collect::<Vec<_>>()
    };
    let line = move |page: &view::MetricsPage, point: &MetricPoint| {
        let mut numbers = vec![
            point.rates.map(|all| all[0]),
            point.rates.map(|all| all[1]),
            point.rates.map(|all| all[2]),
            point.end_to_end.map(|all| all[0]),
            point.end_to_end.map(|all| all[3]),
            point.first_byte.map(|all| all[0]),
            point.inference.map(|all| all[0]),
            point.request_sizes.map(|all| all[0]),
            point.response_sizes.map(|all| all[0]),
            point.load.map(|all| all[0]),
            point.load.map(|all| all[1]),
            point.replicas.map(|all| all[2]),
        ];
        numbers.extend(used(&point.cores, &page.cores_of));
        numbers.extend(used(&point.memory, &page.memory_of));
        numbers.push(point.restarts.map(|all| all[0]));
        let cells = numbers.into_iter().map(|value| view! { <td class="number">{cell(value)}</td> });
        let cells = cells.collect_view();
        view! {
            <tr>
                <th scope="row">{time_of_day(point.at)}</th>
                {cells}
            </tr>
        }
    };
    let known = |point: &&MetricPoint| point.rates.is_some() || point.replicas.is_some();
    let rows = move || {
        page.with(|page| {
            let points = page.points.iter().rev().filter(known);
            points.map(|point| line(page, point)).collect_view()
        })
    };
    let heads = move || {
        let mut heads = Vec::from(COLUMNS.map(str::to_owned));
        page.with(|page| {
            heads.push("Cores".to_owned());
            heads.extend(page.cores_of.iter().map(|replica| format!("{replica} cores")));
            heads.push("Memory MiB".to_owned());
            heads.extend(page.memory_of.iter().map(|replica| format!("{replica} MiB")));
        });
        heads.push("Restarts".to_owned());
        let heads = heads.into_iter().map(|head| view! { <th scope="col" class="number">{head}</th> });
        heads.collect_view()
    };
    view! {
        <div class="scroll" tabindex="0" role="region" aria-label="Numbers">
            <table class="compact">
                <caption class="hidden">"What was measured, newest first"</caption>
                <thead>
                    <tr>
                        <th scope="col">"From (UTC)"</th>
                        {heads}
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
}

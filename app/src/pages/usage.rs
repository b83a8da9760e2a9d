//! What was used, also by what is gone.

use crate::erase::Erase;
use crate::read::{self, Loaded, decode};
use domain::Timestamp;
use leptos::prelude::*;
use leptos_router::components::A;
use leptos_router::hooks::use_query_map;

use crate::clock::date;
use crate::components::{DayChart, Gone, PageHeader, deployment_path, group, model_path};
use crate::fresh::keep_fresh;
use crate::live::Topic;

use crate::view::{self, UsageDay, UsageRow};

/// The periods to choose from, in days.
const PERIODS: [u32; 3] = [1, 7, 30];

#[component]
pub fn UsagePage() -> impl IntoView {
    let query = use_query_map();
    let days = Memo::new(move |_| query.with(|query| days_of(query.get("days"))));
    view! {
        <Loaded
            which=Signal::derive(move || vec![days.get()])
            read=|mut which| read::usage(which.remove(0))
            body=|text| {
                let initial = decode::<view::UsagePage>(text)?;
                Ok(view! { <Body initial=initial /> }.erased())
            }
        />
    }
}

/// The period in an address, in days: a week unless it says otherwise. What can't be had the server refuses.
fn days_of(text: Option<String>) -> String {
    text.filter(|days| !days.is_empty()).unwrap_or_else(|| "7".to_owned())
}

#[component]
fn Body(initial: view::UsagePage) -> impl IntoView {
    let days = initial.days;
    let fresh = keep_fresh(initial, Topic::Usage, |_| false, move || read::usage(days.to_string()));
    let page = fresh.value;
    let most =
        Memo::new(move |_| page.with(|page| page.rows.iter().map(|row| row.minutes).max().unwrap_or(0)));
    // Without prices there is nothing to say about costs.
    let priced = Memo::new(move |_| page.with(|page| page.rows.iter().any(|row| row.cost.is_some())));
    let periods = PERIODS
        .map(|period| {
            let label = if period == 1 { "Last day".to_owned() } else { format!("Last {period} days") };
            view! {
                <a href=format!("/usage?days={period}") aria-current=(period == days).then_some("page")>
                    {label}
                </a>
            }
        })
        .collect_view();
    view! {
        <Gone error=fresh.gone />
        <PageHeader
            crumbs=vec![]
            title="Usage"
            headline=Signal::derive(move || page.with(|page| page.headline.clone()))
        />
        <div class="tool-line">
            <nav class="tabs" aria-label="Period">
                {periods}
            </nav>
            // A file: not a page of the dashboard's own router.
            <a class="button plain" href=format!("/api/ui/usage.csv?days={days}") download rel="external">
                "Download CSV"
            </a>
        </div>
        <p class="hint">
            {move || page.with(|page| format!("{} to {}, UTC. A started minute of a replica or a build counts whole. Development, and starts that never became ready, are free.", date(page.from), date(page.to)))}
        </p>
        {move || {
            page.with(|page| page.rows.is_empty())
                .then(|| view! { <p class="none">"Nothing ran in this time."</p> })
        }}
        <section class="charts" class:hidden=move || page.with(|page| page.rows.is_empty()) aria-labelledby="by-day">
            <h2 id="by-day">"By day"</h2>
            <div class="columns">
                <DayChart title="Minutes" days=Signal::derive(move || by_day(page, |day| day.minutes)) />
                <DayChart title="Requests" days=Signal::derive(move || by_day(page, |day| day.requests)) />
            </div>
            <details>
                <summary>"The days as a table"</summary>
                <Days page=page />
            </details>
        </section>
        <section class="charts" class:hidden=move || page.with(|page| page.rows.is_empty()) aria-labelledby="by-deployment">
            <h2 id="by-deployment">"By deployment"</h2>
            <div class="scroll" tabindex="0" role="region" aria-label="Usage">
                <table>
                    <caption class="hidden">"Use by deployment, deleted ones included"</caption>
                    <thead>
                        <tr>
                            <th scope="col">"Deployment"</th>
                            <th scope="col">"Model"</th>
                            <th scope="col">"Environment"</th>
                            <th scope="col" class="number">"Requests"</th>
                            <th scope="col" class="number">"Minutes"</th>
                            {move || priced.get().then(|| view! { <th scope="col" class="number">"Cost"</th> })}
                            <th scope="col">
                                <span class="hidden">"Share of the most used"</span>
                            </th>
                        </tr>
                    </thead>
                    <tbody>
                        <For
                            each=move || page.with(|page| page.rows.clone())
                            key=|row| (row.deployment_id.clone(), row.environment.clone(), row.minutes, row.requests)
                            let(row)
                        >
                            {line(row, most, priced)}
                        </For>
                    </tbody>
                </table>
            </div>
        </section>
    }
}

fn by_day(page: RwSignal<view::UsagePage>, pick: fn(&UsageDay) -> u64) -> Vec<(Timestamp, u64)> {
    page.with(|page| page.by_day.iter().map(|day| (day.day, pick(day))).collect())
}

#[component]
fn Days(page: RwSignal<view::UsagePage>) -> impl IntoView {
    let rows = move || {
        page.with(|page| {
            page.by_day
                .iter()
                .map(|day| {
                    view! {
                        <tr>
                            <th scope="row">{date(day.day)}</th>
                            <td class="number">{group(day.requests)}</td>
                            <td class="number">{group(day.minutes)}</td>
                        </tr>
                    }
                })
                .collect_view()
        })
    };
    view! {
        <table class="compact">
            <caption class="hidden">"Use by day"</caption>
            <thead>
                <tr>
                    <th scope="col">"Day"</th>
                    <th scope="col" class="number">"Requests"</th>
                    <th scope="col" class="number">"Minutes"</th>
                </tr>
            </thead>
            <tbody>{rows}</tbody>
        </table>
    }
}

fn line(row: UsageRow, most: Memo<u64>, priced: Memo<bool>) -> impl IntoView {
    let UsageRow {
        model_id,
        model_name,
        deployment_id,
        deployment_name,
        environment,
        is_deleted,
        minutes,
        requests,
        cost,
    } = row;
    // The currency is that of the prices, which have none.
    let cost = cost.map_or("–".to_owned(), |cost| format!("{cost:.2}"));
    let name = deployment_name.clone();
    let deployment = if is_deleted {
        view! {
            {deployment_name}
            " "
            <span class="chip gone">"deleted"</span>
        }
        .erased()
    } else {
        view! { <A href=deployment_path(&model_id, &deployment_id)>{deployment_name}</A> }.erased()
    };
    // The deployment may outlive its row here, the model may not: its link says so when followed.
    view! {
        <tr aria-label=name>
            <th scope="row">{deployment}</th>
            <td>
                <A href=model_path(&model_id)>{model_name}</A>
            </td>
            <td>{environment.map(|name| view! { <span class="chip">{name}</span> })}</td>
            <td class="number">{group(requests)}</td>
            <td class="number">{group(minutes)}</td>
            {move || priced.get().then(|| view! { <td class="number">{cost.clone()}</td> })}
            <td>
                <meter min="0" max=move || most.get().max(1).to_string() value=minutes.to_string() aria-hidden="true"></meter>
            </td>
        </tr>
    }
}

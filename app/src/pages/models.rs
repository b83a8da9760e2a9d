//! All models; or, with none, how to push the first.

use crate::erase::Erase;
use crate::read::{self, Loaded, decode};
use domain::Timestamp;
use leptos::either::Either;
use leptos::prelude::*;
use leptos_router::components::A;
use leptos_router::hooks::use_query_map;
use leptos_router::location::Url;

use crate::components::{
    CodeBlock, Gone, PageHeader, ReplicaDots, StatusBadge, TimeAgo, TrafficBar, deployment_path,
    environment_path, model_path,
};
use crate::fresh::keep_fresh;
use crate::live::Topic;

use crate::view::{self, FirstRun, ModelRow, Served};

#[component]
pub fn ModelsPage() -> impl IntoView {
    let query = use_query_map();
    let asked = move |name: &'static str| query.with(|query| query.get(name)).unwrap_or_default();
    view! {
        <Loaded
            which=Signal::derive(move || vec![looked_for(&asked("filter")), asked("cursor")])
            read=|mut which| read::models(which.remove(0), which.remove(0))
            body=|text| {
                let initial = decode::<view::ModelsPage>(text)?;
                Ok(view! { <Body initial=initial /> }.erased())
            }
        />
    }
}

/// What is looked for: what was typed or pasted, without what no name has and the server refuses, such as a tab.
fn looked_for(typed: &str) -> String {
    typed.chars().filter(|c| !c.is_control()).collect()
}

#[component]
fn Body(initial: view::ModelsPage) -> impl IntoView {
    let moving = |page: &view::ModelsPage| page.models.iter().any(|model| model.promotion.is_some());
    let filter = RwSignal::new(initial.filter.clone());
    // What is typed is looked for from the first page on.
    let (first, cursor) = (initial.filter.clone(), initial.cursor.clone());
    let fresh = keep_fresh(initial, Topic::Models, moving, move || {
        // The page may have been left while a reading was due.
        let wanted = looked_for(&filter.try_get_untracked().unwrap_or_default());
        let cursor = if wanted == first { cursor.clone() } else { String::new() };
        read::models(wanted, cursor)
    });
    let page = fresh.value;
    Effect::new(move |before: Option<String>| {
        let wanted = filter.get();
        if before.is_some_and(|before| before != wanted) {
            fresh.refresh();
        }
        wanted
    });
    let first_run = Memo::new(move |_| page.with(|page| page.first_run.clone()));
    view! {
        <Gone error=fresh.gone />
        <PageHeader
            crumbs=vec![]
            title="Models"
            headline=Signal::derive(move || page.with(|page| page.headline.clone()))
        />
        {move || page.with(|page| page.warning.clone()).map(|said| view! { <p class="notice bad">{said}</p> })}
        {move || match first_run.get() {
            Some(first_run) => view! { <FirstModel first_run=first_run /> }.erased(),
            None => view! { <ModelsTable page=page filter=filter /> }.erased(),
        }}
    }
}

#[component]
fn ModelsTable(page: RwSignal<view::ModelsPage>, filter: RwSignal<String>) -> impl IntoView {
    let ids = move || page.with(|page| page.models.iter().map(|model| model.id.clone()).collect::<Vec<_>>());
    let nothing = Memo::new(move |_| page.with(|page| page.models.is_empty()));
    let as_of = Signal::derive(move || page.with(|page| page.as_of));
    view! {
        // Typing filters at once; without JavaScript it is a question to the server.
        <form method="get" class="bare" on:submit=|event| event.prevent_default()>
            <label class="field inline filter">
                <span>"Filter"</span>
                <input
                    type="search"
                    name="filter"
                    value=filter.get_untracked()
                    bind:value=filter
                    maxlength="256"
                    autocomplete="off"
                    spellcheck="false"
                    placeholder="by name"
                />
            </label>
        </form>
        <div class="scroll" tabindex="0" role="region" aria-label="Models">
            <table>
                <caption class="hidden">"Models and what their production serves"</caption>
                <thead>
                    <tr>
                        <th scope="col">"Model"</th>
                        <th scope="col">"Production serves"</th>
                        <th scope="col">"Status"</th>
                        <th scope="col">"Rollout"</th>
                        <th scope="col">"Replicas"</th>
                        <th scope="col" class="number">"Deployments"</th>
                        <th scope="col">"Last change"</th>
                    </tr>
                </thead>
                <tbody>
                    <For each=ids key=String::clone let(id)>
                        <Row page=page id=id as_of=as_of />
                    </For>
                </tbody>
            </table>
        </div>
        {move || {
            nothing
                .get()
                .then(|| match page.with(|page| page.found) {
                    0 => "No model has this in its name.",
                    _ => "There is none further down.",
                })
                .map(|said| view! { <p class="none">{said}</p> })
        }}
        <Places page=page />
    }
}

/// The ways to the other models where one page does not show all.
#[component]
fn Places(page: RwSignal<view::ModelsPage>) -> impl IntoView {
    let places = Memo::new(move |_| {
        page.with(|page| (page.filter.clone(), page.cursor.clone(), page.older.clone(), page.found))
    });
    move || {
        let (filter, cursor, older, found) = places.get();
        let address = |cursor: &str| {
            let filter =
                if filter.is_empty() { String::new() } else { format!("filter={}&", Url::escape(&filter)) };
            let cursor = if cursor.is_empty() { String::new() } else { format!("cursor={cursor}") };
            format!("/models?{filter}{cursor}").trim_end_matches(['?', '&']).to_owned()
        };
        (!cursor.is_empty() || older.is_some()).then(|| {
            let newest = (!cursor.is_empty()).then(|| {
                view! {
                    <A href=address("") attr:class="button plain">
                        "Newest"
                    </A>
                }
            });
            let older = older.map(|cursor| {
                view! {
                    <A href=address(&cursor) attr:class="button plain">
                        "Older"
                    </A>
                }
            });
            let said = if filter.is_empty() { " models in all" } else { " models have this in their names" };
            view! {
                <nav class="pager" aria-label="Models by their last change">
                    {newest} {older} <span class="by">{found} {said}</span>
                </nav>
            }
        })
    }
}

#[component]
fn Row(page: RwSignal<view::ModelsPage>, id: String, as_of: Signal<Timestamp>) -> impl IntoView {
    let row = Memo::new(move |before: Option<&Option<ModelRow>>| {
        page.with(|page| page.models.iter().find(|model| model.id == id).cloned())
            .or_else(|| before.cloned().flatten())
    });
    move || row.with(|row| row.as_ref().map(|row| line(row, as_of)))
}

/// Plain from end to end, with plain links too: a page has fifty of them.
fn line(row: &ModelRow, as_of: Signal<Timestamp>) -> impl IntoView + use<> {
    let serving = row.serving.as_ref();
    let name = match serving {
        Some(Served { deployment, .. }) => {
            let path = deployment_path(&row.id, &deployment.id);
            Either::Left(view! { <a href=path>{deployment.name.clone()}</a> })
        }
        None => Either::Right(view! { <span class="none">"nothing yet"</span> }),
    };
    let status = serving.map(|served| view! { <StatusBadge status=served.status /> });
    let replicas = serving.map(|served| view! { <ReplicaDots replicas=served.replicas /> });
    let rollout = row.promotion.as_ref().map(|promotion| {
        let path = environment_path(&row.id, domain::PRODUCTION);
        let percent = f64::from(promotion.percent);
        view! {
            <a href=path class="mini-rollout">
                <TrafficBar percent=percent label=format!("{percent:.0} % to the candidate") />
                <span class="number">{promotion.percent} " %"</span>
            </a>
        }
    });
    view! {
        <tr aria-label=row.name.clone()>
            <th scope="row">
                <a href=model_path(&row.id)>{row.name.clone()}</a>
            </th>
            <td>{name}</td>
            <td>{status}</td>
            <td>{rollout}</td>
            <td>{replicas}</td>
            <td class="number">{row.deployments}</td>
            <td>
                <TimeAgo at=row.last_change_at as_of=as_of />
            </td>
        </tr>
    }
}

/// The way to the first model. The page notices the push by itself.
#[component]
fn FirstModel(first_run: FirstRun) -> impl IntoView {
    let commands = first_run
        .commands
        .into_iter()
        .map(|command| {
            view! {
                <li>
                    <h3>{command.title.clone()}</h3>
                    <CodeBlock code=command.text what=command.title />
                </li>
            }
        })
        .collect_view();
    view! {
        <section class="first-run" aria-labelledby="first-run">
            <h2 id="first-run">"Push your first model"</h2>
            <p>
                "In a terminal, with the truss CLI you already use. This server answers at "
                <code>{first_run.address}</code> "."
            </p>
            {first_run.warning.map(|warning| view! { <p class="notice bad">{warning}</p> })}
            <ol class="steps">{commands}</ol>
            <p class="waiting" role="status">
                "Waiting for the first push. It appears here as it arrives."
            </p>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_name_has_is_not_looked_for() {
        let found = ["iris", "\tiris\u{7f}", "größe 2", "\u{1b}[1m"].map(looked_for);
        assert_eq!(found, ["iris", "iris", "größe 2", "[1m"]);
    }
}

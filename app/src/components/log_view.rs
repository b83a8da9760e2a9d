//! The log of a deployment or of an environment, followed while the page is open.

mod lines;
mod pane;
mod sheet;
mod stream;

use leptos::ev::SubmitEvent;
use leptos::html;
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate, use_query_map};
use leptos_router::params::ParamsMap;

use crate::erase::Erase;
use crate::read::{self, Loaded, decode};
use crate::view::{LogFilter, LogPage, LogScope};
use lines::LogLines;

/// The least levels to choose from, with what they are called.
const LEVELS: [(&str, &str); 5] = [
    ("", "All levels"),
    ("DEBUG", "Debug and above"),
    ("INFO", "Info and above"),
    ("WARNING", "Warnings and errors"),
    ("ERROR", "Errors"),
];

/// How the reader wants to see it; kept while the filter changes.
#[derive(Clone, Copy)]
struct Choices {
    /// New lines come as they are written.
    tail: RwSignal<bool>,
    /// Long lines go on in the next row, and not to the side.
    wrap: RwSignal<bool>,
    /// New lines are told to whoever hears the page.
    aloud: RwSignal<bool>,
}

#[component]
pub fn LogView(of: LogScope) -> impl IntoView {
    provide_context(Choices {
        tail: RwSignal::new(true),
        wrap: RwSignal::new(true),
        aloud: RwSignal::new(false),
    });
    let query = use_query_map();
    let filter = Memo::new(move |_| {
        query.with(|query| LogFilter {
            level: query.get("level").unwrap_or_default(),
            search: query.get("search").unwrap_or_default(),
        })
    });
    let which = Memo::new(move |_| {
        let LogScope { model_id, deployment_id, environment } = of.clone();
        let LogFilter { level, search } = filter.get();
        vec![model_id, deployment_id, environment, level, search]
    });
    view! {
        <FilterForm filter=filter />
        <Loaded
            which=which
            read=|which| {
                let [model, deployment, environment, level, search] = which.try_into().unwrap_or_default();
                read::logs(model, deployment, environment, level, search, 0, 0)
            }
            body=|text| {
                let initial = decode::<LogPage>(text)?;
                Ok(view! { <LogLines initial=initial /> }.erased())
            }
        />
    }
}

/// What is searched for stays in the address, so it can be sent to somebody, and works without JavaScript.
#[component]
fn FilterForm(filter: Memo<LogFilter>) -> impl IntoView {
    let navigate = use_navigate();
    let path = use_location().pathname;
    let (level, search) = (NodeRef::<html::Select>::new(), NodeRef::<html::Input>::new());
    let apply = Callback::new(move |()| {
        let (Some(level), Some(search)) = (level.get_untracked(), search.get_untracked()) else { return };
        let address = address(&path.get_untracked(), &level.value(), search.value().trim());
        navigate(&address, NavigateOptions { scroll: false, replace: true, ..NavigateOptions::default() });
    });
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        apply.run(());
    };
    let options = LEVELS
        .map(|(name, title)| {
            view! {
                <option value=name selected=move || filter.with(|filter| filter.level == name)>
                    {title}
                </option>
            }
        })
        .collect_view();
    let is_filtered = Memo::new(move |_| filter.with(|filter| *filter != LogFilter::default()));
    let all = move || address(&path.get(), "", "");
    view! {
        <form class="log-tools" method="get" action="#logs" role="search" aria-label="Filter the log" on:submit=submit>
            <label class="field inline">
                <span>"Level"</span>
                <select name="level" node_ref=level on:change=move |_| apply.run(())>
                    {options}
                </select>
            </label>
            <label class="field inline wide">
                <span>"Search"</span>
                <input
                    type="search"
                    name="search"
                    node_ref=search
                    prop:value=move || filter.with(|filter| filter.search.clone())
                    value=filter.with_untracked(|filter| filter.search.clone())
                    placeholder="words -without \"a text\" replica:id request:id /expression/"
                    maxlength="1000"
                    autocomplete="off"
                    spellcheck="false"
                />
            </label>
            <button type="submit" class="plain">
                "Filter"
            </button>
            {move || is_filtered.get().then(|| view! { <a href=all>"Show all lines"</a> })}
        </form>
    }
}

/// The page with this filter, at its log.
fn address(path: &str, level: &str, search: &str) -> String {
    let mut map = ParamsMap::new();
    for (name, value) in [("level", level), ("search", search)] {
        if !value.is_empty() {
            map.insert(name, value.to_owned());
        }
    }
    format!("{path}{}#logs", map.to_query_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_what_is_searched_for() {
        assert_eq!(address("/models/m/logs/d", "", ""), "/models/m/logs/d#logs");
        let found = address("/d", "ERROR", "a b");
        assert!(found.starts_with("/d?") && found.ends_with("#logs"), "{found}");
        assert!(found.contains("level=ERROR") && found.contains("search=a%20b"), "{found}");
    }
}

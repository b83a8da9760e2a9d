//! What was done, by whom, and when: in the workspace, or to one model.

use crate::erase::Erase;
use crate::read::{self, Loaded, Reading, decode};
use domain::EventGroup;
use leptos::prelude::*;
use leptos_router::components::A;
use leptos_router::hooks::use_query_map;
use leptos_router::params::ParamsMap;

use super::use_param;
use crate::components::{
    Crumb, Gone, PageHeader, Sentence, TimeAgo, deployment_path, environment_path, model_path,
};
use crate::fresh::keep_fresh;
use crate::live::Topic;

use crate::view::{self, ActivityFilter, ActivityRow, SettingChange};

/// The doors with what people call them.
const SOURCES: [(&str, &str); 4] =
    [("UI", "Dashboard"), ("API", "API"), ("SYSTEM", "Slipway itself"), ("OTHER", "Command line")];

#[component]
pub fn ActivityPage() -> impl IntoView {
    let model = use_param("model");
    let query = use_query_map();
    let which = move || {
        query.with(|query| {
            let mut which = vec![model.get()];
            let named = ActivityFilter::default().parts().map(|(name, _)| name);
            which.extend(named.into_iter().chain(["cursor"]).map(|name| query.get(name).unwrap_or_default()));
            which
        })
    };
    view! {
        <Loaded
            which=Memo::new(move |_| which())
            read=|which| read_page(&which)
            body=|text| {
                let initial = decode::<view::ActivityPage>(text)?;
                Ok(view! { <Body initial=initial /> }.erased())
            }
        />
    }
}

/// The page of a model's id, the parts of its filter, and the place in the list.
fn read_page(which: &[String]) -> Reading {
    let part = |index: usize| which.get(index).cloned().unwrap_or_default();
    read::activity(part(0), part(1), part(2), part(3), part(4), part(5), part(6), part(7), part(8))
}

/// The address of a page with this filter.
fn address(path: &str, filter: &ActivityFilter, more: &[(&'static str, String)]) -> String {
    let mut map = ParamsMap::new();
    let parts = filter.parts().map(|(name, value)| (name, value.clone()));
    for (name, value) in parts.into_iter().chain(more.iter().cloned()).filter(|(_, value)| !value.is_empty())
    {
        map.insert(name, value);
    }
    format!("{path}{}", map.to_query_string())
}

#[component]
fn Body(initial: view::ActivityPage) -> impl IntoView {
    let filter = initial.filter.clone();
    let model = initial.model.clone();
    let model_id = model.as_ref().map(|model| model.id.clone()).unwrap_or_default();
    let (path, crumbs, topic) = match &model {
        Some(model) => {
            let of_model = model_path(&model.id);
            let crumbs = vec![
                Crumb::new("Models".to_owned(), "/models"),
                Crumb::new(model.name.clone(), of_model.clone()),
            ];
            (format!("{of_model}/activity"), crumbs, Topic::Model(model.id.clone()))
        }
        None => ("/activity".to_owned(), vec![], Topic::Models),
    };
    let mut which = vec![model_id.clone()];
    which.extend(filter.parts().map(|(_, value)| value.clone()));
    which.push(filter.cursor.clone());
    let form = view! { <FilterForm page=initial.clone() path=path.clone() /> };
    let fresh = keep_fresh(initial, topic, |_| false, move || read_page(&which));
    let page = fresh.value;
    let file = address("/api/ui/activity.csv", &filter, &[("model_id", model_id)]);
    let newest = (!filter.cursor.is_empty()).then(|| {
        let href = address(&path, &filter, &[]);
        view! { <A href=href attr:class="button plain">"Newest"</A> }
    });
    let is_filtered = page.with_untracked(|page| page.is_filtered);
    let all = path.clone();
    let of_workspace = model.is_none();
    let next = Memo::new(move |_| page.with(|page| page.next.clone()));
    let is_empty = Memo::new(move |_| page.with(|page| page.rows.is_empty()));
    let as_of = Signal::derive(move || page.with(|page| page.as_of));
    view! {
        <Gone error=fresh.gone />
        <PageHeader
            crumbs=crumbs
            title="Activity"
            headline=Signal::derive(move || page.with(|page| page.headline.clone()))
        >
            // A file: not a page of the dashboard's own router.
            <a class="button plain" href=file download rel="external">
                "Download CSV"
            </a>
        </PageHeader>
        {form}
        {move || {
            is_empty
                .get()
                .then(|| {
                    let all = all.clone();
                    match is_filtered {
                        true => view! {
                            <section class="empty">
                                <h2>"Nothing matches"</h2>
                                <p>"Nothing was recorded that all of these filters let through."</p>
                                <p>
                                    <A href=all>"Show everything"</A>
                                </p>
                            </section>
                        }
                        .erased(),
                        false => view! {
                            <section class="empty">
                                <h2>"Nothing was done yet"</h2>
                                <p>"Each push, promotion, change of settings and deletion will have a row here."</p>
                            </section>
                        }
                        .erased(),
                    }
                })
        }}
        <div class="scroll" class:hidden=move || is_empty.get() tabindex="0" role="region" aria-label="Activity">
            <table class="activity">
                <caption class="hidden">"What was done, newest first"</caption>
                <thead>
                    <tr>
                        <th scope="col">"What"</th>
                        <th scope="col">"When"</th>
                        <th scope="col">"Who"</th>
                        <th scope="col">"By"</th>
                        {of_workspace.then(|| view! { <th scope="col">"Model"</th> })}
                        <th scope="col">"Deployment"</th>
                        <th scope="col">"Environment"</th>
                    </tr>
                </thead>
                <tbody>
                    <For each=move || page.with(|page| page.rows.clone()) key=|row| row.id.clone() let(row)>
                        {line(row, as_of, of_workspace)}
                    </For>
                </tbody>
            </table>
        </div>
        <nav class="pager" aria-label="Pages">
            {newest}
            {move || {
                next.get()
                    .map(|cursor| {
                        let href = address(&path, &filter, &[("cursor", cursor)]);
                        view! { <A href=href attr:class="button plain">"Older"</A> }
                    })
            }}
        </nav>
    }
}

/// Works as it is without JavaScript, and what it says stays in the address.
#[component]
fn FilterForm(page: view::ActivityPage, path: String) -> impl IntoView {
    let view::ActivityPage { model, filter, people, environments, deployments, is_filtered, .. } = page;
    let option = |value: String, label: String, chosen: &str| {
        let selected = value == chosen;
        view! {
            <option value=value selected=selected>
                {label}
            </option>
        }
    };
    let groups = EventGroup::ALL
        .map(|group| option(group.as_str().to_owned(), group.title().to_owned(), &filter.group))
        .collect_view();
    let people = people.into_iter().map(|person| option(person.id, person.name, &filter.who)).collect_view();
    let sources = SOURCES
        .map(|(source, title)| option(source.to_owned(), title.to_owned(), &filter.source))
        .collect_view();
    let suggested = |names: Vec<String>| {
        names.into_iter().map(|name| view! { <option value=name></option> }).collect_view()
    };
    let environments = suggested(environments);
    // Of the workspace there may be one of a name in each model.
    let deployment = model.is_some().then(|| {
        view! {
            <label class="field">
                <span>"Deployment"</span>
                <input
                    name="deployment"
                    value=filter.deployment
                    placeholder="name or id"
                    list="known-deployments"
                    maxlength="255"
                    autocomplete="off"
                />
            </label>
            <datalist id="known-deployments">{suggested(deployments)}</datalist>
        }
    });
    let all = path.clone();
    view! {
        <form class="filters" method="get" action=path role="search" aria-label="Filter the activity">
            <label class="field">
                <span>"What"</span>
                <select name="group">
                    <option value="">"Everything"</option>
                    {groups}
                </select>
            </label>
            <label class="field">
                <span>"Who"</span>
                <select name="who">
                    <option value="">"Everybody"</option>
                    {people}
                </select>
            </label>
            <label class="field">
                <span>"By"</span>
                <select name="source">
                    <option value="">"Every way"</option>
                    {sources}
                </select>
            </label>
            {deployment}
            <label class="field">
                <span>"Environment"</span>
                <input name="environment" value=filter.environment list="known-environments" maxlength="40" autocomplete="off" />
            </label>
            <datalist id="known-environments">{environments}</datalist>
            <label class="field">
                <span>"From"</span>
                <input type="date" name="from" value=filter.from />
            </label>
            <label class="field">
                <span>"To"</span>
                <input type="date" name="to" value=filter.to />
            </label>
            <div class="actions">
                <button type="submit" class="plain">
                    "Filter"
                </button>
                {is_filtered.then(|| view! { <A href=all>"Show everything"</A> })}
            </div>
        </form>
    }
}

fn line(row: ActivityRow, as_of: Signal<domain::Timestamp>, of_workspace: bool) -> impl IntoView {
    let ActivityRow {
        at,
        sentence,
        who,
        key_prefix,
        source,
        model,
        deployment,
        deployment_is_deleted,
        environment,
        environment_is_deleted,
        changes,
        ..
    } = row;
    let by =
        SOURCES.iter().find(|(name, _)| *name == source).map_or(source.clone(), |(_, title)| (*title).into());
    let model_id = model.as_ref().map(|model| model.id.clone()).unwrap_or_default();
    let deployment = deployment.map(|deployment| {
        let path = (!deployment_is_deleted).then(|| deployment_path(&model_id, &deployment.id));
        place(path, deployment.name)
    });
    let environment = environment.map(|name| {
        let path = (!environment_is_deleted).then(|| environment_path(&model_id, &name));
        place(path, name)
    });
    let of_model = of_workspace.then(|| {
        let link = model.map(|model| place((!model.is_deleted).then(|| model_path(&model.id)), model.name));
        view! { <td>{link}</td> }
    });
    let changes = (!changes.is_empty()).then(|| view! { <Changes changes=changes /> });
    view! {
        <tr>
            <th scope="row">
                <Sentence text=sentence />
                {changes}
            </th>
            <td>
                <TimeAgo at=at as_of=as_of />
            </td>
            <td>
                {who} {key_prefix.map(|prefix| view! { <span class="by">"key " <code>{prefix}</code></span> })}
            </td>
            <td>{by}</td>
            {of_model}
            <td>{deployment}</td>
            <td>{environment}</td>
        </tr>
    }
}

/// A link to what is there, and the name of what is gone.
fn place(path: Option<String>, name: String) -> AnyView {
    match path {
        Some(path) => view! { <A href=path>{name}</A> }.erased(),
        None => view! {
            {name}
            " "
            <span class="chip gone">"deleted"</span>
        }
        .erased(),
    }
}

/// What settings were before and are since.
#[component]
fn Changes(changes: Vec<SettingChange>) -> impl IntoView {
    let summary = match changes.len() {
        1 => "1 setting".to_owned(),
        many => format!("{many} settings"),
    };
    let rows = changes
        .into_iter()
        .map(|change| {
            view! {
                <tr>
                    <th scope="row">
                        <code>{change.setting}</code>
                    </th>
                    <td>{change.before}</td>
                    <td>{change.after}</td>
                </tr>
            }
        })
        .collect_view();
    view! {
        <details>
            <summary>{summary}</summary>
            <table class="compact">
                <caption class="hidden">"Settings before and after"</caption>
                <thead>
                    <tr>
                        <th scope="col">"Setting"</th>
                        <th scope="col">"Before"</th>
                        <th scope="col">"After"</th>
                    </tr>
                </thead>
                <tbody>{rows}</tbody>
            </table>
        </details>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_what_was_chosen_and_nothing_else() {
        let filter = ActivityFilter { who: "command line & co".into(), ..ActivityFilter::default() };
        let address =
            address("/activity", &filter, &[("cursor", "desc.1.a".into()), ("model_id", String::new())]);
        assert_eq!(address.matches(['?', '&']).count(), 2, "{address}");
        assert!(
            address.starts_with("/activity?") && address.replace("%2E", ".").contains("cursor=desc.1.a"),
            "{address}"
        );
        assert!(address.contains("who=command%20line%20%26%20co"), "{address}");
    }
}

//! The settings of the workspace: people, keys, secrets, and one's own account.

mod account;
mod keys;
mod people;
mod secrets;

use crate::erase::{Erase, ErasedChildren};
use leptos::prelude::*;
use leptos_router::hooks::use_location;

use crate::components::{CodeBlock, FormError, PageHeader, Refresh, when_done};
use crate::post::{Post, PostForm};
use crate::view::ShownOnce;

/// The pages below `/settings`, with their names.
const TABS: [(&str, &str); 4] = [
    ("/settings/people", "People"),
    ("/settings/keys", "API keys"),
    ("/settings/secrets", "Secrets"),
    ("/settings/account", "Your account"),
];

#[component]
pub fn SettingsPage() -> impl IntoView {
    let path = use_location().pathname;
    let shown = Memo::new(move |_| {
        let path = path.get();
        TABS.iter().position(|(tab, _)| path.trim_end_matches('/') == *tab).unwrap_or(0)
    });
    move || match shown.get() {
        1 => view! { <keys::Keys /> }.erased(),
        2 => view! { <secrets::Secrets /> }.erased(),
        3 => view! { <account::Account /> }.erased(),
        _ => view! { <people::People /> }.erased(),
    }
}

/// The ways between the pages of the settings.
#[component]
fn Tabs(current: &'static str) -> impl IntoView {
    let tabs = TABS
        .map(|(path, name)| {
            view! {
                <a href=path aria-current=(path == current).then_some("page")>
                    {name}
                </a>
            }
        })
        .collect_view();
    view! {
        <nav class="tabs" aria-label="Settings">
            {tabs}
        </nav>
    }
}

/// The top of a page of the settings.
#[component]
fn Head(
    title: &'static str,
    path: &'static str,
    #[prop(into)] headline: Signal<String>,
    #[prop(optional)] children: Option<ErasedChildren>,
) -> impl IntoView {
    view! {
        <PageHeader crumbs=vec![] title=title headline=headline>
            {children.map(ErasedChildren::view)}
        </PageHeader>
        <Tabs current=path />
    }
}

/// A table whose last column has what can be done.
#[component]
fn Listed(
    label: &'static str,
    caption: &'static str,
    columns: &'static [&'static str],
    /// Not there while there is nothing to list.
    #[prop(optional, into)]
    hidden: Signal<bool>,
    children: ErasedChildren,
) -> impl IntoView {
    let heads = columns.iter().map(|name| view! { <th scope="col">{*name}</th> }).collect_view();
    view! {
        <div class="scroll" class:hidden=hidden tabindex="0" role="region" aria-label=label>
            <table>
                <caption class="hidden">{caption}</caption>
                <thead>
                    <tr>
                        {heads}
                        <th scope="col">
                            <span class="hidden">"Actions"</span>
                        </th>
                    </tr>
                </thead>
                <tbody>{children.view()}</tbody>
            </table>
        </div>
    }
}

/// Something that can't be undone: it opens before it can be done.
#[component]
fn Confirm(
    post: Post,
    /// What is done: `Revoke`.
    act: &'static str,
    /// To what.
    name: String,
    /// The field that says to what, with its value.
    field: (&'static str, String),
    /// What comes of it.
    says: &'static str,
    #[prop(optional)] children: Option<ErasedChildren>,
) -> impl IntoView {
    when_done(post, || {});
    let (field, value) = field;
    view! {
        <details class="confirm">
            <summary aria-label=format!("{act} {name}")>{format!("{act}…")}</summary>
            <PostForm post=post>
                <input type="hidden" name=field value=value />
                <p>{says}</p>
                {children.map(ErasedChildren::view)}
                <button type="submit" class="danger" disabled=move || post.pending.get()>
                    {act}
                </button>
                <FormError post=post />
            </PostForm>
        </details>
    }
}

/// Has the page read again once something was made that is shown once.
fn refresh_when_made(post: Post<ShownOnce>) {
    let refresh = use_context::<Refresh>();
    Effect::new(move || {
        if let (Some(Ok(_)), Some(refresh)) = (post.answer.get(), refresh) {
            refresh.now();
        }
    });
}

/// A text that the answer to a form holds, and nothing else ever will.
#[component]
fn Once(post: Post<ShownOnce>, what: &'static str) -> impl IntoView {
    let shown = move || {
        post.answer.with(|answer| match answer {
            Some(Ok(shown)) => Some(shown.clone()),
            _ => None,
        })
    };
    view! {
        <div role="status">
            {move || {
                shown()
                    .map(|shown| {
                        view! {
                            <div class="notice once">
                                <p>{shown.sentence}</p>
                                <CodeBlock code=shown.text what=what />
                            </div>
                        }
                    })
            }}
        </div>
    }
}

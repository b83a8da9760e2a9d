//! The settings of the workspace: people, keys, secrets, and one's own account.

mod account;
mod keys;
mod people;
mod secrets;

use crate::erase::Erase;
use leptos::prelude::*;
use leptos_router::hooks::use_location;

use crate::components::{CodeBlock, Refresh};
use crate::post::Post;
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

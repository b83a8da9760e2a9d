use crate::erase::ErasedChildren;
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::components::A;

use super::Sentence;

/// One step of the path to a page.
#[derive(Clone)]
pub struct Crumb {
    pub name: Signal<String>,
    pub path: String,
}

impl Crumb {
    pub fn new(name: impl Into<Signal<String>>, path: impl Into<String>) -> Self {
        Self { name: name.into(), path: path.into() }
    }
}

/// The top of a page: its path, its name, and one sentence on what is going on.
#[component]
pub fn PageHeader(
    crumbs: Vec<Crumb>,
    #[prop(into)] title: Signal<String>,
    #[prop(into)] headline: Signal<String>,
    /// The page's own actions.
    #[prop(optional)]
    children: Option<ErasedChildren>,
) -> impl IntoView {
    let path = (!crumbs.is_empty()).then(|| {
        let steps = crumbs
            .into_iter()
            .map(|crumb| view! { <li><A href=crumb.path>{crumb.name}</A></li> })
            .collect_view();
        view! {
            <nav class="crumbs" aria-label="Path">
                <ol>{steps}</ol>
            </nav>
        }
    });
    view! {
        // The head outlives the page by a moment, in which the page's values are gone.
        <Title text=move || title.try_get().unwrap_or_default() />
        <header class="page-header">
            {path}
            <div class="title">
                <h1>{title}</h1>
                {children.map(|children| view! { <div class="actions">{children.view()}</div> })}
            </div>
            <p class="headline">
                <Sentence text=headline />
            </p>
        </header>
    }
}

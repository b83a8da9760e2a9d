//! The management API: every route, and every shape that bodies and answers have.

use crate::erase::Erase;
use crate::read::{self, Loaded, decode};
use leptos::prelude::*;

use crate::components::PageHeader;
use crate::view::{self, ReferenceField, ReferenceGroup, ReferenceKind, ReferenceRoute, ReferenceShape};

#[component]
pub fn ReferencePage() -> impl IntoView {
    view! {
        <Loaded
            which=Signal::derive(Vec::new)
            read=|_| read::reference()
            body=|text| {
                let page = decode::<view::ReferencePage>(text)?;
                Ok(view! { <Body page=page /> }.erased())
            }
        />
    }
}

#[component]
fn Body(page: view::ReferencePage) -> impl IntoView {
    let count: usize = page.groups.iter().map(|group| group.routes.len()).sum();
    let headline =
        format!("{count} routes under /v1, as this server, Slipway {}, serves them.", page.version);
    let contents = page
        .groups
        .iter()
        .map(|group| view! { <li><a href=format!("#{}", group.anchor)>{group.name.clone()}</a></li> })
        .collect_view();
    let groups = page.groups.into_iter().map(group).collect_view();
    let shapes = page.shapes.into_iter().map(shape).collect_view();
    view! {
        <PageHeader crumbs=vec![] title="API reference" headline=headline>
            // A document: not a page of the dashboard's own router.
            <a class="button plain" href="/v1/spec" rel="external">
                "OpenAPI document"
            </a>
        </PageHeader>
        <div class="reference">
            <p>{prose(&page.about)}</p>
            <nav aria-label="Groups of routes">
                <ul class="contents">
                    {contents}
                    <li>
                        <a href="#shapes">"Shapes"</a>
                    </li>
                </ul>
            </nav>
            {groups}
            <section aria-labelledby="shapes">
                <h2 id="shapes">"Shapes"</h2>
                <p>"What bodies and answers consist of. A field that is not required may be left out of a body."</p>
                {shapes}
            </section>
        </div>
    }
}

fn group(group: ReferenceGroup) -> AnyView {
    let routes = group.routes.into_iter().map(route).collect_view();
    let anchor = group.anchor.clone();
    view! {
        <section aria-labelledby=anchor>
            <h2 id=group.anchor>{group.name}</h2>
            <p>{prose(&group.about)}</p>
            {routes}
        </section>
    }
    .erased()
}

fn route(route: ReferenceRoute) -> AnyView {
    let says = (!route.says.is_empty()).then(|| view! { <p>{prose(&route.says)}</p> });
    let parameters = (!route.parameters.is_empty()).then(|| fields("Parameters", route.parameters));
    let body = route.body.map(|of| view! { <p>"Body: " {kind(of)}</p> });
    let answer = route.answer.map(|of| view! { <p>"Answer: " {kind(of)}</p> });
    let open = (!route.needs_key).then(|| view! { <p>"Needs no key."</p> });
    let failures = route
        .failures
        .into_iter()
        .map(|(status, meaning)| view! { <li><code>{status}</code> " " {meaning}</li> })
        .collect_view();
    view! {
        <article id=route.anchor.clone()>
            <h3>
                <a href=format!("#{}", route.anchor)>
                    <code>
                        <b>{route.method}</b>
                        " "
                        {route.path}
                    </code>
                </a>
            </h3>
            <p class="summary">{route.summary}</p>
            {says}
            {open}
            {parameters}
            {body}
            {answer}
            <details>
                <summary>"Failures"</summary>
                <ul>{failures}</ul>
            </details>
        </article>
    }
    .erased()
}

fn shape(shape: ReferenceShape) -> AnyView {
    let says = (!shape.says.is_empty()).then(|| view! { <p>{prose(&shape.says)}</p> });
    let words = (!shape.words.is_empty()).then(|| {
        let words = shape.words.into_iter().map(|word| view! { <li><code>{word}</code></li> }).collect_view();
        view! { <ul class="words">{words}</ul> }
    });
    let fields = (!shape.fields.is_empty()).then(|| fields("Fields", shape.fields));
    view! {
        <article id=shape.anchor>
            <h3>
                <code>{shape.name}</code>
            </h3>
            {says}
            {words}
            {fields}
        </article>
    }
    .erased()
}

fn fields(label: &'static str, fields: Vec<ReferenceField>) -> AnyView {
    let rows = fields
        .into_iter()
        .map(|field| {
            let required = field.required.then(|| view! { <span class="required">"required"</span> });
            let limits =
                (!field.limits.is_empty()).then(|| view! { <span class="limits">{field.limits}</span> });
            view! {
                <dt>
                    <code>{field.name}</code>
                    " "
                    {kind(field.kind)}
                    " "
                    {required}
                </dt>
                <dd>
                    {prose(&field.says)}
                    " "
                    {limits}
                </dd>
            }
        })
        .collect_view();
    view! {
        <h4>{label}</h4>
        <dl>{rows}</dl>
    }
    .erased()
}

/// A text with what stands between backticks as code.
fn prose(text: &str) -> AnyView {
    let parts = text.split('`').enumerate().map(|(place, part)| {
        let part = part.to_owned();
        match place % 2 {
            0 => view! { <span>{part}</span> }.erased(),
            _ => view! { <code>{part}</code> }.erased(),
        }
    });
    parts.collect_view().erased()
}

fn kind(kind: ReferenceKind) -> AnyView {
    match kind.anchor.is_empty() {
        true => view! { <span class="kind">{kind.text}</span> }.erased(),
        false => view! { <a class="kind" href=format!("#{}", kind.anchor)>{kind.text}</a> }.erased(),
    }
}

//! Live reload on the development deployment's page: how it stands, and what has changed since the newest copy.

use leptos::prelude::*;
use leptos_router::components::A;

use super::{TimeAgo, deployment_path};
use crate::erase::Erase;
use crate::fresh::keep_fresh;
use crate::live::Topic;
use crate::read::{self, Loaded, decode};
use crate::view::{ChangedFile, LivePage, SinceCopy};

#[component]
pub fn LiveReload(model_id: String) -> impl IntoView {
    view! {
        <section aria-labelledby="live-reload">
            <h2 id="live-reload">"Live reload"</h2>
            <Loaded
                which=Signal::derive(move || vec![model_id.clone()])
                read=|mut which| read::live(which.remove(0))
                body=|text| {
                    let initial = decode::<LivePage>(text)?;
                    Ok(view! { <Body initial=initial /> }.erased())
                }
            />
        </section>
    }
}

#[component]
fn Body(initial: LivePage) -> impl IntoView {
    let model = initial.model_id.clone();
    let reading = model.clone();
    let fresh =
        keep_fresh(initial, Topic::Model(model.clone()), |_| false, move || read::live(reading.clone()));
    let page = fresh.value;
    let as_of = Signal::derive(move || page.with(|page| page.as_of));
    let patched = Memo::new(move |_| page.with(|page| page.patched_at));
    let failure = Memo::new(move |_| page.with(|page| page.failure.clone()));
    let since = Memo::new(move |_| page.with(|page| page.since_copy.clone()));
    view! {
        <p aria-live="polite">
            <span class="sentence">{move || page.with(|page| page.sentence.clone())}</span>
            {move || patched.get().map(|at| view! { <span class="by">" " <TimeAgo at=at as_of=as_of /></span> })}
        </p>
        {move || {
            failure
                .get()
                .map(|text| {
                    view! {
                        <pre class="failed" tabindex="0" role="region" aria-label="Why the last change did not come up">
                            {text}
                        </pre>
                    }
                })
        }}
        {move || match since.get() {
            Some(since) => copied(since, &model, as_of).erased(),
            None => {
                view! {
                    <p class="hint">
                        "No copy has been made. Promote or publish it, and what you change afterwards is listed here."
                    </p>
                }
                    .erased()
            }
        }}
    }
}

fn copied(since: SinceCopy, model: &str, as_of: Signal<domain::Timestamp>) -> impl IntoView + use<> {
    let SinceCopy { copy, copied_at, files, more } = since;
    let path = deployment_path(model, &copy.id);
    let count = match files.len() + more as usize {
        0 => "nothing has changed since".to_owned(),
        1 => "one file has changed since".to_owned(),
        n => format!("{n} files have changed since"),
    };
    let list = files.into_iter().map(file).collect_view();
    view! {
        <p class="hint">
            "Copied as " <A href=path>{copy.name}</A> " " <TimeAgo at=copied_at as_of=as_of /> "; " {count} "."
        </p>
        <ul class="diff" aria-label="Files changed since the copy">
            {list}
        </ul>
        {(more > 0).then(|| view! { <p class="hint">"and " {more} " more"</p> })}
    }
}

fn file(file: ChangedFile) -> impl IntoView {
    let ChangedFile { path, change, lines } = file;
    let label = format!("Changes of {path}");
    let body = match lines {
        None => view! { <p class="hint">"It is no text, or too long to show."</p> }.erased(),
        Some(lines) => {
            let lines = lines
                .into_iter()
                .map(|line| {
                    let tone = match line.mark {
                        '+' => "added",
                        '-' => "removed",
                        '…' => "gap",
                        _ => "same",
                    };
                    view! { <span class=tone>{line.mark} " " {line.text} "\n"</span> }
                })
                .collect_view();
            view! {
                <pre tabindex="0" role="region" aria-label=label>
                    {lines}
                </pre>
            }
            .erased()
        }
    };
    view! {
        <li>
            <details>
                <summary>
                    <code>{path}</code>
                    " "
                    <span class="chip">{change}</span>
                </summary>
                {body}
            </details>
        </li>
    }
}

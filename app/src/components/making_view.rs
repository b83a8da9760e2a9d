//! A build or a first start where one looks: its age and its last lines.

use domain::Timestamp;
use leptos::prelude::*;

use crate::clock::{length, use_now};
use crate::view::Making;

#[component]
pub fn MakingView(making: Making, #[prop(into)] as_of: Signal<Timestamp>) -> impl IntoView {
    let clock = use_now();
    let Making { running, since, lines } = making;
    let since = since.map(|since| {
        view! {
            <p class="hint">
                "building for " {move || length(clock.get(as_of.get()).since(since))}
            </p>
        }
    });
    let lines = lines.join("\n");
    let lines = (!lines.is_empty()).then(|| {
        view! {
            <pre tabindex="0" role="region" aria-label="Last lines">
                {lines}
            </pre>
        }
    });
    view! {
        <div class="making" class:failed=!running>
            {since}
            {lines}
        </div>
    }
}

//! A build or a first start where one looks: its age and its last lines.

use domain::Timestamp;
use leptos::prelude::*;

use crate::clock::{length, use_now};
use crate::view::Making;

#[component]
pub fn MakingView(
    #[prop(into)] making: Signal<Option<Making>>,
    #[prop(into)] as_of: Signal<Timestamp>,
) -> impl IntoView {
    let clock = use_now();
    let lines =
        Memo::new(move |_| making.with(|making| making.as_ref().map(|making| making.lines.join("\n"))));
    let running =
        Memo::new(move |_| making.with(|making| making.as_ref().is_some_and(|making| making.running)));
    let since = Memo::new(move |_| making.with(|making| making.as_ref()?.since));
    let shown = Memo::new(move |_| making.with(Option::is_some));
    move || {
        shown.get().then(|| {
            view! {
                <div class="making" class:failed=move || !running.get()>
                    {move || {
                        since
                            .get()
                            .map(|since| {
                                view! {
                                    <p class="hint">
                                        "building for "
                                        {move || length(clock.get(as_of.get()).since(since))}
                                    </p>
                                }
                            })
                    }}
                    {move || {
                        lines
                            .get()
                            .filter(|lines| !lines.is_empty())
                            .map(|lines| {
                                view! {
                                    <pre tabindex="0" role="region" aria-label="Last lines">
                                        {lines}
                                    </pre>
                                }
                            })
                    }}
                </div>
            }
        })
    }
}

use domain::Timestamp;
use leptos::prelude::*;

use crate::clock::{absolute, countdown, machine, span, use_now};

/// How long ago, with the moment itself on hover.
#[component]
pub fn TimeAgo(
    at: Timestamp,
    /// When the page's data was true.
    #[prop(into)]
    as_of: Signal<Timestamp>,
) -> impl IntoView {
    let now = use_now();
    let words = move || {
        let past = now.get(as_of.get()).since(at);
        if past < 5000 { "just now".to_owned() } else { format!("{} ago", span(past)) }
    };
    view! {
        <time datetime=machine(at) title=absolute(at)>
            {words}
        </time>
    }
}

/// Time left until a moment, ticking.
#[component]
pub fn Countdown(
    #[prop(into)] until: Signal<Timestamp>,
    #[prop(into)] as_of: Signal<Timestamp>,
) -> impl IntoView {
    let now = use_now();
    view! {
        <span class="countdown" role="timer">
            {move || countdown(until.get().since(now.get(as_of.get())))}
        </span>
    }
}
